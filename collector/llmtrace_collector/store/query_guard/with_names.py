"""Names that a WITH gives to queries: where the engine resolves them, and how much they stand for."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from .refusal import QueryRefused

#: Tables of a query with every WITH written out, as the engine does at each of its names: beyond a few
#: hundred it plans for minutes, which no limit of time ends.
_TABLES = 200


def query_of(table: exp.Table) -> exp.CTE | None:
    """The WITH element that the engine resolves the name of `table` to at this place; any other name would be
    a table's. A scalar's name, `WITH 1 AS x`, never means a table.
    """
    element = None
    for cte in _elements_above(table):
        # The innermost is met first, and of one WITH the last of that name counts.
        is_query = isinstance(cte.this, exp.Query) and not cte.args.get("scalar")
        if cte.alias == table.name and is_query and (element is None or element.parent is cte.parent):
            element = cte
    return element


def check_size_written_out(tree: exp.Query) -> None:
    """Raise QueryRefused when names of WITHs within WITHs stand for more tables than a query needs."""
    sizes: dict[int, int] = {}
    if sum(_size(table, sizes) for table in _tables_of(tree)) > _TABLES:
        raise QueryRefused(f"with each WITH written out, the query reads more than {_TABLES} tables")


def _size(table: exp.Table, sizes: dict[int, int]) -> int:
    """How many tables its name stands for."""
    cte = query_of(table) if isinstance(table.this, exp.Identifier) and not table.db else None
    if cte is None:
        return 1
    if id(cte) not in sizes:
        sizes[id(cte)] = 1  # what a recursive one counts for within itself
        inner = sum(_size(table, sizes) for table in _tables_of(cte.this))
        sizes[id(cte)] = min(max(inner, 1), _TABLES + 1)
    return sizes[id(cte)]


def _tables_of(node: exp.Expr) -> Iterator[exp.Table]:
    """The tables in it, but for those of its WITHs, which count where they are named."""
    return (
        table
        for table in node.find_all(exp.Table)
        if (cte := table.find_ancestor(exp.CTE)) is None or node.find_ancestor(exp.CTE) is cte or node is cte
    )


def _elements_above(table: exp.Table) -> Iterator[exp.CTE]:
    node: exp.Expr = table
    while node.parent is not None:
        parent = node.parent
        if isinstance(parent, exp.With):
            # Inside a WITH, those before; itself only when it is recursive.
            for cte in parent.expressions:
                if cte is node and not parent.args.get("recursive"):
                    break
                yield cte
                if cte is node:
                    break
            node = parent.parent or parent
            continue
        own = parent.args.get("with_")
        if own is not None and own is not node:
            yield from own.expressions
        node = parent

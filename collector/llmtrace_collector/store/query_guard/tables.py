"""Which tables a tree reads: ours by name, a WITH's, and functions that only compute."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from llmtrace_collector.store.catalogue import BY_NAME, READABLE
from llmtrace_collector.store.database import DATABASE
from llmtrace_collector.store.schema.former import VERSIONS

from .functions import TABLE_FUNCTIONS
from .refusal import QueryRefused, ReadDenied
from .type_names import check_columns
from .with_names import check_size_written_out, query_of

#: Databases by which our tables may be named: where they were before they had one of their own, and that.
DATABASES = ("default", DATABASE)


#: Databases of the engine's own tables, which are never read themselves: something stands in for some.
_OF_THE_ENGINE = ("system", "information_schema")


def check_tables(tree: exp.Query) -> tuple[frozenset[str], frozenset[str]]:
    """The names of our tables that `tree` reads, and of the engine's that something has to stand in for, such
    as `system.tables`: in the tree that is then one name, which no table has. Raises QueryRefused for others.
    """
    for cte in tree.find_all(exp.CTE):
        if cte.alias in BY_NAME or cte.alias == VERSIONS:
            raise QueryRefused(f"a WITH name may not be that of a table: {cte.alias}")
    check_size_written_out(tree)
    ours: set[str] = set()
    standing: dict[str, str] = {}
    for values in tree.find_all(exp.Values):
        _check_values(values)
    for node in list(tree.find_all(exp.Table)):
        if not isinstance(node.this, exp.Identifier):
            _check_function(node)
        elif node.db.lower() in _OF_THE_ENGINE and not node.catalog:
            full, alias = _stand_in(node)
            standing[full] = alias
        elif _is_ours(node):
            ours.add(node.name)
    for column in tree.find_all(exp.Column):
        _shorten(column, standing)
    return frozenset(ours), frozenset(standing)


def _is_ours(table: exp.Table) -> bool:
    """Whether it is a table of ours, which then has no database in the tree; False: a WITH's."""
    database = table.args.get("db")
    if database is not None:
        if not isinstance(database, exp.Identifier) or database.name not in DATABASES or table.catalog:
            raise ReadDenied(f"table {table.sql()[:80]} cannot be read here")
        table.set("db", None)
    elif query_of(table) is not None:
        return False
    if table.name not in READABLE:
        known = ", ".join(sorted(READABLE))
        raise ReadDenied(f"table {table.name[:80]!r} cannot be read here; there are {known}")
    return True


def _check_function(table: exp.Table) -> None:
    function = table.this
    name = function.this if isinstance(function, exp.Anonymous) else None
    if table.db or not isinstance(name, str) or name.lower() not in TABLE_FUNCTIONS:
        called = table.sql(dialect="clickhouse").partition("(")[0].strip('`"')
        raise ReadDenied(f"table function {called[:80]!r} is not allowed in a read")


def _check_values(values: exp.Values) -> None:
    """The columns of `values('a String', …)` have types, which are text there."""
    first: exp.Expr = values.expressions[0]
    while isinstance(first, exp.Tuple) and first.expressions:
        first = first.expressions[0]
    if isinstance(first, exp.Literal) and first.is_string:
        check_columns(first.name)
    elif not isinstance(first, exp.Literal | exp.Neg | exp.Null | exp.Boolean | exp.Array):
        # A type that comes with a parameter, or is put together, cannot be judged.
        raise QueryRefused("values() needs its columns, or its first value, as a plain literal")


def _stand_in(table: exp.Table) -> tuple[str, str]:
    """The full name of the engine's table, which becomes the table's in the tree, and its alias."""
    full = f"{table.db}.{table.name}".lower()
    if table.args.get("alias") is None:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
    table.set("this", exp.to_identifier(full, quoted=True))
    table.set("db", None)
    return full, table.alias


def _shorten(column: exp.Column, standing: Mapping[str, str]) -> None:
    """A column is named by its table's name or alias alone."""
    alias = standing.get(f"{column.db}.{column.table}".lower())
    if alias is not None:
        column.set("table", exp.to_identifier(alias, quoted=True))
    if alias is not None or column.db in DATABASES:
        column.set("db", None)

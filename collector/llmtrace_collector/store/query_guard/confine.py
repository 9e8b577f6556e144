"""A project's rows alone, by what is read in the place of each table."""

from __future__ import annotations

import sqlglot
from sqlglot import exp

from llmtrace_collector.store.schema.catalogue import READABLE

from .refusal import QueryRefused
from .tables import visible_names


def confine(tree: exp.Expr, project: str) -> None:
    """Put a SELECT of the project's rows in the place of every table of ours, in place."""
    for table in list(tree.find_all(exp.Table)):
        if (
            isinstance(table.this, exp.Func)
            or table.name in visible_names(table)
            or table.name not in READABLE
        ):
            continue
        odd = [key for key, value in table.args.items() if value and key not in ("this", "alias", "joins")]
        if odd:
            raise QueryRefused(f"{odd[0].upper()} of a table cannot be read with a project's key")
        place: exp.Expr = table
        rows = f"SELECT * FROM {table.name}"  # noqa: S608 - one of ours
        if isinstance(table.parent, exp.Final):
            place = table.parent
            rows += " FINAL"
        condition = READABLE[table.name]
        quoted = exp.Literal.string(project).sql(dialect="clickhouse")
        select = sqlglot.parse_one(
            f"{rows} WHERE {condition.replace('{project}', quoted)}", read="clickhouse"
        )
        for name in select.find_all(exp.Identifier):
            name.set("quoted", True)
        alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name, quoted=True))
        joins = table.args.get("joins")
        place.replace(exp.Subquery(this=select, alias=alias.copy(), joins=joins))
    # PREWHERE is for tables; over a SELECT it is a WHERE.
    for select in list(tree.find_all(exp.Select)):
        early = select.args.get("prewhere")
        if early is not None:
            select.set("prewhere", None)
            select.where(early.this, copy=False)

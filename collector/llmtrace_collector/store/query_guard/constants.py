"""Calls that ask for the server or the user: each is answered by a constant."""

from __future__ import annotations

from sqlglot import exp

from llmtrace_collector.store.clients.statements import CONSTANTS

from .parsing import parse


def replace_constants(tree: exp.Query) -> None:
    """Put the literal of `clients.statements.CONSTANTS` in the place of each such call, in place; a column of
    the result keeps the call as its name.
    """
    for call in list(tree.find_all(exp.Anonymous)):
        constant = CONSTANTS.get(str(call.this).lower()) if not call.expressions else None
        if constant is None:
            continue
        value: exp.Expr = parse(f"SELECT {constant}").selects[0].copy()
        if isinstance(call.parent, exp.Select) and call.arg_key == "expressions":
            value = exp.alias_(value, f"{call.this}()", quoted=True)
        call.replace(value)

"""What the engine says that a text reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

#: Functions that operators and clauses of the language stand for, by the engine's names in lower case.
OPERATORS = frozenset(
    "plus minus multiply divide modulo negate equals notequals less greater lessorequals greaterorequals and "
    "or not in notin globalin globalnotin nullin like notlike ilike notilike match concat if multiif "
    "casewithexpression tuple array map arrayelement tupleelement isnull isnotnull cast _cast exists "
    "arrayjoin isnotdistinctfrom isdistinctfrom intdiv has singlevalueornull "
    "tointervalday tointervalhour tointervalminute tointervalsecond toyear".split()
)

_NODE = re.compile(r"( *)([A-Z_]+) id: \d+(.*)")
_TABLE_PLACE = re.compile(r"( *)(JOIN TREE|(?:LEFT |RIGHT )?TABLE EXPRESSION|[A-Z ]+)")


@dataclass(frozen=True)
class EngineView:
    """Names at the places of tables and of functions, the latter in lower case."""

    tables: frozenset[str]
    functions: frozenset[str]
    #: Names of queries that a WITH gives, which may stand at the places of tables.
    withs: frozenset[str] = frozenset()


class Engine:
    """The owner's handle on a store, which reads and analyses without running."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def parsed(self, sql: str) -> EngineView | None:
        """As the engine's parser has it, before names are looked up; None when it is no SQL for it."""
        return self._view(sql, 0)

    def resolved(self, sql: str) -> EngineView | None:
        """After names are looked up; None when that fails: the text would end in an error."""
        return self._view(sql, 1)

    def _view(self, sql: str, passes: int) -> EngineView | None:
        try:
            data = self._handle.query(f"EXPLAIN QUERY TREE passes = {passes} {sql}", "TSVRaw").bytes()
        except RuntimeError:
            return None
        return view_of((data or b"").decode(errors="replace"))


def view_of(tree: str) -> EngineView:
    """The names in the text of a query tree."""
    tables: set[str] = set()
    functions: set[str] = set()
    withs = set(re.findall(r", cte_name: ([^,\n]*)", tree))
    headers: list[tuple[int, str]] = []
    for line in tree.split("\n"):
        node = _NODE.match(line)
        if node is None:
            header = _TABLE_PLACE.fullmatch(line)
            if header is not None:
                depth = len(header[1])
                headers = [(at, name) for at, name in headers if at < depth] + [(depth, header[2])]
            continue
        depth, kind, rest = len(node[1]), node[2], node[3]
        headers = [(at, name) for at, name in headers if at < depth]
        place = headers[-1] if headers else (0, "")
        if kind == "FUNCTION":
            functions.add(_field(rest, "function_name").lower())
        elif kind == "TABLE_FUNCTION":
            functions.add(_field(rest, "table_function_name").lower())
        elif kind == "TABLE":
            tables.add(_field(rest, "table_name"))
        elif (
            kind == "IDENTIFIER"
            and depth == place[0] + 2
            and (place[1] == "JOIN TREE" or place[1].endswith("TABLE EXPRESSION"))
        ):
            tables.add(_field(rest, "identifier"))
    return EngineView(frozenset(tables - {"system.one"}), frozenset(functions), frozenset(withs))


def _field(rest: str, name: str) -> str:
    match = re.search(rf", {name}: ([^,]*)", rest)
    return match[1] if match else ""

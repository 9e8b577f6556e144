"""Functions and types that a read may use, by name."""

from __future__ import annotations

from importlib import resources

#: What may follow an aggregate function's name, one or two of them.
_COMBINATORS = ("if", "ornull", "ordefault", "merge", "array", "distinct", "map")


def _lists() -> dict[str, frozenset[str]]:
    """The lists of functions.txt by kind, in lower case."""
    text = (resources.files("llmtrace_collector.store") / "functions.txt").read_text()
    lines = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {kind: frozenset(words.lower().split()) for kind, _, words in lines}


#: Names by kind, in lower case.
KINDS = _lists()

TYPES = KINDS["types"]

TABLE_FUNCTIONS = KINDS["tables"]

AGGREGATES = KINDS["aggregates"]

#: Functions, each without what may follow an aggregate's name.
FUNCTIONS: frozenset[str] = frozenset().union(*(names for kind, names in KINDS.items() if kind != "types"))

#: Every name that may be called.
CALLABLE: frozenset[str] = FUNCTIONS.union(
    (
        name + first + second
        for name in AGGREGATES
        for first in _COMBINATORS
        for second in ("", *_COMBINATORS)
    ),
)

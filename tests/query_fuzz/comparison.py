"""A text through the guard, and what comes out of it through the engine."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from llmtrace_collector.store.database import DATABASE
from llmtrace_collector.store.query_guard.guard import make_safe
from llmtrace_collector.store.query_guard.refusal import QueryRefused

from .engine_view import OPERATORS, Engine

#: What the guard writes for a call by name, and the engine calls otherwise.
_SYNTAX = frozenset("cast extract substring trim position columns case replace".split())


@dataclass
class Tally:
    """Texts so far, and what became of them."""

    texts: int = 0
    passed: int = 0
    not_parsed: int = 0
    resolved: int = 0
    differences: list[str] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)


class Comparison:
    """Compares texts one by one; `engine` is the owner's of a store with our schema."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.tally = Tally()

    def compare(self, text: str) -> str:
        """What guard and engine see differently in `text`; empty when nothing. Counted, too."""
        self.tally.texts += 1
        difference = self._difference(text)
        if difference:
            self.tally.differences.append(difference)
        return difference

    def _difference(self, text: str) -> str:
        try:
            query = make_safe(text)
        except QueryRefused as error:
            self.tally.refusals[str(error)[:40]] += 1
            return ""
        if not query.sql:
            return ""
        self.tally.passed += 1
        parsed = self._engine.parsed(query.sql)
        if parsed is None:
            self.tally.not_parsed += 1
            return ""
        known = query.tables | query.stand_ins - {"system.one"}
        # FILTER behind an aggregate makes the engine call it by its name with `If`.
        filtered = {f"{name}if" for name in query.functions if "FILTER(" in query.sql}
        only_here = {
            name
            for name in query.functions - parsed.functions
            if f"{name}if" not in parsed.functions & filtered
        }
        problems = {
            "functions that only the engine sees": parsed.functions - query.functions - filtered - OPERATORS,
            "functions that only the guard sees": only_here - _SYNTAX - OPERATORS,
            "tables that only the engine sees": {_short(name) for name in parsed.tables}
            - known
            - parsed.withs,
            "tables that only the guard sees": known - {_short(name) for name in parsed.tables},
        }
        resolved = self._engine.resolved(query.sql)
        if resolved is not None:
            self.tally.resolved += 1
            read = {_short(name) for name in resolved.tables}
            problems["tables that the engine reads besides"] = read - query.tables
        wrong = {what: sorted(names) for what, names in problems.items() if names}
        return f"{wrong}: {text!r} became {query.sql!r}" if wrong else ""


def _short(name: str) -> str:
    return name.removeprefix(f"{DATABASE}.")

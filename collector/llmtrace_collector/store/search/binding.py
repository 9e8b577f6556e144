"""Values of a search as query parameters, and the comparisons of texts that they stand in."""

from __future__ import annotations

import json
from collections.abc import Iterable

from llmtrace_collector.sql_values import QueryValue

from .times import Period
from .tree import Operator, Value


class Parameters:
    """Collects the values of placeholders. No text of a search becomes SQL in any other way."""

    def __init__(self, period: Period, prefix: str) -> None:
        self._prefix = prefix
        self._period = period
        self.values: dict[str, QueryValue] = dict(period.params(prefix))

    def text(self, value: str) -> str:
        """The placeholder of a text."""
        return self._bound(value, "String")

    def number(self, value: float) -> str:
        """The placeholder of a number."""
        return self._bound(value, "Float64")

    def since(self, column: str) -> str:
        """`column` is not before the period; empty where that has no start."""
        return self._end(column, ">=", "since") if self._period.since is not None else ""

    def until(self, column: str) -> str:
        """`column` is before the end of the period; empty where that has none."""
        return self._end(column, "<", "until") if self._period.until is not None else ""

    def within(self, column: str) -> list[str]:
        """The conditions that `column` lies in the period."""
        return [text for text in (self.since(column), self.until(column)) if text]

    def _bound(self, value: QueryValue, kind: str) -> str:
        name = f"{self._prefix}_{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"

    def _end(self, column: str, operator: str, name: str) -> str:
        return f"{column} {operator} fromUnixTimestamp64Milli({{{self._prefix}_{name}:Int64}})"


def all_true(conditions: Iterable[str]) -> str:
    """All of the conditions; true where there are none."""
    present = [condition for condition in conditions if condition]
    return " AND ".join(present) if present else "1"


def any_true(conditions: Iterable[str]) -> str:
    """Any of the conditions, of which there is at least one, in parentheses where there are more."""
    present = list(conditions)
    return present[0] if len(present) == 1 else f"({' OR '.join(present)})"


def name_is(column: str, value: Value, parameters: Parameters) -> str:
    """A name equals `value` or fits its pattern, whatever the case."""
    if value.pattern:
        return _fits(column, value.text, "ILIKE", parameters)
    return f"lowerUTF8({column}) = lowerUTF8({parameters.text(value.text)})"


def id_is(column: str, value: Value, parameters: Parameters) -> str:
    """An identifier equals `value` or fits its pattern; so the engine's indexes apply."""
    if value.pattern:
        return _fits(column, value.text, "LIKE", parameters)
    return f"{column} = {parameters.text(value.text)}"


def contains(column: str, text: str, parameters: Parameters) -> str:
    """`text` occurs in a column, whatever the case."""
    # Letters of ASCII alone are compared several times faster.
    function = "positionCaseInsensitive" if text.isascii() else "positionCaseInsensitiveUTF8"
    return f"{function}({column}, {parameters.text(text)}) > 0"


def message_spellings(text: str) -> list[str]:
    """How `text` may stand in messages, which are stored as JSON."""
    # The digits of an escape say which case a letter has, so that each case is another text.
    cases = (text, text.lower(), text.upper(), text.capitalize(), text.title())
    escaped = (json.dumps(case)[1:-1] for case in cases) if not text.isascii() else ()
    return list(dict.fromkeys((text, json.dumps(text, ensure_ascii=False)[1:-1], *escaped)))


def compared(expression: str, operator: Operator, number: float, parameters: Parameters) -> str:
    """A number that may be unknown, compared; what is not known fits nothing."""
    return f"ifNull({expression} {operator} {parameters.number(number)}, 0)"


def like_pattern(text: str) -> str:
    """A pattern of LIKE for text in which `*` stands for any text."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")


def _fits(column: str, text: str, operator: str, parameters: Parameters) -> str:
    if not text.strip("*"):
        return f"{column} != ''"
    return f"{column} {operator} {parameters.text(like_pattern(text))}"

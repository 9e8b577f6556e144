"""Small pieces of SQL text that the dialects' expressions are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from llmtrace_collector.sql_values import literal, literals


def renamed(text: str, names: Mapping[str, str], other: str | None = None) -> str:
    """`text` by the table `names`; what is not in the table is `other`, by default `text` itself."""
    return f"transform({text}, [{literals(names)}], [{literals(names.values())}], {other or text})"


def first(candidates: Iterable[str]) -> str:
    """The first of the texts that is not empty, else ''."""
    return f"arrayFirst(c -> c != '', [{', '.join(candidates)}])"


def let(name: str, text: str, body: str) -> str:
    """`body`, in which `name` stands for `text`, which is computed once."""
    return f"arrayMap({name} -> {body}, [{text}])[1]"


def unquoted(text: str) -> str:
    """JSON text of a string as the string, JSON null as ''; any other text as it is."""
    return f"arrayMap(u -> {_unquoted('u')}, [{text}])[1]"


def _unquoted(name: str) -> str:
    decoded = f"JSONExtractString({name})"
    text = f"startsWith({name}, '\"') AND {decoded} != ''"
    return f"multiIf({text}, {decoded}, {name} IN ('null', '\"\"'), '', {name})"


def attribute(key: str) -> str:
    """The attribute's text in the map `attrs`, '' when absent."""
    return f"attrs[{literal(key)}]"


@dataclass
class Step:
    """An array of texts that later steps refer to by position; `template` is applied to each, named `u`."""

    name: str
    template: str = "u"
    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> str:
        """Append a text unless it is there; returns the expression that reads it."""
        if text not in self.texts:
            self.texts.append(text)
        return f"{self.name}[{self.texts.index(text) + 1}]"

    def expression(self) -> str:
        """The array."""
        return f"arrayMap(u -> {self.template}, [{', '.join(self.texts)}])"


class Sources:
    """Where the table's sources are read: `json` holds texts that are reached into, `values` the results."""

    def __init__(self) -> None:
        self.json = Step("json", _unquoted("u"))
        self.values = Step("found", f"arrayFirst(c -> c != '', arrayMap(u -> {_unquoted('u')}, u))")

    def source(self, name: str) -> str:
        """The text of a source of the table (`key` or `key>path`), still JSON where it was."""
        key, *path = name.split(">")
        if not path:
            return attribute(key)
        steps = ", ".join(step if step.isdigit() else literal(step) for step in path)
        return f"JSONExtractRaw({self.json.add(attribute(key))}, {steps})"

    def value(self, sources: Iterable[str]) -> str:
        """The first source that carries a value, with JSON strings decoded."""
        return self.values.add(f"[{', '.join(self.source(name) for name in sources)}]")

"""The checked tree of a search. Its text (`str`) is the search again, in one canonical form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from . import quantities
from .fields import FIELDS

Operator = Literal["=", "!=", "<", "<=", ">", ">="]

#: Words that join terms, so that they stand in quotes where the text is meant.
JOINING = frozenset({"AND", "OR", "NOT"})

#: Identifiers are known by their form. A span id of digits alone might as well be a number in a text.
_TRACE_ID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
_SPAN_ID = re.compile(r"(?=.*[a-f])[0-9a-f]{16}", re.IGNORECASE)
# Names such as msg_handler2 or resp_timeout_408 are no ids: those are long, and all digits and letters.
_RESPONSE_ID = re.compile(
    r"(?:chatcmpl|cmpl)[-_](?=[A-Za-z-]*\d)[0-9A-Za-z-]{8,}"
    r"|(?:msg|resp)_(?:bdrk_|vrtx_)?(?=(?:[A-Za-z-]*\d){2})[0-9A-Za-z-]{16,}"
)

_BARE_TEXT = re.compile(r"\w[\w'’.\-/@#%&+;?$€]*")
_BARE_VALUE = re.compile(r"""[^\s()",*<>=!:][^\s()",*]*""")
_BARE_KEY = re.compile(r"""[^\s()":=<>!,]+""")


@dataclass(frozen=True)
class Text:
    """Words that occur in a prompt, an answer, a span's name or an error's message, in any case."""

    text: str

    def __str__(self) -> str:
        bare = _BARE_TEXT.fullmatch(self.text) and self.text not in JOINING and identify(self.text) is None
        return self.text if bare else quoted(self.text)


@dataclass(frozen=True)
class Identifier:
    """A bare id."""

    kind: Literal["trace", "span", "response"]
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Value:
    """A text that a field is compared with; in a `pattern`, `*` stands for any text."""

    text: str
    pattern: bool = False

    def __str__(self) -> str:
        return self.text if self.pattern or _BARE_VALUE.fullmatch(self.text) else quoted(self.text)


@dataclass(frozen=True)
class Match:
    """A field that is one of the values. `key` is the NAME of fields like `attr.NAME`."""

    field: str
    values: tuple[Value, ...]
    key: str = ""

    def __str__(self) -> str:
        texts = [str(value) for value in self.values]
        # A score is compared with a number where one stands alone: a label that looks like one has quotes.
        single = self.values[0].text if self.field == "score" and len(texts) == 1 else ""
        if quantities.read_number(single, quantities.PLAIN) is not None:
            texts = [quoted(single)]
        return f"{_label(self.field, self.key)}:{','.join(texts)}"


@dataclass(frozen=True)
class Compare:
    """A field compared with a number: seconds for durations, USD for money."""

    field: str
    operator: Operator
    number: float
    key: str = ""

    def __str__(self) -> str:
        number = quantities.write_number(self.number, FIELDS[self.field].unit)
        return f"{_label(self.field, self.key)}{self.operator}{number}"


@dataclass(frozen=True)
class Present:
    """An attribute or a score that is there, whatever it says."""

    field: str
    key: str

    def __str__(self) -> str:
        return f"{_label(self.field, self.key)}:"


@dataclass(frozen=True)
class Not:
    """What does not match."""

    node: Node

    def __str__(self) -> str:
        return f"-({self.node})" if isinstance(self.node, And | Or) else f"-{self.node}"


@dataclass(frozen=True)
class And:
    """All of at least two."""

    nodes: tuple[Node, ...]

    def __str__(self) -> str:
        return " ".join(f"({node})" if isinstance(node, Or) else str(node) for node in self.nodes)


@dataclass(frozen=True)
class Or:
    """Any of at least two."""

    nodes: tuple[Node, ...]

    def __str__(self) -> str:
        return " OR ".join(map(str, self.nodes))


Term: TypeAlias = Text | Identifier | Match | Compare | Present
Other: TypeAlias = Identifier | Match | Compare | Present | Not | And | Or
Node: TypeAlias = Text | Other


def all_of(nodes: Iterable[Node]) -> Node:
    """All of `nodes`, of which there is at least one, without an And inside an And."""
    flat: list[Node] = []
    for node in nodes:
        flat.extend(node.nodes if isinstance(node, And) else [node])
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def any_of(nodes: Iterable[Node]) -> Node:
    """Any of `nodes`, of which there is at least one, without an Or inside an Or."""
    flat: list[Node] = []
    for node in nodes:
        flat.extend(node.nodes if isinstance(node, Or) else [node])
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def negated(node: Node) -> Node:
    """What `node` is not."""
    return node.node if isinstance(node, Not) else Not(node)


def terms(node: Node) -> Iterator[Term]:
    """Every term of a tree."""
    if isinstance(node, Not):
        yield from terms(node.node)
    elif isinstance(node, And | Or):
        for part in node.nodes:
            yield from terms(part)
    else:
        yield node


def divided(node: Or) -> tuple[list[Text], list[Other]]:
    """The texts of alternatives, which are looked for together, and the other alternatives."""
    return (
        [part for part in node.nodes if isinstance(part, Text)],
        [part for part in node.nodes if not isinstance(part, Text)],
    )


def parts_of(node: Node) -> tuple[list[Text], list[Text], list[Other]]:
    """What must all hold: texts that occur, texts that do not, and the rest."""
    texts: list[Text] = []
    without: list[Text] = []
    others: list[Other] = []
    for part in node.nodes if isinstance(node, And) else (node,):
        if isinstance(part, Text):
            texts.append(part)
        elif isinstance(part, Not) and isinstance(part.node, Text):
            without.append(part.node)
        else:
            others.append(part)
    return texts, without, others


def readings_of_texts(node: Node) -> int:
    """How often all texts of the period are read to answer a search."""
    if isinstance(node, Not):
        return readings_of_texts(node.node)
    if isinstance(node, Or):
        texts, others = divided(node)
        return bool(texts) + sum(map(readings_of_texts, others))
    texts, without, others = parts_of(node)
    inside = [part for part in others if isinstance(part, Not | And | Or)]
    return bool(texts) + bool(without) + sum(map(readings_of_texts, inside))


def identify(text: str) -> Identifier | None:
    """The identifier that a bare word is, if it has the form of one."""
    if _TRACE_ID.fullmatch(text):
        return Identifier("trace", text.lower())
    if _SPAN_ID.fullmatch(text):
        return Identifier("span", text.lower())
    return Identifier("response", text) if _RESPONSE_ID.fullmatch(text) else None


def quoted(text: str) -> str:
    """`text` in quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _label(field: str, key: str) -> str:
    if not FIELDS[field].keyed:
        return field
    return f"{field}.{key if _BARE_KEY.fullmatch(key) else quoted(key)}"

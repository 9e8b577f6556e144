"""SQL of ours and of the engine's books, read by its tokens: the parts of a text, which tables it reads, and
the text with their databases.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot.tokenizer_core import Token

#: What stands before the name of a table that is read.
_READS = ("FROM", "JOIN")

#: The words that begin the clauses of a table's engine.
_CLAUSES = ("PARTITION BY", "PRIMARY KEY", "ORDER BY", "SAMPLE BY", "TTL", "SETTINGS")

_OPENING, _CLOSING = ("(", "[", "{"), (")", "]", "}")


def tokens(text: str) -> list[Token]:
    """The tokens of SQL, each with its place in the text."""
    # The parser takes a third of a second to import: a store that did not change needs none.
    from sqlglot.dialects.clickhouse import ClickHouse

    return ClickHouse.Tokenizer().tokenize(text)


def tables_read(text: str, known: Collection[str]) -> list[str]:
    """Which of the tables and views `known` a statement reads, in the order of its text."""
    return list(dict.fromkeys(token.text for token in _reads(text, known)))


def qualified(text: str, place: Callable[[str], str], known: Collection[str]) -> str:
    """`text` with the database `place(name)` before every table of `known` that it reads."""
    parts, end = [], 0
    for token in _reads(text, known):
        parts += [text[end : token.start], f"{place(token.text)}."]
        end = token.start
    return "".join([*parts, text[end:]])


def clauses(engine_full: str) -> dict[str, str]:
    """The clauses of a table's engine by their first words; the engine itself is ''."""
    starts = [("", 0, 0)]
    for token, word in _words(engine_full):
        starts.append((word, token.start, token.start + len(word)))
    ends = [start for _, start, _ in starts[1:]] + [len(engine_full)]
    return {word: engine_full[begin:end].strip() for (word, _, begin), end in zip(starts, ends, strict=True)}


def arguments(call: str) -> list[str]:
    """The arguments of a function's call, or none where it has no parentheses."""
    inside = call.partition("(")[2].rpartition(")")[0]
    return items(inside)


def unreplicated(engine_full: str) -> str:
    """A table's engine and its clauses without its replicas."""
    head = clauses(engine_full)[""]
    if not head.startswith("Replicated"):
        return engine_full
    name = head.partition("(")[0].removeprefix("Replicated")
    return f"{name}({', '.join(arguments(head)[2:])}){engine_full[len(head) :]}"


def items(text: str) -> list[str]:
    """The items of a list, which commas outside of parentheses and quotes divide."""
    parts, start = [], 0
    for token, depth in _depths(text):
        if depth == 0 and token.text == ",":
            parts.append(text[start : token.start].strip())
            start = token.end + 1
    return [part for part in [*parts, text[start:].strip()] if part]


def _words(text: str) -> Iterator[tuple[Token, str]]:
    """Where each clause begins."""
    for token, depth in _depths(text):
        rest = text[token.start : token.start + 14].upper()
        word = next((clause for clause in _CLAUSES if rest.startswith(f"{clause} ")), "")
        if depth == 0 and word:
            yield token, word


def _depths(text: str) -> Iterator[tuple[Token, int]]:
    """Each token with the number of parentheses around it."""
    depth = 0
    for token in tokens(text):
        quoted = text[token.start] in "'`\""
        depth -= not quoted and token.text in _CLOSING
        yield token, depth
        depth += not quoted and token.text in _OPENING


def _reads(text: str, known: Collection[str]) -> Iterator[Token]:
    every = tokens(text)
    for position, token in enumerate(every[1:], 1):
        if every[position - 1].text.upper() not in _READS or token.text not in known:
            continue
        following = every[position + 1].text if position + 1 < len(every) else ""
        if following not in (".", "("):
            yield token

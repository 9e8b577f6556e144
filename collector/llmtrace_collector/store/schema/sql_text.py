"""SQL of ours, read by its tokens: which tables a text reads, and the text with their databases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.tokenizer_core import Token, TokenType

#: What stands before the name of a table that is read.
_READS = (TokenType.FROM, TokenType.JOIN)


def tokens(text: str) -> list[Token]:
    """The tokens of SQL, each with its place in the text."""
    return ClickHouse.Tokenizer().tokenize(text)


def tables_read(text: str, known: Collection[str]) -> set[str]:
    """Which of the tables and views `known` a statement reads."""
    return {token.text for token in _reads(text, known)}


def qualified(text: str, place: Callable[[str], str], known: Collection[str]) -> str:
    """`text` with the database `place(name)` before every table of `known` that it reads."""
    parts, end = [], 0
    for token in _reads(text, known):
        parts += [text[end : token.start], f"{place(token.text)}."]
        end = token.start
    return "".join([*parts, text[end:]])


def _reads(text: str, known: Collection[str]) -> Iterator[Token]:
    every = tokens(text)
    for position, token in enumerate(every[1:], 1):
        if every[position - 1].token_type not in _READS or token.text not in known:
            continue
        following = every[position + 1].token_type if position + 1 < len(every) else None
        if following not in (TokenType.DOT, TokenType.L_PAREN):
            yield token

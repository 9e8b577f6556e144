"""The end of a text: FORMAT and SETTINGS, which are not the query's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .lexing import Kind, Token
from .refusal import QueryRefused


class Tail(NamedTuple):
    """A query's tokens, and what its end asks for: a format, and settings by name with their values' text."""

    query: Sequence[Token]
    format: str | None
    settings: tuple[tuple[str, str], ...]


def cut(tokens: Sequence[Token]) -> Tail:
    """The query without `FORMAT name` and `SETTINGS name = value, …` at its end, in either order, each once.

    Raises QueryRefused when more than one statement is there.
    """
    end = len(tokens)
    while end and tokens[end - 1].text == ";":
        end -= 1
    rest = tokens[:end]
    if any(token.text == ";" for token in rest):
        raise QueryRefused("exactly one statement is allowed")
    fmt: str | None = None
    settings: tuple[tuple[str, str], ...] = ()
    for _ in range(2):
        if fmt is None and len(rest) > 2 and rest[-2].is_word("FORMAT") and rest[-1].kind is Kind.WORD:
            fmt, rest = rest[-1].text, rest[:-2]
        elif not settings:
            settings, rest = _settings(rest)
    return Tail(rest, fmt, settings)


def _settings(tokens: Sequence[Token]) -> tuple[tuple[tuple[str, str], ...], Sequence[Token]]:
    """Settings at the end of `tokens`, and the tokens before them."""
    pairs: list[tuple[str, str]] = []
    at = len(tokens)
    while at > 4:
        sign = tokens[at - 2].text == "-" and tokens[at - 1].kind is Kind.NUMBER
        name, equals, value = at - 3 - sign, at - 2 - sign, tokens[at - 1]
        if (
            tokens[name].kind is not Kind.WORD
            or tokens[equals].text != "="
            or value.kind not in (Kind.TEXT, Kind.NUMBER, Kind.WORD)
        ):
            break
        text = value.text[1:-1] if value.kind is Kind.TEXT else value.text
        pairs.insert(0, (tokens[name].text, "-" * sign + text))
        at = name
        if tokens[at - 1].is_word("SETTINGS"):
            return tuple(pairs), tokens[: at - 1]
        if tokens[at - 1].text != ",":
            break
        at -= 1
    return (), tokens

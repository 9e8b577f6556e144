"""Types that a read may turn values into."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .functions import TYPES
from .lexing import Kind, Token, tokens_of
from .refusal import ReadDenied

#: Types whose arguments are types, each perhaps behind a name; those of the rest are numbers and literals.
_OF_TYPES = frozenset("array map tuple nested nullable lowcardinality".split())

_DEPTH = 8

#: Types with a time zone, which may be a zone's name alone: the engine opens files by others.
_ZONED = frozenset(("datetime", "datetime64"))

_ZONE = re.compile(r"'[A-Za-z0-9_+/-]+'")


def check_type(text: str) -> None:
    """Raise ReadDenied unless `text` names a type of the list, such as `Array(Tuple(a String, b Int8))`."""
    rest = _types(tokens_of(text), named=False, depth=0)
    if rest:
        raise ReadDenied(f"type {text[:80]!r} is not available here")


def check_columns(text: str) -> None:
    """The same for columns: `a String, b Array(Int8)`."""
    rest = _types(tokens_of(text), named=True, depth=0)
    if rest:
        raise ReadDenied(f"columns {text[:80]!r} are not available here")


def _types(tokens: Sequence[Token], *, named: bool, depth: int) -> Sequence[Token]:
    """What follows the comma-separated types at the beginning of `tokens`."""
    while True:
        if (
            named
            and len(tokens) > 1
            and tokens[1].kind is Kind.WORD
            and tokens[0].kind in (Kind.WORD, Kind.NAME)
        ):
            tokens = tokens[1:]
        tokens = _type(tokens, depth)
        if not (depth or named) or not tokens or tokens[0].text != ",":
            return tokens
        tokens = tokens[1:]


def _type(tokens: Sequence[Token], depth: int) -> Sequence[Token]:
    name = tokens[0].text if tokens else ""
    if not tokens or tokens[0].kind is not Kind.WORD or name.lower() not in TYPES or depth > _DEPTH:
        raise ReadDenied(f"type {name[:80]!r} is not available here")
    tokens = tokens[1:]
    if not tokens or tokens[0].text != "(":
        return tokens
    tokens = tokens[1:]
    if name.lower() in _OF_TYPES:
        tokens = _types(tokens, named=name.lower() in ("tuple", "nested"), depth=depth + 1)
    else:
        while tokens and (tokens[0].kind in (Kind.NUMBER, Kind.TEXT) or tokens[0].text in (",", "=", "-")):
            if name.lower() in _ZONED and tokens[0].kind is Kind.TEXT and not _ZONE.fullmatch(tokens[0].text):
                raise ReadDenied(f"{tokens[0].text[:80]} is no time zone")
            tokens = tokens[1:]
    if not tokens or tokens[0].text != ")":
        raise ReadDenied(f"type {name[:80]!r} is not available here with these arguments")
    return tokens[1:]

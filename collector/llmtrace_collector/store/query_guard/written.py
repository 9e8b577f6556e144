"""The last look at the SQL that will run, word by word and without the parser's opinion of it."""

from __future__ import annotations

from .functions import CALLABLE, TYPES
from .lexing import Kind, Token, tokens_of
from .refusal import QueryRefused, ReadDenied

#: Words that may stand there without quotes, since every name is in quotes.
_WORDS = frozenset(
    "all and anti any array as asc asof between both by case cast collate columns cross cube current "
    "day desc distinct else end except exists extract false fill filter final first following for from "
    "full global group grouping having hour ignore ilike in inf inner interpolate intersect interval is "
    "join last leading left like limit microsecond millisecond minute month nan nanosecond not null "
    "nulls offset on or order outer over partition paste preceding prewhere qualify quarter range "
    "recursive replace respect right rollup row rows sample second select semi sets step substring then "
    "ties to totals trailing trim true unbounded union using week when where window with within year".split()
)

#: Of these, those that may stand before a bracket without being a function.
_BEFORE_BRACKET = frozenset(
    "all and anti any array as asc asof between by case columns cross cube desc distinct else except "
    "exists filter from global grouping having ilike in inner interpolate intersect is join left like "
    "limit not offset on or order outer over partition prewhere qualify replace right rollup rows "
    "sample select semi sets step then to union using values when where window with within".split()
)


def check_written(sql: str) -> frozenset[str]:
    """The names of the functions that `sql` calls, in lower case. Raises QueryRefused for any word of it that
    is neither a known one nor in quotes, and for any name before a bracket that is not on the list.
    """
    tokens = tokens_of(sql)
    called: set[str] = set()
    for before, token, following in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        calls = following is not None and following.text == "("
        if token.kind is Kind.NAME and calls:
            raise ReadDenied(f"function {token.text[1:81]!r} is not allowed in a read")
        if token.kind is Kind.WORD:
            _check_word(token, before, calls=calls)
            if calls and token.text.lower() not in _BEFORE_BRACKET:
                called.add(token.text.lower())
    return frozenset(called)


def _check_word(token: Token, before: Token | None, *, calls: bool) -> None:
    word = token.text.lower()
    if calls:
        if word not in _BEFORE_BRACKET and word not in CALLABLE:
            raise ReadDenied(f"function {token.text[:80]!r} is not allowed in a read")
    elif word not in _WORDS and word not in TYPES and not (before is not None and before.text == "{"):
        raise QueryRefused(f"{token.text[:80]!r} cannot be read here")

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
    # Of each open bracket, whether it holds the arguments of a type.
    of_types: list[bool] = []
    last_was_type = False
    for before, token, following in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        opens = following is not None and following.text == "("
        is_type = _is_type(token, before, inside=of_types[-1:] == [True])
        if token.text == "(":
            of_types.append(last_was_type)
        elif token.text == ")":
            of_types.pop()
        elif opens and not is_type and token.kind in (Kind.WORD, Kind.NAME):
            called |= _called(token)
        elif token.kind is Kind.WORD and not is_type:
            _check_word(token, before)
        last_was_type = is_type
    return frozenset(called)


def _is_type(token: Token, before: Token | None, *, inside: bool) -> bool:
    """Whether it is a type's name at the place of a type: in a CAST, in a parameter, within another type."""
    if token.kind is not Kind.WORD or token.text.lower() not in TYPES or before is None:
        return False
    return inside or before.is_word("AS") or before.text == ":"


def _called(token: Token) -> set[str]:
    """The function before a bracket; none when the word only belongs to the language."""
    name = token.text.lower()
    if token.kind is Kind.WORD and name in CALLABLE:
        return {name}
    if token.kind is Kind.WORD and name in _BEFORE_BRACKET:
        return set()
    bare = token.text.strip('"')[:80]
    raise ReadDenied(f"function {bare!r} is not allowed in a read")


def _check_word(token: Token, before: Token | None) -> None:
    of_parameter = before is not None and before.text == "{"
    if token.text.lower() not in _WORDS and not of_parameter:
        raise QueryRefused(f"{token.text[:80]!r} cannot be read here")

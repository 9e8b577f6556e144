"""How long and how nested a text may be, counted before anything parses it."""

from __future__ import annotations

from collections.abc import Sequence

from .lexing import Kind, Token
from .refusal import QueryRefused

#: Brackets, CASE, lambdas and `? :` within each other.
DEPTH = 32

#: Signs of one kind in a row: a.b.c, x::A::B, - - x, NOT NOT x, a[1][2].
_CHAIN = 8

#: SELECTs that UNION, EXCEPT and INTERSECT put together, and JOINs.
_SELECTS, _JOINS = 64, 32

#: Words before a bracket that make the parser try each nesting twice; so does a LIMIT that is a SELECT.
_TRIED_TWICE = frozenset("tuple nested struct row object".split())
_TWICE = 6

_OPENING = {"(": ")", "[": "]", "{": "}"}


def check_nesting(tokens: Sequence[Token]) -> None:
    """Raise QueryRefused when the tokens nest deeper, or repeat more often, than a query needs."""
    open_: list[str] = []
    # Lambdas and ternaries that are open in each bracket since its last comma.
    tails = [0]
    twice = chain = 0
    counts = {"select": 0, "join": 0, "cast": 0}
    before: Token | None = None
    steps: list[bool] = []
    for token in tokens:
        text = token.text
        if text in _OPENING or token.is_word("CASE"):
            doubles = text == "(" and before is not None and before.text.lower() in _TRIED_TWICE | {"limit"}
            steps.append(doubles)
            twice += doubles
            open_.append(_OPENING.get(text, "END"))
            tails.append(0)
        elif open_ and (text == open_[-1] or (open_[-1] == "END" and token.is_word("END"))):
            open_.pop()
            tails.pop()
            twice -= steps.pop()
        elif token.kind is Kind.SIGN and text in ")]}":
            raise QueryRefused(f"{text!r} closes no bracket")
        elif text == ",":
            tails[-1] = 0
        elif text in ("->", "?"):
            tails[-1] += 1
        elif text == "::":
            counts["cast"] += 1
        elif token.kind is Kind.WORD:
            word = text.upper()
            counts["select"] += word in ("UNION", "EXCEPT", "INTERSECT")
            counts["join"] += word == "JOIN"
        chain = _chain(chain, before, token)
        if len(open_) + sum(tails) > DEPTH:
            raise QueryRefused(f"the query is nested deeper than {DEPTH}")
        if twice > _TWICE:
            raise QueryRefused(f"tuples are nested deeper than {_TWICE}")
        if chain > _CHAIN:
            raise QueryRefused(f"more than {_CHAIN} of the same follow each other at {text[:20]!r}")
        before = token
    if open_:
        raise QueryRefused(f"{open_[-1]!r} is missing")
    if counts["select"] > _SELECTS or counts["join"] > _JOINS or counts["cast"] > 4 * _SELECTS:
        raise QueryRefused(
            f"at most {_SELECTS} SELECTs, {_JOINS} JOINs and {4 * _SELECTS} casts by '::' fit in one query"
        )


def _chain(length: int, before: Token | None, token: Token) -> int:
    """How long the run is of `.`, `::`, `][`, or of signs and NOTs before an operand, up to `token`."""
    if before is None:
        return 0
    if token.text in (".", "::"):
        return length + 1
    if token.text == "[":
        return length + 1 if before.text == "]" else 0
    if _prefix(token):
        return length + 1 if _prefix(before) else 1
    # What stands between two of them: a name or a type, an index.
    if before.text in (".", "::", "[") or token.text == "]":
        return length
    return 0


def _prefix(token: Token) -> bool:
    return token.text in ("-", "+") or token.is_word("NOT")

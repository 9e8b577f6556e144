"""A text's tokens, in a part of the engine's lexing that leaves no doubt.

What the engine and a parser may see differently does not occur in it: other than printable ASCII outside
string literals, nested comments, `#` comments, heredocs, escapes in names, prefixed literals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from .refusal import QueryRefused


class Kind(StrEnum):
    """What a token is."""

    WORD = "word"
    NAME = "name"
    TEXT = "text"
    NUMBER = "number"
    SIGN = "sign"


class Token(NamedTuple):
    """A piece of the text as it stands there, with its quotes."""

    kind: Kind
    text: str

    def is_word(self, word: str) -> bool:
        """Whether it is this word (given in capitals), without quotes."""
        return self.kind is Kind.WORD and self.text.upper() == word


# Each alternative is possessive or begins with what no other does: one pass, whatever the text.
_TOKEN = re.compile(
    r"""
      (?P<space> [ \t\r\n]++ )
    | (?P<comment> -- [^\n]*+ | /\* (?: [^*/] | \*(?!/) | /(?!\*) )*+ \*/ )
    | (?P<text> ' (?: [^'\\] | \\. | '' )*+ ' )
    | (?P<name> ` [^`\\]++ ` (?![`"']) | " [^"\\]++ " (?![`"']) )
    | (?P<number> (?: 0[xX][0-9a-fA-F]++ | [0-9]++ (?: \. [0-9]*+ )?+ (?: [eE] [+-]? [0-9]++ )?+ ) (?![\w$]) )
    | (?P<word> [A-Za-z_] [A-Za-z0-9_]*+ (?![$'"`]) )
    | (?P<sign> -> | :: | \|\| | <=> | <= | >= | <> | != | == | /(?!\*) | \*(?!/) | [-+%=<>(),.\[\]{}:?;] )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)

_NOT_PLAIN = re.compile(r"[^\t\n\r -~]")


def tokens_of(text: str) -> list[Token]:
    """The tokens without comments. Raises QueryRefused at the first character that begins none."""
    return list(_tokens(text))


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise QueryRefused(_why_not(text, at))
        kind, piece = str(match.lastgroup), match.group()
        at = match.end()
        if kind != "text" and (odd := _NOT_PLAIN.search(piece)) is not None:
            raise QueryRefused(_odd(odd.group()))
        if kind == "text" and "\0" in piece:
            raise QueryRefused("a string may not hold the character U+0000")
        if kind not in ("space", "comment"):
            yield Token(Kind(kind), piece)


def _why_not(text: str, at: int) -> str:
    character = text[at]
    near = repr(text[at : at + 20])
    if _NOT_PLAIN.match(character):
        return _odd(character)
    if character == "'":
        return "a string literal does not end"
    if character in '`"':
        return f"the quoted name at {near} is empty, does not end, or holds a backslash or a quote"
    if text.startswith("/*", at):
        return "a comment does not end, or holds another one"
    return f"{near} cannot be read here"


def _odd(character: str) -> str:
    return (
        f"the character U+{ord(character):04X} may stand in 'string literals' only: outside them a query is "
        "plain ASCII"
    )


def joined(tokens: Sequence[Token]) -> str:
    """The tokens as one text."""
    return " ".join(token.text for token in tokens)

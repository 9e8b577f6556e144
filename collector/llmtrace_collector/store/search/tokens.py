"""The text of a search cut into tokens: words, phrases, fields with their values, and what joins them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .errors import SearchError
from .fields import FIELDS, nearest
from .tree import JOINING, quoted

#: Characters that a search may have.
LONGEST = 2000

#: What stands between a field's name and its value, besides the colon.
COMPARISONS = ("<=", ">=", "!=", "<", ">", "=")

Kind = Literal["(", ")", "-", "AND", "OR", "word", "phrase", "field"]

_SPACE = re.compile(r"\s+")
_RUN = re.compile(r'[^\s()"]+')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_HEAD = re.compile(
    r'(?P<name>[A-Za-z_]\w*)(?:\.(?P<key>"(?:[^"\\]|\\.)*"|[^\s()":=<>!,]+))?(?P<operator>:|!=|<=|>=|==|<|>|=)',
    re.DOTALL,
)
_AFTER_COLON = re.compile(r"!=|<=|>=|==|<|>|=")
_VALUE = re.compile(r'[^\s()",]+')
_ESCAPE = re.compile(r'\\(["\\])')


@dataclass(frozen=True)
class Piece:
    """One value after a field, without its quotes."""

    text: str
    quoted: bool
    position: int
    length: int


@dataclass(frozen=True)
class Token:
    """One token and its place. Of a field: `text` is its name, `key` the name after its dot, `operator` a
    colon or a comparison, `values` what follows.
    """

    kind: Kind
    text: str
    position: int
    length: int
    key: str = ""
    operator: str = ""
    values: tuple[Piece, ...] = ()


def tokenize(text: str) -> Iterator[Token]:
    """The tokens of `text`. Raises SearchError."""
    _check_text(text)
    position = 0
    while True:
        space = _SPACE.match(text, position)
        position = space.end() if space else position
        if position >= len(text):
            return
        token = _token(text, position)
        yield token
        position += token.length


def _check_text(text: str) -> None:
    if len(text) > LONGEST:
        raise SearchError(f"a search has at most {LONGEST:,} characters", LONGEST, len(text) - LONGEST)
    for position, char in enumerate(text):
        if "\ud800" <= char <= "\udfff":
            raise SearchError("half a character, which no text in the store has", position, 1)


def _token(text: str, position: int) -> Token:
    char = text[position]
    if char == "(" or char == ")":
        return Token("(" if char == "(" else ")", char, position, 1)
    if char == '"':
        content, length = _read_quoted(text, position)
        if not content.strip():
            raise SearchError("there is nothing between the quotes", position, length)
        return Token("phrase", content, position, length)
    if char == "-" and _negates(text, position):
        return Token("-", char, position, 1)
    head = _HEAD.match(text, position)
    if head is not None:
        field = _field(text, head)
        if field is not None:
            return field
    return _word(text, position)


def _negates(text: str, position: int) -> bool:
    following = text[position + 1 : position + 2]
    return bool(following) and not following.isspace() and following != ")"


def _word(text: str, position: int) -> Token:
    word = _RUN.findall(text, position, len(text))[0]
    length = len(word)
    if word in JOINING:
        return Token("-" if word == "NOT" else "AND" if word == "AND" else "OR", word, position, length)
    starred = re.fullmatch(r"\*?(\w+)\*?", word)
    if starred is not None and starred[1] != word:
        raise SearchError(
            "words match inside longer words: no * is needed; with quotes, * is a character like any other",
            position,
            length,
            starred[1],
        )
    return Token("word", word, position, length)


def _field(text: str, head: re.Match[str]) -> Token | None:
    """The field that begins here; None where the text is a plain word in spite of its colon or comparison."""
    name, key, operator = head["name"], head["key"] or "", head["operator"]
    known = FIELDS.get(name.lower())
    if known is None or bool(key) != known.keyed:
        if _is_word(text, head):
            return None
        raise _unknown(head)
    end = head.end()
    if operator == ":":
        after = _AFTER_COLON.match(text, end)
        if after is not None:
            operator, end = after[0], after.end()
        elif name[0].isupper() and not key and _ends(text, end):
            return None
    values, stop = _values(text, end)
    if not values and not (known.keyed and operator == ":"):
        raise _without_value(text, head, known.name)
    return Token(
        "field",
        known.name,
        head.start(),
        stop - head.start(),
        _unquoted(key) if key.startswith('"') else key,
        "=" if operator == "==" else operator,
        values,
    )


def _is_word(text: str, head: re.Match[str]) -> bool:
    """Whether the text with an unknown name is a plain word: an address, a time, the label of a line."""
    name, key, operator = head["name"], head["key"] or "", head["operator"]
    if len(name) == 1 or text.startswith("//", head.end()):
        return True
    if name.lower() in FIELDS:
        return False
    close = nearest(name) is not None and not key
    if operator != ":":
        return not close and not key
    if _ends(text, head.end()):
        return name[0].isupper() or not close
    return bool(key) and text[head.end()].isdigit()


def _ends(text: str, position: int) -> bool:
    return position >= len(text) or text[position].isspace() or text[position] in "()"


def _unknown(head: re.Match[str]) -> SearchError:
    name, key, operator = head["name"], head["key"] or "", head["operator"]
    written = f"{name}.{key}" if key else name
    suggestion = None if key else nearest(name)
    field = FIELDS.get(name.lower())
    if field is not None and field.keyed:
        return SearchError(
            f"{name} needs the name of {'a score' if name == 'score' else 'an attribute'}: {field.example}",
            head.start(),
            len(head[0]),
            f"{name}.NAME{operator}",
        )
    if key:
        suggestion = field.name if field is not None else f"attr.{written}"
    return SearchError(
        f"there is no field {written!r}; quotes make text of it: {quoted(head[0])}",
        head.start(),
        len(head[0]),
        suggestion and f"{suggestion}{operator}",
    )


def _without_value(text: str, head: re.Match[str], name: str) -> SearchError:
    following = re.match(r'\s+([^\s()"]+)', text[head.end() :])
    message = f"{head[0]} needs a value right after it"
    if following is None:
        return SearchError(message, head.start(), len(head[0]), FIELDS[name].example)
    return SearchError(message, head.start(), len(head[0]) + following.end(), f"{head[0]}{following[1]}")


def _values(text: str, position: int) -> tuple[tuple[Piece, ...], int]:
    """Values with commas between from `position` on, and where they end."""
    values: list[Piece] = []
    while True:
        piece = _piece(text, position)
        if piece is None:
            if values:
                raise SearchError("a value is missing after the comma", position - 1, 1)
            return (), position
        values.append(piece)
        position = piece.position + piece.length
        if not text.startswith(",", position):
            return tuple(values), position
        position += 1


def _piece(text: str, position: int) -> Piece | None:
    if text.startswith('"', position):
        content, length = _read_quoted(text, position)
        return Piece(content, True, position, length)
    match = _VALUE.match(text, position)
    return None if match is None else Piece(match[0], False, position, len(match[0]))


def _read_quoted(text: str, position: int) -> tuple[str, int]:
    match = _QUOTED.match(text, position)
    if match is None:
        raise SearchError(
            'this quote is not closed; inside a phrase, a quote is written \\"',
            position,
            len(text) - position,
        )
    return _unquoted(match[0]), len(match[0])


def _unquoted(text: str) -> str:
    return _ESCAPE.sub(r"\1", text[1:-1])

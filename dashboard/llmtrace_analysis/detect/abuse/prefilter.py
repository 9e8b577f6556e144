"""Which texts the injection patterns need not see: regular expressions that the store runs over raw JSON.

They are made from the patterns by code and match more, never less: every text in which a pattern hits
matches one of them. What is plain ASCII is compared with the patterns themselves, loosened; a text in which
something could become a letter or vanish when it is normalised (accents, other widths and scripts, invisible
characters, letters set apart, escapes of JSON) passes unseen.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import Any

from llmtrace.safety.folding import LOOKALIKES, fold
from llmtrace.safety.patterns import patterns

#: The parser of `re`, which has no other name, and no types.
parser: Any = import_module("re._parser")
code: Any = import_module("re._constants")

#: What may stand for characters that are no letters. In JSON a line break is a backslash and a letter.
_BETWEEN = r"(?:[^a-zA-Z\\]|\\.)*"
#: … for a space, and for words that may be left out.
_SPACE = r"[\s\\][\s\\nrtf]*"
_WORDS = r"[a-zA-Z\s\\]*"
_ANYTHING = ".*"

#: Runs of single letters so long are read as words; in scripts that look alike, words so short at least.
_SPELLED, _ALIKE = 5, 3


@cache
def expressions() -> tuple[str, ...]:
    """Regular expressions (Hyperscan's syntax, which is RE2's too): a text that matches none has no hit."""
    loose = [f"(?i){_loosened(pattern)}" for pattern in patterns().values()]
    return (*loose, *_disguises())


def _loosened(pattern: str) -> str:
    return _sequence(parser.parse(pattern))


def _sequence(parts: Iterable[tuple[Any, Any]]) -> str:
    text = "".join(_part(operation, value) for operation, value in parts)
    # Two gaps in a row are one.
    for gap in (_BETWEEN, _WORDS):
        while gap * 2 in text:
            text = text.replace(gap * 2, gap)
    return text


def _part(operation: Any, value: Any) -> str:
    if operation is code.LITERAL:
        return _character(chr(value))
    if operation is code.BRANCH:
        return f"(?:{'|'.join(dict.fromkeys(map(_sequence, value[1])))})"
    if operation is code.SUBPATTERN:
        return f"(?:{_sequence(value[3])})"
    if operation is code.IN:
        return _one_of(value)
    if operation in (code.MAX_REPEAT, code.MIN_REPEAT):
        least, most, repeated = value
        once = _sequence(repeated)
        if once in (_ANYTHING, _BETWEEN):
            return once
        if not least and _is_plain(repeated):
            return _WORDS
        return f"(?:{once}){'+' if least else '?' if most == 1 else '*'}"
    if operation is code.AT:
        return ""
    # Any character, and whatever else a later pattern may use.
    return _ANYTHING


def _is_plain(parts: Iterable[tuple[Any, Any]]) -> bool:
    """Whether parts of a pattern are letters of ASCII and spaces alone."""
    return all(name == " " or (name.isascii() and name.isalpha()) for name in _characters(parts))


def _characters(parts: Iterable[tuple[Any, Any]]) -> Iterator[str]:
    """The characters that parts of a pattern name one by one; '' for what stands for others."""
    for operation, value in parts:
        if operation is code.LITERAL:
            yield chr(value)
        elif operation is code.BRANCH:
            for branch in value[1]:
                yield from _characters(branch)
        elif operation is code.SUBPATTERN:
            yield from _characters(value[3])
        elif operation in (code.MAX_REPEAT, code.MIN_REPEAT):
            yield from _characters(value[2])
        elif operation is not code.AT:
            yield ""


def _one_of(members: Iterable[tuple[Any, Any]]) -> str:
    """A class of characters. Without letters it is a gap; what names no characters is anything."""
    members = list(members)
    if any(operation is not code.LITERAL for operation, _ in members):
        return _ANYTHING
    characters = [chr(value) for _, value in members]
    if not any(character.isalpha() for character in characters):
        return _BETWEEN
    return f"(?:{'|'.join(map(_character, characters))})"


def _character(character: str) -> str:
    if character.isascii() and character.isalpha():
        return character
    if character == " ":
        return _SPACE
    if character.isspace() or character.isdigit():
        return _BETWEEN
    if character.isalpha():
        return _class(_with_variants(character))
    # JSON may write it after a backslash or as its number.
    same = _class(_with_variants(character))
    return rf"(?:\\?{same}|\\u{ord(character):04x})"


class _Tables:
    """What becomes of each character when a text is normalised."""

    def __init__(self) -> None:
        self.before: dict[str, set[int]] = {}
        """A character → the others that become it."""
        self.vanishing: set[int] = set()
        self.several: set[int] = set()
        """Those that become several characters at once, some of them of a word or of a pattern."""
        self.spaces: set[int] = set()
        written = {c for pattern in patterns().values() for c in _characters(parser.parse(pattern))}
        for number in range(0x80, sys.maxunicode + 1):
            character = chr(number)
            # Nobody's, private or half of a pair: these stay as they are.
            if unicodedata.category(character) in ("Cn", "Co", "Cs"):
                continue
            folded = fold(character)
            if not folded:
                self.vanishing.add(number)
            elif folded.isspace() or character.isspace():
                self.spaces.add(number)
            elif len(folded) == 1:
                if folded != character:
                    self.before.setdefault(folded, set()).add(number)
            elif any(is_word(part) or part in written or ord(part) in LOOKALIKES for part in folded):
                self.several.add(number)


def is_word(character: str) -> bool:
    """Whether it is a letter or digit of ASCII, or an underscore."""
    return character.isascii() and (character.isalnum() or character == "_")


@cache
def _tables() -> _Tables:
    return _Tables()


def _disguises() -> Iterator[str]:
    """What passes because it may become a word that is not written there."""
    tables = _tables()
    letters = {number for folded, numbers in tables.before.items() if is_word(folded) for number in numbers}
    alike = _with_variants(map(chr, LOOKALIKES))
    named = _with_variants(c for pattern in patterns().values() for c in pattern if not c.isascii())
    escaped = {
        *range(0x09, 0x0E),
        *range(0x1C, 0x21),
        *range(0x30, 0x3A),
        *range(0x41, 0x5B),
        *range(0x5F, 0x7B),
    }
    vanishing, strange = _class(tables.vanishing), _class(alike)
    yield _class(letters | tables.several | tables.spaces | set(range(0x1C, 0x20)))
    yield f"[!-~{_ranges(alike | named)}]{vanishing}"
    yield f"{vanishing}[0-9a-zA-Z_]"
    yield f"[a-zA-Z]{strange}"
    yield f"{strange}[a-zA-Z]"
    yield rf"[a-zA-Z]\S*{strange}{{{_ALIKE}}}"
    yield rf"{strange}{{{_ALIKE}}}\S*[a-zA-Z]"
    yield rf"(?:\w{_SPACE}){{{_SPELLED - 1}}}\w"
    yield _escapes(escaped | letters | alike | named | tables.vanishing | tables.several | tables.spaces)


def _with_variants(characters: Iterable[str]) -> set[int]:
    return {
        number
        for character in characters
        for number in (ord(character), *_tables().before.get(character, ()))
    }


def _escapes(numbers: set[int]) -> str:
    r"""The escapes `\uXXXX` of these; of those beyond 0xFFFF the first half of the pair."""
    halves = {number if number <= 0xFFFF else 0xD800 + ((number - 0x10000) >> 10) for number in numbers}
    last: dict[str, str] = {}
    for half in sorted(halves):
        last[f"{half >> 4:03x}"] = last.get(f"{half >> 4:03x}", "") + f"{half & 15:x}"
    return rf"(?i)\\u(?:{'|'.join(f'{start}[{digits}]' for start, digits in last.items())})"


def _literal(number: int) -> str:
    r"""A code point in a class. As itself: the engine takes `\x{5000}` for 5,000 repetitions."""
    return rf"\{chr(number)}" if chr(number) in r"\]^-[" else chr(number)


def _class(numbers: Iterable[int]) -> str:
    return f"[{_ranges(numbers)}]"


def _ranges(numbers: Iterable[int]) -> str:
    """Code points as the inside of a class of characters."""
    text = ""
    ordered = sorted(numbers)
    first = 0
    for index, number in enumerate(ordered):
        if index + 1 < len(ordered) and ordered[index + 1] == number + 1:
            continue
        start = ordered[first]
        text += _literal(start) + (f"-{_literal(number)}" if number > start else "")
        first = index + 1
    return text

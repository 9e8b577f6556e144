"""Secrets and personal data, taken out of what is recorded before it leaves the process.

Runs on the delivery thread, on plain texts: each message, argument or error before it is rendered as JSON.
Every pattern of the table in `patterns` is linear, and what needs arithmetic (Luhn, IBAN) is checked on the
short match.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from operator import mul
from typing import Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.util.types import AttributeValue

from llmtrace.internal_errors import swallow
from llmtrace.spans.finished_spans import copied

from . import patterns

Redact = Callable[[str], str]
"""The application's own: a text in, the text to record out."""

_FAILED: Final = "[llmtrace left this out: redact failed]"
_APPLYING: Final = swallow("redacting with the application's function", may_raise=False)
_STRUCTURE: Final = frozenset({"type", "role", "id", "modality", "mime_type"})


def _compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    r"""Compile; a leading look-behind also lets a match start after `\n`, `\r`, `\t` in escaped text.

    JSON inside a text (a tool's answer) holds these as two characters, and the letter is no part of the run.
    """
    behind = re.match(r"\(\?<!(?:\[[^]]*\]|\\w|\\d)\)", pattern)
    if behind is not None:
        start = rf"(?:{behind.group()}(?!(?<=\\)[nrt])|(?<=\\[nrt]))"
        pattern = start + pattern[behind.end() :]
    return re.compile(pattern, flags)


def _secret(pattern: patterns.Pattern) -> tuple[tuple[str, ...], str, re.Pattern[str]]:
    compiled = _compiled(pattern.python, re.ASCII)
    return pattern.hints, ("\\1" if compiled.groups else "") + pattern.mark, compiled


_COMPILED: Final = tuple(_secret(pattern) for pattern in patterns.SECRETS)
_ALL_HINTS: Final = (*patterns.PRIVATE_KEY.hints, *(hint for hints, _, _ in _COMPILED for hint in hints))
# By the character in them that texts have least of: most hints are ruled out together.
_RARE: Final = "_=J2RA-x/"
_HINTS: Final = tuple(
    (mark, tuple(hint for hint in _ALL_HINTS if next(filter(hint.__contains__, _RARE), "") == mark))
    for mark in (*_RARE, "")
)
_KEY_BEGIN: Final = re.compile(patterns.PRIVATE_KEY.python)
_KEY_END: Final = re.compile(patterns.PRIVATE_KEY.python.replace("BEGIN", "END"))

_EMAIL: Final = _compiled(patterns.EMAIL.python, re.ASCII)
_MOBILE_CN: Final = _compiled(patterns.MOBILE_CN.python, re.ASCII)
_NUMBER: Final = _compiled(patterns.NUMBER.python, re.ASCII)
_SSN: Final = _compiled(patterns.SSN.python, re.ASCII)
_IPV4: Final = _compiled(patterns.IPV4.python, re.ASCII)
_IPV6: Final = _compiled(patterns.IPV6.python, re.ASCII)
_PHONE: Final = _compiled(patterns.PHONE.python, re.ASCII)
_PHONE_US: Final = _compiled(patterns.PHONE_US.python, re.ASCII)
_DIGIT: Final = re.compile(r"[0-9]")
_WIDE: Final = re.compile(f"[{patterns.WIDE}]")
_TO_PLAIN: Final = str.maketrans(patterns.WIDE_CHARACTERS, patterns.PLAIN_CHARACTERS)
_CARD_DIGITS: Final = re.compile(patterns.CARD_DIGITS, re.ASCII)


class Redactor:
    """What one `init` asked for. Pure but for the application's own functions."""

    def __init__(self, *, secrets: bool, pii: bool, functions: Sequence[Redact] = ()) -> None:
        """secrets, pii: the built-in patterns; functions: applied after them, in order."""
        self._secrets = secrets
        self._pii = pii
        self._functions = tuple(functions)

    def concerns(self, text: str) -> bool:
        """Whether `text` may hold anything to redact; False costs a few substring searches."""
        if self._functions:
            return True
        if self._secrets:
            # Plain loops, and whole groups ruled out by one character: this runs for each text of each call.
            for mark, hints in _HINTS:
                if mark in text:
                    for hint in hints:
                        if hint in text:
                            return True
        return self._pii and (
            "@" in text or ":" in text or _DIGIT.search(text) is not None or _WIDE.search(text) is not None
        )

    def text(self, text: str) -> str:
        """The text without what must not leave."""
        if self._pii and _WIDE.search(text) is not None:
            plain = text.translate(_TO_PLAIN)
            clean = self._built_in(plain)
            # As it was, unless something went.
            text = text if clean == plain else clean
        else:
            text = self._built_in(text)
        for function in self._functions:
            with _APPLYING:
                text = _returned_text(function(text))
                continue
            return _FAILED  # rather nothing than what should have been redacted
        return text

    def _built_in(self, text: str) -> str:
        if self._secrets:
            text = _without_secrets(text)
        return _without_pii(text) if self._pii else text

    def tree(self, value: Any) -> Any:
        """Every text within a JSON value, the words of its structure (types, roles, ids) aside."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {
                key: item if key in _STRUCTURE and isinstance(item, str) else self.tree(item)
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.tree(item) for item in value]
        return value

    def attributes(self, attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
        """Texts and lists of texts; JSON texts stay JSON."""
        return {key: self._value(value) for key, value in attributes.items()}

    def span(self, span: ReadableSpan) -> ReadableSpan:
        """The span, or a copy of it where something had to go."""
        original = span.attributes or {}
        attributes = self.attributes(original)
        events = [
            Event(event.name, self.attributes(event.attributes or {}), event.timestamp)
            for event in span.events
        ]
        message = span.status.description
        clean = self.text(message) if message and self.concerns(message) else message
        same = message == clean and all(original[key] is value for key, value in attributes.items())
        if same and all(
            (old.attributes or {}).get(key) is value
            for old, new in zip(span.events, events, strict=True)
            for key, value in (new.attributes or {}).items()
        ):
            return span
        return copied(span, attributes=attributes, events=events, description=clean)

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            if not self.concerns(value):
                return value
            clean = self._json_or_text(value)
            return value if clean == value else clean
        if isinstance(value, (list, tuple)) and any(isinstance(item, str) for item in value):
            clean_items = [self._value(item) for item in value]
            return clean_items if any(a is not b for a, b in zip(value, clean_items, strict=True)) else value
        return value

    def _json_or_text(self, text: str) -> str:
        if text[:1] in {"{", "[", '"'}:
            try:
                value = json.loads(text)
            except ValueError:
                return self.text(text)
            clean = self.tree(value)
            # As it was, unless something went: another spacing is no redaction.
            return text if clean == value else json.dumps(clean, ensure_ascii=False)
        return self.text(text)


def _returned_text(result: object) -> str:
    if not isinstance(result, str):
        raise TypeError(f"redact gave {type(result).__name__}, not str")
    return result


def _without_secrets(text: str) -> str:
    for hints, mark, pattern in _COMPILED:
        if any(hint in text for hint in hints):
            text = pattern.sub(mark, text)
    return _without_private_keys(text) if "PRIVATE KEY-----" in text else text


def _without_private_keys(text: str) -> str:
    pieces: list[str] = []
    position = 0
    while (begin := _KEY_BEGIN.search(text, position)) is not None:
        pieces += text[position : begin.start()], patterns.PRIVATE_KEY.mark
        end = _KEY_END.search(text, begin.end())
        if end is None:  # cut off: nothing after the beginning is safe
            return "".join(pieces)
        position = end.end()
    return "".join([*pieces, text[position:]])


def _without_pii(text: str) -> str:
    if "@" in text:
        text = _EMAIL.sub(patterns.EMAIL.mark, text)
    if ":" in text:
        text = _IPV6.sub(_ip, text)
    if _DIGIT.search(text) is None:
        return text
    text = _MOBILE_CN.sub(patterns.MOBILE_CN.mark, text)
    text = _NUMBER.sub(_number, text)
    text = _SSN.sub(patterns.SSN.mark, text)
    text = _IPV4.sub(_ip, text)
    text = _PHONE.sub(_phone, text)
    return _PHONE_US.sub(patterns.PHONE.mark, text)


def _number(match: re.Match[str]) -> str:
    """The longest beginning whose check digits are right, by its mark; what follows is no part of it."""
    text = match.group()
    for end in range(len(text), 0, -1):
        # A beginning ends where a group of characters does.
        if text[end - 1].isalnum() and (end == len(text) or not text[end].isalnum()):
            mark = _mark_of("".join(character for character in text[:end] if character.isalnum()))
            if mark:
                return mark + text[end:]
    return text


def _mark_of(number: str) -> str:
    if number[0].isalpha():
        return patterns.IBAN_MARK if _is_iban(number) else ""
    if _is_identity(number):
        return patterns.IDENTITY_MARK
    return patterns.CARD_MARK if _is_card(number) else ""


def _is_identity(number: str) -> bool:
    digits = (10 if character in "Xx" else int(character) for character in number)
    weights = patterns.IDENTITY_WEIGHTS
    return len(number) == len(weights) and sum(map(mul, digits, weights)) % 11 == 1


def _is_card(digits: str) -> bool:
    if _CARD_DIGITS.search(digits) is None:
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _is_iban(text: str) -> bool:
    if patterns.IBAN_LENGTHS.get(text[:2]) != len(text):
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def _ip(match: re.Match[str]) -> str:
    text = match.group()
    if sum(character.isalnum() for character in text) < 3:
        return text
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return text
    return patterns.IPV4.mark


def _phone(match: re.Match[str]) -> str:
    """Where neither a country's code nor brackets say so, 10 to 12 digits: `01-2345678` is none."""
    text = match.group()
    digits = sum(character.isdigit() for character in text)
    return patterns.PHONE.mark if text[0] in "+(" or 10 <= digits <= 12 else text

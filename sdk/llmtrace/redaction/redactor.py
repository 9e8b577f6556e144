"""Secrets and personal data, taken out of what is recorded before it leaves the process.

Runs on the delivery thread, on plain texts: each message, argument or error before it is rendered as JSON.
Every pattern of the table in `patterns` is linear, and what needs arithmetic (Luhn, IBAN) is checked on the
short match.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

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


def _secret(pattern: patterns.Pattern) -> tuple[tuple[str, ...], str, re.Pattern[str]]:
    compiled = pattern.compiled(re.ASCII)
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


class _PersonalData(Protocol):
    """The module `personal_data`."""

    def may_be_in(self, text: str) -> bool: ...

    def plain(self, text: str) -> str | None: ...

    def without(self, text: str) -> str: ...


class Redactor:
    """What one `init` asked for. Pure but for the application's own functions."""

    def __init__(self, *, secrets: bool, pii: bool, functions: Sequence[Redact] = ()) -> None:
        """secrets, pii: the built-in patterns; functions: applied after them, in order."""
        self._secrets = secrets
        self._pii = _personal_data() if pii else None
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
        return self._pii is not None and self._pii.may_be_in(text)

    def text(self, text: str) -> str:
        """The text without what must not leave."""
        plain = self._pii.plain(text) if self._pii is not None else None
        if plain is not None:
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
        return self._pii.without(text) if self._pii is not None else text

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


def _personal_data() -> _PersonalData:
    from . import personal_data  # its patterns take long to compile

    return personal_data


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

"""Secrets and personal data, taken out of what is recorded before it leaves the process.

Runs on the delivery thread, on plain texts: each message, argument or error before it is rendered as JSON.
Every pattern is linear: it can only start where its own run of characters starts (a look-behind), repeats are
possessive or bounded, and what needs arithmetic (Luhn, IBAN) is checked on the short match.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.util.types import AttributeValue

from . import guard
from .spans import copied

Redact = Callable[[str], str]
"""The application's own: a text in, the text to record out."""

_FAILED: Final = "[llmtrace left this out: redact failed]"
_STRUCTURE: Final = frozenset({"type", "role", "id", "modality", "mime_type"})
_PRIVATE_KEY: Final = "[redacted:private-key]"


def _compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    r"""Compile; a leading look-behind also lets a match start after `\n`, `\r`, `\t` in escaped text.

    JSON inside a text (a tool's answer) holds these as two characters, and the letter is no part of the run.
    """
    behind = re.match(r"\(\?<!(?:\[[^]]*\]|\\w|\\d)\)", pattern)
    if behind is not None:
        start = rf"(?:{behind.group()}(?!(?<=\\)[nrt])|(?<=\\[nrt]))"
        pattern = start + pattern[behind.end() :]
    return re.compile(pattern, flags)


# Each secret has a literal that a text without it cannot hold: looking for that is all that most texts cost.
_SECRETS: Final[tuple[tuple[tuple[str, ...], str, str], ...]] = (
    (("sk-",), "key", r"(?<![\w-])sk-(?=[\w-]{0,255}\d)[A-Za-z0-9_-]{16,}+"),
    (("gsk_",), "key", r"(?<!\w)gsk_[A-Za-z0-9]{32,}+"),
    (("xai-", "pplx-"), "key", r"(?<![\w-])(?:xai|pplx)-[A-Za-z0-9]{32,}+"),
    (("hf_", "r8_", "npm_"), "key", r"(?<!\w)(?:hf|r8|npm)_[A-Za-z0-9]{30,}+"),
    (("AIza",), "key", r"(?<![\w-])AIza[\w-]{30,}+"),
    (("ya29.",), "token", r"(?<![\w-])ya29\.[\w.-]{20,}+"),
    (("AKIA", "ASIA"), "key", r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    (("ecret", "ECRET"), "key", r"(?i)(?<=secret)[_-]?(?:access[_-]?)?key\W{1,6}[A-Za-z0-9/+]{40}(?![\w/+])"),
    (("AccountKey=",), "key", r"(?<=AccountKey=)[A-Za-z0-9+/]{80,}+={0,2}"),
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), "token", r"(?<!\w)gh[pousr]_[A-Za-z0-9]{36,}+"),
    (("github_pat_", "glpat-"), "token", r"(?<![\w-])(?:github_pat_|glpat-)[\w-]{20,}+"),
    (("xox",), "token", r"(?<![\w-])xox[abeprs]-[A-Za-z0-9-]{10,}+"),
    (("_live_", "_test_"), "key", r"(?<!\w)[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}+"),
    (("eyJ",), "jwt", r"(?<![\w-])eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]*+"),
    (("earer ", "asic ", "EARER "), "token", r"(?i)(?<=bearer |.basic )[A-Za-z0-9._~+/-]{20,}+={0,2}"),
    (("://",), "password", r"(?<=://)[^\s/:@]{1,64}+:[^\s/@]{1,256}+(?=@)"),
)
_COMPILED: Final = tuple(
    (hints, f"[redacted:{kind}]", _compiled(pattern, re.ASCII)) for hints, kind, pattern in _SECRETS
)
_ALL_HINTS: Final = ("PRIVATE KEY-----", *(hint for hints, _, _ in _COMPILED for hint in hints))
# By the character in them that texts have least of: most hints are ruled out together.
_RARE: Final = "_=J2RA-x/"
_HINTS: Final = tuple(
    (mark, tuple(hint for hint in _ALL_HINTS if next(filter(hint.__contains__, _RARE), "") == mark))
    for mark in (*_RARE, "")
)
_KEY_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")

_EMAIL: Final = _compiled(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}+@[A-Za-z0-9-]{1,63}+(?:\.[A-Za-z0-9-]{1,63}+){1,8}+"
)
_CARD: Final = _compiled(r"(?<!\d)(?:\d[ -]?){12,18}\d")
_IBAN: Final = _compiled(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")
_SSN: Final = _compiled(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
_IPV4: Final = _compiled(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6: Final = _compiled(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}+(?![\w:])")
_PHONE: Final = _compiled(r"(?<![\w+.])(?:\+|\(|0)[ (]?\d(?:[ ()/.-]{0,2}\d){7,14}(?!\w)")
_PHONE_US: Final = _compiled(r"(?<![\w-])\d{3}-\d{3}-\d{4}(?![\w-])")
_DIGIT: Final = re.compile(r"\d")


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
        return self._pii and ("@" in text or ":" in text or _DIGIT.search(text) is not None)

    def text(self, text: str) -> str:
        """The text without what must not leave."""
        if self._secrets:
            text = _without_secrets(text)
        if self._pii:
            text = _without_pii(text)
        for function in self._functions:
            try:
                text = function(text)
                if not isinstance(text, str):
                    raise TypeError(f"redact gave {type(text).__name__}, not str")  # noqa: TRY301
            except Exception as error:  # noqa: BLE001  # rather nothing than what should have been redacted
                guard.report("redacting with the application's function", error, may_raise=False)
                return _FAILED
        return text

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
        found = span.attributes or {}
        attributes = self.attributes(found)
        events = [
            Event(event.name, self.attributes(event.attributes or {}), event.timestamp)
            for event in span.events
        ]
        message = span.status.description
        clean = self.text(message) if message and self.concerns(message) else message
        same = message == clean and all(found[key] is value for key, value in attributes.items())
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


def _without_secrets(text: str) -> str:
    for hints, mark, pattern in _COMPILED:
        if any(hint in text for hint in hints):
            text = pattern.sub(mark, text)
    return _without_private_keys(text) if "PRIVATE KEY-----" in text else text


def _without_private_keys(text: str) -> str:
    pieces: list[str] = []
    position = 0
    while (begin := _KEY_BEGIN.search(text, position)) is not None:
        pieces += text[position : begin.start()], _PRIVATE_KEY
        end = _KEY_END.search(text, begin.end())
        if end is None:  # cut off: nothing after the beginning is safe
            return "".join(pieces)
        position = end.end()
    return "".join([*pieces, text[position:]])


def _without_pii(text: str) -> str:
    if "@" in text:
        text = _EMAIL.sub("[redacted:email]", text)
    if ":" in text:
        text = _IPV6.sub(_ip, text)
    if _DIGIT.search(text) is None:
        return text
    text = _IBAN.sub(lambda found: _longest(found.group(), _is_iban, "[redacted:iban]"), text)
    text = _CARD.sub(lambda found: _longest(found.group(), _is_card, "[redacted:card]"), text)
    text = _SSN.sub("[redacted:ssn]", text)
    text = _IPV4.sub(_ip, text)
    text = _PHONE.sub(_phone, text)
    return _PHONE_US.sub("[redacted:phone]", text)


def _longest(found: str, valid: Callable[[str], bool], mark: str) -> str:
    """Replace the longest beginning that is valid and ends where a group does: what follows is not part."""
    for end in range(len(found), 0, -1):
        whole = found[end - 1].isalnum() and (end == len(found) or not found[end].isalnum())
        if whole and valid("".join(each for each in found[:end] if each.isalnum())):
            return mark + found[end:]
    return found


def _is_card(digits: str) -> bool:
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _is_iban(text: str) -> bool:
    if not 15 <= len(text) <= 34:
        return False
    return int("".join(str(int(each, 36)) for each in text[4:] + text[:4])) % 97 == 1


def _ip(found: re.Match[str]) -> str:
    text = found.group()
    if sum(each.isalnum() for each in text) < 3:
        return text
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return text
    return "[redacted:ip]"


def _phone(found: re.Match[str]) -> str:
    """A leading plus, bracket or zero, and a separator or country code: bare digits are ids and amounts."""
    text = found.group()
    if not text.startswith("+") and (text.isdigit() or "." in text):
        return text
    return "[redacted:phone]"

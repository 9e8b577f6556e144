"""Personal data: addresses, numbers of people, phones, cards and accounts.

Loaded where a program asks for it: the patterns take long to compile.
"""

from __future__ import annotations

import ipaddress
import re
from operator import mul
from typing import Final

from . import patterns

_EMAIL: Final = patterns.EMAIL.compiled(re.ASCII)
_MOBILE_CN: Final = patterns.MOBILE_CN.compiled(re.ASCII)
_NUMBER: Final = patterns.NUMBER.compiled(re.ASCII)
_SSN: Final = patterns.SSN.compiled(re.ASCII)
_IPV4: Final = patterns.IPV4.compiled(re.ASCII)
_IPV6: Final = patterns.IPV6.compiled(re.ASCII)
_PHONE: Final = patterns.PHONE.compiled(re.ASCII)
_PHONE_US: Final = patterns.PHONE_US.compiled(re.ASCII)
_DIGIT: Final = re.compile(r"[0-9]")
_WIDE: Final = re.compile(f"[{patterns.WIDE}]")
_TO_PLAIN: Final = str.maketrans(patterns.WIDE_CHARACTERS, patterns.PLAIN_CHARACTERS)
_CARD_DIGITS: Final = re.compile(patterns.CARD_DIGITS, re.ASCII)


def may_be_in(text: str) -> bool:
    """Whether a text may hold any; False costs four searches."""
    return "@" in text or ":" in text or _DIGIT.search(text) is not None or _WIDE.search(text) is not None


def plain(text: str) -> str | None:
    """The text with ASCII in the place of wide digits and marks; None where it has none of those."""
    return None if _WIDE.search(text) is None else text.translate(_TO_PLAIN)


def without(text: str) -> str:
    """The text with marks in the place of personal data."""
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

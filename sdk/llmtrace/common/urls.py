"""Addresses as they may be shown: without the user and password that may stand before the host."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit, urlunsplit

#: Up to the last `@` of the word, for a password may hold a slash; at the beginning without a scheme too.
_USERINFO: Final = re.compile(r"(?:(?<=//)|^(?!\w+://))\S*@")


def without_userinfo(url: str) -> str:
    """A usable URL, without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def printable(text: str) -> str:
    """A text that holds addresses, or is meant to be one, for a message: without users and passwords."""
    return _USERINFO.sub("", text)

"""What a setting may be: an argument or the text of a variable, read to the value that is used.

Each reader takes the name to blame and the value; `ConfigError` says what it should have been.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from .common.urls import printable
from .spans.sampling import SampleRule

Reader = Callable[[str, Any], Any]

TRUE: Final = frozenset({"1", "true", "yes", "on"})
FALSE: Final = frozenset({"0", "false", "no", "off"})

MAX_ATTACHMENT_BYTES: Final = 8 * 2**20
"""A request with one must fit into what collectors take."""

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: A host, with a path where one is meant; `*` is a part of one label.
_ADDRESS: Final = re.compile(r"[a-z0-9*._:-]+(?:/[^\s?#]*)?")
#: Tab, and what Latin-1 can print.
_HEADER_TEXT: Final = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


class ConfigError(ValueError):
    """A setting is unusable; the message names it and says what it should be."""


def text(name: str, value: Any) -> str:
    """Any value, as text."""
    return str(value)


def path(name: str, value: Any) -> str:
    """A file or folder, as text or as a path."""
    if not isinstance(value, (str, os.PathLike)):
        raise ConfigError(f"{name} is {value!r}; use a path")
    return str(os.fspath(value)).strip()


def url(name: str, value: Any) -> str:
    """The base of URLs, without a slash at its end."""
    base = str(value).strip()
    try:
        parts = urlsplit(base)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{name} is {printable(base)!r}; use a URL such as http://127.0.0.1:4318")
    return base.rstrip("/").removesuffix("/v1/traces")


def flag(name: str, value: Any) -> bool:
    """A truth value, or a word for one."""
    word = str(value).strip().lower()
    if word not in TRUE | FALSE:
        raise ConfigError(f"{name} is {value!r}; use true or false")
    return word in TRUE


def count(name: str, value: Any) -> int:
    """A whole number, 0 or more."""
    digits = str(value).strip()
    if not digits.isdecimal():
        raise ConfigError(f"{name} is {value!r}; use a whole number, 0 or more")
    return int(digits)


def log_level(name: str, value: Any) -> int:
    """A level of `logging`, by its name or number."""
    word = str(value).strip().upper()
    level = int(word) if word.isdecimal() else logging.getLevelName(word)
    if not isinstance(level, int):
        raise ConfigError(f"{name} is {value!r}; use DEBUG, INFO, WARNING, ERROR, CRITICAL or a number")
    return level


def attachment_size(name: str, value: Any) -> int:
    """A size in bytes, up to `MAX_ATTACHMENT_BYTES`."""
    size = count(name, value)
    if size > MAX_ATTACHMENT_BYTES:
        raise ConfigError(f"{name} is {value!r}; use at most {MAX_ATTACHMENT_BYTES} bytes, or 0 for none")
    return size


def number(name: str, value: Any) -> float:
    """A number, 0 or more."""
    return _number(name, value, "0 or more", math.inf)


def share(name: str, value: Any) -> float:
    """A number from 0 to 1."""
    return _number(name, value, "from 0 to 1", 1.0)


def seconds(name: str, value: Any) -> float:
    """A time in seconds."""
    return _time(name, value, "seconds")


def milliseconds(name: str, value: Any) -> float:
    """A time in milliseconds, to seconds."""
    return _time(name, value, "milliseconds") / 1e3


def one_of(*words: str) -> Reader:
    """A reader of one of some words."""

    def read(name: str, value: Any) -> str:
        if value not in words:
            listed = f"{', '.join(map(repr, words[:-1]))} or {words[-1]!r}"
            raise ConfigError(f"{name} is {value!r}; use {listed}")
        return str(value)

    return read


def hosts(name: str, value: Any) -> tuple[str, ...]:
    """Host names, in a list or separated by commas."""
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, Iterable):
        raise ConfigError(f"{name} is {value!r}; use a list of hosts")
    return tuple(host for item in listed if (host := str(item).strip().lower()))


def mapping(name: str, value: Any) -> dict[str, str]:
    """Texts by name."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} is {value!r}; use a mapping of names to texts")
    return dict(value)


def addresses(name: str, value: Any) -> dict[str, str]:
    """Names by address (`host` or `host/path`), as a mapping or as `address=name, address=name`."""
    if isinstance(value, str):
        value = dict(item.rpartition("=")[::2] for item in value.split(",") if item.strip())
    named = mapping(name, value)
    named = {str(address).strip().lower(): str(provider).strip() for address, provider in named.items()}
    for address, provider in named.items():
        if not provider or _ADDRESS.fullmatch(address) is None:
            raise ConfigError(
                f"{name} has {address!r}; use a host or a host and path, each with its provider"
            )
    return named


def key(name: str, value: Any) -> str:
    """A secret that a header carries, without the line end of the file that it was read from."""
    return header_text(name, str(value))


def headers(name: str, value: Any) -> dict[str, str]:
    """Texts by the names of headers. No message shows a text: it may be a secret."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} is of type {type(value).__name__}; use a mapping of names to texts")
    for header, content in value.items():
        if not isinstance(header, str) or not is_header_name(header):
            raise ConfigError(f"{name} holds what is no name of a header; use a mapping of names to texts")
        if not isinstance(content, str):
            raise ConfigError(f"{name}[{header!r}] is of type {type(content).__name__}; use a text")
    return {header: header_text(f"{name}[{header!r}]", content) for header, content in value.items()}


def is_header_name(text: str) -> bool:
    """Whether HTTP allows a header of this name."""
    return _HEADER_NAME.fullmatch(text) is not None


def header_text(name: str, text: str) -> str:
    """A text that a header can carry, without the space around it; no message shows it."""
    stripped = text.strip()
    if _HEADER_TEXT.fullmatch(stripped) is None:
        raise ConfigError(
            f"{name} holds a character that no HTTP header can carry (one beyond Latin-1, or a line end); "
            "copy it again"
        )
    return stripped


def functions(name: str, value: Any) -> tuple[Callable[[str], str], ...]:
    """One function or several."""
    listed = (value,) if callable(value) else tuple(value) if isinstance(value, Iterable) else (None,)
    if not all(map(callable, listed)):
        raise ConfigError(f"{name} is {value!r}; use a function from text to text, or a list of them")
    return listed


def rules(name: str, value: Any) -> tuple[SampleRule, ...]:
    """Rules of sampling."""
    listed = tuple(value) if isinstance(value, Iterable) else (value,)
    if not all(isinstance(rule, SampleRule) for rule in listed):
        raise ConfigError(f"{name} is {value!r}; use a list of llmtrace.SampleRule")
    return listed


def _number(name: str, value: Any, limit: str, most: float) -> float:
    try:
        amount = float(value)
    except (TypeError, ValueError):
        amount = -1.0
    if not 0.0 <= amount <= most:
        raise ConfigError(f"{name} is {value!r}; use a number, {limit}")
    return amount


def _time(name: str, value: Any, unit: str) -> float:
    try:
        amount = float(value)
    except (TypeError, ValueError):
        amount = 0.0
    if not 0.0 < amount < math.inf:
        raise ConfigError(f"{name} is {value!r}; use a number of {unit} above 0")
    return amount

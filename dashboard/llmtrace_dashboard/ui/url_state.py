"""Widgets whose value is in the page's address, both ways: a shared link, the back button and a followed link
set them, and choosing changes the address.

Streamlit's own binding writes labels instead of values into the address, and refuses links that set a bound
parameter; hence this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import streamlit as st

#: Query parameters that every page shares; links and page changes carry them along.
SHARED = ("range", "from", "to", "project", "service", "model", "user", "purpose")

#: What stands for a choice of several that nothing is chosen of.
EVERYTHING = "all"

#: Longest value that is taken from an address.
_LONGEST = 500


#: Seconds in which a refresh may still bring the address as it was before a change of ours.
_IN_FLIGHT = 2.0


@dataclass(frozen=True)
class _Written:
    """What this module last made of a query parameter, what it was before, and when."""

    text: str
    before: str
    at: float

    def overtaken_by(self, parameter: str) -> bool:
        """Whether the browser sent `parameter` before it heard of the change."""
        return parameter == self.before and monotonic() - self.at < _IN_FLIGHT


_NOTHING = _Written("", "", float("-inf"))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value) or EVERYTHING
    return "1" if value is True else "" if value is None or value is False else str(value)


@contextmanager
def bound_to_url(key: str, default: Any, read: Callable[[str], Any] = str) -> Iterator[None]:
    """Around the widget with this `key`: its value and the query parameter of the same name stay the same.

    `read` makes a value of the parameter's text; None or ValueError from it means the default.
    """
    parameter, written = _parameter(key), _written(key)
    current_value(key, default, read)
    yield
    value = st.session_state[key]
    text = "" if value == default else _text(value)
    if text != st.query_params.get(key, ""):
        set_parameter(key, text)
    if text != written.text:
        st.session_state[f"_address_{key}"] = _Written(text, parameter, monotonic())


def current_value(key: str, default: Any, read: Callable[[str], Any] = str) -> Any:
    """What the widget with this `key`, bound to the address in the same way, will have when it is drawn."""
    state, parameter, written = st.session_state, _parameter(key), _written(key)
    if key not in state or (parameter != written.text and not written.overtaken_by(parameter)):
        state[key] = _parsed(parameter, default, read)
    return state[key]


def _parameter(key: str) -> str:
    return str(st.query_params.get(key, ""))[:_LONGEST]


def _written(key: str) -> _Written:
    written: _Written = st.session_state.get(f"_address_{key}", _NOTHING)
    return written


def _parsed(parameter: str, default: Any, read: Callable[[str], Any]) -> Any:
    if not parameter:
        return default
    try:
        value = read(parameter)
    except ValueError:
        return default
    return default if value is None else value


def one_of(options: Any) -> Callable[[str], str | None]:
    """A reader that takes only these values."""
    return lambda text: text if text in options else None


def some_of(options: Any) -> Callable[[str], list[str] | None]:
    """A reader of values with commas between, or `all` for an empty list; others are left out."""

    def read(text: str) -> list[str] | None:
        return [] if text == EVERYTHING else [word for word in text.split(",") if word in options] or None

    return read


def set_parameter(key: str, text: str) -> None:
    """Set a query parameter, or take it away when `text` is empty."""
    if text:
        st.query_params[key] = text
    elif key in st.query_params:
        del st.query_params[key]


def restore_shared(page: str) -> None:
    """After the navigation changed to `page` and emptied the address, set the shared parameters again."""
    state = st.session_state
    if state.get("_page") not in (None, page) and not any(name in st.query_params for name in SHARED):
        for name, text in state.get("_shared", {}).items():
            set_parameter(name, text)
    state["_page"] = page


def remember_shared() -> None:
    """Keep the shared parameters for the next change of the page."""
    st.session_state["_shared"] = {name: st.query_params[name] for name in SHARED if name in st.query_params}

"""Parts of the pages that Streamlit does not have. Their data is untrusted and only ever becomes text.

Each part is a JavaScript and a CSS file beside this module. What the files render goes through
`textContent`; links are followed only within this dashboard.

Views, pages and the tables of the ui import it; it imports the links of pages.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import streamlit as st

from llmtrace_dashboard.ui.page_links import follow


def _read(name: str) -> str:
    return (resources.files(__package__) / name).read_text()


def _component(name: str) -> Any:
    return st.components.v2.component(
        f"llmtrace.{name}",
        html='<div class="lt"></div>',
        css=_read("base.css") + _read(f"{name}.css"),
        js=_read("base.js") + _read(f"{name}.js"),
    )


_MOUNT = {name: _component(name) for name in ("table", "facts", "messages", "waterfall")}


def _nothing() -> None:
    """A trigger needs a callback to exist; the value is read from the result."""


def show(name: str, data: dict[str, Any], key: str) -> None:
    """Mount the part `name` with `data`; a followed link changes the page."""
    result = _MOUNT[name](data=data, key=key, on_go_change=_nothing)
    if result.go:
        follow(result.go)


def choose_span(data: dict[str, Any], key: str) -> str | None:
    """Mount the waterfall; the id of the span chosen just now, else None."""
    chosen = _MOUNT["waterfall"](data=data, key=key, on_span_change=_nothing).span
    return str(chosen) if chosen else None

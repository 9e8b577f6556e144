"""Addresses of the dashboard's own pages, and following them without a reload."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import streamlit as st

from .url_state import SHARED

_FOLDER = Path(__file__).parents[1] / "pages"

#: Path → the script of that page.
PAGES = {
    "/": _FOLDER / "overview.py",
    "/traces": _FOLDER / "traces.py",
    "/cost": _FOLDER / "cost.py",
    "/incidents": _FOLDER / "incidents.py",
}

#: Filters of the list of traces; links to one trace carry them, so that the way back finds the same list.
LIST_FILTERS = (
    "q",
    "status",
    "longer",
    "session",
    "experiment",
    "provider",
    "prompt",
    "tag",
    "page",
)


def page_url(path: str, **params: str) -> str:
    """The address of a page under the present filters, `params` added; an empty value takes a filter away."""
    carried = {name: st.query_params[name] for name in SHARED if name in st.query_params}
    values = {name: value for name, value in {**carried, **params}.items() if value != ""}
    return f"{path}?{urlencode(values)}" if values else path


def trace_url(trace_id: str, span_id: str = "") -> str:
    """The address of one trace, and of one span in it."""
    list_filters = {name: st.query_params[name] for name in LIST_FILTERS if name in st.query_params}
    return page_url("/traces", **list_filters, trace=trace_id, span=span_id)


def incident_url(incident_id: str) -> str:
    """The address of one incident."""
    return page_url("/incidents", incident=incident_id)


def follow(url: str) -> None:
    """Show the page at `url`, one of `PAGES` with query parameters; any other address is ignored."""
    parts = urlsplit(url)
    page = PAGES.get(parts.path)
    if page is not None and not parts.netloc:
        st.switch_page(page, query_params=dict(parse_qsl(parts.query)))

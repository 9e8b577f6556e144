"""What every page shares: a title with its state, a part that refreshes itself, and what to do when empty."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import streamlit as st

from llmtrace_analysis.queries import usage

from . import filters
from .cached_reads import ReadFailed, load
from .current_settings import current_settings
from .url_state import EVERYTHING, set_parameter
from .visitor import AccessEnded

FIRST_TRACE = """import llmtrace
llmtrace.init()
"""


def live(render: Callable[[], None], refresh: bool = True) -> None:
    """Draw `render`, again every few seconds unless the visitor paused or `refresh` is false.

    When the store cannot be read, what to do stands in its place until it can be.
    """
    every = current_settings().refresh_seconds if refresh and not filters.paused() else None

    @st.fragment(run_every=every)
    def body() -> None:
        try:
            render()
        except ReadFailed as failure:
            unreachable(failure)
        except AccessEnded:
            # The page as a whole says why.
            st.rerun(scope="app")

    body()


def header(title: str, note: str, refreshing: bool = True) -> None:
    """The page's title, what it shows, and when that was read."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.header(title, anchor=False, width="content")
        if refreshing:
            updated = f"{note} · updated {datetime.now(UTC).astimezone(filters.zone()):%H:%M:%S}"
            st.caption(updated + (" · paused" if filters.paused() else ""), width="content")
        else:
            st.caption(note, width="content")


def unreachable(failure: ReadFailed) -> None:
    """Say that the collector does not answer, and how to fix it."""
    settings = current_settings()
    with st.container(border=True):
        if failure.refused:
            st.subheader("The collector refused the key", anchor=False)
            st.text(
                "Set read_key under [dashboard] in llmtrace.toml (or LLMTRACE_DASHBOARD__READ_KEY) to the "
                "collector's read key, or point data_dir at the folder with its dashboard.key and admin.key."
            )
        else:
            st.subheader("The store cannot be read", anchor=False)
            st.text(
                f"The collector at {settings.collector_url} gave no answer. This page tries again by itself."
            )
            st.text("Start everything, start the collector alone, or ask what is wrong:")
            st.code("llmtrace up\nllmtrace collector\nllmtrace doctor", language=None)
            st.text("If it listens elsewhere, set collector_url under [dashboard] in llmtrace.toml.")
        with st.expander("What it said"):
            st.code(str(failure), language=None, wrap_lines=True)


def empty(what: str) -> None:
    """Say why nothing is shown: no span was ever stored, or none fits the filters."""
    with st.container(border=True):
        if load(usage.any_span):
            st.subheader(f"No {what} here", anchor=False)
            st.text(
                "Nothing in the store fits the filters on the left. Choose a longer time, take a filter "
                "away, or count calls for other purposes too."
            )
            if filters.scope().purposes and st.button("Count all purposes"):
                # By the address: this part of the page refreshes alone, and the filter stands outside of it.
                set_parameter("purpose", EVERYTHING)
                st.rerun(scope="app")
        else:
            st.subheader("Send a first trace", anchor=False)
            st.text("Put two lines at the top of any program that calls a model, and run it:")
            st.code(FIRST_TRACE.strip(), language="python")
            st.text("No program at hand? This makes traffic to look at:")
            st.code("llmtrace demo", language=None)

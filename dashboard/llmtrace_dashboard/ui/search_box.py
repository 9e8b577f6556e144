"""The box in which a search is written: its text in the address, what is wrong with it, what may follow."""

from __future__ import annotations

import streamlit as st

from llmtrace.common.escaping import markdown_text
from llmtrace_analysis.queries import trace_search
from llmtrace_collector.store.search import Field, Kind, SearchError, fields

from .cached_reads import ReadFailed, load
from .url_state import bound_to_url, set_parameter

#: Characters of a search that fit an address.
MAX_CHARS = 500

#: What to show of what may follow.
_OFFERED = 8


def search_box(key: str, placeholder: str) -> None:
    """The box; its text is in the session's state, and in the address, under `key`."""
    with bound_to_url(key, ""):
        st.text_input(
            "Search",
            key=key,
            icon=":material/search:",
            placeholder=placeholder,
            max_chars=MAX_CHARS,
            width="stretch",
        )
    with st.popover("Fields", icon=":material/help:", help="What a search can ask for"):
        _builder(key)


def search_error(key: str, error: SearchError) -> None:
    """Under the box: what is wrong with its text and where, with what may stand there instead."""
    text = st.session_state.get(key) or ""
    with st.container(border=True):
        st.markdown(f":red[:material/error: {markdown_text(error.message[:1].upper() + error.message[1:])}]")
        st.code(error.underlined(text), language=None)
        before, after = text[: error.position], text[error.position + error.length :]
        with st.container(horizontal=True):
            for index, replacement in enumerate(_replacements(error, text)):
                clicked = st.button(
                    f"Use {markdown_text(replacement)}",
                    key=f"{key}_fix_{index}",
                    on_click=_replace,
                    args=(key, f"{before}{replacement}{after}"),
                )
                # The box is outside of the part of the page that refreshes itself.
                if clicked:
                    st.rerun()


def _replacements(error: SearchError, text: str) -> list[str]:
    """What may stand at the error's place: the error's own suggestion, and values that the store has seen of
    a field that has none.
    """
    suggested = [error.suggestion] if error.suggestion and "NAME" not in error.suggestion else []
    head = error.offending(text).split(" ")[0]
    if not head.endswith((":", "=")):
        return suggested
    try:
        seen = load(trace_search.suggestions, head)
    except ReadFailed:
        return suggested
    return list(dict.fromkeys([*suggested, *(head[: item.start] + item.text for item in seen)]))[:_OFFERED]


def _replace(key: str, text: str) -> None:
    """Let `text` be searched for, as a followed link would."""
    set_parameter(key, text[:MAX_CHARS])


def _builder(key: str) -> None:
    """Choose a field and a value that the store has seen, and add them to the search."""
    st.markdown(
        'Words and `"phrases"` must all occur, in any order. `-` leaves out, `OR` and parentheses join, '
        "`*` stands for any text in a field's value, commas list values. Words are looked for in messages, "
        "instructions, tools' definitions, arguments and results, names of spans and errors; in another "
        "attribute with its name: `attr.NAME:*word*`."
    )
    chosen: Field | None = st.selectbox(
        "Field",
        fields(),
        index=None,
        format_func=lambda field: field.label,
        key=f"{key}_field",
        placeholder="Choose what to ask for",
    )
    if chosen is None:
        return
    st.caption(chosen.help)
    st.code(chosen.example, language=None)
    if chosen.kind in (Kind.NUMBER, Kind.MOMENT) or chosen.keyed:
        st.button("Add", on_click=_add, args=(key, chosen.example), key=f"{key}_example")
        return
    try:
        seen = [item.text for item in load(trace_search.suggestions, f"{chosen.name}:")]
    except ReadFailed:
        seen = []
    value = st.selectbox(
        "Value",
        seen,
        index=None,
        key=f"{key}_value_{chosen.name}",
        placeholder="Seen lately, or your own",
        accept_new_options=True,
    )
    if value:
        st.button("Add", on_click=_add, args=(key, f"{chosen.name}:{_value(value, seen)}"), key=f"{key}_add")


def _value(value: str, seen: list[str]) -> str:
    """A value as it stands in a search: those seen are written that way, others may need quotes."""
    if value in seen or not any(char.isspace() or char in '()",' for char in value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _add(key: str, term: str) -> None:
    _replace(key, f"{st.session_state.get(key) or ''} {term}".strip())

"""What the visitor chose to look at: the sidebar's filters, kept in the address so that it can be shared."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from llmtrace.common.escaping import markdown_text
from llmtrace.semconv import PURPOSE_PRODUCT, PURPOSE_SIMULATED, PURPOSES
from llmtrace_analysis.queries import usage
from llmtrace_analysis.queries.scope import USUAL_PURPOSES, Scope, chosen_purposes, window

from . import formats
from .cached_reads import ReadFailed, load
from .url_state import bound_to_url, one_of, remember_shared, set_parameter, some_of
from .visitor import person

#: Choice → label and length; "custom" has a from and a to.
RANGES: dict[str, tuple[str, timedelta]] = {
    "15m": ("Last 15 minutes", timedelta(minutes=15)),
    "1h": ("Last hour", timedelta(hours=1)),
    "6h": ("Last 6 hours", timedelta(hours=6)),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
    "custom": ("From … to …", timedelta(hours=1)),
}

_DEFAULT_RANGE = "1h"


def zone() -> ZoneInfo:
    """The visitor's time zone, UTC when the browser does not say."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def zone_offset(at: datetime) -> int:
    """Seconds that the visitor's zone is east of UTC at a moment."""
    offset = at.astimezone(zone()).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def scope() -> Scope:
    """What the filters say at this moment."""
    since, until = _chosen_window()
    state = st.session_state
    return Scope(
        since=since,
        until=until,
        project=state.get("project") or "",
        service=state.get("service") or "",
        model=state.get("model") or "",
        user=state.get("user") or "",
        purposes=chosen_purposes(state.get("purpose", USUAL_PURPOSES)),
    )


def range_label() -> str:
    """The chosen time in words."""
    choice = st.session_state.get("range") or _DEFAULT_RANGE
    if choice != "custom":
        return RANGES[choice][0]
    since, until = _chosen_window()
    return f"{since.astimezone(zone()):%d %b %H:%M} – {until.astimezone(zone()):%d %b %H:%M}"


def paused() -> bool:
    """Whether the visitor stopped the refresh."""
    return not st.session_state.get("live", True)


def sidebar() -> None:
    """Draw the filters. Needs no store: without one, only what is chosen already is on offer."""
    with st.sidebar:
        with bound_to_url("range", _DEFAULT_RANGE, one_of(RANGES)):
            st.selectbox("Time", list(RANGES), format_func=lambda choice: RANGES[choice][0], key="range")
        if st.session_state.get("range") == "custom":
            _custom_range()
        facets = _facets()
        _project(facets.projects)
        _choice("Service", "service", facets.services, "All services")
        _choice("Model", "model", facets.models, "All models")
        _choice("User", "user", facets.users, "All users")
        _purposes(facets)
        st.toggle("Live", value=True, key="live", help="Refresh the page by itself.")
    remember_shared()


def _choice(label: str, key: str, options: tuple[str, ...], everything: str) -> None:
    with bound_to_url(key, None):
        st.selectbox(label, options, index=None, placeholder=everything, key=key, accept_new_options=True)


def _project(known: tuple[str, ...]) -> None:
    """The project: any, or one of those that the visitor is confined to."""
    own = person().projects
    if not own:
        _choice("Project", "project", known, "All projects")
        return
    with bound_to_url("project", own[0], one_of(own)):
        st.selectbox("Project", own, key="project", help="The projects that you may see, one at a time.")


def _purposes(facets: usage.Facets) -> None:
    """Which calls count, by what they were for. Those that are left out are named, and one click away."""
    _former_simulated()
    with bound_to_url("purpose", list(USUAL_PURPOSES), some_of(PURPOSES)):
        chosen = st.multiselect(
            "Purpose",
            PURPOSES,
            key="purpose",
            placeholder="All purposes",
            help="What calls were for, as the programs that made them said: a load test, an evaluation, "
            "simulated traffic. Calls that say nothing are the product's.",
        )
    left_out = [purpose for purpose in facets.purposes if chosen and purpose not in chosen]
    if left_out:
        calls = sum(facets.purposes[purpose] for purpose in left_out)
        st.caption(f"Left out: {formats.count(calls)} calls ({markdown_text(', '.join(left_out))})")
        st.button("Include them", on_click=include_purposes, args=(left_out,), icon=":material/add:")


def include_purposes(purposes: Sequence[str]) -> None:
    """Let calls for these purposes count from the next run on; a callback of buttons."""
    wanted = {*st.session_state.get("purpose", USUAL_PURPOSES), *purposes}
    every = len(wanted) == len(PURPOSES)
    st.session_state["purpose"] = [] if every else [purpose for purpose in PURPOSES if purpose in wanted]


def _former_simulated() -> None:
    """Links of before say `simulated=1`."""
    if st.query_params.get("simulated") in ("1", "true") and "purpose" not in st.query_params:
        set_parameter("purpose", f"{PURPOSE_PRODUCT},{PURPOSE_SIMULATED}")
    set_parameter("simulated", "")


def _facets() -> usage.Facets:
    since, until = _chosen_window()
    # Five minutes' grid: the options need not follow every refresh.
    since, until = window(until - since, until, 300)
    try:
        return load(usage.facets, Scope(since, until))
    except ReadFailed:
        return usage.Facets((), (), (), (), {})


def _chosen_window() -> tuple[datetime, datetime]:
    choice = st.session_state.get("range") or _DEFAULT_RANGE
    now = datetime.now(UTC)
    if choice == "custom":
        since, until = _moment("from"), _moment("to")
        if since and until and since < until:
            return since, until
        return window(RANGES["custom"][1], now, 60)
    length = RANGES.get(choice, RANGES[_DEFAULT_RANGE])[1]
    return window(length, now, 5)


def _moment(name: str) -> datetime | None:
    """A query parameter in seconds since 1970; None when it is absent or no such number."""
    try:
        return datetime.fromtimestamp(int(st.query_params.get(name, "")), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _custom_range() -> None:
    since, until = _chosen_window()
    local = zone()
    for label, name, value in (("From", "from", since), ("To", "to", until)):
        st.datetime_input(
            label,
            value=value.astimezone(local).replace(tzinfo=None),
            key=f"{name}_input",
            step=60,
            on_change=_set_moment,
            args=(name,),
        )


def _set_moment(name: str) -> None:
    since, until = _chosen_window()
    for other, value in (("from", since), ("to", until)):
        st.query_params[other] = str(int(value.timestamp()))
    chosen = st.session_state[f"{name}_input"]
    if chosen is not None:
        st.query_params[name] = str(int(chosen.replace(tzinfo=zone()).timestamp()))

"""Cost: where the money goes, at which prices, what it will come to, and what would be cheaper."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from llmtrace_analysis.cost import report
from llmtrace_analysis.cost.currency import USD, NoRate, currencies
from llmtrace_analysis.cost.report import CostPage
from llmtrace_dashboard.ui import filters
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.current_settings import current_settings
from llmtrace_dashboard.ui.page_frame import empty, header, live
from llmtrace_dashboard.ui.url_state import bound_to_url, current_value, one_of
from llmtrace_dashboard.views.cost import advice, caches, limits, outlook, plans, prices, savings, spend
from llmtrace_dashboard.views.cost.shared import current_scope

_VIEWS: dict[str, tuple[str, Callable[[CostPage], None]]] = {
    "spend": ("Spend", spend.draw),
    "prices": ("Prices", prices.draw),
    "outlook": ("Forecast and budgets", outlook.draw),
    "savings": ("Waste and savings", savings.draw),
    "caches": ("Caches", caches.draw),
    "advice": ("Advice", advice.draw),
    "whatif": ("What if", plans.draw_what_if),
    "limits": ("Limits", limits.draw),
    "reserved": ("Reserved capacity", plans.draw_reserved_capacity),
}


def render() -> None:
    """Draw the page's data."""
    header("Cost", filters.range_label())
    scope, settings = current_scope(), current_settings()
    rates, usual = settings.exchange_rates, settings.currency
    codes = currencies(rates, usual)
    view = current_value("view", "spend", one_of(_VIEWS)) or "spend"
    currency = current_value("currency", usual, one_of(codes)) or usual
    asked = spend.chosen() if view == "spend" else {}
    offset = filters.zone_offset(scope.since)
    try:
        page = load(report.page, scope, **asked, offset=offset, currency=currency, rates=rates)
    except NoRate as reason:
        _controls(codes)
        st.text(f"Costs cannot be shown in {currency}: {reason}.")
        return
    if not page.totals["calls"]:
        empty("calls")
        return
    _controls(codes)
    spend.totals(page)
    if view in ("spend", "prices"):
        prices.warning(page.unpriced)
    if currency != USD and view != "spend":
        st.caption("What follows is in US dollars, as prices are quoted.")
    _VIEWS[view][1](page)


def _controls(codes: list[str]) -> None:
    """Offer the views and the currencies."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with bound_to_url("view", "spend", one_of(_VIEWS)):
            st.segmented_control(
                "View",
                list(_VIEWS),
                required=True,
                format_func=lambda name: _VIEWS[name][0],
                key="view",
                label_visibility="collapsed",
            )
        if len(codes) > 1:
            with bound_to_url("currency", codes[0], one_of(codes)):
                st.selectbox("Currency", codes, key="currency", label_visibility="collapsed", width=110)


if __name__ == "__main__":
    live(render)

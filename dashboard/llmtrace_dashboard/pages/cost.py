"""Cost: where the money goes, at which prices, what it will come to, and what would be cheaper."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from llmtrace_analysis.cost.currency import USD, NoRate, currencies
from llmtrace_analysis.queries import usage
from llmtrace_dashboard.ui import filters
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.current_settings import current_settings
from llmtrace_dashboard.ui.page_frame import empty, header, live
from llmtrace_dashboard.ui.url_state import bound_to_url, one_of
from llmtrace_dashboard.views.cost import outlook, plans, prices, savings, spend
from llmtrace_dashboard.views.cost.shared import CostViewContext, current_context

_VIEWS: dict[str, tuple[str, Callable[[CostViewContext], None]]] = {
    "spend": ("Spend", spend.draw),
    "prices": ("Prices", prices.draw),
    "outlook": ("Forecast and budgets", outlook.draw),
    "savings": ("Waste and savings", savings.draw),
    "whatif": ("What if", plans.draw_what_if),
    "reserved": ("Reserved capacity", plans.draw_reserved_capacity),
}


def render() -> None:
    """Draw the page's data."""
    header("Cost", filters.range_label())
    if not load(usage.totals, filters.scope()).calls:
        empty("calls")
        return
    chosen, currency = _choices()
    context = current_context(currency)
    try:
        spend.totals(context)
        if chosen in ("spend", "prices"):
            prices.warning(context)
        if currency != USD and chosen != "spend":
            st.caption("What follows is in US dollars, as prices are quoted.")
        _VIEWS[chosen][1](context)
    except NoRate as reason:
        st.text(f"Costs cannot be shown in {currency}: {reason}.")


def _choices() -> tuple[str, str]:
    """What to look at, and in which currency."""
    known = currencies(current_settings().exchange_rates)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with bound_to_url("view", "spend", one_of(_VIEWS)):
            chosen = st.segmented_control(
                "View",
                list(_VIEWS),
                required=True,
                format_func=lambda name: _VIEWS[name][0],
                key="view",
                label_visibility="collapsed",
            )
        currency = USD
        if len(known) > 1:
            with bound_to_url("currency", USD, one_of(known)):
                currency = st.selectbox(
                    "Currency", known, key="currency", label_visibility="collapsed", width=110
                )
    return chosen or "spend", currency or USD


if __name__ == "__main__":
    live(render)

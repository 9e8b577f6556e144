"""The script that Streamlit executes for each visitor and rerun: who it is, frame, filters, then the page."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from llmtrace_dashboard.access.people import Stranger
from llmtrace_dashboard.settings import PAGE_TITLE
from llmtrace_dashboard.ui import filters, theme, url_state
from llmtrace_dashboard.ui.current_settings import current_settings
from llmtrace_dashboard.ui.page_links import PAGES
from llmtrace_dashboard.ui.visitor import AccessEnded, access
from llmtrace_dashboard.views import sign_in

# The pages do not lie beside this file: a folder `pages` there is Streamlit's own, and a first visitor who
# follows a link to a page would see that page without this frame.
ASSETS = Path(__file__).parents[1] / "assets"


def main() -> None:
    """Draw the frame and run the page."""
    settings = current_settings()
    st.set_page_config(
        page_title=PAGE_TITLE,
        page_icon=str(ASSETS / "icon.svg"),
        layout="wide",
        menu_items={"Get help": None, "Report a bug": None, "About": None},
    )
    st.html(theme.PAGE_STYLE)
    st.logo(str(ASSETS / "logo.svg"), size="large", icon_image=str(ASSETS / "icon.svg"))
    visitor = access().visitor()
    page = st.navigation(
        [
            st.Page(
                PAGES["/"],
                title="Overview",
                icon=":material/monitoring:",
                url_path="overview",
                default=True,
            ),
            st.Page(
                PAGES["/traces"],
                title="Traces",
                icon=":material/account_tree:",
                url_path="traces",
            ),
            st.Page(PAGES["/cost"], title="Cost", icon=":material/payments:", url_path="cost"),
            st.Page(
                PAGES["/incidents"],
                title="Incidents",
                icon=":material/notification_important:",
                url_path="incidents",
            ),
        ],
        position="hidden" if isinstance(visitor, Stranger) else "sidebar",
    )
    if isinstance(visitor, Stranger):
        # The page that was asked for is not run, and nothing is read.
        sign_in.draw(visitor)
        return
    url_state.restore_shared(page.url_path)
    sign_in.sidebar(visitor)
    filters.sidebar()
    with st.sidebar:
        if settings.mlflow_url:
            st.link_button(
                "Experiments in MLflow", settings.mlflow_url, icon=":material/open_in_new:", type="tertiary"
            )
    try:
        page.run()
    except AccessEnded:
        st.rerun()


main()

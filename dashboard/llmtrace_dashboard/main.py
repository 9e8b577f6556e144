"""The script that Streamlit executes for each visitor and rerun: frame, filters, then the chosen page."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from llmtrace_dashboard import address, filters, theme
from llmtrace_dashboard.app import current_settings

# The folder is not called `pages`: Streamlit takes that name for its own, and a first visitor who follows a
# link to a page would see that page without this frame.
HERE = Path(__file__).parent


def main() -> None:
    """Draw the frame and run the page."""
    settings = current_settings()
    st.set_page_config(
        page_title=settings.title,
        page_icon=str(HERE / "assets" / "icon.svg"),
        layout="wide",
        menu_items={"Get help": None, "Report a bug": None, "About": None},
    )
    st.html(theme.PAGE_STYLE)
    st.logo(str(HERE / "assets" / "logo.svg"), size="large", icon_image=str(HERE / "assets" / "icon.svg"))
    page = st.navigation(
        [
            st.Page(
                HERE / "screens" / "overview.py",
                title="Overview",
                icon=":material/monitoring:",
                url_path="overview",
                default=True,
            ),
            st.Page(
                HERE / "screens" / "traces.py",
                title="Traces",
                icon=":material/account_tree:",
                url_path="traces",
            ),
            st.Page(HERE / "screens" / "cost.py", title="Cost", icon=":material/payments:", url_path="cost"),
            st.Page(
                HERE / "screens" / "incidents.py",
                title="Incidents",
                icon=":material/notification_important:",
                url_path="incidents",
            ),
        ]
    )
    address.carry(page.url_path)
    filters.sidebar()
    with st.sidebar:
        if settings.mlflow_url:
            st.link_button(
                "Experiments in MLflow", settings.mlflow_url, icon=":material/open_in_new:", type="tertiary"
            )
    page.run()


main()

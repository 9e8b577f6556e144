"""The dashboard as a server: Streamlit in this process, configured from our settings alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmtrace_dashboard.settings import DashboardSettings
from llmtrace_dashboard.ui.current_settings import configure

#: What Streamlit executes for each visitor.
SCRIPT = Path(__file__).with_name("script.py")


def streamlit_options(settings: DashboardSettings) -> dict[str, Any]:
    """Streamlit's options under which the dashboard runs, by their configuration names."""
    # No theme here would let a stray .streamlit/config.toml restyle or reopen the pages.
    from llmtrace_dashboard.ui import theme

    return {
        "server.address": settings.host,
        "server.port": settings.port,
        "server.headless": True,
        "server.allowedHosts": [settings.host, "127.0.0.1", "localhost", *settings.allowed_hosts],
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "logger.level": "warning",
        "logger.hideWelcomeMessage": True,
        "global.developmentMode": False,
        # Values come from the address (ui/url_state.py): a widget's own default beside them is no mistake.
        "global.disableWidgetStateDuplicationWarning": True,
        **theme.options(),
    }


def serve(settings: DashboardSettings) -> None:
    """Run the dashboard until SIGINT or SIGTERM; blocking, and only in a process's main thread."""
    from streamlit.web import bootstrap

    configure(settings)
    # Streamlit's flags have underscores for the first dots; a name's own parts have none.
    flags = {name.replace(".", "_"): value for name, value in streamlit_options(settings).items()}
    bootstrap.load_config_options(flags)
    bootstrap.run(str(SCRIPT), is_hello=False, args=[], flag_options=flags)

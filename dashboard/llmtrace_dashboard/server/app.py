"""The dashboard as a server: Streamlit in this process, configured from our settings alone."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from llmtrace.common.log_lines import LineFormatter
from llmtrace_dashboard.settings import DashboardSettings
from llmtrace_dashboard.ui.current_settings import configure

from .secrets import cookie_secret, login_secrets

#: What Streamlit executes for each visitor.
SCRIPT = Path(__file__).with_name("script.py")

#: How long a stop waits for answers that are under way.
_STOP_SECONDS = 5

#: Connections at the same time; further ones are answered 503.
_MOST_CONNECTIONS = 1000


def streamlit_options(settings: DashboardSettings) -> dict[str, Any]:
    """Streamlit's options under which the dashboard runs, by their configuration names."""
    # No theme here would let a stray .streamlit/config.toml restyle or reopen the pages.
    from llmtrace_dashboard.ui import theme

    return {
        "server.address": settings.host,
        "server.port": settings.port,
        "server.headless": True,
        "server.allowedHosts": [settings.host, "127.0.0.1", "localhost", *settings.allowed_hosts],
        "server.trustedUserHeaders": _user_headers(settings),
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        # Nobody's secrets.toml, neither here nor in a home directory: secrets come from our settings.
        "secrets.files": [],
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


def _user_headers(settings: DashboardSettings) -> dict[str, str]:
    """Header → what `st.user` calls it. Only `Protection` lets requests with them through."""
    named = {settings.trusted_header: "email", settings.trusted_groups_header: "groups_text"}
    return {header: name for header, name in named.items() if header}


def _log_lines() -> None:
    """Streamlit's loggers have handlers of their own: let them write lines as every part does."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "streamlit":
            for handler in logging.getLogger(name).handlers:
                handler.setFormatter(LineFormatter("%(levelname)s %(name)s: %(message)s"))


def serve(settings: DashboardSettings) -> None:
    """Run the dashboard until SIGINT or SIGTERM; blocking, and only in a process's main thread.

    Raises SecretUnusable.
    """
    import uvicorn
    from starlette.middleware import Middleware
    from streamlit import App, config, file_util
    from streamlit.web import bootstrap

    from llmtrace.common.http_limits.connections import raise_descriptor_limit

    from .deadlines import PromptProtocol
    from .protection import Policy, Protection

    configure(settings)
    options = streamlit_options(settings)
    secrets = login_secrets(settings)
    if secrets:
        # The cookie of a login under way is signed before Streamlit takes the secrets in.
        options["server.cookieSecret"] = cookie_secret(settings)
    # Streamlit's flags have underscores for the first dots; a name's own parts have none.
    bootstrap.load_config_options({name.replace(".", "_"): value for name, value in options.items()})
    _log_lines()
    page = Path(file_util.get_static_dir()) / "index.html"
    protection = Middleware(Protection, policy=Policy.of(settings), page=page)
    app = App(SCRIPT, secrets=secrets, middleware=[protection])
    server = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=PromptProtocol,
        ws="websockets-sansio",
        ws_max_size=16 << 20,
        # Who connects is who connects: forwarded addresses are for whoever asks for them.
        proxy_headers=False,
        server_header=False,
        log_config=None,
        access_log=False,
        log_level="warning",
        # Half of the descriptors at most: the rest is for reads of the collector.
        limit_concurrency=min(_MOST_CONNECTIONS, raise_descriptor_limit() // 2),
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    listening = server.bind_socket()
    config.set_option("server.port", listening.getsockname()[1])
    uvicorn.Server(server).run(sockets=[listening])

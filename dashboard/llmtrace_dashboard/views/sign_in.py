"""Pages of somebody who may see nothing (yet), and what the sidebar says of who is signed in."""

from __future__ import annotations

from urllib.parse import urlsplit

import streamlit as st

from llmtrace_dashboard.access.people import Person, Stranger
from llmtrace_dashboard.settings import CALLBACK
from llmtrace_dashboard.ui.current_settings import current_settings
from llmtrace_dashboard.ui.visitor import access, sign_out

_ROLE_NOTES = {
    "viewer": "Viewer: reads.",
    "operator": "Operator: reads, acknowledges and resolves.",
    "admin": "Admin: may do everything.",
}


def draw(stranger: Stranger) -> None:
    """Draw what a visitor without a role sees: a way to sign in, or why there is nothing to see."""
    st.space("large")
    _, middle, _ = st.columns([1, 2, 1])
    with middle, st.container(border=True, gap="small"):
        if stranger.reason in ("signed_out", "too_old"):
            _sign_in(stranger)
        elif stranger.reason == "no_role":
            _no_role(stranger)
        elif stranger.reason == "unnamed":
            st.header("Nobody is named", anchor=False)
            st.text(
                f"The proxy before this dashboard should say who you are in the header {stranger.detail}, "
                "and did not. Sign in at the proxy again. If that does not help, its administrator can let "
                "it pass this header on."
            )
        else:
            st.header("Nobody may see this now", anchor=False)
            st.text("The rules of who may see what cannot be read. An administrator can mend them:")
            st.code(stranger.detail, language=None, wrap_lines=True)


def sidebar(visitor: Person) -> None:
    """Draw who is signed in, and the way out. Where nobody signs in, nothing."""
    if not visitor.name:
        return
    settings = current_settings()
    with st.sidebar, st.container(horizontal=True, horizontal_alignment="distribute"):
        st.text(visitor.name, help=_ROLE_NOTES[visitor.role])
        if settings.oidc_issuer:
            st.button(
                "Sign out", on_click=sign_out, icon=":material/logout:", type="tertiary", key="sign_out"
            )

    @st.fragment(run_every=settings.refresh_seconds)
    def watch_role() -> None:
        # Also where the page itself rests: a trace that is open, a page that was paused.
        if access().visitor() != visitor:
            st.rerun(scope="app")

    watch_role()


def _sign_in(stranger: Stranger) -> None:
    settings = current_settings()
    st.header("Sign in", anchor=False)
    if stranger.reason == "too_old":
        st.text(f"Your login is older than {settings.login_hours:g} hours. Sign in again to go on.")
    else:
        st.text(f"You sign in at {_host(settings.oidc_issuer)} and come back here.")
    address = settings.redirect_url.removesuffix(CALLBACK)
    if "{port}" not in address and st.context.url and _origin(st.context.url) != _origin(address):
        # The cookie of a login that starts here would not be there when it returns.
        st.link_button("Continue", address, type="primary", icon=":material/login:")
        st.caption(f"Logins start at {address}.")
        return
    st.button("Sign in", on_click=st.login, type="primary", icon=":material/login:", key="sign_in")


def _no_role(stranger: Stranger) -> None:
    settings = current_settings()
    st.header("You have no role here", anchor=False)
    st.text(
        f"You are signed in as {stranger.name or 'somebody without a name'}, and nobody gave you a role yet."
    )
    st.text("An administrator of this dashboard can, in its llmtrace.toml. It holds at once:")
    st.code(
        f'[[dashboard.roles]]\nclaim = "email"\nvalues = [{_toml_text(stranger.name)}]\nrole = "viewer"',
        language="toml",
    )
    if settings.oidc_issuer:
        st.button("Sign out", on_click=sign_out, icon=":material/logout:", key="sign_out")


def _toml_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc

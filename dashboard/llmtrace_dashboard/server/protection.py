"""What stands before Streamlit: hosts, foreign pages and the proxy are checked; answers get their headers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmtrace.common.loopback import is_loopback
from llmtrace_dashboard.settings import CALLBACK, DashboardSettings

from . import login_return

PROXY_SECRET: Final = "x-llmtrace-proxy-secret"  # noqa: S105 - a header's name
"""Header by which a trusted proxy shows that it is the one."""

_HEALTH = "/_stcore/health"
_LOGIN = "/auth/login"

#: Streamlit's own pages that nobody needs here.
_CLOSED = frozenset({"/_stcore/metrics", "/_stcore/script-health-check"})

#: Signing in and out: a foreign page may not send anyone there.
_OWN_LINKS = (_LOGIN, "/auth/logout")

_STATIC_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Addresses hold filters, names of users and ids of traces.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), display-capture=()",
}


def content_security_policy(frame_ancestors: tuple[str, ...] = (), inline_scripts: str = "") -> str:
    """What the pages may load and run, and who may frame them.

    `inline_scripts`: hashes of the scripts that stand in Streamlit's page. Its components are modules that it
    makes of our files in the browser, hence `blob:`.
    """
    directives = {
        "default-src": "'none'",
        "script-src": f"'self' blob: {inline_scripts}".rstrip(),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        # Sound of messages stands in the page.
        "media-src": "data:",
        "connect-src": "'self'",
        "manifest-src": "'self'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": " ".join(frame_ancestors) or "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())


def inline_script_hashes(page: Path) -> str:
    """The sources that allow exactly the scripts standing in an HTML page."""
    scripts = re.findall(r"<script>(.*?)</script>", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


@dataclass(frozen=True)
class Policy:
    """Whom the server answers, and with which headers; made of the settings once."""

    hosts: frozenset[str]
    public_origin: str
    frame_ancestors: tuple[str, ...]
    identity_headers: tuple[str, ...]
    proxies: tuple[IPv4Network | IPv6Network, ...]
    proxy_secret: str
    login_seconds: int

    @staticmethod
    def of(settings: DashboardSettings) -> Policy:
        """The policy of these settings."""
        parts = urlsplit(settings.public_url)
        secret = settings.trusted_secret.get_secret_value() if settings.trusted_secret else ""
        headers = (settings.trusted_header.lower(), settings.trusted_groups_header.lower())
        named = (settings.host, "127.0.0.1", "localhost", *settings.allowed_hosts, parts.hostname or "")
        return Policy(
            hosts=frozenset(host.lower().strip("[]") for host in named if host),
            public_origin=f"{parts.scheme}://{parts.netloc}".lower() if settings.public_url else "",
            frame_ancestors=settings.frame_ancestors,
            identity_headers=tuple(name for name in headers if name),
            proxies=tuple(ip_network(proxy, strict=False) for proxy in settings.trusted_proxies),
            proxy_secret=secret,
            login_seconds=int(settings.login_hours * 3600),
        )


class Protection:
    """ASGI middleware that refuses what no visitor of ours sends, before Streamlit hears of it."""

    def __init__(self, app: ASGIApp, policy: Policy, page: Path) -> None:
        """`page`: the HTML file that the pages start from."""
        self._app = app
        self._policy = policy
        self._headers = {
            **_STATIC_HEADERS,
            "Content-Security-Policy": content_security_policy(
                policy.frame_ancestors, inline_script_hashes(page)
            ),
        }
        if not policy.frame_ancestors:
            self._headers["X-Frame-Options"] = "DENY"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse or pass on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                self._remember_page(scope, headers)
                self._protect(headers)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send_protected)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            status, reason = refusal
            await PlainTextResponse(reason + "\n", status)(scope, receive, send_protected)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason where this request is not answered."""
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if _hostname(host) not in self._policy.hosts or len(headers.getlist("host")) != 1:
            return 421, "This host is not among [dashboard] allowed_hosts."
        if refusal := self._proxy_refusal(scope, headers):
            return refusal
        if scope["type"] == "websocket":
            return None if self._is_own_origin(headers.getlist("origin"), host) else (403, "A foreign page.")
        if scope["method"] not in ("GET", "HEAD"):
            return 405, "Only GET and HEAD are answered."
        if path in _CLOSED:
            return 404, "Not found."
        return _foreign_page(headers, path)

    def _proxy_refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Who a person is, is believed from the proxy alone: all others are refused, but for the health."""
        policy = self._policy
        if not policy.identity_headers:
            return None
        address = (scope.get("client") or ("",))[0]
        if scope["path"] == _HEALTH and is_loopback(address):
            return None
        if policy.proxies and not _within(address, policy.proxies):
            return 403, "Come by the proxy: this address is not among [dashboard] trusted_proxies."
        secrets = headers.getlist(PROXY_SECRET)
        if policy.proxy_secret and not (
            len(secrets) == 1 and hmac.compare_digest(secrets[0].encode(), policy.proxy_secret.encode())
        ):
            return 403, "Come by the proxy: the secret of [dashboard] trusted_secret is absent or another."
        if any(len(headers.getlist(name)) > 1 for name in policy.identity_headers):
            return 400, "The proxy names more than one person: it must replace the header, not add to it."
        return None

    def _remember_page(self, scope: Scope, answer: MutableHeaders) -> None:
        request = Headers(scope=scope)
        if scope["path"] == _LOGIN:
            login_return.remember(request, answer)
        elif scope["path"] == CALLBACK:
            login_return.lead_back(answer, cookie_parser(request.get("cookie", "")))

    def _is_own_origin(self, origins: list[str], host: str) -> bool:
        """Whether the page that opens a WebSocket is ours: same host and port, or the public address."""
        if len(origins) != 1:
            return False
        parts = urlsplit(origins[0].lower())
        own = parts.scheme in ("http", "https") and parts.netloc == host.lower()
        return own or (bool(self._policy.public_origin) and origins[0].lower() == self._policy.public_origin)

    def _protect(self, headers: MutableHeaders) -> None:
        for name, value in self._headers.items():
            headers[name] = value
        # Streamlit lets any origin read some answers.
        for name in {name for name in headers if name.startswith("access-control-")}:
            del headers[name]
        cookies = headers.getlist("set-cookie")
        if cookies:
            del headers["set-cookie"]
            for cookie in cookies:
                headers.append("set-cookie", self._stricter(cookie))

    def _stricter(self, cookie: str) -> str:
        """A cookie of a login lasts no longer than the login, and goes over https alone where that is."""
        parts = [part.strip() for part in cookie.split(";")]
        if parts[0].startswith("_streamlit_user"):
            parts = [self._no_longer(part) for part in parts]
        if self._policy.public_origin.startswith("https:") and "secure" not in [p.lower() for p in parts]:
            parts.append("Secure")
        return "; ".join(parts)

    def _no_longer(self, part: str) -> str:
        name, _, seconds = part.partition("=")
        if name.lower() != "max-age" or not seconds.isdigit():
            return part
        return f"{name}={min(int(seconds), self._policy.login_seconds)}"


def _foreign_page(headers: Headers, path: str) -> tuple[int, str] | None:
    """Refuse what another site's page asks for; a link or the way back from a login are no such thing.

    Browsers say where a request comes from; programs that say nothing carry nobody's cookies.
    """
    site = headers.get("sec-fetch-site", "none")
    if site in ("none", "same-origin"):
        return None
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    if followed and path not in _OWN_LINKS and (path == CALLBACK or not path.startswith("/_stcore/")):
        return None
    return 403, "Another site's page asked for this."


def _hostname(host: str) -> str:
    """The name in a Host header, without its port; empty where it is no host."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    return "" if parts.netloc != host or "@" in host else (parts.hostname or "").rstrip(".")


def _within(address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        peer = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(peer, "ipv4_mapped", None)
    return any((mapped or peer) in network for network in networks)

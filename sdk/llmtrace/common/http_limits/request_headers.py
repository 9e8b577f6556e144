"""The headers by which a request says where it goes and which page sent it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from llmtrace.common.loopback import is_loopback

from .refusal import Refusal

#: An address of IPv6 in brackets or a name, and perhaps a port.
_HOST = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]@/?#\\,\s]+))(?::\d*)?")


class RequestHeaders:
    """A request's headers by lower-case name (the last of several)."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._raw: list[tuple[bytes, bytes]] = scope["headers"]
        self._values: dict[bytes, bytes] = dict(self._raw)

    def get(self, name: bytes) -> str:
        """The value of a header; empty when there is none."""
        return self._values.get(name, b"").decode("latin-1")

    def __contains__(self, name: bytes) -> bool:
        return name in self._values

    def count(self, name: bytes) -> int:
        """How many headers have the name."""
        return sum(header == name for header, _ in self._raw)


class HostRule:
    """Which `Host` headers a part accepts.

    A web page that rebinds its name to this machine still sends its own name. Bound to loopback: loopback's
    names and `allowed`. Bound to others: every one, until `allowed` names some; addresses and loopback's
    names go on being accepted, since no page can make a browser believe that an address is its own name.
    `allowed` may hold `*` and `*.example.com`.
    """

    def __init__(self, bind: str, allowed: Iterable[str], setting: str) -> None:
        """`setting` is the name of `allowed`, for the sentence that says how to mend it."""
        self._allowed = frozenset(name.lower() for name in allowed)
        self._setting = setting
        self._local = is_loopback(bind)
        self._accepted: set[str] = set()  # as they were sent; asked for each request

    def check(self, headers: RequestHeaders) -> None:
        """Raise Refusal 421 for a host that is not accepted."""
        host = headers.get(b"host")
        if host in self._accepted and headers.count(b"host") == 1:
            return
        if headers.count(b"host") > 1 or not self._accepts(_name_of(host)):
            raise Refusal(
                421,
                f"the host name {host[:100]!r} is not one of this service: add it to {self._setting}, or use "
                "an address or name that is allowed",
            )
        if len(self._accepted) < 100:
            self._accepted.add(host)

    def _accepts(self, name: str) -> bool:
        if "*" in self._allowed or name in self._allowed or is_loopback(name):
            return True
        if any(rule.startswith("*.") and name.endswith(rule[1:]) for rule in self._allowed):
            return True
        return not self._local and (not self._allowed or _is_address(name))


class OriginRule:
    """Which web pages may send requests: the part's own, and those of `allowed` origins
    (`https://app.example.com`) where the route says that browsers may use it.
    """

    def __init__(self, allowed: Iterable[str], setting: str) -> None:
        """`setting` is the name of `allowed`, empty when there is none."""
        self._allowed = frozenset(origin.lower().rstrip("/") for origin in allowed)
        self._setting = setting

    def check(self, headers: RequestHeaders, *, for_browsers: bool, is_page: bool, method: str) -> str:
        """The allowed origin that sent the request, empty when no foreign page did. Raises Refusal 403."""
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
        if not origin and not site:
            return ""
        if origin:
            if for_browsers and origin.lower() in self._allowed:
                return origin
            if not _is_own(origin, headers.get(b"host")):
                raise self._refusal(origin, for_browsers=for_browsers)
        if site in ("", "same-origin"):
            return ""
        # `none`: somebody typed the address or opened a link of another program.
        if site == "none" and is_page and method in ("GET", "HEAD"):
            return ""
        raise self._refusal(origin or f"another page ({site[:20]})", for_browsers=for_browsers)

    def _refusal(self, origin: str, *, for_browsers: bool) -> Refusal:
        mend = f": add its origin to {self._setting}" if self._setting and for_browsers else ""
        return Refusal(403, f"web pages of {origin[:100]!r} may not use this service{mend}")


def _is_own(origin: str, host: str) -> bool:
    """Whether a page's origin is the host that it asks. `null` is nobody's."""
    scheme, divider, netloc = origin.lower().partition("://")
    if not divider or scheme not in ("http", "https"):
        return False
    default = ":443" if scheme == "https" else ":80"
    return netloc.removesuffix(default) == host.lower().removesuffix(default)


def _name_of(host: str) -> str:
    """The name in a `Host` header, without its port; empty where it is not name and port alone."""
    parts = _HOST.fullmatch(host)
    return (parts[1] or parts[2]).lower() if parts else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

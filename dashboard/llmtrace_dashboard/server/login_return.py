"""After a login people are back on the page that they wanted, which Streamlit alone forgets."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders

from llmtrace_dashboard.settings import CALLBACK

_COOKIE: Final = "llmtrace_return"
_SECONDS: Final = 600
_LONGEST: Final = 2000

#: The only places that a login leads to.
_PAGES = frozenset({"/", "/overview", "/traces", "/cost", "/incidents"})


def remember(request: Headers, answer: MutableHeaders) -> None:
    """On the way to the provider: keep the page in a cookie. The browser names pages of this origin alone."""
    parts = urlsplit(request.get("referer", ""))
    page = parts.path + (f"?{parts.query}" if parts.query else "")
    if parts.netloc == request.get("host") and _is_ours(page):
        answer.append("set-cookie", _cookie(quote(page, safe=""), _SECONDS))


def lead_back(answer: MutableHeaders, cookies: dict[str, str]) -> None:
    """On the way back: Streamlit sends everyone to `/`; send them to the page that was kept instead."""
    page = unquote(cookies.get(_COOKIE, ""))
    if not page:
        return
    answer.append("set-cookie", _cookie("", 0))
    if answer.get("location") == "/" and _is_ours(page):
        answer["location"] = page


def _is_ours(page: str) -> bool:
    """Whether this is a page of ours, by its path; never another host, however it is written."""
    if len(page) > _LONGEST or not page.isascii() or not page.isprintable() or "\\" in page:
        return False
    return page.partition("?")[0] in _PAGES


def _cookie(value: str, seconds: int) -> str:
    return f"{_COOKIE}={value}; Path={CALLBACK}; Max-Age={seconds}; HttpOnly; SameSite=Lax"

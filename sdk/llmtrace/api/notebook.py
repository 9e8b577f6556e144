"""In IPython: the line that `init` shows, and addresses that are links in a cell's output.

IPython is never imported here: where it runs, it has been.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from llmtrace.internal_errors import swallow

_SHOWING: Final = swallow("showing the dashboard's address")
_LINKED: Final = ("http://", "https://")
_last_page = ""


class PageUrl(str):
    """The address of a page; a notebook shows it as a link."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return _link(self)


def show_dashboard(dashboard_url: str) -> None:
    """A line with the way to the traces, in a notebook or an IPython terminal; nothing anywhere else.

    An address that was shown before is not shown again: cells are run many times.
    """
    global _last_page
    with _SHOWING:
        shell = _running_shell()
        page = f"{dashboard_url}/traces"
        if shell is None or page == _last_page:
            return
        _last_page = page
        words = "llmtrace: traces of this session are at"
        shell.display_pub.publish(
            data={"text/plain": f"{words} {page}", "text/html": f"{words} {_link(page)}"}
        )


def _running_shell() -> Any:
    """IPython's shell, where the program runs in it. None elsewhere, though IPython may be imported."""
    ipython = sys.modules.get("IPython")
    get_ipython = getattr(ipython, "get_ipython", None)
    return None if get_ipython is None else get_ipython()


def _link(page: str) -> str:
    import html  # slow, and only notebooks need it

    text = html.escape(page)
    # An address of another kind, such as javascript:, is text.
    if not page.lower().startswith(_LINKED):
        return text
    return f'<a href="{text}" target="_blank" rel="noopener">{text}</a>'

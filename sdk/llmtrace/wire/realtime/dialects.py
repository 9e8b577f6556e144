"""The APIs over a WebSocket that this SDK reads; a new one is a module here and a line below."""

from __future__ import annotations

from typing import Final

from .dialect import Dialect
from .gemini_live import LIVE
from .openai_events import REALTIME
from .responses_socket import RESPONSES

DIALECTS: Final[tuple[Dialect, ...]] = (REALTIME, RESPONSES, LIVE)


def of_path(path: str) -> Dialect | None:
    """The API at a path (percent-encoded, without query), by its shape alone: hosts are not asked."""
    return next((dialect for dialect in DIALECTS if dialect.matches(path)), None)

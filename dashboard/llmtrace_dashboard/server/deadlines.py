"""uvicorn's connections with a deadline: whoever connects and says nothing does not stay."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Seconds within which the header of a request must be whole.
HEADER_SECONDS = 10.0


class PromptProtocol(HttpToolsProtocol):
    """A connection whose requests come within their time. A WebSocket is none of its matters any more."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for a first request."""
        super().connection_made(transport)
        self._wait()

    def on_message_begin(self) -> None:
        """A request begins, maybe another on the same connection: its header must come."""
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        """The header is whole."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

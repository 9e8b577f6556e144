"""The canonical record of a call: what our SDK makes of the same exchange, sent without any emitter."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

import llmtrace
from llmtrace.testing import Answer, Received, ReplayServer

from .provider import Exchange, LoopbackProvider

#: What belongs to a connection, not to a request.
_OWN_HEADERS = {"host", "content-length", "transfer-encoding", "connection", "traceparent", "tracestate"}


def send(exchanges: Sequence[Exchange]) -> list[Received]:
    """What the SDK exports when it sees the exchanges anew; the session of each call is its place."""
    sink = ReplayServer(Answer(headers={"content-type": "application/x-protobuf"}))
    with LoopbackProvider(exchanges) as provider, sink:
        llmtrace.init(endpoint=sink.url, http_spans="none")
        try:
            with httpx.Client(timeout=60, trust_env=False) as client:
                for place, exchange in enumerate(exchanges):
                    headers = {
                        name: value
                        for name, value in exchange.headers.items()
                        if name not in _OWN_HEADERS and not name.startswith("accept-encoding")
                    }
                    with (
                        llmtrace.context(session_id=str(place)),
                        client.stream(
                            "POST",
                            f"{provider.url}/{place}{exchange.path}",
                            content=exchange.body,
                            headers=headers,
                        ) as response,
                    ):
                        for _ in response.iter_raw():
                            pass
            llmtrace.flush(60)
        finally:
            llmtrace.shutdown(timeout=5)
        return list(sink.requests)

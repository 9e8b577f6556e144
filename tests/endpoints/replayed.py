"""One exchange of HTTP with a server on the loopback interface."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from llmtrace.testing import Answer, ReplayServer, sse


def replayed(
    path: str,
    sent: Any,
    answer: Any,
    events: Sequence[Any] | None = None,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    provider: str = "",
) -> Callable[[bool], None]:
    """A call of `path` (with its query) that sends JSON and is answered by `answer`, or by a stream of
    `events`. provider: who answers, where the format is spoken by several."""

    def send(stream: bool) -> None:
        whole = Answer.json(answer)
        named = {"x-llmtrace-provider": provider} if provider else {}
        reply = sse(events or ()) if stream else whole
        with ReplayServer(
            Answer(reply.body, headers={**reply.headers, **named}, chunks=reply.chunks)
        ) as server:
            body = json.dumps(sent).encode() if sent is not None else None
            with (
                httpx.Client() as client,
                client.stream(method, server.url + path, content=body, headers=headers) as response,
            ):
                response.read()

    return send

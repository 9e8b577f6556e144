"""A streamed answer as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from .answers.events import AnswerStarted, Event, TextDelta
from .request import InferenceRequest
from .response_bodies import response_body_of


class EventStream(StreamingResponse):
    """Sends a completion that has started; its request is finished however the sending ends.

    An error after the start becomes an error event. `events` is what is left of the request's `run`.
    """

    def __init__(
        self, completion: InferenceRequest[Any], events: AsyncGenerator[AnswerStarted | Event, None]
    ) -> None:
        self._completion = completion
        self._events = events
        self._text = self._written()
        super().__init__(self._text, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Also where the client left before the first byte, and `_written` has not begun.
            try:
                await self._text.aclose()
                await self._events.aclose()
            finally:
                self._completion.finish(ClientDisconnect())

    async def _written(self) -> AsyncGenerator[str, None]:
        completion = self._completion
        body = response_body_of(completion)
        completion.note_first_byte()  # its first event is there already
        try:
            for chunk in body.opening():
                yield _event(chunk)
            async for event in self._events:
                # Where much is there already, and where nobody reads any more: others get their turn.
                await asyncio.sleep(0)
                if isinstance(event, TextDelta):
                    for chunk in body.chunks(event):
                        yield _event(chunk)
            if completion.body.include_usage:
                yield _event(body.usage_chunk())
            yield "data: [DONE]\n\n"
            completion.finish()
        except Exception as error:  # noqa: BLE001 - the client and the log get it
            refusal = completion.finish(error).refusal
            if refusal is not None:
                yield _event(refusal.body())


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"

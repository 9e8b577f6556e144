"""Exchanges of HTTP with a server on the loopback interface."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import httpx

from llmtrace.testing import Answer, ReplayServer, sse
from tests.sdk.aws_frames import frame
from tests.sdk.naive import Recording, recordings
from tests.sdk.provider_samples import PROVIDER_SAMPLES
from tests.sdk.stream_forms import Cut, Events, streamed
from tests.sdk.test_recordings import Loopback, answer_of
from tests.sdk.vector_samples import VECTOR_SAMPLES
from tests.sdk.wire_samples import SAMPLES, Sample

Send = Callable[[bool], None]


def replayed(
    path: str,
    sent: Any,
    answer: Any,
    events: Sequence[Any] | None = None,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    provider: str = "",
    api: str = "",
) -> Send:
    """A call of `path` (with its query) that sends JSON and is answered by `answer`, or by a stream: of
    `events`, else of what the answer would have been. provider: who answers, where the format is spoken by
    several. api: the path of the API whose answers these are, where it is another."""

    def send(stream: bool) -> None:
        reply = Answer.json(answer)
        if stream:
            reply = sse(events) if events is not None else as_stream(api or path, answer)
        _exchange(method, path, sent, reply, headers, provider)

    return send


def _exchange(
    method: str, path: str, sent: Any, reply: Answer, headers: Mapping[str, str] | None, provider: str
) -> None:
    named = {"x-llmtrace-provider": provider} if provider else {}
    with ReplayServer(Answer(reply.body, headers={**reply.headers, **named}, chunks=reply.chunks)) as server:
        body = json.dumps(sent).encode() if sent is not None else None
        with (
            httpx.Client() as client,
            client.stream(method, server.url + path, content=body, headers=headers) as response,
        ):
            response.read()


def as_stream(path: str, answer: Any) -> Answer:
    """The stream that an answer of an API that several speak would have been."""
    form = streamed(path.partition("?")[0], answer, Cut(path))
    if form is None:
        raise ValueError(f"no stream is known of {path}")
    return _framed(path, *form)


def _framed(path: str, framing: str, events: Events) -> Answer:
    if framing == "aws":
        in_chunk = "/invoke" in path
        frames = [_chunk(event) if in_chunk else _frame(event) for event in events]
        return Answer(headers={"content-type": "application/vnd.amazon.eventstream"}, chunks=frames)
    if framing == "ndjson":
        lines = [json.dumps(event).encode() + b"\n" for event in events]
        return Answer(headers={"content-type": "application/x-ndjson"}, chunks=lines)
    if framing == "array":
        return Answer.json(events)
    return sse(events)


def _frame(event: Any) -> bytes:
    ((name, payload),) = event.items()
    return frame(name, payload)


def _chunk(event: Any) -> bytes:
    return frame("chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode()})


def sampled(whole: str, streamed_name: str = "", **changes: Any) -> Send:
    """The exchange of a sample by its name; `streamed_name` is that of its stream, where it has one. changes:
    fields that the request has otherwise, as `model`; `provider`, where the format is spoken by several."""
    provider = changes.pop("provider", "")

    def send(stream: bool) -> None:
        sample = _samples()[streamed_name if stream and streamed_name else whole]
        sent = {**sample.sent, **changes} if sample.sent is not None else None
        reply = Answer(sample.body(), headers={"content-type": sample.content_type})
        _exchange(sample.method, sample.path, sent, reply, None, provider)

    return send


@cache
def _samples() -> dict[str, Sample]:
    return {sample.name: sample for sample in (*SAMPLES, *PROVIDER_SAMPLES)}


def in_turn(*sends: Send) -> Send:
    """Several exchanges, one after the other, in one program."""

    def send(stream: bool) -> None:
        for exchange in sends:
            exchange(stream)

    return send


def searched(name: str) -> Send:
    """The search of a vector database by the name of its sample."""
    sample = next(sample for sample in VECTOR_SAMPLES if sample.name == name)
    return replayed(sample.path, sample.sent, sample.answer)


def recorded(name: str) -> Send:
    """A recorded exchange by its name, sent to where it was: as it was, or as the stream of its answer."""

    def send(stream: bool) -> None:
        recording = _recordings()[name]
        reply = answer_of(recording)
        if stream:
            body = recording.answered
            body = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
            reply = as_stream(recording.path, json.loads(body))
        record = recording.record
        with (
            ReplayServer(reply, provider="") as server,
            httpx.Client(transport=Loopback(server)) as client,
            client.stream(record["method"], record["url"], content=recording.sent or None) as response,
        ):
            response.read()

    return send


@cache
def _recordings() -> dict[str, Recording]:
    return {recording.name: recording for recording in recordings()}

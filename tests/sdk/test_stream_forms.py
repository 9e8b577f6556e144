"""An answer says the same however it comes: whole or as a stream, cut anywhere, in every framing."""

from __future__ import annotations

import base64
import contextvars
import gzip
import json
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from opentelemetry.context import Context

from llmtrace.capture import interceptor
from llmtrace.capture.call import LlmCall
from llmtrace.testing import capture
from llmtrace.wire import registry
from tests.examples import examples

from .naive import FOLDER, Recording, recordings
from .provider_samples import PROVIDER_SAMPLES
from .stream_forms import Cut, Events, streamed
from .whole_forms import unstreamed
from .wire_samples import SAMPLES

RECORDED = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recorded traffic at {FOLDER}")
SSE, AWS, NDJSON, JSON = (
    "text/event-stream",
    "application/vnd.amazon.eventstream",
    "application/x-ndjson",
    "application/json",
)
#: When things came, and that they came as a stream.
_OF_FORM = ("time_to_", "gen_ai.request.stream")


@dataclass(frozen=True)
class Exchange:
    """A request, and the answer to it in pieces."""

    name: str
    method: str
    url: str
    sent: bytes
    status: int
    answer_headers: Mapping[str, str]
    pieces: tuple[bytes, ...]

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def answered(self) -> bytes:
        """The answer, decoded."""
        body = b"".join(self.pieces)
        return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body

    @property
    def kind(self) -> str:
        """The framing of a stream, or an empty text."""
        kind = self.answer_headers.get("content-type", "")
        return next((framing for framing in (SSE, AWS, NDJSON) if kind.startswith(framing)), "")

    def answered_with(self, body: bytes, kind: str = "") -> Exchange:
        """The same with another answer of the same or another kind."""
        headers = {key: value for key, value in self.answer_headers.items() if key != "content-encoding"}
        headers |= {"content-type": kind} if kind else {}
        return replace(self, answer_headers=headers, pieces=(body,))


class Request:
    """As the HTTP library of a program would know it."""

    def __init__(self, exchange: Exchange) -> None:
        self.path = exchange.path
        self.body = exchange.sent
        self.headers: Mapping[str, str] = {}
        self._host = urlsplit(exchange.url).hostname or ""

    def address(self) -> tuple[str, int]:
        return self._host, 443


def _recorded() -> list[Exchange]:
    return [_exchange(recording) for recording in recordings() if recording.left_out is None]


def _exchange(recording: Recording) -> Exchange:
    record, headers = recording.record, recording.headers
    body = recording.answered
    if body.startswith(b"\x1f\x8b"):
        headers["content-encoding"] = "gzip"
    kinds = record["method"], record["url"], recording.sent, recording.status
    return Exchange(recording.name, *kinds, headers, (body,))


def _samples() -> list[Exchange]:
    exchanges = []
    for sample in (*SAMPLES, *PROVIDER_SAMPLES):
        sent = b"" if sample.sent is None else json.dumps(sample.sent).encode()
        headers = {"content-type": sample.content_type}
        url = "https://api.test" + sample.path
        exchanges.append(Exchange(sample.name, sample.method, url, sent, 200, headers, (sample.body(),)))
    return exchanges


def _read(exchanges: list[Exchange]) -> list[dict[str, Any]]:
    """What the span of each says, but for times and for how its answer came."""
    ends: list[int] = []
    with capture() as traces:
        for exchange in exchanges:
            # Each in a context of its own: one that failed is not repeated by the next.
            contextvars.copy_context().run(_call, exchange)
            ends.append(len(traces.spans()))
        spans = traces.snapshot()
    return [_without_form(spans[end - 1]) for end in ends]


def _call(exchange: Exchange) -> None:
    runtime = interceptor.current_runtime()
    wire_format = registry.recognise(exchange.path, exchange.sent, exchange.method)
    assert runtime is not None
    assert wire_format is not None, exchange.path
    call = LlmCall(runtime, wire_format, Request(exchange), Context())
    call.receive(exchange.status, exchange.answer_headers, None)
    for piece in exchange.pieces:
        call.body.add(piece)
    call.end()


def _without_form(span: dict[str, Any]) -> dict[str, Any]:
    attributes = {
        key: value for key, value in span["attributes"].items() if not any(mark in key for mark in _OF_FORM)
    }
    for key in ("gen_ai.input.messages", "gen_ai.output.messages"):
        attributes[key] = json.loads(attributes.get(key, "[]"))
    return {"name": span["name"], "status": span["status"], **attributes}


def _differences(
    exchanges: list[Exchange], wanted: list[dict[str, Any]], others: list[Exchange]
) -> Iterator[str]:
    for exchange, want, actual in zip(exchanges, wanted, _read(others), strict=True):
        for key in sorted({*want, *actual}):
            if want.get(key) != actual.get(key):
                yield f"{exchange.name}: {key} is {actual.get(key)!r}, expected {want.get(key)!r}"


def _recut(exchange: Exchange, cut: Cut) -> Exchange:
    """The same stream in pieces that keep to no event's bounds, with all that its framing allows besides."""
    body = exchange.answered
    if exchange.kind == SSE:
        body = _reworded_sse(body, cut)
    elif exchange.kind == NDJSON:
        lines = [line for line in body.split(b"\n") if line]
        body = cut.choice([b"\n", b"\r\n", b"\n\n"]).join([*lines, b""])
    other = exchange.answered_with(body)
    if cut.sometimes():
        headers = {**other.answer_headers, "content-encoding": "gzip"}
        other, body = replace(other, answer_headers=headers), gzip.compress(body)
    return replace(other, pieces=tuple(cut.bytes(body)))


def _reworded_sse(body: bytes, cut: Cut) -> bytes:
    end: bytes = cut.choice([b"\n", b"\r\n", b"\r"])
    lines: list[bytes] = [b": begin", b""] if cut.sometimes() else []
    spacing = cut.choice([b"data:", b"data: "])
    is_readable, is_commented = cut.sometimes(), cut.sometimes()
    for line in body.replace(b"\r\n", b"\n").split(b"\n"):
        if is_commented and not line:
            lines += [b"", b": keep-alive", b"", b"", b"id: 7", b"retry: 100"]
        text = line.removeprefix(b"data:").strip() if line.startswith(b"data:") else None
        if text is None:
            lines.append(line)
        elif is_readable and text.startswith(b"{"):
            pretty = json.dumps(json.loads(text), indent=1).encode().split(b"\n")
            lines += [spacing + part for part in pretty]
        else:
            lines.append(spacing + text)
    return end.join(lines)


def _aws(event: Any, *, in_chunk: bool) -> bytes:
    ((name, payload),) = [("chunk", event)] if in_chunk else event.items()
    body = json.dumps(payload).encode()
    if in_chunk:
        body = json.dumps({"bytes": base64.b64encode(body).decode(), "p": "abcd"}).encode()
    headers = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for key, value in ((":event-type", name), (":message-type", "event"))
    )
    return struct.pack(">III", 16 + len(headers) + len(body), len(headers), 0) + headers + body + b"\0\0\0\0"


def _framed(exchange: Exchange, framing: str, events: Events) -> Exchange:
    lines = [json.dumps(event).encode() for event in events]
    if framing == "aws":
        in_chunk = "/invoke" in exchange.path
        return exchange.answered_with(b"".join(_aws(event, in_chunk=in_chunk) for event in events), AWS)
    if framing == "ndjson":
        return exchange.answered_with(b"".join(line + b"\n" for line in lines), NDJSON)
    if framing == "array":
        return exchange.answered_with(b"[" + b"\n,\r\n".join(lines) + b"]", JSON)
    done = [b"data: [DONE]\n\n"] if "completions" in exchange.path else []
    return exchange.answered_with(b"".join([*(b"data: " + line + b"\n\n" for line in lines), *done]), SSE)


def _as_stream(exchange: Exchange, cut: Cut) -> Exchange:
    """A whole answer as the stream that it would have been; other exchanges as they are."""
    if exchange.kind or exchange.status >= 400:
        return exchange
    answer = json.loads(exchange.answered)
    is_answer = isinstance(answer, dict) and not answer.get("error") and exchange.method == "POST"
    form = streamed(exchange.path, answer, cut) if is_answer else None
    if form is None or (answer.get("status") or "completed") not in {"completed", "incomplete"}:
        return exchange
    other = _framed(exchange, *form)
    return replace(other, pieces=tuple(cut.bytes(other.answered)))


def _as_whole(exchange: Exchange) -> Exchange:
    """A stream as the whole answer that it would have been; other exchanges as they are."""
    if exchange.kind not in {SSE, AWS}:
        return exchange
    answer = unstreamed(exchange.path, list(_events(exchange)))
    return exchange if answer is None else exchange.answered_with(json.dumps(answer).encode(), JSON)


def _events(exchange: Exchange) -> Iterator[Any]:
    raw = exchange.answered
    if exchange.kind == SSE:
        lines = [line[5:].strip() for line in raw.split(b"\n") if line.startswith(b"data:")]
        yield from (json.loads(line) for line in lines if line.startswith(b"{"))
        return
    while raw:
        total, head_size = struct.unpack_from(">II", raw)
        head, payload = raw[12 : 12 + head_size], raw[12 + head_size : total - 4]
        name = head.split(b":event-type\x07")[1]
        yield {name[2 : 2 + name[1]].decode(): json.loads(payload)}
        raw = raw[total:]


FORMS: dict[str, Callable[[Exchange, Cut], Exchange]] = {
    "stream cut anywhere": lambda exchange, cut: _recut(exchange, cut) if exchange.kind else exchange,
    "whole as a stream": _as_stream,
    "stream as a whole": lambda exchange, cut: _as_whole(exchange),
}


def _all_forms(exchanges: list[Exchange], rounds: int) -> Counter[str]:
    """Require that every exchange says the same in every form; how many have another, by form."""
    wanted = _read(exchanges)
    changed: Counter[str] = Counter()
    wrong: list[str] = []
    for seed in range(rounds):
        for form, change in FORMS.items():
            others = [change(exchange, Cut(f"{seed} {exchange.name}")) for exchange in exchanges]
            pairs = zip(exchanges, others, strict=True)
            changed[form] += sum(other is not exchange for exchange, other in pairs)
            wrong += [f"{form} ({seed}): {text}" for text in _differences(exchanges, wanted, others)]
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(text[:1500] for text in wrong[:20])
    return changed


@RECORDED
def test_every_recorded_answer_in_every_form() -> None:
    rounds = examples(2)
    changed = _all_forms(_recorded(), rounds)
    least = {"stream cut anywhere": 183, "whole as a stream": 365, "stream as a whole": 160}
    assert all(changed[form] >= count * rounds for form, count in least.items()), changed


def test_every_sample_in_every_form() -> None:
    """Formats that no recording has."""
    rounds = examples(10)
    changed = _all_forms(_samples(), rounds)
    assert changed["stream cut anywhere"] >= 7 * rounds
    assert changed["whole as a stream"] >= 10 * rounds, changed

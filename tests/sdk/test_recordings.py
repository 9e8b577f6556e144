"""Recorded traffic of real providers, replayed by a raw client, against a second and naive reading of it."""

from __future__ import annotations

import contextvars
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from llmtrace.testing import Answer, ReplayServer, capture

from .naive import FOLDER, Expected, Recording, expected, misshapen, recordings

_OPTIONAL = (
    "openai.response.service_tier",
    "anthropic.response.service_tier",
    "llmtrace.response.service_tier",
)
_REQUEST_PARAMS = {
    "temperature": ("temperature",),
    "top_p": ("top_p", "topP"),
    "top_k": ("top_k",),
    "max_tokens": ("max_completion_tokens", "max_tokens", "max_output_tokens", "maxTokens"),
    "seed": ("seed",),
    "frequency_penalty": ("frequency_penalty",),
    "presence_penalty": ("presence_penalty",),
    "stop_sequences": ("stop", "stop_sequences", "stopSequences"),
    "choice.count": ("n", "candidateCount"),
    "reasoning.level": ("reasoning_effort", "effort"),
    "previous_response.id": ("previous_response_id",),
}
_TEXT_FIELDS = frozenset({"text", "content", "prompt", "instructions", "system"})


class Loopback(httpx.HTTPTransport):
    """Sends every request to the replay server, whatever its address: the span sees the real one."""

    def __init__(self, server: ReplayServer) -> None:
        super().__init__()
        self._port = server.port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return super().handle_request(
            httpx.Request(request.method, url, headers=request.headers, content=request.content)
        )


def answer_of(recording: Recording) -> Answer:
    """The recorded response; a stream in pieces that keep to no event's bounds."""
    body = recording.answered
    if not recording.is_stream:
        return Answer(body, recording.status, recording.headers)
    pieces = [body[at : at + 777] for at in range(0, len(body), 777)]
    return Answer(status=recording.status, headers=recording.headers, chunks=pieces)


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recorded traffic at {FOLDER}")
def test_every_recording(capsys: pytest.CaptureFixture[str]) -> None:
    """All GenAI calls become the span their bodies say; all others become none."""
    wrong: list[str] = []
    passed: Counter[str] = Counter()
    left_out: Counter[tuple[str, str]] = Counter()
    counted: set[str] = set()
    for recording, spans in list(_replayed()):
        if recording.left_out:
            left_out[recording.source, recording.left_out] += 1
            wrong += [f"{recording.name}: {recording.left_out}, but a span"] if spans else []
            continue
        mismatches = list(differences(recording, expected(recording, counted), spans))
        wrong += [f"{recording.name}: {mismatch}" for mismatch in mismatches]
        passed[recording.source] += not mismatches
    with capsys.disabled():
        print("".join(f"\n{source}: {count} calls as recorded" for source, count in passed.items()))
        print("".join(f"left out: {n} of {s}: {why}\n" for (s, why), n in left_out.items()), end="")
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(wrong[:30])
    assert passed.total() == 630
    assert left_out.total() == 60


def _replayed() -> Iterator[tuple[Recording, list[dict[str, Any]]]]:
    """Each recording and the spans it became."""
    counts: list[tuple[Recording, int]] = []
    with (
        capture(http_spans="none") as traces,
        ReplayServer(Answer(), provider="") as server,
        httpx.Client(transport=Loopback(server)) as client,
    ):
        for recording in recordings():
            server.answer_with(answer_of(recording))
            # Each in a context of its own: one that failed is not repeated by the next.
            contextvars.copy_context().run(_exchange, client, recording)
            counts.append((recording, len(traces.spans())))
        spans = traces.snapshot()
    before = 0
    for recording, after in counts:
        yield recording, spans[before:after]
        before = after


def _exchange(client: httpx.Client, recording: Recording) -> None:
    record = recording.record
    with client.stream(record["method"], record["url"], content=recording.sent or None) as response:
        assert b"".join(response.iter_raw()) == recording.answered


def differences(recording: Recording, want: Expected, spans: list[dict[str, Any]]) -> Iterator[str]:
    if len(spans) != 1:
        yield f"{len(spans)} spans"
        return
    for name, actual, wanted in _compared(recording, want, spans[0]):
        if actual != wanted:
            yield f"{name} is {actual!r}, expected {wanted!r}"


def _compared(recording: Recording, want: Expected, span: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    attributes = span["attributes"]
    get = attributes.get
    sent = json.loads(recording.sent) if recording.sent else {}
    yield "misshapen", misshapen(attributes), []
    yield "operation", get("gen_ai.operation.name"), want.operation
    yield "name", span["name"], f"{want.operation} {want.request_model or ''}".strip()
    yield "provider", get("gen_ai.provider.name"), want.provider
    yield "request model", get("gen_ai.request.model"), want.request_model
    yield "response model", get("gen_ai.response.model"), want.response_model or None
    yield "response id", get("gen_ai.response.id"), want.response_id or None
    yield "usage", _usage(attributes), want.usage
    yield "reasons", get("gen_ai.response.finish_reasons"), want.reasons
    yield "text", "".join(_parts(attributes, "text", "content")), want.text
    yield "thoughts", "".join(_parts(attributes, "reasoning", "content")), want.thoughts
    calls = [(call["id"], call["name"], call["arguments"]) for call in _parts(attributes, "tool_call")]
    yield "tool calls", calls, want.calls
    yield "tier", next((attributes[key] for key in _OPTIONAL if key in attributes), None), want.tier
    streamed = recording.is_stream or sent.get("stream") is True or recording.path.endswith("-stream")
    yield "stream", get("gen_ai.request.stream", False), streamed
    output = recording.is_stream and bool(want.text or want.thoughts or want.calls)
    yield "timed output", "llmtrace.response.time_to_last_token" in attributes, output
    yield "first byte", "llmtrace.response.time_to_first_byte" in attributes, True
    yield "status", get("http.response.status_code"), recording.status
    headers = recording.headers
    yield "request id", get("llmtrace.request.id"), headers.get("x-request-id", headers.get("request-id"))
    remaining = headers.get("x-ratelimit-remaining-requests")
    remaining = remaining or headers.get("anthropic-ratelimit-requests-remaining")
    yield "rate limit", get("llmtrace.ratelimit.requests.remaining"), int(remaining) if remaining else None
    yield "tokens left", get("llmtrace.ratelimit.tokens.remaining"), _whole(headers, "remaining-tokens")
    yield "token limit", get("llmtrace.ratelimit.tokens.limit"), _whole(headers, "limit-tokens")
    yield "error", (get("error.type"), span["status"][1]), want.error or (None, None)
    tools = [tool["name"] for tool in json.loads(get("gen_ai.tool.definitions", "[]"))]
    if "assistant" not in recording.name:
        yield "tools", tools, want.tools
    span_texts = set(_strings(json.loads(get("gen_ai.input.messages", "[]"))))
    span_texts |= set(_strings(json.loads(get("gen_ai.system_instructions", "[]"))))
    yield "texts missing", [text for text in _request_texts(sent) if text not in span_texts], []
    span_params = {key: get(f"gen_ai.request.{key}") for key in _REQUEST_PARAMS}
    params = sent.get("inferenceConfig") or sent.get("generationConfig") or sent
    params = {**params, **(sent.get("reasoning") or {})}
    for key, names in _REQUEST_PARAMS.items():
        value = next((params[name] for name in names if params.get(name) is not None), None)
        value = [value] if key == "stop_sequences" and isinstance(value, str) else value
        yield key, span_params[key], None if key == "choice.count" and value == 1 else value
    roles = [
        "tool" if message["role"] == "function" else message["role"] for message in sent.get("messages", [])
    ]
    if roles:
        span_roles = [message["role"] for message in json.loads(get("gen_ai.input.messages", "[]"))]
        yield "roles", span_roles, roles


def _whole(headers: dict[str, str], name: str) -> int | None:
    value = headers.get(f"x-ratelimit-{name}")
    return int(value) if value else None


def _usage(attributes: dict[str, Any]) -> dict[str, int]:
    """What was told of tokens; estimates are nobody's word."""
    return {
        key.partition("usage.")[2]: value
        for key, value in attributes.items()
        if ".usage." in key and not key.startswith("llmtrace.usage.estimated")
    }


def _parts(attributes: dict[str, Any], kind: str, key: str | None = None) -> list[Any]:
    messages = json.loads(attributes.get("gen_ai.output.messages", "[]"))
    parts = [part for message in messages for part in message["parts"] if part["type"] == kind]
    return [part[key] for part in parts] if key else parts


def _request_texts(sent: Any, key: str = "") -> Iterator[str]:
    """What people, models and tools said in a request: every text in it that is short enough to be whole."""
    if isinstance(sent, dict):
        for name, value in sent.items():
            if name not in {"tools", "functions", "response_format", "text_format", "metadata", "arguments"}:
                yield from _request_texts(value, name)
    elif isinstance(sent, list):
        for value in sent:
            yield from _request_texts(value, key)
    elif isinstance(sent, str) and key in _TEXT_FIELDS and 0 < len(sent) < 2000:
        yield sent


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str):
        yield value

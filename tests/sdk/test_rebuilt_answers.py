"""Recorded answers back to what providers send: the inverse of reading them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from llmtrace import semconv
from llmtrace.testing.rebuild import answers
from llmtrace.testing.rebuild.recorded import NotRebuildable, RecordedCall, recorded_call
from llmtrace.testing.replay import Answer
from llmtrace.wire.format import WireFormat
from llmtrace.wire.framing import decode
from llmtrace.wire.provider_errors import provider_error
from llmtrace.wire.registry import recognise

from .naive import FOLDER, Recording
from .test_recordings import _replayed

COMPARED = (
    *(semconv.RESPONSE_FINISH_REASONS, semconv.RESPONSE_MODEL, semconv.RESPONSE_ID),
    *(semconv.USAGE_INPUT_TOKENS, semconv.USAGE_OUTPUT_TOKENS, semconv.USAGE_CACHE_READ_INPUT_TOKENS),
    *(semconv.USAGE_CACHE_WRITE_INPUT_TOKENS, semconv.USAGE_REASONING_OUTPUT_TOKENS),
    semconv.EMBEDDINGS_DIMENSION_COUNT,
)


def read(wire_format: WireFormat, answer: Answer) -> Any:
    """The decoded body of an answer, a stream's events put together."""
    if answer.chunks is None:
        return json.loads(answer.body)
    events = decode.events(answer.headers["content-type"], b"".join(answer.chunks), wire_format.joined)
    assert events is not None
    return wire_format.fold(events)


def rebuilt(call: RecordedCall, wire_format: WireFormat, path: str, body: bytes) -> dict[str, Any]:
    """What the SDK reads in the rebuilt answer."""
    translation = wire_format.response(read(wire_format, answers.answer(call, wire_format, path, body)), True)
    return {**translation.attributes, **translation.content}


def twice(recording: Recording) -> Iterator[tuple[str, bytes]]:
    """Path and body of a request, as it was and with the other answer to whether it streams."""
    parts = urlsplit(recording.record["url"])
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    yield path, recording.sent
    sent = json.loads(recording.sent)
    if ":generateContent" in path:
        yield path.replace(":generateContent", ":streamGenerateContent") + "?alt=sse", recording.sent
    elif ":streamGenerateContent" in path:
        yield path.replace(":streamGenerateContent", ":generateContent"), recording.sent
    elif "/model/" not in path and "embed" not in path.lower():
        yield path, json.dumps({**sent, "stream": not sent.get("stream")}).encode()


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recorded traffic at {FOLDER}")
def test_what_is_rebuilt_reads_as_what_was_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    """Every recorded answer: recorded, rebuilt and read again it is the same, streamed or not."""
    wrong: list[str] = []
    same: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for recording, spans in _replayed():
        wire_format = recognise(recording.path, recording.sent, recording.record["method"])
        if wire_format is None or not recording.sent or not spans:
            continue
        attributes = spans[-1]["attributes"]
        call = recorded_call(attributes, spans[-1]["status"][1] or "")
        if answers.builder_of(wire_format) is None:
            left_out[f"{wire_format.provider} {wire_format.operation}"] += 1
            continue
        for path, body in twice(recording):
            try:
                wrong += differences(recording, attributes, call, wire_format, path, body)
                same[f"{wire_format.provider} {wire_format.operation}"] += 1
            except NotRebuildable as error:
                left_out[str(error)] += 1
    with capsys.disabled():
        print("", *(f"{count} of {what}" for what, count in same.items()), sep="\n")
        print("not rebuilt:", *(f"{count}: {why}" for why, count in left_out.items()), sep="\n")
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(wrong[:20])
    assert same.total() > 800


def differences(
    recording: Recording,
    attributes: dict[str, Any],
    call: RecordedCall,
    wire_format: WireFormat,
    path: str,
    body: bytes,
) -> list[str]:
    answer = answers.answer(call, wire_format, path, body)
    if call.status >= 400:
        _, message = provider_error(read(wire_format, answer), failed=True)
        return [] if message == call.error[1] else [f"{recording.name}: {message!r} is not {call.error!r}"]
    seen = rebuilt(call, wire_format, path, body)
    expected = {key: attributes[key] for key in COMPARED if key in attributes}
    messages = json.loads(attributes.get(semconv.OUTPUT_MESSAGES, "[]"))
    differing = [
        f"{recording.name}: {key} is {seen.get(key)!r}, was {value!r}"
        for key, value in expected.items()
        if seen.get(key) != value
    ]
    if messages and seen.get(semconv.OUTPUT_MESSAGES) != messages:
        differing.append(f"{recording.name}: {seen.get(semconv.OUTPUT_MESSAGES)}\n  was {messages}")
    return differing

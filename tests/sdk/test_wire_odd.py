"""Nothing about a body is trusted: real bodies with any piece of them replaced never break a translation."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from llmtrace.wire import registry
from llmtrace.wire.format import WireFormat
from llmtrace.wire.framing import aws_event_stream, decode
from llmtrace.wire.render import render

from .naive import FOLDER, recordings
from .provider_samples import PROVIDER_SAMPLES
from .stream_forms import Cut, streamed
from .test_any_answer_streamed import ANSWERS
from .vector_samples import VECTOR_SAMPLES
from .wire_samples import SAMPLES

ODD: list[Any] = [None, 3, -1.5, True, "", "odd", [], [None, 1, "x"], {}, {"type": 5, "x": [1]}, [{}], [[]]]
_MOST = 400


def pieces(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from pieces(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:40]):
            yield from pieces(inner, (*at, index))


def replaced(value: Any, at: tuple[Any, ...], odd: Any) -> Any:
    if not at:
        return odd
    copy = value.copy()
    copy[at[0]] = replaced(value[at[0]], at[1:], odd)
    return copy


def _translate(wire_format: WireFormat, path: str, sent: Any, answer: Any, is_stream: bool) -> None:
    translations = [wire_format.request(sent, path, True)]
    if is_stream:
        answer = wire_format.fold(answer if isinstance(answer, list) else [answer])
    translations.append(wire_format.response(answer, True))
    for translation in translations:
        for key, value in translation.attributes.items():
            assert isinstance(value, str | int | float | list), key
            assert not isinstance(value, list) or all(isinstance(item, str) for item in value), key
        for messages in translation.content.values():
            json.loads(render(messages, 10_000))


def _exchanges() -> Iterator[tuple[str, str, Any, Any, bool]]:
    """(method, path, request, answer, whether it is events): one of each shape."""
    shapes = set()
    for recording in recordings() if FOLDER.is_dir() else ():
        sent = json.loads(recording.sent) if recording.sent else None
        raw = recording.answered
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        events = decode.events(recording.headers.get("content-type", ""), raw)
        answer = decode.decoded(raw) if events is None else events[:3] + events[-4:]
        shape = (recording.path.rpartition("/")[2][-12:], str(sorted(sent or {})), str(answer)[:60])
        if recording.left_out is None and shape not in shapes:
            shapes.add(shape)
            yield recording.record["method"], recording.path, sent, answer, events is not None
    for sample in (*SAMPLES, *PROVIDER_SAMPLES):
        yield sample.method, sample.path, sample.sent, sample.answer, isinstance(sample.answer, list)
    for path, answer_of in ANSWERS.items():
        whole = answer_of(
            "Hi there", "Hm", [("a", "f", {"x": [1, "y"]}), ("b", "f", {}), ("c", "g", {"z": None})]
        )
        for seed in range(6):
            form = streamed(path, whole, Cut(seed))
            assert form is not None
            sent = {"messages": [], "max_tokens": 1, "model": "m", "contents": [], "input": "hi"}
            yield "POST", path, sent, form[1], True
    for vector_sample in VECTOR_SAMPLES:
        yield "POST", vector_sample.path, vector_sample.sent, vector_sample.answer, False


def test_odd_bodies() -> None:
    chance = random.Random(7)
    tried = 0
    for method, path, sent, answer, is_stream in _exchanges():
        wire_format = registry.recognise(path, json.dumps(sent).encode() if sent else b"", method)
        assert wire_format is not None, path
        _translate(wire_format, path, sent, answer, is_stream)
        places = [(True, at) for at in pieces(sent)] + [(False, at) for at in pieces(answer)]
        for in_request, at in chance.sample(places, min(len(places), 40)):
            odd = chance.choice(ODD)
            other = (replaced(sent, at, odd), answer) if in_request else (sent, replaced(answer, at, odd))
            try:
                _translate(wire_format, path, *other, is_stream)
            except Exception as error:
                raise AssertionError(
                    f"{path}: {at} = {odd!r} in the {'request' if in_request else 'answer'}"
                ) from error
            tried += 1
    assert tried > (1000 if FOLDER.is_dir() else 500)


@pytest.mark.parametrize("torn", range(0, 200, 7))
def test_torn_and_odd_event_streams(torn: int) -> None:
    payload = b'{"contentBlockDelta":{"delta":{"text":"x"}}}'
    name = b"\x0b:event-type\x07\x00\x05chunk\x03odd\x00\x04size\x04\x00\x00\x00\x01"
    message = (16 + len(name) + len(payload)).to_bytes(4, "big") + len(name).to_bytes(4, "big")
    message += b"\0\0\0\0" + name + payload + b"\0\0\0\0"
    whole = message * 3
    assert aws_event_stream.events(whole) == [{"chunk": json.loads(payload)}] * 3
    assert len(aws_event_stream.events(whole[:torn])) == torn // len(message)
    aws_event_stream.events(whole[torn:])
    aws_event_stream.events(random.Random(torn).randbytes(300))

"""The formats that single providers have: any text says the same whole and as a stream, cut anywhere."""

from __future__ import annotations

import base64
import contextvars
import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrace.testing import Answer, Captured, ReplayServer
from llmtrace.wire import registry, replicate
from llmtrace.wire.framing import decode
from tests.examples import examples

from .aws_frames import frame
from .provider_samples.aws import AGENT, AGENT_PATH, RAG
from .provider_samples.replicate import PREDICTION, REPLICATE_STREAM, STARTING
from .stream_forms import Cut

AWS = "application/vnd.amazon.eventstream"
CHAT = [{"role": "user", "content": "hi"}]
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
_COHERE = {"finish_reason": "COMPLETE", "generation_id": "g"}


def _sse(events: Sequence[Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def _lines(events: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def _aws(events: Sequence[Any]) -> bytes:
    return b"".join(frame(name, payload) for event in events for name, payload in event.items())


def _watsonx(text: str, number: int, reason: str) -> Any:
    counts = {"generated_token_count": number, "input_token_count": 3 if number == 1 else 0}
    return {"model_id": "m", "results": [{"generated_text": text, **counts, "stop_reason": reason}]}


def _chunks(pieces: Sequence[str]) -> list[Any]:
    chunks = [{"id": "c", "choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": _USAGE}
    return [*chunks, {"id": "c", **end}]


_USAGE = {"prompt_tokens": 3, "completion_tokens": 2}

#: path → (request, whole answer of a text, body of the stream of its pieces, content type).
FORMS: dict[str, tuple[Any, Callable[[str], Any], Callable[[Sequence[str]], bytes], str]] = {
    "/v1/chat": (
        {"message": "hi"},
        lambda text: {"text": text, **_COHERE},
        lambda pieces: _lines(
            [
                {"event_type": "stream-start", "generation_id": "g"},
                *({"event_type": "text-generation", "text": piece} for piece in pieces),
                {"event_type": "stream-end", "response": {"text": "".join(pieces), **_COHERE}},
            ]
        ),
        "application/stream+json",
    ),
    "/v1/complete": (
        {"prompt": "hi", "max_tokens_to_sample": 5},
        lambda text: {"type": "completion", "completion": text, "stop_reason": "stop_sequence", "model": "m"},
        lambda pieces: _sse(
            [
                *({"type": "completion", "completion": piece, "stop_reason": None} for piece in pieces),
                {"type": "completion", "completion": "", "stop_reason": "stop_sequence", "model": "m"},
            ]
        ),
        "text/event-stream",
    ),
    "/ml/v1/text/generation": (
        {"model_id": "m", "input": "hi"},
        lambda text: {
            "model_id": "m",
            "results": [
                {
                    "generated_text": text,
                    "generated_token_count": 9,
                    "input_token_count": 3,
                    "stop_reason": "eos_token",
                }
            ],
        },
        lambda pieces: _sse(
            [
                *(_watsonx(piece, number + 1, "not_finished") for number, piece in enumerate(pieces)),
                _watsonx("", 9, "eos_token"),
            ]
        ),
        "text/event-stream",
    ),
    "/ml/v1/text/chat": (
        {"model_id": "m", "messages": CHAT},
        lambda text: {
            "id": "c",
            "choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}],
            "usage": _USAGE,
        },
        lambda pieces: _sse(_chunks(pieces)),
        "text/event-stream",
    ),
    "/endpoints/e/invocations": (
        {"messages": CHAT},
        lambda text: {
            "id": "c",
            "choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}],
            "usage": _USAGE,
        },
        lambda pieces: _payload_parts(_sse(_chunks(pieces)) + b"data: [DONE]\n\n", len(pieces)),
        AWS,
    ),
    "/endpoints/llama/invocations": (
        {"inputs": "hi"},
        lambda text: {"generated_text": text, "details": {"finish_reason": "length", "generated_tokens": 2}},
        lambda pieces: _payload_parts(
            _lines(
                [
                    *({"token": {"text": piece}} for piece in pieces),
                    {
                        "token": {"text": ""},
                        "generated_text": "".join(pieces),
                        "details": {"finish_reason": "length", "generated_tokens": 2},
                    },
                ]
            ),
            len(pieces),
        ),
        AWS,
    ),
    AGENT_PATH: (
        AGENT,
        lambda text: {"completion": text, "traces": []},
        lambda pieces: _aws(
            [{"chunk": {"bytes": base64.b64encode(piece.encode()).decode()}} for piece in pieces]
        ),
        AWS,
    ),
    "/retrieveAndGenerate": (
        RAG,
        lambda text: {"output": {"text": text}, "citations": []},
        lambda pieces: _aws([{"output": {"text": piece}} for piece in pieces]),
        AWS,
    ),
    "/v2/models/m/generate": (
        {"text_input": "hi"},
        lambda text: {"model_name": "m", "text_output": text},
        lambda pieces: _sse([{"model_name": "m", "text_output": piece} for piece in pieces]),
        "text/event-stream",
    ),
    "/client/v4/accounts/a/ai/run/@cf/m": (
        {"prompt": "hi"},
        lambda text: {"result": {"response": text, "usage": _USAGE}, "success": True},
        lambda pieces: _sse([*({"response": piece} for piece in pieces), {"response": "", "usage": _USAGE}]),
        "text/event-stream",
    ),
}


def _payload_parts(body: bytes, seed: int) -> bytes:
    """A body in pieces that keep to nothing, not even to characters."""
    pieces = Cut(seed).bytes(body)
    return b"".join(frame("PayloadPart", piece, "application/octet-stream") for piece in pieces)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("path", FORMS)
@given(text=_TEXTS, seed=st.integers())
@settings(max_examples=examples(40))
def test_any_text_as_a_stream(path: str, text: str, seed: int) -> None:
    sent, whole_of, stream_of, kind = FORMS[path]
    pieces = Cut(seed).pieces(text)
    if path == AGENT_PATH and any(map(_is_json, pieces)):
        return  # read as JSON, and written anew
    wire_format = registry.recognise(path, json.dumps(sent).encode())
    assert wire_format is not None
    events = decode.events(kind, stream_of(pieces), wire_format.joined)
    assert events is not None
    folded = wire_format.response(wire_format.fold(events), True)
    whole = wire_format.response(whole_of(text), True)
    assert folded.content == whole.content
    assert folded.attributes == whole.attributes
    assert folded.inner_calls == whole.inner_calls
    (message,) = whole.content["gen_ai.output.messages"]
    assert message["parts"] == [{"type": "text", "content": text}]


@given(
    texts=st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), max_size=5)
)
@settings(max_examples=examples(60))
def test_texts_of_replicate_are_no_json(texts: list[str]) -> None:
    body = b"".join(f"event: output\nid: 1:0\ndata: {text}\n\n".encode() for text in texts)
    body += b"event: done\nid: 2:0\ndata: {}\n\n"
    events = decode.events("text/event-stream", body, replicate.STREAM.joined)
    prediction = replicate.STREAM.fold(events or [])
    assert prediction == {"output": texts, "status": "succeeded"}


def _asked(server: ReplayServer, method: str, path: str, body: Any = None) -> None:
    with httpx.Client() as client:
        content = json.dumps(body).encode() if body is not None else None
        contextvars.copy_context().run(client.request, method, server.url + path, content=content)


def _operations(traces: Captured) -> list[tuple[str, dict[str, float]]]:
    return [
        (
            str(span["attributes"]["gen_ai.operation.name"]),
            {
                key.partition("usage.")[2]: value
                for key, value in span["attributes"].items()
                if "usage." in key
            },
        )
        for span in traces.snapshot()
    ]


_TOKENS = {"input_tokens": 3, "output_tokens": 2, "compute_seconds": 1.5}


def test_a_prediction_counts_once(traces: Captured) -> None:
    """Begun, polled, finished, and fetched again."""
    answers = [STARTING, {**STARTING, "status": "processing"}, PREDICTION, PREDICTION]
    with ReplayServer(*map(Answer.json, answers)) as server:
        _asked(server, "POST", "/v1/predictions", {"version": "v", "input": {"prompt": "hi"}})
        for _ in range(3):
            _asked(server, "GET", "/v1/predictions/p1")
    assert _operations(traces) == [
        ("create_response", {}),
        ("fetch_response", {}),
        ("generate_content", _TOKENS),
        ("fetch_response", {}),
    ]


def test_a_prediction_that_was_waited_for_counts_once(traces: Captured) -> None:
    with ReplayServer(Answer.json(PREDICTION, 201)) as server:
        _asked(server, "POST", "/v1/models/meta/llama-3/predictions", {"input": {"prompt": "hi"}})
        _asked(server, "GET", "/v1/predictions/p1")
    assert _operations(traces) == [("generate_content", _TOKENS), ("fetch_response", {})]


def test_a_streamed_prediction_counts_once(traces: Captured) -> None:
    """The stream, which tells neither id nor model, is known by its address."""
    stream = b"event: output\nid: 1:0\ndata: Hello\n\nevent: done\nid: 2:0\ndata: {}\n\n"
    with ReplayServer(
        Answer.json({**STARTING, "model": "meta/llama-3"}, 201),
        Answer(stream, headers={"content-type": "text/event-stream"}),
        Answer.json(PREDICTION),
    ) as server:
        body = {"input": {"prompt": "hi"}, "stream": True}
        _asked(server, "POST", "/v1/models/meta/llama-3/predictions", body)
        _asked(server, "GET", REPLICATE_STREAM)
        _asked(server, "GET", "/v1/predictions/p1")
    assert _operations(traces) == [
        ("create_response", {}),
        ("generate_content", {"estimated": "output", "estimated.output_tokens": 1}),
        ("fetch_response", {}),
    ]
    streamed = traces.snapshot()[1]["attributes"]
    assert streamed["gen_ai.response.id"] == "p1"
    assert streamed["gen_ai.request.model"] == "meta/llama-3"
    assert "llmtrace.response.stream_path" not in streamed


def test_a_file_of_openai_is_no_stream_of_replicate() -> None:
    for path in (
        "/v1/files/file-abc123def456ghi789jkl012",
        "/v1/files/file-abc/content",
        "/v1/files/batch_1",
    ):
        wire_format = registry.recognise(path, b"", "GET")
        assert wire_format is None or wire_format.provider == "openai"


def test_a_video_counts_once(traces: Captured) -> None:
    video = {"id": "video_1", "model": "sora-2", "seconds": "8"}
    answers = [{**video, "status": status} for status in ("queued", "in_progress", "completed", "completed")]
    with ReplayServer(*map(Answer.json, answers)) as server:
        _asked(server, "POST", "/v1/videos", {"model": "sora-2", "prompt": "a cat"})
        for _ in range(3):
            _asked(server, "GET", "/v1/videos/video_1")
    assert _operations(traces) == [
        ("create_response", {}),
        ("fetch_response", {}),
        ("generate_content", {"video_seconds": 8.0}),
        ("fetch_response", {}),
    ]


@pytest.mark.parametrize("on_vertex", [False, True])
def test_a_video_of_veo_counts_once(traces: Captured, on_vertex: bool) -> None:
    model = "/v1beta/models/veo-3"
    name = "models/veo-3/operations/op1"
    done = {"name": name, "done": True, "response": {"videos": [{"gcsUri": "gs://b/v.mp4"}]}}
    with ReplayServer(*map(Answer.json, [{"name": name}, {"name": name}, done, done])) as server:
        _asked(server, "POST", f"{model}:predictLongRunning", {"instances": [{"prompt": "a cat"}]})
        for _ in range(3):
            if on_vertex:
                _asked(server, "POST", f"{model}:fetchPredictOperation", {"operationName": name})
            else:
                _asked(server, "GET", f"{model}/operations/op1")
    assert [name for name, _ in _operations(traces)] == [
        "create_response",
        "fetch_response",
        "generate_content",
        "fetch_response",
    ]

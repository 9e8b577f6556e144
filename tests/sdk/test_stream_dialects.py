"""What servers really stream, and not as the reference has it: each way of saying it gives the same answer."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrace.testing import Answer, Captured, ReplayServer, sse
from llmtrace.wire import registry
from llmtrace.wire.format import WireFormat
from llmtrace.wire.framing import decode
from llmtrace.wire.gemini import partial_arguments
from llmtrace.wire.provider_errors import provider_error
from tests.examples import examples

from .chat import REQUEST
from .stream_forms import Cut, streamed

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
GEMINI, INTERACTIONS = "/v1beta/models/m:streamGenerateContent", "/v1beta/interactions"
CONVERSE, INVOKE = "/model/m/converse-stream", "/model/m/invoke-with-response-stream"
SENT = {"messages": [], "max_tokens": 1, "model": "m", "contents": [], "input": "hi", "prompt": "hi"}


def _format(path: str) -> WireFormat:
    wire_format = registry.recognise(path, json.dumps(SENT).encode())
    assert wire_format is not None
    return wire_format


def _read(path: str, events: list[Any]) -> tuple[dict[str, Any], list[Any]]:
    """(attributes, parts of the answer) of a stream."""
    wire_format = _format(path)
    translation = wire_format.response(wire_format.fold(events), True)
    messages = translation.content.get("gen_ai.output.messages", [])
    return translation.attributes, [part for message in messages for part in message["parts"]]


def _calls(path: str, events: list[Any]) -> list[tuple[Any, Any, Any]]:
    parts = [part for part in _read(path, events)[1] if part["type"] == "tool_call"]
    return [(part["id"], part["name"], part["arguments"]) for part in parts]


def _delta(**delta: Any) -> Any:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def _call(arguments: Any, **fields: Any) -> Any:
    name = {"name": fields.pop("name")} if "name" in fields else {}
    return {**fields, "function": {**name, "arguments": arguments}}


TWO = [("a", "get_weather", {"city": "Rome"}), ("b", "get_weather", {"city": "Oslo"})]
ROME, OSLO = '{"city": "Rome"}', '{"city": "Oslo"}'

#: Two calls of one tool, as one delta an entry.
PARALLEL: dict[str, list[Any]] = {
    "OpenAI": [
        _call("", index=0, id="a", name="get_weather"),
        _call(ROME[:5], index=0),
        _call("", index=1, id="b", name="get_weather"),
        _call(ROME[5:], index=0),
        _call(OSLO, index=1),
    ],
    "Gemini: every call has index 0 and comes whole": [
        _call(ROME, index=0, id="a", name="get_weather"),
        _call(OSLO, index=0, id="b", name="get_weather"),
    ],
    "vLLM: index 0 again, then pieces with an empty id": [
        _call("", index=0, id="a", name="get_weather"),
        _call(ROME[:5], index=0, id=""),
        _call(ROME[5:], index=0, id=""),
        _call("", index=0, id="b", name="get_weather"),
        _call(OSLO[:7], index=0, id=""),
        _call(OSLO[7:], index=0, id=""),
    ],
    "SGLang: index 0 again, pieces by their id": [
        _call("", index=0, id="a", name="get_weather"),
        _call("", index=0, id="b", name="get_weather"),
        _call(ROME[:5], index=0, id="a", name=None),
        _call(OSLO[:5], index=0, id="b", name=None),
        _call(ROME[5:], index=0, id="a"),
        _call(OSLO[5:], index=0, id="b"),
    ],
    "old vLLM: an id of its own for every piece": [
        _call("", index=0, id="a", name="get_weather"),
        _call(ROME[:5], index=0, id="a2"),
        _call(ROME[5:], index=0, id="a3"),
        _call("", index=1, id="b", name="get_weather"),
        _call(OSLO[:5], index=1, id="b2"),
        _call(OSLO[5:], index=1, id="b3"),
    ],
    "the name with every piece": [
        _call("", index=0, id="a", name="get_weather"),
        _call(ROME[:5], index=0, name="get_weather"),
        _call(ROME[5:], index=0, name="get_weather"),
        _call("", index=0, name="get_weather"),
        _call("", index=1, id="b", name="get_weather"),
        _call(OSLO[:5], index=1, id="b", name="get_weather"),
        _call(OSLO[5:], index=1, id="b", name="get_weather"),
    ],
    "the name in pieces": [
        _call("", index=0, id="a", name="get_"),
        _call("", index=0, name="weather"),
        _call(ROME, index=0),
        _call("", index=1, id="b", name="get_"),
        _call("", index=1, name="get_weather"),
        _call(OSLO, index=1),
    ],
    "Mistral: no index": [
        _call(ROME, id="a", name="get_weather"),
        _call(OSLO, id="b", name="get_weather"),
    ],
    "no index, in pieces": [
        _call("", id="a", name="get_weather"),
        _call(ROME[:5], index=None),
        _call(ROME[5:], index=None),
        _call("", id="b", name="get_weather"),
        _call(OSLO[:5]),
        _call(OSLO[5:]),
    ],
    "arguments as an object": [
        _call({"city": "Rome"}, index=0, id="a", name="get_weather"),
        _call({"city": "Oslo"}, index=0, id="b", name="get_weather"),
    ],
    "no arguments before the first piece": [
        _call("{}", index=0, id="a", name="get_weather"),
        _call(ROME[:5], index=0),
        _call(ROME[5:], index=0),
        _call("{}", index=1, id="b", name="get_weather"),
        _call(OSLO, index=1),
    ],
    "the whole call once more at the end": [
        _call("", index=0, id="a", name="get_weather"),
        _call(ROME, index=0),
        _call(ROME, index=0, id="a", name="get_weather"),
        _call(OSLO, index=1, id="b", name="get_weather"),
        _call(OSLO, index=1, id="b", name="get_weather"),
    ],
}


@pytest.mark.parametrize("dialect", PARALLEL)
def test_parallel_calls(dialect: str) -> None:
    calls = PARALLEL[dialect]
    assert _calls(CHAT, [_delta(tool_calls=[call]) for call in calls]) == TWO
    assert _calls(CHAT, [_delta(tool_calls=calls)]) == TWO


def test_parallel_calls_without_ids() -> None:
    calls = [_call(ROME, index=0, name="get_weather"), _call(OSLO, index=0, name="get_time")]
    wanted = [(None, "get_weather", {"city": "Rome"}), (None, "get_time", {"city": "Oslo"})]
    assert _calls(CHAT, [_delta(tool_calls=[call]) for call in calls]) == wanted
    nulls = [{**call, "id": "null"} for call in calls]
    assert [call[1:] for call in _calls(CHAT, [_delta(tool_calls=nulls)])] == [call[1:] for call in wanted]


def test_calls_without_arguments_have_empty_ones() -> None:
    chat = [_delta(tool_calls=[_call(text, index=0, id="a", name="now")]) for text in ("", "{}", None)]
    for event in chat:
        assert _calls(CHAT, [event]) == [("a", "now", {})]
    begun = {"type": "tool_use", "id": "a", "name": "now", "input": {}}
    started = {"type": "content_block_start", "index": 0, "content_block": begun}
    piece = {"type": "input_json_delta", "partial_json": ""}
    delta = {"type": "content_block_delta", "index": 0, "delta": piece}
    for deltas in ([], [delta], [delta, delta]):
        assert _calls(MESSAGES, [{"type": "message_start", "message": {}}, started, *deltas]) == [
            ("a", "now", {})
        ]
    start = {"toolUse": {"toolUseId": "a", "name": "now"}}
    converse = [{"contentBlockStart": {"contentBlockIndex": 0, "start": start}}]
    empty = {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"toolUse": {"input": ""}}}}
    assert _calls(CONVERSE, converse) == _calls(CONVERSE, [*converse, empty]) == [("a", "now", {})]
    assert _calls(GEMINI, [_parts({"functionCall": {"id": "a", "name": "now"}})]) == [("a", "now", {})]


def _parts(*parts: Any) -> Any:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}}]}


def _piece(path: str, *, more: bool = False, **value: Any) -> Any:
    return {"jsonPath": path, **value, **({"willContinue": True} if more else {})}


def test_partial_arguments_of_gemini() -> None:
    """Two calls in pieces, as Vertex AI streams them; the mark of the end has nothing in it."""
    chunks = [
        {"name": "travel", "willContinue": True},
        {"partialArgs": [_piece("$.stops[0].city", stringValue="Ro", more=True)], "willContinue": True},
        {"partialArgs": [_piece("$.stops[0].city", stringValue="me")], "willContinue": True},
        {"partialArgs": [_piece("$.stops[1].city", stringValue="Oslo")], "willContinue": True},
        {"partialArgs": [_piece("$.seats", numberValue=2), _piece("$['by air']", boolValue=False)],
         "willContinue": True},
        {"partialArgs": [_piece("$.note", nullValue="NULL_VALUE")], "willContinue": True},
        {},
        {"name": "travel", "id": "b", "partialArgs": [_piece("$.seats", numberValue=1)]},
        {"name": "now", "args": {}},
    ]  # fmt: skip
    travel = {
        "stops": [{"city": "Rome"}, {"city": "Oslo"}],
        "seats": 2,
        "by air": False,
        "note": None,
    }
    wanted = [(None, "travel", travel), ("b", "travel", {"seats": 1}), (None, "now", {})]
    events = [_parts({"functionCall": chunk}) for chunk in chunks]
    assert _calls(GEMINI, events) == wanted
    assert _calls(GEMINI, [_parts(*({"functionCall": chunk} for chunk in chunks))]) == wanted
    torn = [(None, "travel", {"stops": [{"city": "Ro"}]})]
    assert _calls(GEMINI, events[:2]) == torn
    assert _calls(GEMINI, events[6:7]) == []


@given(st.text(max_size=20), st.integers() | st.text() | st.none())
@settings(max_examples=examples(100))
def test_paths_that_nobody_sends(path: str, value: Any) -> None:
    arguments: dict[str, Any] = {"a": "x"}
    for text in (path, "$" + path, f"$.a{path}", f"$.a[{path}]", f"$.b[999999999].{path}", f"$['{path}']"):
        partial_arguments.add(
            arguments, [{"jsonPath": text, "stringValue": value}, path, {"jsonPath": value}]
        )
    json.dumps(arguments)
    assert len(json.dumps(arguments)) < 100_000


def test_titan_streams_keep_all_text() -> None:
    head = {"index": 0, "inputTextTokenCount": 3}
    ends = {"completionReason": "FINISH", "totalOutputTextTokenCount": 4}
    events: list[Any] = [{**head, "outputText": text, "completionReason": None} for text in ("Hel", "lo")]
    attributes, parts = _read(INVOKE, [*events, {**head, "outputText": " you", **ends}])
    assert parts == [{"type": "text", "content": "Hello you"}]
    assert attributes["gen_ai.usage.input_tokens"] == 3
    assert attributes["gen_ai.usage.output_tokens"] == 4
    assert attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert _read(INVOKE, events)[1] == [{"type": "text", "content": "Hello"}]


@pytest.mark.parametrize(
    "chunks",
    [
        [{"outputs": [{"text": "Hel"}]}, {"outputs": [{"text": "lo", "stop_reason": "stop"}]}],
        [{"generation": "Hel"}, {"generation": "lo", "stop_reason": "stop", "generation_token_count": 2}],
        [{"text": "Hel", "is_finished": False}, {"text": "lo"}, {"finish_reason": "COMPLETE"}],
        [
            {"event_type": "text-generation", "text": "Hel"},
            {"event_type": "text-generation", "text": "lo"},
            {"event_type": "stream-end", "finish_reason": "COMPLETE", "response": {"text": "Hello"}},
        ],
        [{"choices": [{"text": "Hel"}]}, {"choices": [{"text": "lo", "stop_reason": "stop"}]}],
        [
            {"choices": [{"index": 0, "message": {"content": "Hel"}, "stop_reason": None}]},
            {"choices": [{"index": 0, "message": {"content": "lo"}, "stop_reason": "stop"}]},
        ],
    ],
    ids=["Mistral", "Llama", "Cohere", "Command R", "DeepSeek", "Mistral chat"],
)
def test_other_models_of_bedrock(chunks: list[Any]) -> None:
    attributes, parts = _read(INVOKE, chunks)
    assert parts == [{"type": "text", "content": "Hello"}]
    assert attributes["gen_ai.response.finish_reasons"] == ["stop"]


def test_a_compacted_conversation_keeps_roles() -> None:
    body = {
        "id": "resp_1",
        "object": "response.compaction",
        "output": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Again"}]},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Short"}]},
            {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"},
        ],
        "usage": {"input_tokens": 5, "output_tokens": 3},
    }
    wire_format = registry.recognise("/v1/responses/compact", b'{"model":"m"}')
    assert wire_format is not None
    messages = wire_format.response(body, True).content["gen_ai.output.messages"]
    assert [message["role"] for message in messages] == ["user", "user", "developer", "assistant"]
    assert [message["parts"][0]["type"] for message in messages] == ["text", "text", "text", "compaction"]


ERRORS: list[tuple[Any, str, str]] = [
    ({"error": {"code": 429, "message": "slow"}}, "429", "slow"),
    ([{"error": {"code": 503, "message": "slow"}}], "503", "slow"),
    ({"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}, "RESOURCE_EXHAUSTED", "slow"),
    ({"error": {"code": 400, "message": "slow", "type": "BadRequestError"}}, "BadRequestError", "slow"),
    ({"error": {"status_code": 418, "message": "slow"}}, "418", "slow"),
    ({"object": "error", "message": "slow", "code": 40303}, "40303", "slow"),
    ({"choices": [{"error": {"code": 502, "message": "slow"}, "finish_reason": "error"}]}, "502", "slow"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "message"), ERRORS)
@pytest.mark.parametrize("failed", [False, True])
def test_numbers_are_error_types(body: Any, kind: str, message: str, *, failed: bool) -> None:
    assert provider_error(body, failed=failed) == (kind, message)


def test_numbers_outside_of_an_error() -> None:
    assert provider_error({"errors": [{"code": 7003, "message": "no"}]}, failed=True) == ("7003", "no")
    assert provider_error({"code": 7003, "message": "no"}, failed=True) == ("7003", "no")
    assert provider_error({"code": 7003, "message": "fine"}, failed=False) == (None, None)
    assert provider_error({"error": {"code": 0, "message": "no"}}, failed=True) == (None, "no")
    assert provider_error({"error": {"code": True}}, failed=True) == (None, None)


FAILING: dict[str, tuple[str, bytes]] = {
    "an event's name": (CHAT, b'event: error\ndata: {"code": 429, "message": "slow"}\n\n'),
    "an event's name alone": (CHAT, b"event: error\ndata: slow\n\n"),
    "vLLM": (CHAT, b'data: {"object": "error", "message": "slow", "code": 429}\n\n'),
    "OpenRouter": (
        CHAT,
        b'data: {"choices": [{"delta": {}, "finish_reason": "error", "error": {"code": 429, "message": "slow"}}]}'
        b"\n\n",
    ),
    "completions": ("/v1/completions", b'data: {"error": {"code": 429, "message": "slow"}}\n\n'),
    "Anthropic": (MESSAGES, b'event: error\ndata: {"type": "error", "error": {"type": "429", "message": "slow"}}\n\n'),
    "Anthropic, by a proxy": (MESSAGES, b'data: {"error": {"code": 429, "message": "slow"}}\n\n'),
    "Responses": (RESPONSES, b'event: error\ndata: {"type": "error", "code": "429", "message": "slow"}\n\n'),
    "Responses, by a proxy": (RESPONSES, b'data: {"error": {"code": 429, "message": "slow"}}\n\n'),
    "Gemini": (GEMINI, b'data: {"error": {"code": 429, "message": "slow"}}\r\n\r\n'),
    "Interactions": (INTERACTIONS, b'data: {"event_type": "error", "error": {"code": 429, "message": "slow"}}\n\n'),
    "Cohere": ("/v2/chat", b'event: error\ndata: {"code": 429, "message": "slow"}\n\n'),
    "Ollama": ("/api/chat", b'{"error": "slow"}\n'),
}  # fmt: skip


@pytest.mark.parametrize("server", FAILING)
def test_errors_in_the_middle_of_streams(traces: Captured, server: str) -> None:
    path, body = FAILING[server]
    kind = "application/x-ndjson" if path == "/api/chat" else "text/event-stream"
    with ReplayServer(Answer(headers={"content-type": kind}, chunks=[body])) as replay:
        httpx.post(replay.url + path, json=SENT)
    (span,) = traces.snapshot()
    assert span["status"][0] == "ERROR"
    assert "slow" in span["status"][1]
    is_nameless = body.startswith((b"event: error\ndata: slow", b'{"error": "slow"'))
    assert span["attributes"]["error.type"] == ("_OTHER" if is_nameless else "429")


def test_exceptions_of_aws_streams() -> None:
    attributes = {":message-type": "exception", ":exception-type": "throttlingException"}
    for payload in (b'{"message": "slow"}', b"", b"slow"):
        (event,) = decode.events("application/vnd.amazon.eventstream", _aws(attributes, payload)) or []
        assert event["error"]["type"] == "throttlingException"
    attributes = {":message-type": "error", ":error-code": "500", ":error-message": "slow"}
    (event,) = decode.events("application/vnd.amazon.eventstream", _aws(attributes, b"")) or []
    assert event == {"error": {"type": "500", "message": "slow"}}
    broken = _format(CONVERSE).fold([{"modelStreamErrorException": {"message": "slow"}}])
    assert provider_error(broken, failed=False) == ("modelStreamErrorException", "slow")


def _aws(headers: dict[str, str], payload: bytes) -> bytes:
    head = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()
        for key, value in headers.items()
    )
    total = 16 + len(head) + len(payload)
    return total.to_bytes(4, "big") + len(head).to_bytes(4, "big") + b"\0" * 4 + head + payload + b"\0" * 4


WORDS = [_delta(role="assistant", content=""), *(_delta(content=f"word {n} ") for n in range(3))]
TEXT = "word 0 word 1 word 2 "


@pytest.mark.parametrize(
    "server", ["Perplexity", "whole messages", "messages in pieces", "a whole message last"]
)
def test_messages_in_streams(server: str) -> None:
    so_far = [{"role": "assistant", "content": TEXT[:end]} for end in (7, 14, 21)]
    pieces = [{"role": "assistant", "content": f"word {n} "} for n in range(3)]
    choices: list[Any] = {
        "Perplexity": [
            {"delta": piece, "message": message} for piece, message in zip(pieces, so_far, strict=True)
        ],
        "whole messages": [{"message": message} for message in so_far],
        "messages in pieces": [{"message": piece, "delta": None} for piece in pieces],
        "a whole message last": [
            *({"delta": piece} for piece in pieces),
            {"delta": {}, "message": so_far[-1]},
        ],
    }[server]
    _, parts = _read(CHAT, [{"choices": [{"index": 0, **choice}]} for choice in choices])
    assert parts == [{"type": "text", "content": TEXT}]


@pytest.mark.parametrize(
    "deltas",
    [
        [{"reasoning_content": "Hm"}, {"reasoning_content": ", so"}],
        [{"reasoning": "Hm", "reasoning_content": "Hm"}, {"reasoning": ", so", "reasoning_content": ", so"}],
        [{"reasoning_content": "", "reasoning": "Hm, so"}],
        [
            {"reasoning": "Hm", "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]},
            {"reasoning": ", so", "reasoning_details": [{"type": "reasoning.text", "text": ", so"}]},
        ],
        [{"reasoning_details": [{"text": "Hm"}]}, {"reasoning_details": [{"text": ", so"}]}],
        [
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]},
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": ", so"}]}]},
        ],
        [{"content": [{"type": "thinking", "thinking": "Hm"}]}, {"content": [{"type": "thinking", "thinking": ", so"}]}],
    ],
    ids=["DeepSeek", "vLLM", "an empty one", "OpenRouter", "MiniMax", "Mistral", "a text"],
)  # fmt: skip
def test_thoughts_in_chat_streams(deltas: list[Any]) -> None:
    texts = [_delta(content=[{"type": "text", "text": text}]) for text in ("Yo", "u")]
    for words in ([_delta(content="You")], texts):
        _, parts = _read(CHAT, [*(_delta(**delta) for delta in deltas), *words])
        assert parts == [{"type": "reasoning", "content": "Hm, so"}, {"type": "text", "content": "You"}]
    whole = {"choices": [{"message": {"content": "You", **deltas[0]}}]}
    if all("content" not in delta for delta in deltas):
        messages = _format(CHAT).response(whole, True).content["gen_ai.output.messages"]
        assert [part["type"] for part in messages[0]["parts"]] == ["reasoning", "text"]


def test_sound_and_pictures_in_streams() -> None:
    sound = base64.b64encode(bytes(range(50))).decode()
    padded = [base64.b64encode(bytes(range(start, start + 25))).decode() for start in (0, 25)]
    for pieces in ([sound[:20], sound[20:]], padded):
        deltas = [{"id": "audio_1"}, *({"data": piece} for piece in pieces), {"transcript": "Hi"}]
        events = [_delta(audio=delta) for delta in deltas]
        (part,) = _read(CHAT, events)[1]
        assert (part["content"], part["transcript"], part["id"]) == (sound, "Hi", "audio_1")
        inline = [{"inlineData": {"mimeType": "audio/L16;rate=24000", "data": piece}} for piece in pieces]
        (part,) = _read(GEMINI, [_parts(piece) for piece in inline])[1]
        assert (part["modality"], part["content"]) == ("audio", sound)
        audio = [{"type": "audio", "mime_type": "audio/l16", "data": piece} for piece in pieces]
        steps = [{"event_type": "step.delta", "index": 0, "delta": delta} for delta in audio]
        (part,) = _read(INTERACTIONS, steps)[1]
        assert (part["modality"], part["content"]) == ("audio", sound)
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    parts = _read(CHAT, [_delta(content="See"), _delta(images=[picture])])[1]
    assert [part["type"] for part in parts] == ["text", "blob"]
    source = [{"image": {"format": "png"}}, {"image": {"source": {"bytes": "QUJD"}}}]
    events = [{"contentBlockDelta": {"contentBlockIndex": 0, "delta": delta}} for delta in source]
    (part,) = _read(CONVERSE, events)[1]
    assert (part["mime_type"], part["content"]) == ("image/png", "QUJD")


def test_blocks_of_converse_streams() -> None:
    def delta(index: int, **value: Any) -> Any:
        return {"contentBlockDelta": {"contentBlockIndex": index, "delta": value}}

    search = {"toolUse": {"toolUseId": "s", "name": "nova_grounding", "type": "server_tool_use"}}
    answer = {"toolResult": {"toolUseId": "s", "status": "success", "type": "nova_grounding_result"}}
    events = [
        {"contentBlockStart": {"contentBlockIndex": 0, "start": search}},
        delta(0, toolUse={"input": '{"q":'}),
        delta(0, toolUse={"input": "1}"}),
        {"contentBlockStart": {"contentBlockIndex": 1, "start": answer}},
        delta(1, toolResult=[{"text": "It "}]),
        delta(1, toolResult=[{"text": "rains"}]),
        delta(2, text="So"),
        delta(2, citation={"title": "t"}),
        delta(2, text=" it is"),
        delta(3, reasoningContent={"redactedContent": "x"}),
    ]
    attributes, parts = _read(CONVERSE, events)
    assert [part["type"] for part in parts] == ["server_tool_call", "tool_call_response", "text", "reasoning"]
    assert parts[0]["server_tool_call"]["input"] == {"q": 1}
    assert parts[1]["response"] == "It rains"
    assert parts[2]["content"] == "So it is"
    cited = {"content": [{"text": "So"}, {"text": " it is"}], "citations": []}
    body = {"output": {"message": {"role": "assistant", "content": [{"citationsContent": cited}]}}}
    messages = _format(CONVERSE).response(body, True).content["gen_ai.output.messages"]
    assert messages[0]["parts"] == parts[2:3]


def test_responses_that_were_resumed() -> None:
    """From the middle on: nobody says how the items began."""
    place = {"output_index": 2}
    events = [
        {
            "type": "response.reasoning_summary_text.delta",
            "output_index": 0,
            "summary_index": 0,
            "delta": "Hm",
        },
        {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 1, "delta": "Hel"},
        {"type": "response.output_text.done", "item_id": "msg_1", "output_index": 1, "text": "Hello"},
        {"type": "response.function_call_arguments.delta", **place, "delta": '{"a":'},
        {"type": "response.function_call_arguments.done", **place, "arguments": '{"a":1}', "name": "f"},
        {"type": "response.refusal.delta", "output_index": 3, "content_index": 0, "delta": "N"},
        {"type": "response.refusal.done", "output_index": 3, "content_index": 0, "refusal": "No"},
        {
            "type": "response.image_generation_call.partial_image",
            "output_index": 4,
            "partial_image_b64": "QUJD",
        },
        {"type": "response.shell_call_command.delta", "output_index": 5, "command_index": 0, "delta": "ls"},
        {"type": "response.custom_tool_call_input.delta", "output_index": 6, "delta": "free"},
        {"type": "response.unheard_of", "output_index": 7},
        {"type": "response.completed", "response": None},
    ]
    attributes, parts = _read(RESPONSES, events)
    kinds = ["reasoning", "text", "tool_call", "refusal", "blob", "tool_call", "tool_call"]
    assert [part["type"] for part in parts] == kinds
    assert [part["content"] for part in parts if "content" in part] == ["Hm", "Hello", "No", "QUJD"]
    assert [part["arguments"] for part in parts if "arguments" in part] == [
        {"a": 1},
        {"commands": ["ls"]},
        "free",
    ]
    assert attributes["gen_ai.response.finish_reasons"] == ["error"]


def test_items_without_an_index() -> None:
    events = [
        {"type": f"response.{kind}.delta", "item_id": item, "delta": text}
        for item, kind, text in (("a", "output_text", "Hel"), ("b", "reasoning_text", "Hm"), ("a", "output_text", "lo"))
    ]  # fmt: skip
    _, parts = _read(RESPONSES, events)
    assert parts == [{"type": "text", "content": "Hello"}, {"type": "reasoning", "content": "Hm"}]


def test_a_call_left_before_its_first_word_is_a_call() -> None:
    response = {"id": "resp_1", "status": "in_progress", "model": "m", "background": False, "output": []}
    created: dict[str, Any] = {"type": "response.created", "response": response}
    assert "gen_ai.operation.name" not in _read(RESPONSES, [created])[0]
    created["response"] = {**response, "background": True}
    assert _read(RESPONSES, [created])[0]["gen_ai.operation.name"] == "create_response"


def test_interactions_of_the_first_version() -> None:
    events = [
        {"event_type": "interaction.start", "interaction": {"id": "i", "status": "in_progress"}},
        {"event_type": "content.start", "index": 0, "content": {"type": "thought"}},
        {"event_type": "content.delta", "index": 0, "delta": {"type": "thought_summary", "content": {"type": "text", "text": "H"}}},
        {"event_type": "content.delta", "index": 0, "delta": {"type": "thought_summary", "content": {"type": "text", "text": "m"}}},
        {"event_type": "content.start", "index": 1, "content": {"type": "text"}},
        {"event_type": "content.delta", "index": 1, "delta": {"type": "text", "text": "Hel"}},
        {"event_type": "content.delta", "index": 1, "delta": {"type": "text", "text": "lo"}},
        {"event_type": "content.delta", "index": 2, "delta": {"type": "function_call", "id": "c", "name": "f", "arguments": {"a": 1}}},
        {"event_type": "interaction.complete", "interaction": {"id": "i", "status": "completed", "usage": {"total_output_tokens": 5}}},
    ]  # fmt: skip
    attributes, parts = _read(INTERACTIONS, events)
    assert [part.get("content", part.get("arguments")) for part in parts] == ["Hm", "Hello", {"a": 1}]
    assert attributes["gen_ai.usage.output_tokens"] == 5
    assert attributes["gen_ai.response.finish_reasons"] == ["stop"]


FRAMINGS: dict[str, tuple[str, Callable[[list[bytes]], bytes]]] = {
    "a comment first": ("text/plain", lambda lines: b": ok\n\n" + b"".join(b"data: %s\n\n" % e for e in lines)),
    "an id first": ("", lambda lines: b"id: 1\n" + b"".join(b"data:%s\n\n" % e for e in lines)),
    "a mark of byte order": ("text/event-stream", lambda lines: b"\xef\xbb\xbf" + b"".join(b"data: %s\n\n" % e for e in lines)),
    "words in capitals": ("Text/Event-Stream", lambda lines: b"\n" * 70 + b"".join(b"data: %s\n\n" % e for e in lines)),
    "carriage returns": ("text/event-stream", lambda lines: b"".join(b"data: %s\r\r" % e for e in lines)),
    "comments between": ("text/event-stream", lambda lines: b": KEEP-ALIVE\n\n".join(b"data: %s\n\n" % e for e in lines)),
    "lines as plain JSON": ("application/json", lambda lines: b"\n".join(lines)),
    "lines with returns": ("application/json; charset=utf-8", lambda lines: b"\r\n".join(lines)),
    "lines": ("application/x-ndjson", lambda lines: b"\n\n".join(lines)),
}  # fmt: skip


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "gzip"])
def test_framings(traces: Captured, framing: str, *, is_packed: bool) -> None:
    kind, framed = FRAMINGS[framing]
    body = framed([json.dumps(event).encode() for event in WORDS])
    headers = {"content-type": kind, **({"content-encoding": "gzip"} if is_packed else {})}
    with (
        ReplayServer(Answer(gzip.compress(body) if is_packed else body, headers=headers)) as server,
        httpx.stream("POST", server.url + CHAT, json=SENT) as response,
    ):
        list(response.iter_raw())
    (span,) = traces.snapshot()
    (message,) = json.loads(span["attributes"]["gen_ai.output.messages"])
    assert message["parts"] == [{"type": "text", "content": TEXT}]
    assert span["attributes"]["gen_ai.request.stream"] is True
    assert "gen_ai.response.time_to_first_chunk" in span["attributes"]


def test_plain_json_that_calls_itself_a_stream(traces: Captured) -> None:
    body = json.dumps({"error": {"code": 429, "message": "slow"}}, indent=1).encode()
    with ReplayServer(Answer(body, 429, {"content-type": "text/event-stream"})) as server:
        httpx.post(server.url + CHAT, json=SENT)
    (span,) = traces.snapshot()
    assert span["attributes"]["error.type"] == "429"
    assert span["status"] == ("ERROR", "slow")


@given(st.data())
@settings(max_examples=examples(60))
def test_a_torn_array_keeps_its_entries(data: st.DataObject) -> None:
    """Gemini's stream without `alt=sse`: what was received is recorded, and when."""
    events = [
        _parts({"text": text}) for text in data.draw(st.lists(st.text(min_size=1), min_size=1, max_size=5))
    ]
    ends: list[int] = []
    body = b"["
    for event in events:
        body += (b",\r\n" if ends else b"") + json.dumps(event, ensure_ascii=False).encode()
        ends.append(len(body))
    end = data.draw(st.integers(1, len(body)))
    received = decode.events("application/json", body[:end], may_be_array=True)
    assert received == events[: sum(place <= end for place in ends)]


@given(
    st.binary(max_size=300) | st.text(max_size=100).map(str.encode),
    st.sampled_from([b"data: ", b"", b"[", b'{"a":1}\n']),
)
@settings(max_examples=examples(200))
def test_bytes_that_are_no_stream(body: bytes, begin: bytes) -> None:
    for kind in (
        "text/event-stream",
        "application/x-ndjson",
        "application/json",
        "application/vnd.amazon.eventstream",
    ):
        for path in (
            CHAT,
            "/v1/completions",
            MESSAGES,
            RESPONSES,
            GEMINI,
            INTERACTIONS,
            CONVERSE,
            INVOKE,
            "/v2/chat",
            "/api/chat",
        ):
            wire_format = _format(path)
            events = decode.events(
                kind, begin + body, wire_format.joined, may_be_array=wire_format.streams_arrays
            )
            wire_format.response(wire_format.fold(events or []), True)


def test_a_stream_of_one_whole_message() -> None:
    message = {
        "type": "message",
        "id": "msg_1",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    attributes, parts = _read(MESSAGES, [message])
    assert parts == [{"type": "text", "content": "Hi"}]
    assert attributes["gen_ai.usage.output_tokens"] == 2


NAMES = st.text("abcdefghij_", min_size=1, max_size=9)
TEXTS = st.text(min_size=1, max_size=60)
ARGUMENTS = st.dictionaries(
    st.text("abc d-é", min_size=1, max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3) | st.dictionaries(NAMES, inner, min_size=1, max_size=3)
        ),
        max_leaves=6,
    ),
    max_size=4,
)
CALLS = st.lists(st.tuples(st.uuids().map(str), NAMES, ARGUMENTS), max_size=4)


def _chat_answer(text: str, thought: str, calls: list[Any]) -> Any:
    tool_calls = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for call_id, name, arguments in calls
    ]
    message = {"role": "assistant", "content": text, "reasoning_content": thought, "tool_calls": tool_calls}
    usage = {"prompt_tokens": 3, "completion_tokens": 5}
    return {
        "id": "c",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }


def _anthropic_answer(text: str, thought: str, calls: list[Any]) -> Any:
    blocks = [{"type": "thinking", "thinking": thought, "signature": "s"}, {"type": "text", "text": text}]
    uses = [
        {"type": "tool_use", "id": call_id, "name": name, "input": value} for call_id, name, value in calls
    ]
    usage = {"input_tokens": 3, "output_tokens": 5}
    return {
        "id": "c",
        "type": "message",
        "model": "m",
        "content": [*blocks, *uses],
        "stop_reason": "tool_use",
        "usage": usage,
    }


def _gemini_answer(text: str, thought: str, calls: list[Any]) -> Any:
    parts = [{"text": thought, "thought": True}, {"text": text}]
    parts += [
        {"functionCall": {"id": call_id, "name": name, "args": value}} for call_id, name, value in calls
    ]
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 3}, "modelVersion": "m"}


def _converse_answer(text: str, thought: str, calls: list[Any]) -> Any:
    blocks: list[Any] = [{"reasoningContent": {"reasoningText": {"text": thought}}}, {"text": text}]
    blocks += [
        {"toolUse": {"toolUseId": call_id, "name": name, "input": value}} for call_id, name, value in calls
    ]
    output = {"message": {"role": "assistant", "content": blocks}}
    return {"output": output, "stopReason": "tool_use", "usage": {"inputTokens": 3, "outputTokens": 5}}


def _responses_answer(text: str, thought: str, calls: list[Any]) -> Any:
    output: list[Any] = [
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": thought}]},
        {"type": "message", "id": "msg", "content": [{"type": "output_text", "text": text}]},
    ]
    output += [
        {
            "type": "function_call",
            "id": f"fc_{call_id}",
            "call_id": call_id,
            "name": name,
            "arguments": json.dumps(value),
        }
        for call_id, name, value in calls
    ]
    return {
        "id": "resp_1",
        "model": "m",
        "status": "completed",
        "output": output,
        "usage": {"input_tokens": 3},
    }


def _cohere_answer(text: str, thought: str, calls: list[Any]) -> Any:
    tool_calls = _chat_answer(text, thought, calls)["choices"][0]["message"]["tool_calls"]
    content = [{"type": "thinking", "thinking": thought}, {"type": "text", "text": text}]
    return {
        "id": "c", "finish_reason": "COMPLETE", "message": {"content": content, "tool_calls": tool_calls},
        "usage": {"tokens": {"input_tokens": 3, "output_tokens": 5}},
    }  # fmt: skip


def _ollama_answer(text: str, thought: str, calls: list[Any]) -> Any:
    tool_calls = [{"function": {"name": name, "arguments": value}} for _, name, value in calls]
    message = {"role": "assistant", "content": text, "thinking": thought, "tool_calls": tool_calls}
    return {"model": "m", "message": message, "done": True, "done_reason": "stop", "eval_count": 5}


ANSWERS: dict[str, Callable[[str, str, list[Any]], Any]] = {
    CHAT: _chat_answer,
    MESSAGES: _anthropic_answer,
    "/v1beta/models/m:generateContent": _gemini_answer,
    "/model/m/converse": _converse_answer,
    RESPONSES: _responses_answer,
    "/v2/chat": _cohere_answer,
    "/api/chat": _ollama_answer,
}


@pytest.mark.parametrize("path", ANSWERS)
@given(text=TEXTS, thought=TEXTS, calls=CALLS, seed=st.integers())
@settings(max_examples=examples(60))
def test_any_answer_as_a_stream(path: str, text: str, thought: str, calls: list[Any], seed: int) -> None:
    answer = ANSWERS[path](text, thought, calls)
    wire_format = _format(path)
    form = streamed(path, answer, Cut(seed))
    assert form is not None
    folded, whole = wire_format.response(wire_format.fold(form[1]), True), wire_format.response(answer, True)
    assert folded.content == whole.content
    assert folded.attributes == whole.attributes
    parts = [part for message in whole.content["gen_ai.output.messages"] for part in message["parts"]]
    calls_read = [(part["name"], part["arguments"]) for part in parts if part["type"] == "tool_call"]
    assert calls_read == [(name, value) for _, name, value in calls]


def test_parallel_calls_in_a_client_library(traces: Captured) -> None:
    """Gemini's endpoint in OpenAI's format, through the client that programs use with it."""
    deltas = PARALLEL["Gemini: every call has index 0 and comes whole"]
    with ReplayServer(sse([_delta(role="assistant", tool_calls=[delta]) for delta in deltas])) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="k", max_retries=0)
        for _ in client.chat.completions.create(**REQUEST, stream=True):
            pass
    (message,) = json.loads(traces.snapshot()[0]["attributes"]["gen_ai.output.messages"])
    assert [(part["id"], part["name"], part["arguments"]) for part in message["parts"]] == TWO


def test_a_character_in_two_events(traces: Captured) -> None:
    body = b"".join(
        b'data: {"choices": [{"index": 0, "delta": {"content": "' + half + b'"}}]}\n\n'
        for half in (b"Yo \\ud83d", b"\\ude00!", b"\\ud83d")
    )
    with ReplayServer(Answer(headers={"content-type": "text/event-stream"}, chunks=[body])) as server:
        httpx.post(server.url + CHAT, json=SENT)
    (message,) = json.loads(traces.snapshot()[0]["attributes"]["gen_ai.output.messages"])
    assert message["parts"][0]["content"] == "Yo \N{GRINNING FACE}!\N{REPLACEMENT CHARACTER}"

"""Calls of tools in streams, in every way in which servers tell one call from the next."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrace.testing import Captured, ReplayServer, sse
from llmtrace.wire.gemini import partial_arguments
from tests.examples import examples

from .chat import REQUEST
from .stream_reading import (
    CHAT,
    CONVERSE,
    GEMINI,
    MESSAGES,
    chat_delta,
    gemini_chunk,
    read_stream,
)


def _calls(path: str, events: list[Any]) -> list[tuple[Any, Any, Any]]:
    parts = [part for part in read_stream(path, events)[1] if part["type"] == "tool_call"]
    return [(part["id"], part["name"], part["arguments"]) for part in parts]


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
    assert _calls(CHAT, [chat_delta(tool_calls=[call]) for call in calls]) == TWO
    assert _calls(CHAT, [chat_delta(tool_calls=calls)]) == TWO


def test_parallel_calls_without_ids() -> None:
    calls = [_call(ROME, index=0, name="get_weather"), _call(OSLO, index=0, name="get_time")]
    wanted = [(None, "get_weather", {"city": "Rome"}), (None, "get_time", {"city": "Oslo"})]
    assert _calls(CHAT, [chat_delta(tool_calls=[call]) for call in calls]) == wanted
    nulls = [{**call, "id": "null"} for call in calls]
    assert [call[1:] for call in _calls(CHAT, [chat_delta(tool_calls=nulls)])] == [
        call[1:] for call in wanted
    ]


def test_calls_without_arguments_have_empty_ones() -> None:
    chat = [chat_delta(tool_calls=[_call(text, index=0, id="a", name="now")]) for text in ("", "{}", None)]
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
    assert _calls(GEMINI, [gemini_chunk({"functionCall": {"id": "a", "name": "now"}})]) == [("a", "now", {})]


def _piece(path: str, *, more: bool = False, **value: Any) -> Any:
    return {"jsonPath": path, **value, **({"willContinue": True} if more else {})}


def test_partial_arguments_of_gemini() -> None:
    """Two calls in pieces, as Vertex AI streams them; the mark of the end has nothing in it."""
    chunks = [
        {"name": "travel", "willContinue": True},
        {"partialArgs": [_piece("$.stops[0].city", stringValue="Ro", more=True)], "willContinue": True},
        {"partialArgs": [_piece("$.stops[0].city", stringValue="me")], "willContinue": True},
        {"partialArgs": [_piece("$.stops[1].city", stringValue="Oslo")], "willContinue": True},
        {
            "partialArgs": [_piece("$.seats", numberValue=2), _piece("$['by air']", boolValue=False)],
            "willContinue": True,
        },
        {"partialArgs": [_piece("$.note", nullValue="NULL_VALUE")], "willContinue": True},
        {},
        {"name": "travel", "id": "b", "partialArgs": [_piece("$.seats", numberValue=1)]},
        {"name": "now", "args": {}},
    ]
    travel = {
        "stops": [{"city": "Rome"}, {"city": "Oslo"}],
        "seats": 2,
        "by air": False,
        "note": None,
    }
    wanted = [(None, "travel", travel), ("b", "travel", {"seats": 1}), (None, "now", {})]
    events = [gemini_chunk({"functionCall": chunk}) for chunk in chunks]
    assert _calls(GEMINI, events) == wanted
    assert _calls(GEMINI, [gemini_chunk(*({"functionCall": chunk} for chunk in chunks))]) == wanted
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


def test_parallel_calls_in_a_client_library(traces: Captured) -> None:
    """Gemini's endpoint in OpenAI's format, through the client that programs use with it."""
    deltas = PARALLEL["Gemini: every call has index 0 and comes whole"]
    with ReplayServer(sse([chat_delta(role="assistant", tool_calls=[delta]) for delta in deltas])) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="k", max_retries=0)
        for _ in client.chat.completions.create(**REQUEST, stream=True):
            pass
    (message,) = json.loads(traces.snapshot()[0]["attributes"]["gen_ai.output.messages"])
    assert [(part["id"], part["name"], part["arguments"]) for part in message["parts"]] == TWO

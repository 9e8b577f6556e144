"""Connections that responses come over: many at once, left, cancelled, forgotten, open at the end."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import websockets
import websockets.sync.client
from hypothesis import given
from hypothesis import strategies as st

import llmtrace
from llmtrace import internal_errors
from llmtrace.api import lifecycle
from llmtrace.capture import open_streams
from llmtrace.capture.realtime import RealtimeSession
from llmtrace.testing import Captured, ReplayServer, capture
from llmtrace.wire.realtime.dialects import DIALECTS

from .realtime_server import SOUND, VERSION, Server, realtime_server
from .test_process import OK, _spans
from .test_realtime import PATH, create


@pytest.fixture
def server() -> Iterator[Server]:
    with realtime_server() as running:
        yield running


async def _until(connection: Any, kind: str) -> dict[str, Any]:
    while True:
        event: dict[str, Any] = json.loads(await connection.recv())
        if event["type"] == kind:
            return event


def _is_abandoned(span: dict[str, Any]) -> None:
    assert span["attributes"]["llmtrace.stream.abandoned"] is True
    assert span["attributes"]["gen_ai.response.finish_reasons"] == ["error"]
    assert span["status"] == ("UNSET", None)
    assert "It is" in span["attributes"]["gen_ai.output.messages"]


def test_two_sessions_in_one_loop(traces: Captured, server: Server) -> None:
    """Each response is its task's, though all come over connections of one loop."""

    async def talk(user: str) -> None:
        with llmtrace.context(user_id=user):
            async with websockets.connect(server.url + PATH) as connection:
                for _ in range(5):
                    await connection.send(json.dumps(create()))
                    await _until(connection, "response.done")

    async def both() -> None:
        await asyncio.gather(talk("ada"), talk("bob"))

    asyncio.run(both())
    users = [span["attributes"]["user.id"] for span in traces.snapshot()]
    assert sorted(users) == ["ada"] * 5 + ["bob"] * 5


def test_sessions_in_threads(traces: Captured, server: Server) -> None:
    def talk(user: str) -> None:
        with (
            llmtrace.context(user_id=user),
            websockets.sync.client.connect(server.url + PATH) as connection,
        ):
            for _ in range(20):
                connection.send(json.dumps(create()))
                while json.loads(connection.recv(5))["type"] != "response.done":
                    pass

    threads = [threading.Thread(target=talk, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    spans = traces.snapshot()
    assert len({span["attributes"]["gen_ai.response.id"] for span in spans}) == len(spans) == 80
    assert sorted(span["attributes"]["user.id"] for span in spans) == sorted("0123" * 20)


def test_a_response_belongs_to_where_it_was_asked_for(traces: Captured, server: Server) -> None:
    """What the server begins by itself belongs to where the connection was opened."""
    with llmtrace.span("opened"):
        connection = websockets.sync.client.connect(server.url + PATH)
    with llmtrace.span("asked"), connection:
        connection.send(json.dumps(create()))
        while json.loads(connection.recv(5))["type"] != "response.done":
            pass
    runtime = lifecycle.current()
    assert runtime is not None
    with llmtrace.span("alone"):
        session = RealtimeSession(runtime, DIALECTS[0], PATH, {}, ("127.0.0.1", 1))
    response = {"object": "realtime.response", "id": "resp_by_itself", "status": "in_progress"}
    session.received(json.dumps({"type": "response.created", "response": response}).encode())
    done = {**response, "status": "completed", "output": []}
    session.received(json.dumps({"type": "response.done", "response": done}).encode())
    spans = traces.spans()
    names = {span.context.span_id: span.name for span in spans if span.context is not None}
    parents = {
        str(dict(span.attributes or {})["gen_ai.response.id"]): span.parent and names[span.parent.span_id]
        for span in spans
        if span.name.startswith("chat")
    }
    assert parents == {f"resp_{server.port}_1": "asked", "resp_by_itself": "alone"}


def test_left_in_the_middle(traces: Captured, server: Server) -> None:
    with websockets.sync.client.connect(server.url + PATH) as connection:
        connection.send(json.dumps(create("hangs")))
        while json.loads(connection.recv(5))["type"] != "response.output_audio.delta":
            pass
    (span,) = traces.snapshot()
    _is_abandoned(span)


@pytest.mark.parametrize("library", ["websockets", "aiohttp"])
def test_a_cancelled_task(traces: Captured, server: Server, library: str) -> None:
    async def talk(begun: asyncio.Event) -> None:
        if library == "websockets":
            async with websockets.connect(server.url + PATH) as connection:
                await connection.send(json.dumps(create("hangs")))
                async for message in connection:
                    if "audio.delta" in str(message):
                        begun.set()
        else:
            async with aiohttp.ClientSession() as session, session.ws_connect(server.url + PATH) as socket:
                await socket.send_json(create("hangs"))
                async for came in socket:
                    if "audio.delta" in str(came.data):
                        begun.set()

    async def cancel() -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(talk(begun))
        await asyncio.wait_for(begun.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    (span,) = traces.snapshot()
    _is_abandoned(span)


def test_usage_that_comes_after_the_next_question(traces: Captured) -> None:
    """Google says what a turn took after its end; by then the program may have asked for the next one."""
    runtime = lifecycle.current()
    assert runtime is not None
    path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
    (dialect,) = [dialect for dialect in DIALECTS if dialect.matches(path)]
    session = RealtimeSession(runtime, dialect, path, {}, ("127.0.0.1", 1))
    turn = {"turns": [{"role": "user", "parts": [{"text": "Hi"}]}], "turnComplete": True}
    spoken = {"modelTurn": {"parts": [{"text": "Yes."}]}}
    call = {"functionCalls": [{"id": "call-1", "name": "weather", "args": {}}]}
    for is_sent, message in (
        (True, {"clientContent": turn}),
        (False, {"serverContent": spoken}),
        (False, {"serverContent": {"turnComplete": True}}),
        (True, {"clientContent": turn}),
        (False, {"usageMetadata": {"promptTokenCount": 11, "responseTokenCount": 3}}),
        (False, {"toolCall": call, "usageMetadata": {"promptTokenCount": 22, "responseTokenCount": 4}}),
        (True, {"clientContent": turn}),
        (False, {"serverContent": spoken}),
        (False, {"serverContent": {"turnComplete": True}}),
        (True, {"clientContent": turn}),  # without usage, and the next turn is a call at once
        (False, {"toolCall": call, "usageMetadata": {"promptTokenCount": 33, "responseTokenCount": 5}}),
    ):
        (session.sent if is_sent else session.received)(json.dumps(message).encode())
    session.closed(None)
    attributes = [span["attributes"] for span in traces.snapshot()]
    assert [values.get("gen_ai.usage.input_tokens") for values in attributes] == [11, 22, None, 33]
    reasons = [values["gen_ai.response.finish_reasons"] for values in attributes]
    assert reasons == [["stop"], ["tool_call"], ["stop"], ["tool_call"]]


def test_forgotten(traces: Captured, server: Server) -> None:
    """A connection that nobody has any more: aiohttp's own object is garbage."""

    async def talk() -> None:
        async with aiohttp.ClientSession() as session:
            socket = await session.ws_connect(server.url + PATH)
            await socket.send_json(create("hangs"))
            while "audio.delta" not in (await socket.receive()).data:
                pass
            del socket
            gc.collect()

    asyncio.run(talk())
    gc.collect()
    (span,) = traces.snapshot()
    _is_abandoned(span)


EXIT = """
import json, os, llmtrace
import websockets.sync.client
llmtrace.init()
connection = websockets.sync.client.connect(os.environ["PROVIDER"])
connection.send(json.dumps({"type": "response.create", "response": {"metadata": {"play": "hangs"}}}))
while json.loads(connection.recv(5))["type"] != "response.output_audio.delta":
    pass
"""


@pytest.mark.skipif(VERSION < 13, reason="websockets 12 keeps a process with an open connection from ending")
def test_exit_in_the_middle(server: Server) -> None:
    """The response that is open when the process ends is sent, as far as it came."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    with ReplayServer(OK) as collector:
        environment = {**inherited, "LLMTRACE_ENDPOINT": collector.url, "PROVIDER": server.url + PATH}
        subprocess.run([sys.executable, "-c", EXIT], env=environment, check=True, timeout=60)
        ((_, span),) = _spans(collector)
    attributes = {item.key: item.value for item in span.attributes}
    assert attributes["llmtrace.stream.abandoned"].bool_value
    assert "It is" in attributes["gen_ai.output.messages"].string_value


def test_a_thousand_responses(traces: Captured, server: Server) -> None:
    async def talk() -> None:
        async with websockets.connect(server.url + PATH, compression=None) as connection:
            for _ in range(1000):
                await connection.send(json.dumps(create("tool")))
                await _until(connection, "response.done")

    asyncio.run(talk())
    spans = traces.spans()
    assert len(spans) == 1000
    assert {dict(span.attributes or {})["gen_ai.usage.input_tokens"] for span in spans} == {1200}
    assert not open_streams._open


def test_sound_is_not_held(traces: Captured) -> None:
    """An hour of sound both ways, within one open response: what is held is bounded."""
    runtime = lifecycle.current()
    assert runtime is not None
    session = RealtimeSession(runtime, DIALECTS[0], PATH, {}, ("127.0.0.1", 1))
    session.sent(json.dumps(create()).encode())
    response = {"object": "realtime.response", "id": "resp_1", "status": "in_progress"}
    session.received(json.dumps({"type": "response.created", "response": response}).encode())
    sent = json.dumps({"type": "input_audio_buffer.append", "audio": SOUND}).encode()
    came = json.dumps(
        {"type": "response.output_audio.delta", "response_id": "resp_1", "delta": SOUND}
    ).encode()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(36_000):
            session.sent(bytearray(sent))  # type: ignore[arg-type]  # a new object each time
            session.received(bytes(bytearray(came)))
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    session.closed(None)
    assert held < 4 * 2**20
    (span,) = traces.snapshot()
    assert span["attributes"]["gen_ai.response.time_to_first_chunk"] > 0


def test_other_connections_are_left_alone(traces: Captured, server: Server) -> None:
    """Neither those to other servers nor, in any way that shows, those to models."""
    from websockets.client import ClientProtocol

    with websockets.sync.client.connect(server.url + "/chat") as other:
        assert type(other.protocol) is ClientProtocol
    with websockets.sync.client.connect(server.url + PATH) as connection:
        assert isinstance(connection.protocol, ClientProtocol)
        assert type(connection) is websockets.sync.client.ClientConnection
        assert type(connection.protocol).__qualname__ == "ClientProtocol"
        connection.close(1000, "done")
        # Before, the library itself could leave before it heard the server's word.
        assert VERSION < 14 or connection.close_code == 1000

    async def with_aiohttp() -> None:
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(server.url + "/chat") as socket:
                assert type(socket) is aiohttp.ClientWebSocketResponse
            async with session.ws_connect(server.url + PATH) as socket:
                assert isinstance(socket, aiohttp.ClientWebSocketResponse)

    asyncio.run(with_aiohttp())
    assert traces.snapshot() == []


def test_nothing_records_after_shutdown(server: Server) -> None:
    with capture() as traces, websockets.sync.client.connect(server.url + PATH) as connection:
        assert traces.snapshot() == []
        llmtrace.shutdown(timeout=1)
        connection.send(json.dumps(create()))
        while json.loads(connection.recv(5))["type"] != "response.done":
            pass


WORDS = st.sampled_from(
    ["type", "response", "id", "response_id", "error", "event_id", "usage", "item_id", "resp_1", "resp_2"]
)
KINDS = st.sampled_from(
    """response.created response.done response.output_audio.delta response.output_item.done session.created
    input_audio_buffer.committed conversation.item.input_audio_transcription.completed error response.create
    conversation.item.create input_audio_buffer.append response.completed response.failed""".split()
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS | KINDS | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=8,
)
LIVE_KEYS = st.sampled_from(
    """setup client_content turnComplete toolCall functionCalls serverContent modelTurn parts inlineData
    usageMetadata setupComplete realtime_input text data outputTranscription inputTranscription""".split()
)
MESSAGES = (
    st.dictionaries(WORDS, VALUES, max_size=4)
    | st.fixed_dictionaries({"type": KINDS}, optional={"response": VALUES, "usage": VALUES, "item": VALUES})
    | st.dictionaries(LIVE_KEYS, st.dictionaries(LIVE_KEYS, VALUES, max_size=3) | VALUES, max_size=3)
).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.format.provider)
@given(messages=st.lists(st.tuples(st.booleans(), MESSAGES), max_size=12), is_broken=st.booleans())
def test_any_messages(dialect: Any, messages: list[tuple[bool, bytes]], is_broken: bool) -> None:
    """Whatever goes over a connection, nothing is raised, and every call that began ends once."""
    with capture() as traces:
        runtime = lifecycle.current()
        assert runtime is not None
        session = RealtimeSession(runtime, dialect, PATH, {}, ("127.0.0.1", 1))
        for is_sent, message in messages:
            (session.sent if is_sent else session.received)(message)
        session.closed(ConnectionError("gone") if is_broken else None)
        assert not open_streams._open
        spans = traces.spans()
        assert len({span.context.span_id for span in spans if span.context is not None}) == len(spans)
        assert not internal_errors.failures()

"""Responses over a WebSocket: each is one call, by whichever library it came."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
import websocket
import websockets
import websockets.sync.client
from google import genai
from google.genai import types
from websockets.exceptions import ConnectionClosed

import llmtrace
from llmtrace.testing import Answer, Captured, ReplayServer
from tests.collector.running import make_certificate

from .realtime_server import SOUND, VERSION, Server, realtime_server

PATH = "/v1/realtime?model=gpt-realtime"
KEY = {"Authorization": "Bearer sk-not-a-key-0123456789"}
WHISPER = {"model": "whisper-1"}
ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
Exchange = Callable[[str, list[dict[str, Any]], str], Coroutine[Any, Any, None]]


@pytest.fixture
def server() -> Iterator[Server]:
    with realtime_server() as running:
        yield running


def create(play: str = "") -> dict[str, Any]:
    """A `response.create` that is played so."""
    return {"type": "response.create", "response": {"metadata": {"play": play}}}


async def _threads_client(url: str, events: list[dict[str, Any]], until: str) -> None:
    def run() -> None:
        with websockets.sync.client.connect(url, additional_headers=KEY) as connection:
            for event in events:
                connection.send(json.dumps(event))
            while json.loads(connection.recv(5))["type"] != until:
                pass

    await asyncio.to_thread(run)


async def _asyncio_client(url: str, events: list[dict[str, Any]], until: str) -> None:
    from websockets.asyncio.client import connect

    async with connect(url, additional_headers=KEY) as connection:
        for event in events:
            await connection.send(json.dumps(event))
        async for message in connection:
            if json.loads(message)["type"] == until:
                break


async def _fragments(url: str, events: list[dict[str, Any]], until: str) -> None:
    """Messages in several frames, which are read frame by frame."""
    from websockets.asyncio.client import connect

    async with connect(url, additional_headers=KEY) as connection:
        for event in events:
            text = json.dumps(event)
            await connection.send([text[:9], text[9:]])
        kind = ""
        while kind != until:
            kind = json.loads("".join([str(frame) async for frame in connection.recv_streaming()]))["type"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def _old_client(url: str, events: list[dict[str, Any]], until: str) -> None:
    from websockets.legacy.client import connect

    async with connect(url, extra_headers=KEY) as connection:
        for event in events:
            await connection.send(json.dumps(event))
        async for message in connection:
            if json.loads(message)["type"] == until:
                break


async def _aiohttp(url: str, events: list[dict[str, Any]], until: str) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=KEY) as connection:
        for event in events:
            await connection.send_json(event)
        async for message in connection:
            if message.json()["type"] == until:
                break


async def _websocket_client(url: str, events: list[dict[str, Any]], until: str) -> None:
    def run() -> None:
        connection = websocket.create_connection(url, header=KEY, timeout=5)
        for event in events:
            connection.send(json.dumps(event))
        while json.loads(connection.recv())["type"] != until:
            pass
        connection.close()

    await asyncio.to_thread(run)


async def _websocket_app(url: str, events: list[dict[str, Any]], until: str) -> None:
    def opened(app: websocket.WebSocketApp) -> None:
        for event in events:
            app.send(json.dumps(event))

    def came(app: websocket.WebSocketApp, message: str) -> None:
        if json.loads(message)["type"] == until:
            app.close()

    header = [f"{name}: {value}" for name, value in KEY.items()]
    app = websocket.WebSocketApp(url, header=header, on_open=opened, on_message=came)
    await asyncio.to_thread(app.run_forever)


newer = pytest.mark.skipif(VERSION < 13, reason="the client itself needs websockets 13")
EXCHANGES: list[Exchange] = [_threads_client, _old_client, _aiohttp, _websocket_client, _websocket_app]
if VERSION >= 13:
    EXCHANGES += [_asyncio_client, _fragments]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.__name__.strip("_"))
def test_every_library_gives_the_same(traces: Captured, server: Server, exchange: Exchange) -> None:
    with llmtrace.span("session"):
        sent = [{"type": "conversation.item.create", "item": ITEM}, create()]
        asyncio.run(exchange(server.url + PATH, sent, "response.done"))
    span, around = traces.spans()
    assert span.parent == around.context
    (handshake,) = server.handshakes
    assert around.context is not None
    assert handshake["traceparent"] == f"00-{around.context.trace_id:032x}-{around.context.span_id:016x}-03"
    call, _ = traces.snapshot()
    assert (call["name"], call["status"]) == ("chat gpt-realtime", ("UNSET", None))
    attributes = call["attributes"]
    first = attributes.pop("gen_ai.response.time_to_first_chunk")
    last = attributes.pop("llmtrace.response.time_to_last_token")
    assert 0 < attributes.pop("llmtrace.response.time_to_first_byte") <= first <= last
    assert attributes.pop("gen_ai.response.id").startswith("resp_")
    assert attributes.pop("gen_ai.tool.definitions")
    assert json.loads(attributes.pop("gen_ai.input.messages"))[0]["parts"][0]["content"] == "Hello"
    assert json.loads(attributes.pop("gen_ai.output.messages"))[0]["parts"][0]["content"] == "It is sunny."
    assert attributes.pop("llmtrace.account").startswith("key-")
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "unknown",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "http.response.status_code": 101,
        "openai.api.type": "realtime",
        "gen_ai.request.model": "gpt-realtime",
        "gen_ai.response.model": "gpt-realtime",
        "gen_ai.conversation.id": "sess_1",
        "gen_ai.output.type": "speech",
        "llmtrace.request.voice": "marin",
        "gen_ai.system_instructions": '[{"type":"text","content":"Be brief."}]',
        "gen_ai.request.stream": True,
        "gen_ai.response.status": "completed",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 300,
        "gen_ai.usage.cache_read.input_tokens": 400,
        "gen_ai.usage.text.input_tokens": 200,
        "gen_ai.usage.image.input_tokens": 0,
        "gen_ai.usage.audio.input_tokens": 1000,
        "gen_ai.usage.text.output_tokens": 50,
        "gen_ai.usage.audio.output_tokens": 250,
        "llmtrace.usage.cache_read_audio.input_tokens": 300,
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.__name__.strip("_"))
def test_a_connection_that_breaks(traces: Captured, server: Server, exchange: Exchange) -> None:
    """No usage, and none estimated: what was said is known, what was billed is not."""

    async def torn() -> None:
        # Which error it is, is for the library to say.
        with suppress(ConnectionClosed, TypeError, websocket.WebSocketException, json.JSONDecodeError):
            await exchange(server.url + PATH, [create("torn")], "response.done")

    asyncio.run(torn())
    (call,) = traces.snapshot()
    assert call["status"][0] == "ERROR"
    assert call["attributes"]["error.type"]
    assert call["attributes"]["gen_ai.response.finish_reasons"] == ["error"]
    assert not [key for key in call["attributes"] if ".usage." in key]
    assert "It is" in call["attributes"]["gen_ai.output.messages"]


def test_what_was_spoken_is_no_content_but_its_transcript_is(traces: Captured, server: Server) -> None:
    with websockets.sync.client.connect(server.url + PATH) as connection:
        for _ in range(10):
            connection.send(json.dumps({"type": "input_audio_buffer.append", "audio": SOUND}))
        connection.send(json.dumps({"type": "input_audio_buffer.commit"}))
        connection.send(json.dumps(create("tool")))
        while json.loads(connection.recv(5))["type"] != "response.done":
            pass
    transcription, call = sorted(traces.snapshot(), key=lambda span: -len(span["name"]))
    assert json.loads(call["attributes"]["gen_ai.input.messages"]) == [
        {
            "role": "user",
            "parts": [
                {
                    "type": "blob",
                    "modality": "audio",
                    "mime_type": "audio/pcm",
                    "size": 48000,
                    "seconds": 1.0,
                },
                {"type": "text", "content": "How is the weather?"},
            ],
        }
    ]
    assert call["attributes"]["gen_ai.response.finish_reasons"] == ["tool_call"]
    (part,) = json.loads(call["attributes"]["gen_ai.output.messages"])[0]["parts"]
    assert part == {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": {"city": "Paris"}}
    assert SOUND[:64] not in str(traces.snapshot())
    attributes = transcription["attributes"]
    assert transcription["name"] == "transcription gpt-4o-mini-transcribe"
    assert attributes["gen_ai.usage.audio.input_tokens"] == attributes["gen_ai.usage.input_tokens"] == 26
    assert attributes["gen_ai.usage.output_tokens"] == 17
    assert attributes["gen_ai.conversation.id"] == "sess_1"
    assert "How is the weather?" in attributes["gen_ai.output.messages"]


def test_a_transcription_billed_by_the_second(traces: Captured, server: Server) -> None:
    spoken = {"type": "input_audio_buffer.append", "audio": SOUND}
    update = {"type": "session.update", "session": {"audio": {"input": {"transcription": WHISPER}}}}
    sent: list[dict[str, Any]] = [update, spoken, {"type": "input_audio_buffer.commit"}]
    until = "conversation.item.input_audio_transcription.completed"
    asyncio.run(_threads_client(server.url + PATH, sent, until))
    (call,) = traces.snapshot()
    assert call["name"] == "transcription whisper-1"
    usage = {key: value for key, value in call["attributes"].items() if ".usage." in key}
    assert usage == {"llmtrace.usage.audio_input_seconds": 9}


def test_two_responses_at_once(traces: Captured, server: Server) -> None:
    """One out of the conversation, while another is being spoken: each has what is its own."""
    aside = {"conversation": "none", "input": [ITEM], "instructions": "Sum it up."}
    with websockets.sync.client.connect(server.url + PATH) as connection:
        with llmtrace.span("talk"):
            connection.send(json.dumps(create("waits")))
        while json.loads(connection.recv(5))["type"] != "response.output_audio.delta":
            pass
        with llmtrace.span("aside"):
            connection.send(json.dumps({"type": "response.create", "response": aside}))
        over = 0
        while over < 2:
            over += json.loads(connection.recv(5))["type"] == "response.done"
    spans = traces.spans()
    names = {span.context.span_id: span.name for span in spans if span.context is not None}
    within, around = [span for span in spans if span.name.startswith("chat")]
    assert [names[span.parent.span_id] for span in (within, around) if span.parent] == ["aside", "talk"]
    times = around.start_time, within.start_time, within.end_time, around.end_time
    assert [*times] == sorted(time or 0 for time in times)
    of_aside, of_talk = (dict(span.attributes or {}) for span in (within, around))
    assert of_aside["gen_ai.response.id"] == f"{of_talk['gen_ai.response.id']}_aside"
    assert (of_aside["gen_ai.usage.input_tokens"], of_talk["gen_ai.usage.input_tokens"]) == (7, 1200)
    assert "Hello" in str(of_aside["gen_ai.input.messages"])
    assert "Hello" not in str(of_talk.get("gen_ai.input.messages"))
    assert "Sum it up." in str(of_aside["gen_ai.system_instructions"])
    assert "Sum it up." not in str(of_talk["gen_ai.system_instructions"])


@pytest.mark.parametrize("status", [101, 403])
def test_a_key_in_the_query_is_recorded_nowhere(traces: Captured, server: Server, status: int) -> None:
    secret = "secret-of-the-query-0123456789"
    query = f"&key={secret}&access_token={secret}&api-key={secret}"
    if status == 101:
        asyncio.run(_threads_client(server.url + PATH + query, [create()], "response.done"))
    else:
        with (
            ReplayServer(Answer.json({"error": {"message": "No."}}, status=status)) as refusing,
            pytest.raises(websockets.exceptions.InvalidStatus),
        ):
            websockets.sync.client.connect(refusing.url.replace("http", "ws") + PATH + query)
    (call,) = traces.snapshot()
    assert call["attributes"]["http.response.status_code"] == status
    assert call["attributes"]["gen_ai.request.model"] == "gpt-realtime"
    assert secret not in str(call)


@pytest.mark.parametrize(
    ("play", "reasons", "error"),
    [
        ("cancelled", ["cancelled"], None),
        ("incomplete", ["length"], None),
        ("failed", ["error"], "rate_limit_exceeded"),
        ("refused", ["error"], "conversation_already_has_active_response"),
    ],
)
def test_how_a_response_ends(
    traces: Captured, server: Server, play: str, reasons: list[str], error: str | None
) -> None:
    until = "error" if play == "refused" else "response.done"
    asyncio.run(_threads_client(server.url + PATH, [create(play)], until))
    (call,) = traces.snapshot()
    assert call["attributes"]["gen_ai.response.finish_reasons"] == reasons
    assert call["attributes"].get("error.type") == error
    assert (call["status"][0] == "ERROR") == (error is not None)
    assert ("gen_ai.usage.input_tokens" in call["attributes"]) == (error is None)


@newer
def test_openai(traces: Captured, server: Server) -> None:
    client = openai.OpenAI(api_key="k" * 20, websocket_base_url=server.url + "/v1")
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.session.update(session={"type": "realtime", "instructions": "Sing."})
        connection.response.create()
        for event in connection:
            if event.type == "response.done":
                assert event.response.usage is not None
                break
    (call,) = traces.snapshot()
    assert call["attributes"]["gen_ai.usage.audio.output_tokens"] == 250
    assert "Sing." in call["attributes"]["gen_ai.system_instructions"]


@newer
def test_azure(traces: Captured, server: Server) -> None:
    async def ask() -> None:
        client = openai.AsyncAzureOpenAI(
            azure_endpoint=f"http://127.0.0.1:{server.port}",
            websocket_base_url=server.url + "/openai",
            api_key="k" * 20,
            api_version="2025-04-01-preview",
        )
        async with client.realtime.connect(model="voice-of-mine") as connection:
            await connection.recv()
            await connection.response.create()
            async for event in connection:
                if event.type == "response.done":
                    break

    asyncio.run(ask())
    (call,) = traces.snapshot()
    assert call["attributes"]["gen_ai.request.model"] == "voice-of-mine"
    assert call["attributes"]["gen_ai.response.model"] == "gpt-realtime"


@newer
def test_responses_over_a_websocket(traces: Captured, server: Server) -> None:
    client = openai.OpenAI(api_key="k" * 20, websocket_base_url=server.url + "/v1")
    with client.responses.connect() as connection:
        for previous in (openai.omit, "resp_gone"):
            connection.response.create(model="gpt-5-mini", input="Hello", previous_response_id=previous)
            for event in connection:
                if event.type in {"response.completed", "error"}:
                    break
    call, refused = traces.snapshot()
    assert call["name"] == "chat gpt-5-mini"
    assert call["attributes"]["openai.api.type"] == "responses"
    assert call["attributes"]["gen_ai.usage.input_tokens"] == 12
    assert '"Hello"' in call["attributes"]["gen_ai.input.messages"]
    assert '"Hi"' in call["attributes"]["gen_ai.output.messages"]
    assert refused["attributes"]["error.type"] == "previous_response_not_found"


@asynccontextmanager
async def _live(folder: Path) -> AsyncIterator[Any]:
    certificate, key = make_certificate(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    trusted = ssl.create_default_context(cafile=str(certificate))
    with realtime_server(tls) as server:
        options = types.HttpOptions(
            base_url=f"https://127.0.0.1:{server.port}", async_client_args={"ssl": trusted}
        )
        client = genai.Client(api_key="k" * 20, http_options=options)
        config = types.LiveConnectConfig(
            response_modalities=[types.Modality.AUDIO], system_instruction="Be brief."
        )
        async with client.aio.live.connect(model="gemini-live-2.5-flash", config=config) as session:
            yield session


@newer
def test_gemini_live(traces: Captured, tmp_path: Path) -> None:
    """A turn of words, one whose usage comes apart, one that calls a tool, its answer, and a spoken one."""

    async def talk() -> None:
        async with _live(tmp_path) as session:
            for text in ("Hello", "apart", "tool"):
                turn = types.Content(role="user", parts=[types.Part(text=text)])
                await session.send_client_content(turns=turn)
                async for message in session.receive():
                    if message.tool_call is not None:
                        break
            answer = types.FunctionResponse(id="call-1", name="weather", response={"sky": "sunny"})
            await session.send_tool_response(function_responses=answer)
            async for _ in session.receive():
                pass
            sound = types.Blob(data=b"\1\2" * 2400, mime_type="audio/pcm;rate=16000")
            await session.send_realtime_input(audio=sound)
            await session.send_realtime_input(audio_stream_end=True)
            async for _ in session.receive():
                pass

    asyncio.run(talk())
    calls = traces.snapshot()
    assert [call["name"] for call in calls] == ["generate_content gemini-live-2.5-flash"] * 5
    for call in calls:
        attributes = call["attributes"]
        assert attributes["gen_ai.usage.input_tokens"] == 120
        assert attributes["gen_ai.usage.output_tokens"] == 40
        assert attributes["gen_ai.usage.audio.input_tokens"] == 100
        assert attributes["gen_ai.usage.audio.output_tokens"] == 40
        assert "Be brief." in attributes["gen_ai.system_instructions"]
        assert attributes["gen_ai.output.type"] == "speech"
    reasons = [call["attributes"]["gen_ai.response.finish_reasons"] for call in calls]
    assert reasons == [["stop"], ["stop"], ["tool_call"], ["stop"], ["stop"]]
    parts = [json.loads(call["attributes"]["gen_ai.output.messages"])[0]["parts"] for call in calls]
    assert [part["content"] for (part,) in parts[:2]] == ["It is sunny."] * 2
    assert parts[2][0]["arguments"] == {"city": "Paris"}
    asked = [json.loads(call["attributes"]["gen_ai.input.messages"]) for call in calls]
    assert asked[3][0]["parts"][0]["response"] == {"sky": "sunny"}
    assert asked[4][0]["parts"] == [{"type": "blob", "modality": "audio", "size": 4800}]
    assert asked[4][1]["parts"][0]["content"] == "How is the weather?"


def test_a_response_counts_once(traces: Captured, server: Server) -> None:
    """The server repeats its last event, and so does the next connection that the program resumes with."""
    asyncio.run(_threads_client(server.url + PATH, [create("twice")], "response.done"))
    repeated = threading.Event()
    with websockets.sync.client.connect(server.url + PATH) as connection:
        connection.send(json.dumps(create("twice")))
        seen = 0
        while seen < 2:
            seen += json.loads(connection.recv(5))["type"] == "response.done"
        repeated.set()
    spans = traces.snapshot()
    chats = [span for span in spans if span["attributes"]["gen_ai.operation.name"] == "chat"]
    ids = [span["attributes"]["gen_ai.response.id"] for span in chats]
    assert len(ids) == len(set(ids)) == 2
    for span in spans:
        if span not in chats:
            assert span["attributes"]["gen_ai.operation.name"] == "fetch_response"
            assert not [key for key in span["attributes"] if ".usage." in key]


def test_capture_none(traces: Captured, server: Server) -> None:
    with llmtrace.context(capture="none"):
        sent = [{"type": "conversation.item.create", "item": ITEM}, create()]
        asyncio.run(_threads_client(server.url + PATH, sent, "response.done"))
    (call,) = traces.snapshot()
    assert not any(words in str(call) for words in ("Hello", "sunny", "Be brief"))
    assert call["attributes"]["gen_ai.usage.audio.input_tokens"] == 1000


def test_a_refused_handshake_is_a_failed_call(traces: Captured) -> None:
    refusal = Answer.json({"error": {"code": "invalid_api_key", "message": "No."}}, status=401)
    with (
        ReplayServer(refusal) as server,
        pytest.raises(websockets.exceptions.InvalidStatus),
    ):
        websockets.sync.client.connect(server.url.replace("http", "ws") + PATH)
    (call,) = traces.snapshot()
    assert (call["name"], call["status"]) == ("chat gpt-realtime", ("ERROR", "No."))
    assert call["attributes"]["error.type"] == "invalid_api_key"
    assert call["attributes"]["http.response.status_code"] == 401

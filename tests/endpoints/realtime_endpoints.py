"""Responses over a WebSocket: OpenAI Realtime and Responses, Gemini Live, against a server on loopback."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import aiohttp
import websockets
import websockets.sync.client
from websockets.sync.server import serve

from llmtrace.wire.provider_names import PROVIDER_HEADER
from tests.sdk.realtime_server import SOUND, realtime_server

from .endpoint import Endpoint

_AUDIO: Final = {
    "InputTokens": 1200,
    "CacheReadTokens": 400,
    "AudioInputTokens": 1000,
    "CacheReadAudioTokens": 300,
    "OutputTokens": 300,
    "AudioOutputTokens": 250,
}
_CREATE: Final = {"type": "response.create"}
_SPOKEN: Final = (
    {"type": "input_audio_buffer.append", "audio": SOUND},
    {"type": "input_audio_buffer.commit"},
)


def _exchanged(path: str, provider: str, events: Sequence[Any], until: bytes) -> Callable[[bool], None]:
    """Events sent by `websockets`, and all that comes read until one holds `until`."""

    def send(stream: bool) -> None:
        headers = {PROVIDER_HEADER: provider}
        with (
            realtime_server() as server,
            websockets.sync.client.connect(server.url + path, additional_headers=headers) as connection,
        ):
            for event in events:
                connection.send(json.dumps(event))
            while until not in connection.recv(5, decode=False):
                pass

    return send


def _exchanged_by_aiohttp(path: str, provider: str, events: Sequence[Any]) -> Callable[[bool], None]:
    async def exchange() -> None:
        headers = {PROVIDER_HEADER: provider}
        with realtime_server() as server:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(server.url + path, headers=headers) as connection,
            ):
                for event in events:
                    await connection.send_json(event)
                async for message in connection:
                    if message.json()["type"] == "response.done":
                        return

    def send(stream: bool) -> None:
        asyncio.run(exchange())

    return send


@contextmanager
def resuming_server() -> Iterator[str]:
    """One that sends the same response on every connection; its URL, without a path."""
    response = {"object": "realtime.response", "id": "resp_resumed", "status": "completed", "output": []}
    usage = {"input_tokens": 1200, "output_tokens": 300, "total_tokens": 1500}
    done = {"type": "response.done", "response": {**response, "usage": usage}}
    session = {"id": "sess_resumed", "model": "gpt-realtime"}

    def play(connection: Any) -> None:
        connection.send(json.dumps({"type": "session.created", "session": session}))
        connection.send(json.dumps(done))
        connection.recv()

    with serve(play, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join(5)


def _repeated(path: str, provider: str) -> Callable[[bool], None]:
    """A connection, and the next one, on which the server sends the same response again."""

    def send(stream: bool) -> None:
        with resuming_server() as url:
            for _ in range(2):
                headers = {PROVIDER_HEADER: provider}
                with websockets.sync.client.connect(url + path, additional_headers=headers) as connection:
                    while b"response.done" not in connection.recv(5, decode=False):
                        pass
                    connection.send("over")

    return send


_BY_THE_SECOND: Final = {
    "type": "session.update",
    "session": {"audio": {"input": {"transcription": {"model": "whisper-1"}}}},
}
_LIVE: Final = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
_TURN: Final = {"turns": [{"role": "user", "parts": [{"text": "Hi"}]}], "turnComplete": True}
_LIVE_MODEL: Final = "gemini-live-2.5-flash-preview"

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        "realtime: a response",
        "OpenAI",
        _exchanged("/v1/realtime?model=gpt-realtime", "openai", [_CREATE], b'"response.done"'),
        spans=("chat",),
        usage=_AUDIO,
        price="listed",
        remark="a span for each response; cached sound apart",
    ),
    Endpoint(
        "realtime: a response, by `aiohttp`",
        "OpenAI",
        _exchanged_by_aiohttp("/v1/realtime?model=gpt-realtime", "openai", [_CREATE]),
        spans=("chat",),
        usage=_AUDIO,
        price="listed",
    ),
    Endpoint(
        "realtime: what the user said, transcribed",
        "OpenAI",
        _exchanged(
            "/v1/realtime?intent=transcription", "openai", _SPOKEN, b"input_audio_transcription.completed"
        ),
        spans=("transcription",),
        usage={"InputTokens": 26, "AudioInputTokens": 26, "OutputTokens": 17},
        price="listed",
    ),
    Endpoint(
        "realtime: what the user said, transcribed by the second",
        "OpenAI",
        _exchanged(
            "/v1/realtime?intent=transcription",
            "openai",
            [_BY_THE_SECOND, *_SPOKEN],
            b"input_audio_transcription.completed",
        ),
        spans=("transcription",),
        usage={"AudioInputSeconds": 9},
        price="listed",
    ),
    Endpoint(
        "realtime: a response that comes again after a reconnect",
        "OpenAI",
        _repeated("/v1/realtime?model=gpt-realtime", "openai"),
        spans=("chat", "fetch_response"),
        usage={"InputTokens": 1200, "OutputTokens": 300},
        price="listed",
        remark="counted once",
    ),
    Endpoint(
        "realtime: translation",
        "OpenAI",
        remark="its events count nothing; it is billed by the minute",
    ),
    Endpoint(
        "realtime: WebRTC, SIP",
        "OpenAI",
        remark="no WebSocket of the program's; one that it opens with `call_id` is covered",
    ),
    Endpoint(
        "realtime: a response",
        "Azure OpenAI",
        _exchanged(
            "/openai/realtime?api-version=2025-04-01-preview&deployment=voice",
            "azure.ai.openai",
            [_CREATE],
            b'"response.done"',
        ),
        spans=("chat",),
        usage=_AUDIO,
        price="listed",
    ),
    Endpoint(
        "realtime: a response",
        "xAI",
        _exchanged("/v1/realtime?model=grok-voice", "x_ai", [_CREATE], b'"response.done"'),
        spans=("chat",),
        usage=_AUDIO,
        price="unpriced",
        remark="by OpenAI's shape; billed by the minute",
    ),
    Endpoint(
        "Responses over a WebSocket",
        "OpenAI",
        _exchanged(
            "/v1/responses",
            "openai",
            [{"type": "response.create", "model": "gpt-5-mini", "input": "Hi"}],
            b'"response.completed"',
        ),
        spans=("chat",),
        usage={"InputTokens": 12, "OutputTokens": 5},
        price="listed",
    ),
    Endpoint(
        "Live: a turn",
        "Google Gemini",
        _exchanged(
            _LIVE,
            "gcp.gemini",
            [{"setup": {"model": f"models/{_LIVE_MODEL}"}}, {"clientContent": _TURN}],
            b"turnComplete",
        ),
        spans=("generate_content",),
        usage={"InputTokens": 120, "AudioInputTokens": 100, "OutputTokens": 40, "AudioOutputTokens": 40},
        price="listed",
        remark="a span for each turn",
    ),
    Endpoint(
        "Live: music",
        "Google Gemini",
        remark="its messages count nothing",
    ),
)

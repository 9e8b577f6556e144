"""A server on the loopback interface that speaks OpenAI Realtime, Responses over a WebSocket and Gemini Live.

What it plays is in the documented shapes; how a response ends is said by its `metadata`.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve
from websockets.version import version

#: Of `websockets`, its first number.
VERSION = int(version.partition(".")[0])
SOUND = base64.b64encode(b"\x01\x02" * 2400).decode()
USAGE = {
    "total_tokens": 1500,
    "input_tokens": 1200,
    "output_tokens": 300,
    "input_token_details": {
        "text_tokens": 200,
        "audio_tokens": 1000,
        "image_tokens": 0,
        "cached_tokens": 400,
        "cached_tokens_details": {"text_tokens": 100, "audio_tokens": 300, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 50, "audio_tokens": 250},
}
TRANSCRIPTION_USAGE = {
    "type": "tokens",
    "input_tokens": 26,
    "output_tokens": 17,
    "total_tokens": 43,
    "input_token_details": {"text_tokens": 0, "audio_tokens": 26},
}
DURATION_USAGE = {"type": "duration", "seconds": 8.5}
"""Of a model whose transcriptions are billed by the second."""
SESSION = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_1",
    "model": "gpt-realtime",
    "output_modalities": ["audio"],
    "instructions": "Be brief.",
    "tools": [{"type": "function", "name": "weather", "description": "", "parameters": {"type": "object"}}],
    "max_output_tokens": "inf",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": {"model": "gpt-4o-mini-transcribe"},
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"},
    },
}


@dataclass
class Server:
    """Where it listens, and the headers of the handshakes that it got."""

    port: int = 0
    scheme: str = "ws"
    handshakes: list[dict[str, str]] = field(default_factory=list)
    responses: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def next_id(self) -> str:
        with self.lock:
            self.responses += 1
            return f"resp_{self.port}_{self.responses}"


@contextmanager
def realtime_server(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """One that runs until the block is left."""
    state = Server(scheme="ws" if tls is None else "wss")

    def play(connection: ServerConnection) -> None:
        assert connection.request is not None
        path = connection.request.path
        state.handshakes.append(
            {name.lower(): value for name, value in connection.request.headers.raw_items()}
        )
        with suppress(ConnectionClosed):
            if "BidiGenerateContent" in path:
                _live(connection)
            elif "/responses" in path:
                _responses(connection, state)
            else:
                _realtime(connection, state)

    secured: dict[str, Any] = {} if tls is None else {"ssl" if VERSION >= 13 else "ssl_context": tls}
    with serve(play, "127.0.0.1", 0, **secured) as server:
        state.port = server.socket.getsockname()[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join(5)


def _send(connection: ServerConnection, kind: str, **fields: Any) -> None:
    connection.send(json.dumps({"type": kind, "event_id": "event_1", **fields}))


def _realtime(connection: ServerConnection, state: Server) -> None:
    session: dict[str, Any] = dict(SESSION)
    _send(connection, "session.created", session=session)
    spoken = 0
    for raw in connection:
        event = json.loads(raw)
        kind = event["type"]
        if kind == "session.update":
            session |= event["session"]
            _send(connection, "session.updated", session=session)
        elif kind == "conversation.item.create":
            _send(connection, "conversation.item.added", item={**event["item"], "id": "item_1"})
        elif kind == "input_audio_buffer.commit":
            spoken += 1
            model = session["audio"]["input"]["transcription"]["model"]
            item_id = f"item_spoken_{state.port}_{spoken}"
            _send(connection, "input_audio_buffer.committed", item_id=item_id, previous_item_id=None)
            _send(
                connection,
                "conversation.item.input_audio_transcription.completed",
                item_id=item_id,
                content_index=0,
                transcript="How is the weather?",
                usage=DURATION_USAGE if model == "whisper-1" else TRANSCRIPTION_USAGE,
            )
        elif kind == "response.create":
            asked = event.get("response") or {}
            _respond(connection, state.next_id(), asked, (asked.get("metadata") or {}).get("play", ""))


def _respond(connection: ServerConnection, response_id: str, asked: dict[str, Any], play: str) -> None:
    if play == "refused":
        error = {"type": "invalid_request_error", "code": "conversation_already_has_active_response"}
        _send(connection, "error", error={**error, "message": "Wait.", "param": None, "event_id": None})
        return
    head = {"object": "realtime.response", "id": response_id, "status": "in_progress", "output": []}
    _send(connection, "response.created", response=head)
    where = {"response_id": response_id, "item_id": f"item_of_{response_id}", "output_index": 0}
    part = {**where, "content_index": 0}
    message = {"id": where["item_id"], "type": "message", "role": "assistant", "status": "in_progress"}
    _send(connection, "response.output_item.added", **where, item={**message, "content": []})
    if play == "tool":
        call = {"id": where["item_id"], "type": "function_call", "name": "weather", "call_id": "call_1"}
        _send(connection, "response.function_call_arguments.delta", **where, delta='{"city"')
        call["arguments"] = '{"city": "Paris"}'
        _send(connection, "response.output_item.done", **where, item=call)
        output = [call]
    else:
        for words in ("It is ", "sunny."):
            if play == "waits" and words == "sunny.":
                aside = json.loads(connection.recv())["response"]
                _respond(connection, f"{response_id}_aside", aside, "aside")
            _send(connection, "response.output_audio_transcript.delta", **part, delta=words)
            _send(connection, "response.output_audio.delta", **part, delta=SOUND)
        if play == "torn":
            connection.socket.shutdown(socket.SHUT_RDWR)
            return
        if play == "hangs":
            return
        part_of_answer = {"type": "output_audio", "transcript": "It is sunny."}
        output = [{**message, "status": "completed", "content": [part_of_answer]}]
        _send(connection, "response.output_audio.done", **part)
    done: dict[str, Any] = {**head, "status": "completed", "output": output, "usage": USAGE}
    if play == "aside":
        done["usage"] = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
    elif play == "failed":
        error = {"type": "server_error", "code": "rate_limit_exceeded", "message": "Slow down."}
        done |= {"status": "failed", "status_details": {"type": "failed", "error": error}, "usage": None}
    elif play in {"cancelled", "incomplete"}:
        reason = "turn_detected" if play == "cancelled" else "max_output_tokens"
        done |= {"status": play, "status_details": {"type": play, "reason": reason}}
    _send(connection, "response.done", response=done)
    if play == "twice":
        _send(connection, "response.done", response=done)


def _responses(connection: ServerConnection, state: Server) -> None:
    for raw in connection:
        event = json.loads(raw)
        if event["type"] != "response.create":
            continue
        if event.get("previous_response_id") == "resp_gone":
            error = {"code": "previous_response_not_found", "message": "It is gone.", "param": None}
            _send(connection, "error", status=400, error=error)
            continue
        response = {"id": state.next_id(), "object": "response", "model": event["model"], "output": []}
        _send(connection, "response.created", response={**response, "status": "in_progress"})
        _send(connection, "response.output_text.delta", output_index=0, content_index=0, delta="Hi")
        output = [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
        ]
        usage = {"input_tokens": 12, "output_tokens": 5, "total_tokens": 17}
        done = {**response, "status": "completed", "output": output, "usage": usage}
        _send(connection, "response.completed", response=done)


def _live(connection: ServerConnection) -> None:
    """As Google does: JSON with line breaks in binary frames."""

    def send(**fields: Any) -> None:
        connection.send(json.dumps(fields, indent=2).encode())

    usage = {
        "promptTokenCount": 120,
        "responseTokenCount": 40,
        "totalTokenCount": 160,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 20},
            {"modality": "AUDIO", "tokenCount": 100},
        ],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 40}],
    }
    sound = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": SOUND}}
    for raw in connection:
        event = json.loads(raw)
        content = event.get("client_content") or event.get("clientContent") or {}
        if "setup" in event:
            send(setupComplete={})
        elif "tool" in str(content):
            call = {"id": "call-1", "name": "weather", "args": {"city": "Paris"}}
            send(toolCall={"functionCalls": [call]}, usageMetadata=usage)
        elif content or "tool_response" in event or "audioStreamEnd" in str(event):
            if not content and "audioStreamEnd" in str(event):
                send(serverContent={"inputTranscription": {"text": "How is the weather?"}})
            send(serverContent={"modelTurn": {"parts": [sound]}})
            send(serverContent={"outputTranscription": {"text": "It is "}})
            send(serverContent={"modelTurn": {"parts": [sound]}})
            send(serverContent={"outputTranscription": {"text": "sunny."}})
            send(serverContent={"generationComplete": True})
            if "apart" in str(content):
                send(serverContent={"turnComplete": True})
                send(usageMetadata=usage)
            else:
                send(serverContent={"turnComplete": True}, usageMetadata=usage)

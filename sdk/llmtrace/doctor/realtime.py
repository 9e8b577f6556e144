"""Whether responses over a WebSocket are traced: one by each library, from a server on loopback."""

from __future__ import annotations

import base64
import hashlib
import importlib
import importlib.util
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import llmtrace
from llmtrace import semconv
from llmtrace.testing import capture

from .result import Result
from .versions import installed_version

_PATH: Final = "/v1/realtime?model=doctor"
_USAGE: Final = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
_DONE: Final = {
    "type": "response.done",
    "response": {
        "object": "realtime.response",
        "id": "resp_doctor",
        "status": "completed",
        "output": [],
        "usage": _USAGE,
    },
}
_ASKED: Final = json.dumps({"type": "response.create"})
_ACCEPTED: Final = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: {}\r\n\r\n"
)
#: Of RFC 6455: what a server puts behind the client's key.
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SECONDS: Final = 10


def websocket_hooks() -> Iterator[Result]:
    """For each library: whether a response became a span with its tokens. Ends a running `init`."""
    for distribution, module, exchange in (
        ("websockets", "websockets.sync.client", _by_websockets),
        ("websocket-client", "websocket", _by_websocket_client),
    ):
        if importlib.util.find_spec(module.partition(".")[0]) is not None:
            yield _hook(distribution, module, exchange)


def _hook(distribution: str, module: str, exchange: Callable[[Any, int], None]) -> Result:
    version = f"{distribution} {installed_version(distribution) or '(version unknown)'}"
    name = f"hook: {distribution}"
    with capture(strict=False, sample_rate=1.0) as captured:
        try:
            with _server() as port:
                exchange(importlib.import_module(module), port)
        except Exception as error:  # noqa: BLE001  # whatever an unknown version of it raises
            detail = f"{version} cannot exchange messages: {type(error).__name__}: {error}"
            return Result(name, "fail", detail, f"another version of {distribution}, or what patches it")
        spans = [
            span for span in captured.spans() if (span.attributes or {}).get(semconv.USAGE_INPUT_TOKENS) == 3
        ]
        statuses = llmtrace.stats().hooks
    if spans:
        return Result(name, "ok", f"{version} is traced")
    failed = [f"{hooked}: {status.error}" for hooked, status in statuses.items() if status.error]
    reason = "; ".join(failed) or "its hook is not called: something imported or patched it another way"
    remedy = f"another version of {distribution}; please report this line"
    return Result(name, "fail", f"{version} is not traced ({reason})", remedy)


# On sockets of ours: a proxy of the environment knows nothing of this machine.


def _by_websockets(client: Any, port: int) -> None:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as own,
        client.connect(f"ws://127.0.0.1:{port}{_PATH}", sock=own) as connection,
    ):
        connection.send(_ASKED)
        connection.recv(_SECONDS)


def _by_websocket_client(client: Any, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as own:
        connection = client.create_connection(f"ws://127.0.0.1:{port}{_PATH}", socket=own)
        connection.send(_ASKED)
        connection.recv()
        connection.close()


@contextmanager
def _server() -> Iterator[int]:
    """One that answers the first message of one connection, whatever it says; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(_SECONDS)
        thread = threading.Thread(target=_answer, args=(listening,), daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(_SECONDS)


def _answer(listening: socket.socket) -> None:
    try:
        connection, _ = listening.accept()
        with connection, connection.makefile("rb") as incoming:
            connection.settimeout(_SECONDS)
            key = ""
            while line := incoming.readline().strip():
                name, _, value = line.decode("latin-1").partition(":")
                if name.lower() == "sec-websocket-key":
                    key = value.strip()
            digest = hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()
            connection.sendall(_ACCEPTED.format(base64.b64encode(digest).decode()).encode())
            _read_frame(incoming)
            body = json.dumps(_DONE).encode()
            connection.sendall(b"\x81\x7e" + len(body).to_bytes(2, "big") + body)
            _read_frame(incoming)
            connection.sendall(b"\x88\x02\x03\xe8")
    except OSError:
        return  # the client says what is wrong


def _read_frame(incoming: Any) -> None:
    """A short frame that is masked, as clients send it."""
    _, length = incoming.read(2)
    incoming.read(4 + (length & 0x7F))

"""Whether responses over a WebSocket are traced: one by `websockets`, from a server on loopback."""

from __future__ import annotations

import importlib
import json
import socket
import threading
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


def websockets_hook() -> Result:
    """Whether a response became a span with its tokens. Ends a running `init`."""
    version = f"websockets {installed_version('websockets') or '(version unknown)'}"
    name = "hook: websockets"
    with capture(strict=False, sample_rate=1.0) as captured:
        try:
            _exchange()
        except Exception as error:  # noqa: BLE001  # whatever an unknown version of it raises
            detail = f"{version} cannot exchange messages: {type(error).__name__}: {error}"
            return Result(name, "fail", detail, "websockets 12 or newer, or look for what patches it")
        spans = [
            span for span in captured.spans() if (span.attributes or {}).get(semconv.USAGE_INPUT_TOKENS) == 3
        ]
        statuses = llmtrace.stats().hooks
    if spans:
        return Result(name, "ok", f"{version} is traced")
    failed = [f"{hooked}: {status.error}" for hooked, status in statuses.items() if status.error]
    reason = "; ".join(failed) or "its hook is not called: something imported or patched it another way"
    remedy = "another version of websockets; please report this line"
    return Result(name, "fail", f"{version} is not traced ({reason})", remedy)


def _exchange() -> None:
    client: Any = importlib.import_module("websockets.sync.client")
    server: Any = importlib.import_module("websockets.sync.server")

    def answer(connection: Any) -> None:
        connection.recv()
        connection.send(json.dumps(_DONE))

    with server.serve(answer, "127.0.0.1", 0) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        try:
            port = running.socket.getsockname()[1]
            # On a socket of ours: a proxy of the environment knows nothing of this machine.
            own = socket.create_connection(("127.0.0.1", port), timeout=10)
            with client.connect(f"ws://127.0.0.1:{port}{_PATH}", sock=own) as connection:
                connection.send(json.dumps({"type": "response.create"}))
                connection.recv(10)
        finally:
            running.shutdown()
            thread.join(10)

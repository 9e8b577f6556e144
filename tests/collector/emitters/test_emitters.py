"""Real emitters, run against a replay of recorded answers, give the same canonical record.

They live in a virtual environment of their own, so that their pins do not meet ours:

    python -m venv DIRECTORY
    DIRECTORY/bin/pip install -r tests/collector/emitters/requirements.lock
    LLMTRACE_EMITTERS=DIRECTORY pytest tests/collector/emitters
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from llmtrace_collector.envelope import Record, encode
from llmtrace_collector.otlp_json import to_protobuf
from llmtrace_collector.store import Store, open_store
from llmtrace_collector.validate import check

_HOME = os.environ.get("LLMTRACE_EMITTERS", "")
_PYTHON = Path(_HOME) / "bin" / "python"
_RECORDINGS = Path(__file__).parents[4] / "shared" / "data" / "recordings"

pytestmark = [
    pytest.mark.skipif(
        not _HOME or not _PYTHON.exists(),
        reason="LLMTRACE_EMITTERS names no virtual environment with the emitters; see this file's head",
    ),
    pytest.mark.skipif(not _RECORDINGS.is_dir(), reason="the recordings of provider answers are not here"),
]

CALLS = {
    ("openai", False): "genai_openai/inference_conformance#0",
    ("openai", True): "genai_langchain/inference_streaming_conformance#0",
    ("anthropic", False): "genai_anthropic/inference_conformance#0",
    ("anthropic", True): "genai_anthropic/test_sync_messages_create_streaming_captures_content#0",
}

EMITTERS = {
    "openai": (
        "openllmetry openai",
        "openinference openai",
        "otel openai",
        "logfire openai",
        "langfuse openai",
    ),
    "anthropic": (
        "openllmetry anthropic",
        "openinference anthropic",
        "otel anthropic",
        "logfire anthropic",
        "anthropic native",
    ),
}

#: What an emitter does not tell, streamed or not: the column is not compared.
GAPS: dict[tuple[str, bool], set[str]] = {
    # It adds up the usage that the stream repeats.
    ("openllmetry anthropic", True): {"OutputTokens", "first token"},
    # The log at a stream's end says what was answered and used, no more.
    ("logfire openai", True): {"first token", "FinishReasons", "ResponseModel"},
    ("logfire anthropic", True): {"first token", "FinishReasons"},
    # Nothing tells of the first token.
    ("openinference anthropic", True): {"first token"},
    # One model, the one that answered, and no provider.
    **{
        ("langfuse openai", streamed): {"Provider", "RequestModel", "ResponseModel", "FinishReasons"}
        for streamed in (False, True)
    },
    # The answer is only on the span of a call that is not streamed.
    ("anthropic native", True): {"said"},
}


def recording(name: str) -> dict[str, Any]:
    """One recorded exchange."""
    for file in sorted(_RECORDINGS.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            if name in line[:200]:
                return dict(json.loads(line))
    raise LookupError(name)


def told(kind: str, exchange: dict[str, Any]) -> dict[str, Any]:
    """The canonical record that the recorded answer calls for."""
    request = json.loads(exchange["request"]["text"])
    text = exchange["response"]["text"]
    chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    if kind == "openai":
        if chunks:
            said = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
            reason = next(c["choices"][0]["finish_reason"] for c in reversed(chunks) if c["choices"])
            usage = next(c["usage"] for c in reversed(chunks) if c.get("usage"))
            body = chunks[0]
        else:
            body = json.loads(text)
            said = body["choices"][0]["message"]["content"]
            reason, usage = body["choices"][0]["finish_reason"], body["usage"]
        tokens = usage["prompt_tokens"], usage["completion_tokens"]
    else:
        if chunks:
            body = chunks[0]["message"]
            said = "".join(c["delta"].get("text", "") for c in chunks if c["type"] == "content_block_delta")
            last = next(c for c in chunks if c["type"] == "message_delta")
            reason = last["delta"]["stop_reason"]
            tokens = body["usage"]["input_tokens"], last["usage"]["output_tokens"]
        else:
            body = json.loads(text)
            said, reason = body["content"][0]["text"], body["stop_reason"]
            tokens = body["usage"]["input_tokens"], body["usage"]["output_tokens"]
    return {
        "Provider": kind,
        "Operation": "chat",
        "RequestModel": request["model"],
        "ResponseModel": body["model"],
        "InputTokens": tokens[0],
        "OutputTokens": tokens[1],
        "FinishReasons": [{"end_turn": "stop"}.get(reason, reason)],
        "asked": request["messages"][-1]["content"],
        "said": said,
        "first token": bool(chunks),
    }


class Replay:
    """A provider that gives one recorded answer, and an OTLP receiver, on one port."""

    def __init__(self) -> None:
        self.exchange: dict[str, Any] = {}
        self.bodies: list[bytes] = []
        replay = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path.endswith("/v1/traces"):
                    if "json" in self.headers["content-type"]:
                        body = to_protobuf("traces", body)
                    replay.bodies.append(body)
                    self._answer("application/x-protobuf", b"")
                else:
                    streamed = bool(json.loads(body).get("stream"))
                    kind = "text/event-stream" if streamed else "application/json"
                    self._answer(kind, replay.exchange["response"]["text"].encode())

            def _answer(self, kind: str, body: bytes) -> None:
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    found = Replay()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    found = open_store(f"chdb://{tmp_path_factory.mktemp('emitters')}/store")
    yield found
    found.close()


def message_text(text: str) -> str:
    """The text parts of the last message."""
    messages = json.loads(text or "[]")
    parts = messages[-1]["parts"] if messages else []
    return "".join(part.get("content") or "" for part in parts if part["type"] == "text")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("emitter", [name for names in EMITTERS.values() for name in names])
def test_the_real_emitter_gives_the_canonical_record(
    emitter: str, streamed: bool, replay: Replay, store: Store, tmp_path: Path
) -> None:
    kind = "anthropic" if "anthropic" in emitter else "openai"
    replay.exchange, replay.bodies = recording(CALLS[kind, streamed]), []
    program = Path(__file__).parent / "emit.py"
    ended = subprocess.run(
        [str(_PYTHON), str(program), emitter, replay.url, replay.url],
        input=replay.exchange["request"]["text"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")},
    )
    if "No module named" in ended.stderr:
        pytest.skip(f"{emitter} is not installed in {_HOME}: {ended.stderr.splitlines()[-1]}")
    assert ended.returncode == 0, ended.stderr[-2000:]
    bodies = [
        check("traces", body, now=time.time_ns(), retention_days=30).body for body in replay.bodies if body
    ]
    path = tmp_path / f"{uuid.uuid4().hex}.seg"
    path.write_bytes(b"".join(b"".join(encode(Record("", time.time_ns(), body))) for body in bodies))
    store.engine.execute("TRUNCATE TABLE otel_traces")
    store.insert_segment("traces", path, path.stem)
    rows = store.rows("SELECT * FROM otel_traces WHERE Counted")
    assert len(rows) == 1
    (row,) = rows
    found = {
        **row,
        "InputTokens": int(row["InputTokens"] or 0),
        "OutputTokens": int(row["OutputTokens"] or 0),
        "asked": message_text(row["InputMessages"]),
        "said": message_text(row["OutputMessages"]),
        "first token": row["TimeToFirstToken"] is not None,
    }
    expected = {
        key: value
        for key, value in told(kind, replay.exchange).items()
        if key not in GAPS.get((emitter, streamed), set())
    }
    assert {key: found[key] for key in expected} == expected
    assert row["UsageFault"] == ""

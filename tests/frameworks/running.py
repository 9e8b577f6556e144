"""Programs in virtual environments of their own, between a replayed provider and a real store."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from llmtrace.testing import Answer, ReplayServer
from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from llmtrace_collector.ingest.otlp_json import to_protobuf
from llmtrace_collector.ingest.validate import check
from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.store import Store
from tests.sdk.naive import Recording

from .exchanges import EXCHANGES

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"


def needs(group: str) -> pytest.MarkDecorator:
    """Skips where the environment is missing; `scripts/test` makes all of them first."""
    home = ROOT / ".venvs" / group
    return pytest.mark.skipif(
        not (home / "bin" / "python").exists(), reason=f"no {home}; scripts/setup --frameworks makes it"
    )


def run(group: str, program: str, *arguments: str, stdin: str = "", **env: str) -> str:
    """What the program printed; its failure fails the test with what it wrote."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "LLMTRACE_"))
    }
    environment.pop("VIRTUAL_ENV", None)
    ended = subprocess.run(
        [str(ROOT / ".venvs" / group / "bin" / "python"), str(PROGRAMS / program), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={
            **environment,
            "PYTHONPATH": str(ROOT / "sdk"),
            "LLMTRACE_STRICT": "1",
            "LLMTRACE_SPOOL_DIR": "off",
            **env,
        },
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return ended.stdout


def exchange(name: str) -> Recording:
    """One exchange by its name."""
    return EXCHANGES[name]


def events(recorded: Recording) -> list[dict[str, Any]]:
    """The decoded events of a stream; the one body otherwise."""
    text = recorded.answered.decode()
    if not recorded.is_stream:
        return [json.loads(text)]
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


class Collector(ReplayServer):
    """Takes OTLP as a collector does; `rows` is what the store then holds of it, and of nothing else."""

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(Answer(headers={"content-type": "application/x-protobuf"}))
        self._store, self._folder = store, folder

    def __enter__(self) -> Self:
        self._store.engine.execute("TRUNCATE TABLE otel_traces")
        return super().__enter__()

    def rows(self, where: str = "1") -> list[dict[str, Any]]:
        """What arrived is stored and deduplicated; in the order of the spans' starts."""
        arrived, self.requests = self.requests, []
        records = []
        for received, request in enumerate(arrived, time.time_ns() // 10**6 - len(arrived)):
            if not request.path.endswith("/v1/traces"):
                continue
            body = request.body
            if request.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if "json" in request.headers["content-type"]:
                body = to_protobuf("traces", body)
            if body:
                checked = check("traces", body, now=time.time_ns(), retention_days=30)
                records.append(b"".join(encode(Frame("", received * 10**6, checked.body))))
        if records:
            path = self._folder / f"{uuid.uuid4().hex}.seg"
            path.write_bytes(b"".join(records))
            self._store.insert_segment("traces", path, path.stem)
            CallDeduplicator(self._store).sync()
        return self._store.rows(f"SELECT * FROM otel_traces WHERE {where} ORDER BY Timestamp")


def message_text(text: str) -> str:
    """The text parts of the last message."""
    messages = json.loads(text or "[]")
    parts: Sequence[Mapping[str, Any]] = messages[-1]["parts"] if messages else []
    return "".join(part.get("content") or "" for part in parts if part["type"] == "text")

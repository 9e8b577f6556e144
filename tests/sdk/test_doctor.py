"""`python -m llmtrace.doctor`: what is wrong in an application's environment, and what to do about it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import urllib3
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import llmtrace
from llmtrace.capture import interceptor
from llmtrace.testing import Answer, ReplayServer, capture

from .chat import PLAIN, REQUEST

OK = Answer(headers={"content-type": "application/x-protobuf"})
KEY = "lt_0123456789abcdefghijkl"


@pytest.fixture
def collector() -> Iterator[ReplayServer]:
    with ReplayServer(OK, provider="") as server:
        yield server


def doctor(folder: Path, *arguments: str, **more: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status, and each check by its name."""
    ended = run(folder, "--json", *arguments, **more)
    assert ended.returncode in (0, 1), ended.stderr
    report = json.loads(ended.stdout)
    assert report["ok"] == (ended.returncode == 0)
    return ended.returncode, {check["name"]: check for check in report["checks"]}


def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LLMTRACE_"))
    }
    environment |= {"LLMTRACE_SPOOL_DIR": str(folder / "spool"), "HTTP_PROXY": "http://127.0.0.1:9", **more}
    return subprocess.run(
        [sys.executable, "-m", "llmtrace.doctor", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_all_is_well(collector: ReplayServer, tmp_path: Path) -> None:
    code, checks = doctor(tmp_path, LLMTRACE_ENDPOINT=collector.url, LLMTRACE_API_KEY=KEY)
    assert code == 0, checks
    libraries = "httpx httpx2 requests urllib3 aiohttp botocore websockets websocket-client grpc"
    for library in libraries.split():
        assert checks[f"hook: {library}"]["detail"].endswith("is traced")
    assert checks["setting: endpoint"]["detail"] == f"{collector.url} (LLMTRACE_ENDPOINT)"
    assert checks["setting: api_key"]["detail"] == "set, 25 characters, ends in …ijkl (LLMTRACE_API_KEY)"
    assert checks["setting: sample_rate"]["detail"] == "1.0 (default)"
    assert KEY not in json.dumps(checks)
    assert "nothing waits" in checks["spool"]["detail"]
    assert "of at most 256 processes" in checks["shared memory"]["detail"]
    sent = [request for request in collector.requests if request.path == "/v1/traces" and request.body]
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in sent)
    bodies = [gzip.decompress(request.body) for request in sent]
    (span,) = (
        span
        for body in bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )
    assert span.name == "llmtrace doctor"
    assert checks["test span"]["detail"] == f"is at http://127.0.0.1:8501/traces?trace={span.trace_id.hex()}"


def test_each_fault_has_its_remedy(tmp_path: Path) -> None:
    with ReplayServer(Answer(status=401)) as server:
        code, checks = doctor(tmp_path, "--endpoint", server.url)
    assert code == 1
    assert "401" in checks["exporter"]["detail"]
    assert "LLMTRACE_API_KEY" in checks["exporter"]["remedy"]
    assert checks["setting: endpoint"]["detail"].endswith("(--endpoint)")
    assert "test span" not in checks

    (tmp_path / "file").write_text("")
    code, checks = doctor(
        tmp_path, "--endpoint", server.url, LLMTRACE_SPOOL_DIR=str(tmp_path / "file" / "spool")
    )
    assert code == 1
    assert "cannot be reached" in checks["exporter"]["detail"]
    assert checks["spool"]["status"] == "fail"
    assert "LLMTRACE_SPOOL_DIR" in checks["spool"]["remedy"]


def test_what_the_environment_says_wrongly(tmp_path: Path) -> None:
    code, checks = doctor(
        tmp_path, LLMTRACE_SAMPLE_RATE="often", OTEL_EXPORTER_OTLP_ENDPOINT="http://u:pw@h:1"
    )
    assert code == 1
    assert "LLMTRACE_SAMPLE_RATE is 'often'" in checks["settings"]["detail"]
    code, checks = doctor(tmp_path, LLMTRACE_DISABLED="1", OTEL_EXPORTER_OTLP_ENDPOINT="http://u:pw@h:1")
    assert code == 1
    assert checks["disabled"]["status"] == "fail"
    assert checks["setting: endpoint"]["detail"] == "http://h:1 (OTEL_EXPORTER_OTLP_ENDPOINT)"
    assert "pw" not in checks["setting: endpoint"]["detail"]


def test_a_library_that_is_not_traced(tmp_path: Path, collector: ReplayServer) -> None:
    """An unknown version, whose classes have other names."""
    (tmp_path / "aiohttp.py").write_text("class Session:\n    pass\n")
    code, checks = doctor(tmp_path, LLMTRACE_ENDPOINT=collector.url, PYTHONPATH=_before(tmp_path))
    assert code == 1
    assert checks["hook: aiohttp"]["status"] == "fail"
    assert checks["hook: httpx"]["status"] == "ok"
    assert checks["hook: grpc"]["status"] == "ok"
    program = (
        "import llmtrace, json, dataclasses; llmtrace.init(); import aiohttp; s = llmtrace.stats().hooks;"
    )
    program += "print(json.dumps({name: dataclasses.asdict(hook) for name, hook in s.items()}))"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "LLMTRACE_STRICT": "0", "PYTHONPATH": _before(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    hook = json.loads(ended.stdout)["aiohttp"]
    assert (hook["installed"], hook["failures"]) == (False, 1)
    assert hook["error"].startswith("AttributeError: ")


def _before(folder: Path) -> str:
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def test_a_hook_that_fails_at_a_request_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise LookupError("no such format")

    with ReplayServer(PLAIN) as server, capture(strict=False) as captured:
        url = server.url + "/v1/chat/completions"
        monkeypatch.setattr(interceptor, "recognised", refuse)
        before = llmtrace.stats().hooks["urllib3"].failures
        assert requests.post(url, json=REQUEST, timeout=5).json()["id"] == "chatcmpl-7"
        assert urllib3.PoolManager().request("POST", url, body=json.dumps(REQUEST)).status == 200
        assert httpx.post(url, json=REQUEST).status_code == 200
        hooks = llmtrace.stats().hooks
        assert len(captured.spans()) == 1
    assert hooks["urllib3"].installed
    assert hooks["urllib3"].failures == before + 2
    assert hooks["urllib3"].error == "LookupError: no such format"
    assert hooks["httpx"] == llmtrace.HookStatus(installed=True)
    interceptor.hook_failures.clear()


def test_help_and_lines(tmp_path: Path) -> None:
    printed = run(tmp_path, "--help").stdout
    assert "Examples:" in printed
    assert "python -m llmtrace.doctor --json" in printed
    ended = run(tmp_path, "--endpoint", "http://127.0.0.1:9")
    assert ended.returncode == 1
    assert "FAIL exporter" in ended.stdout
    assert "1 of " in ended.stdout.splitlines()[-1]

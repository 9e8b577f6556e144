"""Requests that cost more than they weigh: each is refused in words, leaves a span, and holds up nobody."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from fastapi.routing import iter_route_contexts
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import SecretStr, ValidationError

from llmtrace.delivery import encode_spans
from llmtrace_inference.api.limits import route_table
from llmtrace_inference.batches.input_lines import LineRules, read_lines
from llmtrace_inference.engine.interface import EngineFull
from llmtrace_inference.engine.local.grammar_check import GrammarCheck
from llmtrace_inference.engine.panics import LibraryPanicked, panics_as_errors
from llmtrace_inference.protocol.tool_calls import ToolCallParser
from llmtrace_inference.serving.answers.embeddings import MicroBatcher
from llmtrace_inference.settings import InferenceSettings
from tests.inference.fakes import FakeEngine
from tests.inference.hostile_requests import CHAT, HostileRequest, hostile_requests
from tests.inference.running import Running, serving, wait_until

MODEL = "tiny-chat-s"
REQUESTS = list(hostile_requests(MODEL))
OUR_WORDS = ("panic", "traceback", "recursion", "backtrace", "assertion")


@contextmanager
def live_is_answered(url: str) -> Iterator[None]:
    """Somebody asks whether the service is alive all the while.

    Two seconds and not one, since the asker and all attackers are threads of the service's own process;
    `python -m tests.hostile` asks from another.
    """
    asked, over = threading.Event(), threading.Event()
    waits: list[float] = []

    def ask() -> None:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        while not over.is_set():
            began = time.monotonic()
            connection.request("GET", "/health/live")
            assert connection.getresponse().read() == b'{"status":"ok"}'
            waits.append(time.monotonic() - began)
            asked.set()
            over.wait(0.02)
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        assert asked.wait(10)
        yield
    finally:
        over.set()
        thread.join()
    assert max(waits) < 2.0


def _post(url: str, request: HostileRequest) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return httpx.post(url + request.path, content=request.body, headers=headers, timeout=60)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.name)
def test_it_is_refused_in_words_and_leaves_a_span(service: Running, request_: HostileRequest) -> None:
    before = len(service.exporter.get_finished_spans())
    with live_is_answered(service.url):
        answer = _post(service.url, request_)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (request_.status, request_.code), error
    assert len(answer.content) < 2_000, "what was sent is not sent back"
    assert not any(word in error["message"].lower() for word in OUR_WORDS)
    new = service.exporter.get_finished_spans()[before:]
    kinds = [(span.attributes or {}).get("error.type") for span in new]
    assert [kind for kind in kinds if kind] == [request_.code]
    message = ExportTraceServiceRequest.FromString(encode_spans(new, {}))
    assert sum(len(s.spans) for r in message.resource_spans for s in r.scope_spans) == len(new)


def test_an_honest_request_is_answered_beside_many_hostile_ones(service: Running) -> None:
    before = psutil.Process().memory_info().rss
    failures: list[object] = []

    def attack(mine: list[HostileRequest]) -> None:
        try:
            failures.extend(
                a.text for a in (_post(service.url, request) for request in mine) if a.status_code >= 500
            )
        except httpx.HTTPError as error:
            failures.append(error)

    threads = [threading.Thread(target=attack, args=(REQUESTS[i::8],)) for i in range(8)]
    with live_is_answered(service.url):
        for thread in threads:
            thread.start()
        for _ in range(3):
            answer = service.client.chat.completions.create(
                model=MODEL, max_tokens=4, messages=[{"role": "user", "content": "Hello!"}], timeout=30
            )
            assert answer.choices[0].message.content
        for thread in threads:
            thread.join()
    assert failures == []
    assert psutil.Process().memory_info().rss - before < 600 << 20


def test_a_body_that_is_too_large_leaves_a_span_though_it_is_not_read(service: Running) -> None:
    before = len(service.exporter.get_finished_spans())
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=10)
    connection.request("POST", CHAT, headers={"content-length": str(300 << 20)})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]["code"]) == (413, "request_too_large")
    new = service.exporter.get_finished_spans()[before:]
    assert "request_too_large" in [(s.attributes or {}).get("error.type") for s in new]


def test_a_panic_ends_its_request_alone() -> None:
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})
    with pytest.raises(LibraryPanicked) as caught, panics_as_errors():
        raise panic("assertion failed: secret")
    assert "secret" not in str(caught.value)
    with pytest.raises(KeyboardInterrupt), panics_as_errors():
        raise KeyboardInterrupt


def test_a_panic_of_the_tokenizer_is_a_500_without_its_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = FakeEngine()

    def encode(text: str) -> list[int]:
        with panics_as_errors():
            raise type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})("secret")

    monkeypatch.setattr(engine.tokenizer, "encode", encode)
    settings = InferenceSettings(data_dir=tmp_path, models={"fake": "builtin:fake"})
    with serving(settings, load=lambda *_: engine) as running:
        answer = httpx.post(f"{running.url}/v1/completions", json={"model": "fake", "prompt": "hi"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
        assert "secret" not in answer.text
        assert running.exporter.get_finished_spans()


def test_a_grammar_is_checked_once() -> None:
    check = GrammarCheck()
    began = time.monotonic()
    check.check('start: "a"\n')
    first = time.monotonic() - began
    for _ in range(20):
        check.check('start: "a"\n')
    assert time.monotonic() - began < first * 2 + 0.5


@pytest.mark.parametrize(
    "answer_text",
    ["<tool_call>" + "[" * 100_000 + "</tool_call>", '<tool_call>{"name": "\\ud800"}</tool_call>'],
)
def test_a_model_may_say_what_it_likes(answer_text: str) -> None:
    text, calls = ToolCallParser().feed(answer_text)
    assert (text, calls) == (answer_text, [])


def test_embeddings_wait_within_bounds_and_share_passes_within_bounds() -> None:
    engine = FakeEngine()
    sizes: list[list[int]] = []

    async def embed(sequences: list[list[int]]) -> list[list[float]]:
        sizes.append([len(sequence) for sequence in sequences])
        await asyncio.sleep(0.05)
        return [[1.0] for _ in sequences]

    engine.embed = embed  # type: ignore[method-assign]

    async def run() -> None:
        batcher = MicroBatcher(engine, 0.0, 32, 20_000)
        large = asyncio.create_task(batcher.embed([[1] * 4000] * 6))
        await asyncio.sleep(0.02)
        with pytest.raises(EngineFull):
            await batcher.embed([[1] * 4000] * 2)
        await large

    asyncio.run(run())
    assert sizes == [[4000, 4000]] * 3


HOSTILE_LINES = [
    b'{"custom_id": "\\ud800", "method": "POST", "url": "/v1/completions", "body": {}}',
    b'{"\\ud800": 1}',
    b"[" * 100_000,
    b'{"a":' * 1000,
    b'{"custom_id": NaN}',
    b'{"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": ' + b"9" * 9000 + b"}",
    b"\xff\xfe",
    b"{" + b",".join(b'"%d":0' % i for i in range(40_000)) + b"}",
]


def test_hostile_lines_of_a_batch_are_named_and_can_be_shown(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b"\n".join(HOSTILE_LINES))
    lines, errors = read_lines(path, LineRules("/v1/completions", ("m",), 100, 1 << 20))
    assert lines == []
    assert [error.line for error in errors] == list(range(1, len(HOSTILE_LINES) + 1))
    json.dumps([error.body() for error in errors], ensure_ascii=False).encode()
    path.write_bytes(b"x" * (200 << 20))
    before = psutil.Process().memory_info().rss
    _, errors = read_lines(path, LineRules("/v1/completions", ("m",), 100, 1 << 20))
    assert [error.code for error in errors] == ["line_too_long"]
    assert psutil.Process().memory_info().rss - before < 50 << 20


@pytest.mark.parametrize(
    ("filename", "stored"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("a\x1b[31m\u202eb.jsonl", "a[31mb.jsonl"),
        ("x" * 300, "x" * 255),
        ("/", "file.jsonl"),
    ],
)
def test_a_files_name_is_a_label(service: Running, model_dir: Path, filename: str, stored: str) -> None:
    files = {"file": (filename, b"{}", "application/octet-stream")}
    answer = httpx.post(f"{service.url}/v1/files", files=files, data={"purpose": "batch"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["filename"] == stored
    assert (model_dir / "files" / f"{answer.json()['id']}.data").read_bytes() == b"{}"
    httpx.delete(f"{service.url}/v1/files/{answer.json()['id']}")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/files/..%2f..%2fbatches.lock/content", 404),
        ("GET", "/v1/files/file-%00/content", 404),
        ("GET", "/v1/files?limit=" + "9" * 5000, 400),
        ("GET", "/v1/files?limit=%D9%A3", 400),
        ("GET", "/v1/files?after=" + "x" * 9000, 400),
        ("GET", "/v1/models/%ED%A0%80" + "x" * 9000, 404),
        ("GET", "/v1/batches/..%2f..", 404),
        ("POST", "/health/live", 405),
        ("GET", "/openapi.json", 404),
        ("TRACE", "/v1/models", 405),
    ],
)
def test_hostile_addresses(service: Running, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, service.url + path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"]
    assert len(answer.content) < 2_000


@pytest.mark.parametrize("charset", ["raw_unicode_escape", "idna", "utf-7", "hex"])
def test_a_form_is_utf_8(service: Running, charset: str) -> None:
    body = b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\n\\ud800\r\n--b--\r\n'
    kind = {"content-type": f"multipart/form-data; boundary=b; charset={charset}"}
    answer = httpx.post(f"{service.url}/v1/files", content=body, headers=kind)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": "00-" + "f" * 60_000},
        {
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "tracestate": "=" * 20_000,
        },
        {"traceparent": "\xff\xfe"},
        {"x-request-id": "\xff" * 1000},
        {"cache-control": "," * 20_000},
    ],
)
def test_hostile_headers_cost_no_span(service: Running, headers: dict[str, str]) -> None:
    before = len(service.exporter.get_finished_spans())
    body = {"model": MODEL, "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    assert httpx.post(service.url + CHAT, json=body, headers=raw).status_code == 200
    wait_until(lambda: len(service.exporter.get_finished_spans()) > before)
    assert encode_spans(service.exporter.get_finished_spans()[before:], {})


# --- who may call ---------------------------------------------------------------------------------------


def _routes(app: Any) -> Iterator[str]:
    for context in iter_route_contexts(app.routes):
        yield from (f"{method} {context.path}" for method in context.methods or ())


def test_the_table_of_limits_names_exactly_the_routes_that_there_are(service: Running) -> None:
    served = {route for route in _routes(service.app) if not route.startswith("HEAD ")}
    assert served == set(route_table(InferenceSettings()).policies)


@pytest.fixture(scope="module")
def open_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """As one that other machines reach: with a key, and pages of one origin."""
    settings = InferenceSettings(
        host="0.0.0.0",
        data_dir=tmp_path_factory.mktemp("open"),
        models={"fake": "builtin:fake"},
        api_keys=(SecretStr("the key"),),
        admin_key=SecretStr("the admin key"),
        allowed_origins=("https://app.example",),
    )
    with serving(settings, load=lambda *_: FakeEngine()) as running:
        yield running


def test_metrics_need_a_key_where_others_can_reach_them(service: Running, open_service: Running) -> None:
    assert httpx.get(f"{service.url}/metrics").status_code == 200
    url = f"{open_service.url}/metrics"
    assert httpx.get(url).status_code == 401
    for key in ("the key", "the admin key"):
        assert httpx.get(url, headers={"authorization": f"Bearer {key}"}).status_code == 200
    opened = InferenceSettings(host="0.0.0.0", api_keys=(SecretStr("k"),), open_metrics=True)
    assert route_table(opened).find("GET", "/metrics").roles == ()


def test_the_key_is_asked_before_the_body(open_service: Running) -> None:
    connection = http.client.HTTPConnection(open_service.url.removeprefix("http://"), timeout=10)
    connection.request("POST", CHAT, headers={"content-length": "100000"})  # and no body
    assert connection.getresponse().status == 401
    assert not open_service.exporter.get_finished_spans(), "who has no key leaves nothing"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://app.example"}, 200),
        ({"origin": "https://app.example", "sec-fetch-site": "cross-site"}, 200),
        ({"origin": "https://app.example.evil.example"}, 403),
        ({"origin": "http://app.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"host": "rebound.example"}, 200),
        ({}, 200),
    ],
)
def test_pages_of_named_origins_may_call_and_no_others(
    open_service: Running, headers: dict[str, str], status: int
) -> None:
    answer = httpx.get(
        f"{open_service.url}/v1/models", headers={"authorization": "Bearer the key", **headers}
    )
    assert answer.status_code == status
    allowed = answer.headers.get("access-control-allow-origin")
    assert allowed == (headers.get("origin") if status == 200 else None)


def test_on_loopback_other_names_are_refused(service: Running) -> None:
    for host, status in (("rebound.example", 421), ("localhost", 200), ("10.0.0.1.evil.example", 421)):
        answer = httpx.get(f"{service.url}/v1/models", headers={"host": host})
        assert answer.status_code == status, host


@pytest.mark.parametrize(
    "origin",
    ["*", "app.example", "https://*.example", "https://app.example/path", "file:///", "https://", "null"],
)
def test_an_origin_names_one_host(origin: str) -> None:
    with pytest.raises(ValidationError, match="allowed_origins"):
        InferenceSettings(allowed_origins=(origin,))

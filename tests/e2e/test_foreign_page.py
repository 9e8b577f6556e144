"""A web page that is not ours neither reads nor writes, by any way that browsers have; a named one may."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from llmtrace_inference.settings import InferenceSettings
from tests.cli.running import running
from tests.cli.test_up import up
from tests.collector.running import free_port
from tests.inference.fakes import FakeEngine
from tests.inference.running import Running, serving, wait_until

CHROMIUM = Path("/usr/bin/chromium")
ATTEMPTS = Path(__file__).with_name("foreign_page.js").read_text()
ROOT = Path(__file__).parents[2]
OPENAI_NODE = ROOT / "tests" / "clients" / "node_modules" / "openai"
"""The official client: `npm ci --prefix tests/clients`."""
ADMIN_KEY = "the admin key of the tests"

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is absent: scripts/setup --browser"),
]


@dataclass(frozen=True)
class Write:
    """What a page would change. `type` is what the route expects."""

    method: str
    path: str
    body: str
    type: str = "application/json"


@dataclass(frozen=True)
class Target:
    """A service: where it is, what there is to be read and written, and a text of its own pages."""

    base: str
    reads: tuple[str, ...]
    writes: tuple[Write, ...] = ()
    socket: str = ""

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    def arguments(self, base: str) -> dict[str, Any]:
        """What the page's script gets."""
        writes = [vars(write) for write in self.writes]
        return {"base": base, "reads": self.reads, "writes": writes, "socket": self.socket}


def _span(name: str) -> str:
    now = time.time_ns()
    span = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(now),
        "endTimeUnixNano": str(now),
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})


CHAT = json.dumps({"model": "fake", "messages": [{"role": "user", "content": "from a page"}]})
READS_SPANS = "/clickhouse/?query=SELECT%20count()%20FROM%20otel_traces%20WHERE%20SpanName%3D'evil'"


@dataclass(frozen=True)
class Services:
    """All of them, running, and pages of other origins."""

    collector: Target
    inference: Target
    dashboard: Target
    mlflow: Target
    pages: int
    running: Running
    data_dir: Path
    named: str
    """The origin that the inference service lets call."""

    @property
    def targets(self) -> tuple[Target, ...]:
        return self.collector, self.inference, self.dashboard, self.mlflow

    def written(self) -> dict[str, Any]:
        """What the services keep, as a program sees it."""
        get = httpx.get(f"{self.mlflow.base}/api/2.0/mlflow/experiments/search?max_results=50")
        admin = (self.data_dir / "admin.key").read_text().strip()
        owner = {"authorization": f"Bearer {admin}"}
        return {
            "spans": httpx.get(self.collector.base + READS_SPANS).text.strip(),
            "keys": httpx.get(f"{self.collector.base}/v1/keys", headers=owner).json(),
            "incidents": self._count("incidents"),
            "prices": self._count("prices"),
            "experiments": sorted(experiment["name"] for experiment in get.json()["experiments"]),
            "answers": len(self.running.exporter.get_finished_spans()),
            "files": httpx.get(f"{self.inference.base}/v1/files").json()["data"],
            "batches": httpx.get(f"{self.inference.base}/v1/batches").json()["data"],
            "blocks": httpx.get(
                f"{self.inference.base}/admin/blocks", headers={"authorization": f"Bearer {ADMIN_KEY}"}
            ).json(),
        }

    def _count(self, table: str) -> str:
        query = {"query": f"SELECT count() FROM {table}"}
        return httpx.get(f"{self.collector.base}/clickhouse/", params=query).text


class _Pages(BaseHTTPRequestHandler):
    """An empty page at every address; files of the official client below /openai/."""

    def do_GET(self) -> None:
        kind, body = "text/html", b"<!doctype html><title>a page</title><body></body>"
        if self.path.startswith("/openai/"):
            kind, body = "text/javascript", (OPENAI_NODE / self.path.removeprefix("/openai/")).read_bytes()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _pages() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("up")
    ports = {name: free_port() for name in ("collector", "mlflow", "dashboard")}
    grpc = {"LLMTRACE_COLLECTOR__GRPC_PORT": str(free_port())}
    with running(*up(ports), cwd=folder, **grpc) as stack, _pages() as pages:
        named = f"http://front.example:{pages}"
        settings = InferenceSettings(
            data_dir=folder / "inference",
            models={"fake": "builtin:fake"},
            admin_key=ADMIN_KEY,
            allowed_origins=(named,),
        )
        with serving(settings, load=lambda *_: FakeEngine()) as inference:
            stack.wait_for("llmtrace is up", timeout=200)
            base = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
            yield Services(
                Target(
                    base["collector"],
                    (READS_SPANS, "/?query=SELECT%201", "/v1/stats", "/v1/keys", "/metrics", "/openapi.json"),
                    (
                        Write("POST", "/v1/traces", _span("evil")),
                        Write("POST", "/clickhouse/", 'SELECT "Project" FROM otel_traces'),
                        Write("POST", "/v1/keys", '{"name": "evil", "role": "admin"}'),
                        Write("PUT", "/v1/prices", '{"prices": []}'),
                        Write("POST", "/v1/incidents/x/acknowledge", '{"actor": "evil"}'),
                        Write("POST", "/v1/erasures", '{"user": "evil"}'),
                    ),
                ),
                Target(
                    inference.url,
                    ("/v1/models", "/v1/files", "/v1/batches", "/metrics", "/admin/blocks", "/health/ready"),
                    (
                        Write("POST", "/v1/chat/completions", CHAT),
                        Write("POST", "/v1/completions", '{"model": "fake", "prompt": "from a page"}'),
                        Write("POST", "/v1/embeddings", '{"model": "fake", "input": "from a page"}'),
                        Write("POST", "/v1/files", "{}"),
                        Write("DELETE", "/v1/files/file-x", ""),
                        Write("POST", "/admin/blocks", '{"user": "evil", "seconds": 60.0}'),
                    ),
                ),
                Target(base["dashboard"], ("/", "/cost", "/_stcore/health", "/_stcore/host-config"), (),
                       "/_stcore/stream"),
                Target(
                    base["mlflow"],
                    (
                        "/",
                        "/api/2.0/mlflow/experiments/search?max_results=5",
                        "/ajax-api/2.0/mlflow/experiments/search?max_results=5",
                        "/version",
                    ),
                    (
                        Write("POST", "/api/2.0/mlflow/experiments/create", '{"name": "evil"}'),
                        Write("POST", "/ajax-api/2.0/mlflow/experiments/create", '{"name": "evil too"}'),
                        Write("POST", "/graphql", '{"query": "{ mlflowGetExperiment { __typename } }"}'),
                    ),
                ),
                pages,
                inference,
                folder / ".llmtrace",
                named,
            )  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=[
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                "--host-resolver-rules=MAP *.example 127.0.0.1",
            ],
        )  # fmt: skip
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(30_000)
    yield page
    page.close()


def _attack(page: Page, targets: Iterable[Target], name: str) -> list[str]:
    """What the page can read of the targets, called by this host name; it tries to write too."""
    tries = [target.arguments(f"http://{name}:{target.port}") for target in targets]
    leaks: list[str] = page.evaluate(ATTEMPTS, tries)
    for frame in page.frames[1:]:
        if frame.url.startswith("chrome-error:") or frame.url == "about:blank" or frame.is_detached():
            continue
        text = frame.evaluate("document.documentElement.innerText")
        if not _is_refusal(text):
            leaks.append(f"iframe: {frame.url} {text[:100]}")
    return leaks


def _is_refusal(text: str) -> bool:
    sentences = ("may not use this service", "Another site's page", "is not one of this service", "Not Found")
    return any(sentence in text for sentence in sentences)


def test_programs_can_do_what_pages_must_not(services: Services) -> None:
    """So that the pages' attempts fail for being a page's."""
    before = services.written()
    json_type = {"content-type": "application/json"}
    collector, inference, mlflow = services.collector.base, services.inference.base, services.mlflow.base
    sent = _span("a program's")
    assert httpx.post(f"{collector}/v1/traces", content=sent, headers=json_type).status_code == 200
    assert httpx.get(collector + READS_SPANS).status_code == 200
    assert httpx.post(f"{inference}/v1/chat/completions", content=CHAT, headers=json_type).status_code == 200
    created = httpx.post(f"{mlflow}/api/2.0/mlflow/experiments/create", json={"name": "honest"})
    assert created.status_code == 200
    after = services.written()
    assert after["answers"] > before["answers"]
    assert after["experiments"] == [*before["experiments"], "honest"]


@pytest.mark.parametrize(
    ("host", "name"),
    [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("evil.example", "localhost")],
)
def test_a_page_of_another_origin_neither_reads_nor_writes(
    services: Services, page: Page, host: str, name: str
) -> None:
    before = services.written()
    page.goto(f"http://{host}:{services.pages}/")
    leaks = _attack(page, services.targets, name)
    assert (leaks, services.written()) == ([], before)


def test_a_name_that_was_bound_anew_neither_reads_nor_writes(services: Services, page: Page) -> None:
    """DNS rebinding: the page's own name leads to the service's address and port."""
    before = services.written()
    leaks = []
    for target in services.targets:
        page.goto(f"http://rebound.example:{target.port}/nothing")
        leaks += _attack(page, [target], "rebound.example")
    assert (leaks, services.written()) == ([], before)


def test_a_page_without_an_origin_neither_reads_nor_writes(services: Services, page: Page) -> None:
    before = services.written()
    page.goto(f"http://evil.example:{services.pages}/")
    page.evaluate(
        """() => {
            const frame = document.createElement('iframe');
            frame.sandbox = 'allow-scripts allow-forms';
            frame.srcdoc = '<body>sandboxed</body>';
            document.body.append(frame);
            return new Promise((done) => (frame.onload = done));
        }"""
    )
    tries = [target.arguments(target.base) for target in services.targets]
    leaks = page.frames[1].evaluate(ATTEMPTS, tries)
    assert (leaks, services.written()) == ([], before)


def test_nothing_that_the_pages_sent_is_stored_later(services: Services) -> None:
    """Spans are stored in the order in which they came: this one is the last."""
    headers = {"content-type": "application/json"}
    sent = httpx.post(f"{services.collector.base}/v1/traces", content=_span("the last"), headers=headers)
    assert sent.status_code == 200
    query = {"query": "SELECT groupUniqArray(SpanName) FROM otel_traces FORMAT TabSeparated"}

    def names() -> str:
        return httpx.get(f"{services.collector.base}/clickhouse/", params=query).text

    wait_until(lambda: "the last" in names())
    assert "evil" not in names()


#: The headers that openai-node sends from a browser, besides the browser's own.
_OPENAI_HEADERS = {
    "accept": "application/json",
    "authorization": "Bearer none",
    "content-type": "application/json",
    "x-stainless-arch": "unknown",
    "x-stainless-lang": "js",
    "x-stainless-os": "Unknown",
    "x-stainless-package-version": "6.49.0",
    "x-stainless-retry-count": "0",
    "x-stainless-runtime": "browser:chrome",
    "x-stainless-runtime-version": "140.0.0",
    "x-stainless-timeout": "600",
}

_CALL = """async ([url, headers, body]) => {
    try {
        const answer = await fetch(url, { method: 'POST', headers, body });
        return [answer.status, await answer.text(), answer.headers.get('x-should-retry')];
    } catch (error) { return [0, String(error), null]; }
}"""


def test_a_named_origin_may_call_with_the_headers_of_the_openai_client(
    services: Services, page: Page
) -> None:
    url = f"{services.inference.base}/v1/chat/completions"
    streamed = json.dumps({**json.loads(CHAT), "stream": True})
    page.goto(services.named)
    status, text, _ = page.evaluate(_CALL, [url, _OPENAI_HEADERS, CHAT])
    assert (status, json.loads(text)["choices"][0]["message"]["content"]) == (200, "hello")
    status, text, _ = page.evaluate(_CALL, [url, _OPENAI_HEADERS, streamed])
    assert (status, text.rstrip()[-6:]) == (200, "[DONE]")
    status, text, _ = page.evaluate(_CALL, [url, _OPENAI_HEADERS, "{}"])
    assert (status, json.loads(text)["error"]["param"]) == (400, "model"), "errors can be read too"
    admin = f"{services.inference.base}/admin/blocks"
    assert page.evaluate(_CALL, [admin, _OPENAI_HEADERS, '{"user": "u", "seconds": 1.0}'])[0] == 0
    page.goto(services.named.replace("front", "other"))
    assert page.evaluate(_CALL, [url, _OPENAI_HEADERS, CHAT])[0] == 0


_OFFICIAL = """async ([base, pages]) => {
    const { default: OpenAI } = await import(`${pages}/openai/index.mjs`);
    const client = new OpenAI({
        baseURL: `${base}/v1`, apiKey: 'none', dangerouslyAllowBrowser: true, maxRetries: 0,
    });
    const messages = [{ role: 'user', content: 'hi' }];
    const models = (await client.models.list()).data.map((model) => model.id);
    const whole = await client.chat.completions.create({ model: 'fake', messages });
    let streamed = '';
    for await (const chunk of await client.chat.completions.create({ model: 'fake', messages, stream: true }))
        streamed += chunk.choices[0]?.delta?.content ?? '';
    const vectors = await client.embeddings.create({ model: 'fake', input: 'hi' });
    const url = '/v1/chat/completions';
    const line = { custom_id: 'a', method: 'POST', url, body: { model: 'fake', messages } };
    const upload = new File([JSON.stringify(line)], 'lines.jsonl');
    const file = await client.files.create({ file: upload, purpose: 'batch' });
    const text = await (await client.files.content(file.id)).text();
    const batch = await client.batches.create({
        input_file_id: file.id, endpoint: url, completion_window: '24h',
    });
    await client.files.delete(file.id);
    let refused = '';
    try {
        await client.models.retrieve('absent');
    } catch (error) {
        refused = `${error.status} ${error.code}`;
    }
    return { models, whole: whole.choices[0].message.content, streamed, vectors: vectors.data.length,
             text: JSON.parse(text).custom_id, batch: batch.object, refused };
}"""


def test_the_official_client_works_in_a_browser_of_a_named_origin_and_of_no_other(
    services: Services, page: Page
) -> None:
    if not OPENAI_NODE.exists():
        assert not os.environ.get("CI"), f"{OPENAI_NODE} has to be there where all tests run"
        pytest.skip(f"{OPENAI_NODE} is absent: npm ci --prefix tests/clients")
    page.goto(services.named)
    assert page.evaluate(_OFFICIAL, [services.inference.base, services.named]) == {
        "models": ["fake"],
        "whole": "hello",
        "streamed": "hello",
        "vectors": 1,
        "text": "a",
        "batch": "batch",
        "refused": "404 model_not_found",
    }
    other = services.named.replace("front", "other")
    page.goto(other)
    with pytest.raises(Exception, match="Connection error"):
        page.evaluate(_OFFICIAL, [services.inference.base, other])

"""The recipes of docs/sdk.md as they stand there, each in a process of its own."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import llmtrace
from llmtrace.testing import Answer, Captured, ReplayServer

from .chat import PLAIN

ROOT = Path(__file__).parents[2]
FRAMEWORKS = ROOT / ".venvs" / "frameworks" / "bin" / "python"
OK = Answer(headers={"content-type": "application/x-protobuf"})
CALL = "chat gpt-4o-mini"
needs_frameworks = pytest.mark.skipif(
    not FRAMEWORKS.exists(), reason=f"no {FRAMEWORKS}; scripts/setup --frameworks makes it"
)


def recipe(label: str) -> str:
    """The code block that follows a label (or a heading) of the page."""
    page = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")
    match = re.search(rf"^(?:\*\*|##+ ){re.escape(label)}.*?^```python\n(.*?)^```", page, re.S | re.M)
    assert match is not None, f"docs/sdk.md has no recipe for {label}"
    return match[1]


def spans(collector: ReplayServer) -> list[dict[str, Any]]:
    """Name, service and attributes of what arrived."""
    return [
        {
            "name": span.name,
            "service": {
                attribute.key: attribute.value.string_value for attribute in resource.resource.attributes
            }.get("service.name"),
            "in a trace": bool(span.parent_span_id),
            "trace": span.trace_id.hex(),
            **{attribute.key: attribute.value.string_value for attribute in span.attributes},
        }
        for request in list(collector.requests)
        if request.path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(
            gzip.decompress(request.body)
            if request.headers.get("content-encoding") == "gzip"
            else request.body
        ).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


@pytest.fixture
def collector() -> Iterator[ReplayServer]:
    with ReplayServer(OK) as server:
        yield server


@pytest.fixture
def provider() -> Iterator[ReplayServer]:
    with ReplayServer(PLAIN) as server:
        yield server


@pytest.fixture
def environment(collector: ReplayServer, provider: ReplayServer, tmp_path: Path) -> dict[str, str]:
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "LLMTRACE_"))
    }
    return {
        **inherited,
        "PYTHONPATH": str(ROOT / "sdk"),
        "LLMTRACE_STRICT": "1",
        "LLMTRACE_ENDPOINT": collector.url,
        "LLMTRACE_SPOOL_DIR": str(tmp_path / "spool"),
        "OPENAI_BASE_URL": provider.url + "/v1",
        "OPENAI_API_KEY": "k",
    }


class Standings(ReplayServer):
    """A collector that says of each user whether there is money left."""

    def __init__(self, standing: Callable[[str], Answer]) -> None:
        super().__init__(OK)
        self._standing = standing

    def _respond(self, handler: BaseHTTPRequestHandler) -> None:
        asked = urlsplit(handler.path)
        is_budget = asked.path == "/v1/budget"
        self.answer_with(self._standing(parse_qs(asked.query)["user"][0]) if is_budget else OK)
        super()._respond(handler)


def run(code: str, environment: dict[str, str], python: str = sys.executable) -> str:
    """What the code printed."""
    done = subprocess.run(
        [python, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.strip()


def test_fastapi(collector: ReplayServer, environment: dict[str, str]) -> None:
    code = (
        recipe("A web server")
        + """
import asyncio, httpx
async def visit():
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as browser:
        for user in ("ann", "bob"):
            headers = {"x-user": user, "cookie": f"session=s-{user}"}
            answer = await browser.get("/answer", params={"question": "Rain?"}, headers=headers)
            print(answer.json())
asyncio.run(visit())
"""
    )
    assert run(code, environment) == "Let me look.\nLet me look."
    calls = [span for span in spans(collector) if span["name"] == CALL]
    attributes = [(call["service"], call["user.id"], call["session.id"]) for call in calls]
    assert attributes == [("shop", "ann", "s-ann"), ("shop", "bob", "s-bob")]


def test_fastapi_within_budget(environment: dict[str, str], provider: ReplayServer) -> None:
    """A real server; the collector's answer says who has money left, and then there is no collector."""
    code = (
        recipe("FastAPI, within budget")
        + """
import json, socket, threading, time, httpx, uvicorn
listener = socket.create_server(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
for user in ("rich", "poor"):
    response = httpx.get(
        f"http://127.0.0.1:{listener.getsockname()[1]}/answer",
        params={"question": "Rain?"}, headers={"x-user": user}, timeout=30,
    )
    print(response.status_code, json.dumps(response.json()))
server.should_exit = True
"""
    )

    def standing(user: str) -> Answer:
        state = "exceeded" if user == "poor" else "ok"
        status = {"budget": "per user", "key": user, "unit": "usd", "window": "day", "spent": 6.0,
                  "limit": 5.0, "remaining": 0.0, "state": state}  # fmt: skip
        return Answer.json({"allowed": state == "ok", "as_of": "2026-11-20T12:00:00Z", "budgets": [status]})

    with Standings(standing) as collector:
        printed = run(code, {**environment, "LLMTRACE_ENDPOINT": collector.url})
    assert printed.splitlines() == ['200 "Let me look."', '402 {"detail": "used up: per user"}']
    assert len(provider.requests) == 1, "who has no money left is not answered"
    calls = [span for span in spans(collector) if span["name"] == CALL]
    assert [call.get("user.id") for call in calls] == ["rich"], calls
    silent = run(code, {**environment, "LLMTRACE_ENDPOINT": "http://127.0.0.1:9"})
    assert silent.splitlines() == ['200 "Let me look."'] * 2, "it fails open"


def test_a_cache_of_ones_own(
    collector: ReplayServer, provider: ReplayServer, environment: dict[str, str]
) -> None:
    code = (
        recipe("Caches of your own") + "for question in ('Rain?', 'Rain?', 'Snow?'): print(answer(question))"
    )
    assert run(code, environment) == "\n".join(["Let me look."] * 3)
    assert len(provider.requests) == 2
    names = [span["name"] for span in spans(collector)]
    assert sorted(names) == sorted(
        [*["cache_lookup answers"] * 3, *["cache_store answers"] * 2, *[CALL] * 2, "chat"]
    )


def test_flask(collector: ReplayServer, environment: dict[str, str]) -> None:
    code = (
        recipe("Flask")
        + """
for user in ("ann", "bob"):
    print(app.test_client().get("/answer?question=Rain%3F", headers={"x-user": user}).text)
"""
    )
    assert run(code, environment) == "Let me look.\nLet me look."
    assert [(span["name"], span["user.id"]) for span in spans(collector)] == [(CALL, "ann"), (CALL, "bob")]


@needs_frameworks
def test_celery(collector: ReplayServer, environment: dict[str, str], tmp_path: Path) -> None:
    """A prefork worker, told to stop as soon as the task was done."""
    (tmp_path / "queue").mkdir()
    (tmp_path / "shop.py").write_text(
        recipe("A worker")
        + f"""
queue = {str(tmp_path / "queue")!r}
app.conf.broker_url = "filesystem://"
app.conf.broker_transport_options = {{
    "data_folder_in": queue, "data_folder_out": queue, "control_folder": queue + "-control"
}}
"""
    )
    environment["PYTHONPATH"] = f"{ROOT / 'sdk'}:{tmp_path}"
    run("import shop; shop.summarise.delay('text')", environment, str(FRAMEWORKS))
    assert not collector.requests
    with (tmp_path / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            [FRAMEWORKS, "-m", "celery", "-A", "shop", "worker", "--pool", "prefork", "--concurrency", "1"],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 120
        while len(spans(collector)) < 2 and worker.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        worker.send_signal(signal.SIGTERM)
        worker.wait(timeout=60)
    finally:
        worker.kill()
    arrived = {span["name"]: (span["service"], span["in a trace"]) for span in spans(collector)}
    wanted = {CALL: ("worker", True), "summarise": ("worker", False)}
    assert arrived == wanted, (tmp_path / "worker.log").read_text()


def test_a_pool_of_processes(collector: ReplayServer, environment: dict[str, str]) -> None:
    """The section's block as it stands, with calls that are made in the workers."""
    code = (
        """
import llmtrace
from openai import OpenAI
llmtrace.init()
client = OpenAI()
def summarise(text):
    asked = [{"role": "user", "content": text}]
    return client.chat.completions.create(model="gpt-4o-mini", messages=asked).choices[0].message.content
"""
        + recipe("Threads, pools")
        + """
with llmtrace.context(user_id="ann"), llmtrace.span("request") as span:
    print(span.trace_id, len(summarise_all(["a", "b", "c"])))
"""
    )
    trace_id, count = run(code, environment).split()
    assert count == "3"
    calls = [span for span in spans(collector) if span["name"] == CALL]
    assert [(call["user.id"], call["trace"]) for call in calls] == [("ann", trace_id)] * 3


def test_notebook(collector: ReplayServer, environment: dict[str, str]) -> None:
    """The cell is run twice."""
    printed = run(f"for _ in range(2): exec({recipe('A notebook')!r})", environment)
    assert re.fullmatch(r"(http://\S+/traces\?trace=[0-9a-f]{32}\n?){2}", printed)
    assert [span["name"] for span in spans(collector)] == [CALL, CALL]


def test_script(collector: ReplayServer, environment: dict[str, str]) -> None:
    """Nothing is flushed: the end of the process sends."""
    assert run(recipe("A script"), environment) == "Let me look."
    main, call = sorted(spans(collector), key=lambda span: str(span["name"]))[::-1]
    assert (main["name"], call["name"]) == ("main", CALL)
    assert (call["user.id"], call["service"], call["in a trace"]) == ("batch", "nightly", True)


def test_a_programs_own_test(provider: ReplayServer, environment: dict[str, str], tmp_path: Path) -> None:
    """The page's script under the page's test, which fails where the answer is dear."""
    page = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")
    section = page.partition("**Tests.**")[2].partition("\n## ")[0]
    conftest, test = re.findall(r"^```python\n(.*?)^```", section, re.S | re.M)
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "nightly.py").write_text(recipe("A script"))
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Rain."}}
    for tokens, outcome in ((12, "1 passed"), (12_000_000, "1 failed")):
        usage = {"prompt_tokens": tokens, "completion_tokens": 2, "total_tokens": tokens + 2}
        provider.answer_with(Answer.json({"model": "gpt-4o-mini", "choices": [choice], "usage": usage}))
        (tmp_path / "test_nightly.py").write_text(f"from nightly import main\n\n{test}")
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": os.pathsep.join([str(ROOT / "sdk"), str(ROOT / "collector")])},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert outcome in ended.stdout, ended.stdout + ended.stderr


def test_serverless(collector: ReplayServer, environment: dict[str, str]) -> None:
    """Nothing runs after the handler returned."""
    code = (
        recipe("Serverless")
        + """
import os
print(handler({"question": "Rain?"}, None), flush=True)
os._exit(0)
"""
    )
    assert run(code, environment) == "Let me look."
    assert [(span["name"], span["service"]) for span in spans(collector)] == [(CALL, "function")]


def test_existing_opentelemetry(collector: ReplayServer, environment: dict[str, str]) -> None:
    """Their back end gets their spans and ours, the collector gets ours."""
    code = (
        recipe("Existing OpenTelemetry")
        + """
from openai import OpenAI
with trace.get_tracer("app").start_as_current_span("private"):
    OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}])
"""
    )
    with ReplayServer(OK) as theirs:
        run(code, {**environment, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": theirs.url + "/v1/traces"})
        assert {span["name"] for span in spans(theirs)} == {"private", CALL}
    assert [span["name"] for span in spans(collector)] == [CALL]


@needs_frameworks
def test_langchain(collector: ReplayServer, provider: ReplayServer, environment: dict[str, str]) -> None:
    def answer(message: dict[str, Any], reason: str) -> Answer:
        body = json.loads(PLAIN.body)
        choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", **message}}
        return Answer.json({**body, "choices": [choice]})

    function = {"name": "multiply", "arguments": '{"a": 3, "b": 4}'}
    called = {"content": None, "tool_calls": [{"id": "c", "type": "function", "function": function}]}
    provider.answer_with(answer(called, "tool_calls"), answer({"content": "12"}, "stop"))
    printed = run(
        recipe("LangChain") + "print(calculate('3 * 4?')['messages'][-1].content)",
        environment,
        str(FRAMEWORKS),
    )
    assert printed == "12"
    names = [CALL, CALL, "execute_tool multiply", "invoke_agent calculator"]
    assert sorted(span["name"] for span in spans(collector)) == names
    assert {span.get("gen_ai.agent.name") for span in spans(collector)} == {"calculator"}


def test_fixtures_of_pytest(environment: dict[str, str], provider: ReplayServer, tmp_path: Path) -> None:
    """The page's conftest and its test, of a program that asks as the page's test expects it."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Rain."}}
    usage = {"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 14}
    provider.answer_with(Answer.json({"model": "gpt-4o-mini", "choices": [choice], "usage": usage}))
    program = (
        "import llmtrace\nfrom openai import OpenAI\n@llmtrace.observe\ndef answer(question):\n"
        "    messages = [{'role': 'user', 'content': question}]\n"
        "    OpenAI().chat.completions.create(model='gpt-4o-mini', messages=messages)\n"
    )
    (tmp_path / "shop.py").write_text(program)
    (tmp_path / "conftest.py").write_text(recipe("With pytest"))
    (tmp_path / "test_shop.py").write_text(recipe("What was captured"))
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": os.pathsep.join([str(ROOT / "sdk"), str(ROOT / "collector")])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 passed" in ended.stdout, ended.stdout


def test_in_your_tests() -> None:
    """The page's own test passes, twice, and fails where the program sends something else."""
    namespace: dict[str, Any] = {}
    exec(recipe("Without fixtures"), namespace)
    namespace["test_answer"]()
    namespace["test_answer"]()
    namespace["ANSWER"]["usage"]["prompt_tokens"] = 13
    with pytest.raises(AssertionError):
        namespace["test_answer"]()


def test_around_a_yield(traces: Captured) -> None:
    namespace: dict[str, Any] = {}
    exec(recipe("Around a `yield`"), namespace)

    def ask(question: str) -> str:
        with llmtrace.span(question):
            return question

    async def pieces() -> list[object]:
        return [piece async for piece in namespace["reply"]("u-1", ask).body_iterator]

    assert asyncio.run(pieces()) == ["first", "second"]
    users = {span["name"]: span["attributes"].get("user.id") for span in traces.snapshot()}
    assert users == {"first": "u-1", "second": "u-1"}


def test_links_of_the_page_lead_somewhere() -> None:
    page = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([\w.-]+\.md)[^)]*\)", page)
    assert "sdk-formats.md" in links
    assert all((ROOT / "docs" / link).is_file() for link in links)


def test_every_python_block_of_the_page_is_python() -> None:
    page = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.S | re.M)
    assert len(blocks) > 5
    for block in blocks:
        compile(block, "docs/sdk.md", "exec")


def test_approvals(collector: ReplayServer, environment: dict[str, str]) -> None:
    code = f"""
import builtins
builtins.input = lambda question: "yes"
{recipe("Approvals")}
confirm("mail", {{"to": "bob"}})
"""
    run(code, environment)
    refund, confirm = (span for span in spans(collector) if span["gen_ai.operation.name"] == "approval")
    assert refund["llmtrace.approval.decision"] == confirm["llmtrace.approval.decision"] == "approved"
    assert (refund["gen_ai.tool.name"], refund["llmtrace.approval.person"]) == ("refund", "ann@example.org")
    assert json.loads(confirm["gen_ai.tool.call.arguments"]) == {"tool": "mail", "arguments": {"to": "bob"}}


def test_approvals_that_come_later(collector: ReplayServer, environment: dict[str, str]) -> None:
    """As it stands, and with the decision in another process."""
    code = recipe("The answer comes later, elsewhere.")
    asking, _, deciding = code.partition("# minutes later")
    printed = run(f"{asking}print(ticket)", environment)
    init = "import llmtrace\nllmtrace.init()\n"
    run(f"{init}ticket = {printed}\n#{deciding}", environment)
    steps = {
        step["llmtrace.approval.decision"]: step
        for step in spans(collector)
        if step["gen_ai.operation.name"] == "approval"
    }
    assert steps.keys() == {"pending", "approved"}
    assert steps["approved"]["llmtrace.approval.person"] == "ann@example.org"
    assert steps["approved"]["in a trace"]


@needs_frameworks
def test_approvals_in_langgraph(collector: ReplayServer, environment: dict[str, str]) -> None:
    run(recipe("LangGraph** runs a node again"), environment, str(FRAMEWORKS))
    steps = [span for span in spans(collector) if span["name"] == "approval refund"]
    assert [step["llmtrace.approval.decision"] for step in steps] == ["pending", "approved"]
    assert steps[1]["llmtrace.approval.person"] == "ann"


LOGS = ROOT / ".venvs" / "logs" / "bin" / "python"


def _logged(collector: ReplayServer) -> list[tuple[str, bool]]:
    """The text of each log record, and whether it is in a trace."""
    return [
        (record.body.string_value, bool(record.trace_id))
        for request in list(collector.requests)
        if request.path == "/v1/logs"
        for resource in ExportLogsServiceRequest.FromString(gzip.decompress(request.body)).resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
        if not record.event_name
    ]


def test_the_programs_log(collector: ReplayServer, environment: dict[str, str]) -> None:
    program = "import logging, llmtrace\n" + recipe("Your program's log")
    program += "with llmtrace.span('step'):\n    logging.getLogger('shop').error('paid')\n"
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    assert _logged(collector) == [("paid", True)]


@pytest.mark.skipif(not LOGS.exists(), reason=f"no {LOGS}; scripts/setup --frameworks makes it")
def test_the_log_of_structlog(collector: ReplayServer, environment: dict[str, str]) -> None:
    page = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")
    (configuration,) = re.findall(r"^structlog\.configure\(.*\)$", page, re.M)
    program = f"import llmtrace, structlog\nllmtrace.init(logs=True)\n{configuration}\n"
    program += "with llmtrace.span('step'):\n    structlog.get_logger().error('paid')\n"
    subprocess.run([str(LOGS), "-c", program], env=environment, check=True, timeout=60)
    assert _logged(collector) == [("paid", True)]

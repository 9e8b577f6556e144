"""In Jupyter and IPython: the line that `init` shows, links, and cells that are stopped halfway."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from llmtrace.testing import Answer, ReplayServer
from tests.sdk.chat import PLAIN, STREAM

from .running import ROOT, needs, run

pytestmark = needs("notebooks")

INIT = "import llmtrace\nllmtrace.init()"
LINE = "llmtrace: traces of this session are at http://127.0.0.1:8501/traces"
ASK = """from openai import OpenAI
client = OpenAI(api_key="none", max_retries=0)
def ask(**more):
    messages = [{"role": "user", "content": "Hi"}]
    return client.chat.completions.create(model="gpt-4o-mini", messages=messages, **more)
"""


@pytest.fixture
def collector() -> Iterator[ReplayServer]:
    with ReplayServer(Answer(headers={"content-type": "application/x-protobuf"})) as server:
        yield server


def cells(*steps: str | dict[str, Any], **env: str) -> list[list[dict[str, Any]]]:
    """The outputs of each step: code, or `restart`."""
    listed = [{"code": step} if isinstance(step, str) and step != "restart" else step for step in steps]
    printed = run("notebooks", "in_a_kernel.py", stdin=json.dumps(listed), **env)
    results: list[list[dict[str, Any]]] = json.loads(printed.splitlines()[-1])
    return results


def spans(collector: ReplayServer) -> list[Any]:
    """What has arrived."""
    bodies = [
        gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
        for request in list(collector.requests)
        if request.path == "/v1/traces"
    ]
    return [
        span
        for body in bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_a_notebook_is_shown_the_way_to_its_traces(collector: ReplayServer) -> None:
    """One line, once for each kernel; a trace's address is a link and still text."""
    with ReplayServer(PLAIN) as provider:
        first, again, other, loaded, _, link, text, _, after = cells(
            INIT,
            INIT,
            "llmtrace.shutdown()\nllmtrace.init(dashboard_url='https://llm.example.org/a%22%3E?b=\"&c')",
            "%load_ext llmtrace",
            ASK + "ask()",
            "llmtrace.trace_url()",
            "print(type(llmtrace.trace_url()).__mro__[1], 'x' + llmtrace.trace_url('ab' * 16))",
            "restart",
            INIT,
            LLMTRACE_ENDPOINT=collector.url,
            OPENAI_BASE_URL=f"{provider.url}/v1",
        )
    assert [output["text/plain"] for output in first] == [LINE]
    assert first[0]["text/html"].count('<a href="http://127.0.0.1:8501/traces"') == 1
    assert (again, loaded) == ([], [])
    assert other[0]["text/html"].count('"') == 6  # the attributes' own: what an address holds is escaped
    assert "&quot;&amp;c/traces" in other[0]["text/html"]
    (output,) = link
    (span,) = spans(collector)
    page = f'https://llm.example.org/a%22%3E?b="&c/traces?trace={span.trace_id.hex()}'
    assert output["text/plain"] == repr(page)
    assert f">{page.replace('&', '&amp;').replace(chr(34), '&quot;')}</a>" in output["text/html"]
    assert text[0]["text"].startswith("<class 'str'> xhttps://llm.example.org/")
    assert [output["text/plain"] for output in after] == [LINE]  # a new kernel


def test_cells_that_are_stopped_awaited_or_nested_are_traced(collector: ReplayServer) -> None:
    """An interrupted stream ends as abandoned, an asyncio cell and a nested loop are as everywhere, and what
    was recorded last is sent when the kernel restarts."""
    slow = Answer(headers=STREAM.headers, chunks=STREAM.chunks, pause=0.5)
    with ReplayServer(STREAM, slow, PLAIN) as provider:
        results = cells(
            INIT,
            ASK + "for chunk in ask(stream=True): pass",
            {"code": "for chunk in ask(stream=True): print('chunk', flush=True)", "interrupt": True},
            "from openai import AsyncOpenAI\n"
            "async def asked():\n"
            "    with llmtrace.span('asked'):\n"
            "        await AsyncOpenAI(api_key='none').chat.completions.create(\n"
            "            model='gpt-4o-mini', messages=[{'role': 'user', 'content': 'Hi'}])\n"
            "await asked()",
            "import asyncio, nest_asyncio\nnest_asyncio.apply()\nasyncio.run(asked())",
            "restart",
            "'new'",
            LLMTRACE_ENDPOINT=collector.url,
            LLMTRACE_SCHEDULE_DELAY="30",
            OPENAI_BASE_URL=f"{provider.url}/v1",
        )
    assert [(output["kind"], output.get("name")) for output in results[2]][-1] == (
        "error",
        "KeyboardInterrupt",
    )
    assert results[3] == results[4] == []
    arrived = spans(collector)
    names = sorted(span.name for span in arrived)
    assert names == ["asked", "asked", *["chat gpt-4o-mini"] * 4]
    keys = [{attribute.key for attribute in span.attributes} for span in arrived]
    assert sum("llmtrace.stream.abandoned" in of_span for of_span in keys) == 1
    steps = {span.span_id for span in arrived if span.name == "asked"}
    assert {span.parent_span_id for span in arrived if span.parent_span_id} == steps


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [(["-m", "IPython", "--no-banner", "--simple-prompt", "-c"], [LINE]), (["-c"], [])],
    ids=["IPython in a terminal", "plain Python that has imported IPython"],
)
def test_where_there_is_no_notebook(arguments: list[str], lines: list[str]) -> None:
    program = f"import IPython\n{INIT}\nllmtrace.init()\nprint('end')"
    python = ROOT / ".venvs" / "notebooks" / "bin" / "python"
    ended = subprocess.run(
        [str(python), *arguments, program],
        env={"PYTHONPATH": str(ROOT / "sdk"), "LLMTRACE_SPOOL_DIR": "off", "IPYTHONDIR": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    printed = ended.stdout.splitlines()
    assert [line for line in printed if "llmtrace" in line] == lines
    assert printed[-1] == "end"

"""The pytest plugin, as a project that uses it runs it: a pytest of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtrace.testing import Answer, Call, ReplayServer, Tokens, ToolRequest, capture

from .chat import PLAIN

ROOT = Path(__file__).parents[2]
PATHS = [str(ROOT / part) for part in ("sdk", "collector")]

CONFTEST = 'pytest_plugins = ["llmtrace.testing.pytest_plugin"]\n'
PROGRAM = """
import asyncio, os
import llmtrace
from openai import AsyncOpenAI, OpenAI

MESSAGES = [{"role": "user", "content": "Weather in Bonn?"}]

@llmtrace.tool
def weather(city):
    if city == "nowhere":
        raise ValueError("no such city")
    return {"city": city}

@llmtrace.agent
def answer(city="Bonn"):
    client = OpenAI(api_key="none", max_retries=0)
    client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    return weather(city)

async def answer_async():
    await AsyncOpenAI(api_key="none").chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)

def main():
    llmtrace.init(service_name="program")
    answer()
    llmtrace.shutdown()
"""


@pytest.fixture
def provider() -> Iterator[ReplayServer]:
    with ReplayServer(PLAIN, provider="openai") as server:
        yield server


def run_pytest(folder: Path, provider: ReplayServer, tests: str, *options: str, **env: str) -> str:
    """What a pytest of its own printed about `tests` in a project with the program."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "program.py").write_text(PROGRAM)
    (folder / "test_program.py").write_text("import pytest\nfrom program import *\n" + tests)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LLMTRACE_")}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *options],
        cwd=folder,
        env={
            **inherited,
            "PYTHONPATH": os.pathsep.join([str(folder), *PATHS]),
            "OPENAI_BASE_URL": f"{provider.url}/v1",
            "COLUMNS": "200",
            **env,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ended.stdout + ended.stderr


def test_calls_tools_tokens_and_cost(tmp_path: Path, provider: ReplayServer) -> None:
    """Sync and async, on a worker and on several; the collector gets nothing, whatever the program does."""
    tests = """
def test_plain(captured):
    answer()
    (call,), (tool,) = captured.calls, captured.tools
    assert (call.provider, call.model, call.finish_reasons) == ("openai", "gpt-4o-mini", ("tool_call",))
    assert call.input == [{"role": "user", "parts": [{"type": "text", "content": "Weather in Bonn?"}]}]
    assert call.parents == ("invoke_agent answer",) and tool.parents == call.parents
    assert (tool.name, tool.error) == ("weather", None)
    assert tool.arguments == tool.result == {"city": "Bonn"}
    assert captured.tokens.total == 42 and captured.tokens.cache_read == 16 and call.error is None
    assert 0 < captured.cost < 0.001 and captured.cost_unknown == []

@pytest.mark.parametrize("times", [1, 2, 3])
def test_async(captured, times):
    async def several():
        await asyncio.gather(*(answer_async() for _ in range(times)))
    asyncio.run(several())
    assert len(captured.calls) == times

def test_a_program_with_an_init_of_its_own(captured):
    main()
    main()
    assert len(captured.calls) == 2

def test_nothing_is_left_of_the_tests_before(captured):
    assert captured.calls == [] and captured.cost == 0
"""
    with ReplayServer(Answer()) as collector:
        for options in ((), ("-n", "2")):
            printed = run_pytest(tmp_path, provider, tests, *options, LLMTRACE_ENDPOINT=collector.url)
            assert "6 passed" in printed, printed
        assert collector.requests == []


def test_what_a_failing_test_shows(tmp_path: Path, provider: ReplayServer) -> None:
    tests = """
def test_it(captured):
    with pytest.raises(ValueError):
        answer("nowhere")
    assert captured.calls == []
"""
    printed = run_pytest(tmp_path, provider, tests)
    assert "- llmtrace -" in printed, printed
    assert re.search(
        r"1\. <chat gpt-4o-mini of openai: 'Weather in Bonn\?' -> .*weather\(.*\)"
        r" \[30\+12 tokens, \$0\.00\d+\] in invoke_agent answer>",
        printed,
    ), printed
    assert 'tool <weather({"city": "nowhere"}) FAILED ValueError: no such city>' in printed
    assert re.search(r"^1 calls, 30\+12 tokens, \$0\.00", printed, re.M), printed


def test_an_unknown_cost_is_no_cost_and_says_why(tmp_path: Path, provider: ReplayServer) -> None:
    """Without the price list (the base install), for a model that nobody lists, and without usage."""
    tests = """
def test_it(captured):
    answer()
    assert captured.cost is None
    assert captured.cost_unknown == [REASON]
"""
    absent = "import sys\nsys.modules['genai_prices'] = None\n"
    reason = "REASON = \"the price list is not installed: pip install 'llmtrace[collector]'\"\n"
    assert "1 passed" in (printed := run_pytest(tmp_path, provider, absent + reason + tests)), printed
    silent = Answer.json({"model": "m", "choices": [{"finish_reason": "stop", "message": {}}]}, 400)
    provider.answer_with(silent)
    with capture() as captured:
        import httpx

        httpx.post(f"{provider.url}/v1/chat/completions", json={"model": "m", "messages": []})
        assert captured.cost is None
        assert captured.cost_unknown == ["nobody reported its tokens"]
        assert captured.tokens == Tokens(unknown=1)
        assert "cost unknown: nobody reported its tokens" in repr(captured)
    provider.answer_with(
        Answer.json({"model": "our-own", "usage": {"prompt_tokens": 3}, "choices": [{"message": {}}]})
    )
    with capture() as captured:
        httpx.post(f"{provider.url}/v1/chat/completions", json={"model": "our-own", "messages": []})
        assert captured.cost is None
        assert captured.cost_unknown == ["the price list has no model 'our-own' of 'openai'"]


def test_the_fixtures_are_not_loaded_where_nobody_asks() -> None:
    """And the SDK does not import pytest, which is not installed where programs run."""
    code = "import sys, llmtrace.testing\nassert not {'pytest', 'genai_prices'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": PATHS[0]}, check=True, timeout=60)


def test_settings_of_a_test_are_its_own(tmp_path: Path, provider: ReplayServer) -> None:
    tests = """
@pytest.fixture
def llmtrace_settings():
    return {"capture_content": False}

def test_it(captured):
    answer()
    (call,) = captured.calls
    assert call.input == call.output == [] and call.tokens.total == 42
"""
    assert "1 passed" in (printed := run_pytest(tmp_path, provider, tests)), printed


def test_earlier_attempts_are_calls_that_do_not_count(provider: ReplayServer) -> None:
    from openai import OpenAI

    provider.answer_with(Answer.json({"error": {"message": "slow down"}}, 429), PLAIN)
    with capture() as captured:
        client = OpenAI(base_url=f"{provider.url}/v1", api_key="none", max_retries=1)
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}])
        first, last = captured.calls
        assert (first.counted, last.counted) == (False, True)
        assert first.error == "429: slow down"
        assert captured.tokens.total == 42
        assert captured.cost == last.cost
        assert isinstance(last, Call)
        assert last.tool_requests[0] == ToolRequest("weather", *_first_request(last))


def _first_request(call: Call) -> tuple[object, str | None]:
    request = call.tool_requests[0]
    return request.arguments, request.id

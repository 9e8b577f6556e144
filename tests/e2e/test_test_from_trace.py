"""An incident whose fault lies in the program: recorded by a real collector, and a test made of its trace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llmtrace.testing import Answer, ReplayServer, capture
from llmtrace_cli.main import cli
from tests.cli.running import clean_environment
from tests.collector.running import Served, settings, until

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "programs" / "shipping_agent.py"
QUESTION = 'What does a parcel cost?\n"""; import os # '


def completion(message: dict[str, Any], reason: str) -> Answer:
    return Answer.json(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [
                {"index": 0, "finish_reason": reason, "message": {"role": "assistant", **message}},
            ],
            "usage": {"prompt_tokens": 60, "completion_tokens": 9, "total_tokens": 69},
        }
    )


def tool_call(weight: str) -> Answer:
    function = {"name": "shipping_cost", "arguments": json.dumps({"weight": weight})}
    call = {"id": "call_1", "type": "function", "function": function}
    return completion({"content": None, "tool_calls": [call]}, "tool_calls")


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(settings(tmp_path_factory.mktemp("collector")))
    yield served
    served.close()


def in_production(collector: Served, folder: Path, *answers: Answer) -> str:
    """Run the program once; the id of its trace."""
    shutil.copy(PROGRAM, folder)
    with ReplayServer(*answers, provider="openai") as provider:
        subprocess.run(
            [sys.executable, "shipping_agent.py", QUESTION],
            cwd=folder,
            env=clean_environment(
                LLMTRACE_ENDPOINT=collector.url,
                LLMTRACE_SPOOL_DIR="off",
                OPENAI_BASE_URL=f"{provider.url}/v1",
                OPENAI_API_KEY="sk-real",
            ),
            capture_output=True,
            timeout=60,
            check=False,
        )
    collector.stored()
    newest = "SELECT TraceId FROM otel_traces WHERE SpanName = 'answer' ORDER BY Timestamp DESC LIMIT 1"
    return collector.value(f"{newest} FORMAT TabSeparated")


def from_trace(collector: Served, folder: Path, *arguments: str) -> Result:
    """`llmtrace test from-trace` in a folder."""
    runner = CliRunner()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return runner.invoke(cli, ["test", "from-trace", "--url", collector.url, *arguments])


def pytest_run(folder: Path) -> subprocess.CompletedProcess[str]:
    """A pytest of its own, in an environment without keys and without a way to the provider."""
    environment = {name: value for name, value in clean_environment().items() if "_API_KEY" not in name}
    path = os.pathsep.join([str(ROOT / part) for part in ("sdk", "collector")])
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**environment, "PYTHONPATH": path, "COLUMNS": "180"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def repair(folder: Path) -> None:
    program = folder / "shipping_agent.py"
    program.write_text(program.read_text().replace("REPAIRED = False", "REPAIRED = True"))


def test_it_fails_on_the_broken_program_and_passes_on_the_repaired(collector: Served, tmp_path: Path) -> None:
    trace_id = in_production(collector, tmp_path, tool_call("2 kg"))
    written = from_trace(collector, tmp_path, trace_id)
    assert (written.exit_code, written.stderr) == (0, "")
    assert written.stdout == f"wrote test_trace_{trace_id[:8]}.py: run it with pytest\n"

    broken = pytest_run(tmp_path)
    assert broken.returncode == 1, broken.stdout
    assert "ValueError: could not convert string to float: '2 kg'" in broken.stdout
    assert 'shipping_cost({"weight": "2 kg"}) FAILED ValueError' in broken.stdout  # what the test captured
    repair(tmp_path)
    repaired = pytest_run(tmp_path)
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert "1 passed" in repaired.stdout
    assert "a request beyond the recorded ones: chat gpt-4o-mini" in repaired.stdout

    text = (tmp_path / f"test_trace_{trace_id[:8]}.py").read_text()
    assert 'assert trace.status == "ok"  # production saw: failed' in text
    assert "#   'execute_tool shipping_cost' failed: " in text
    again = from_trace(collector, tmp_path, trace_id)
    assert again.exit_code == 1
    assert "exists; --force writes over it" in again.stderr


def test_a_whole_conversation_is_held_against_the_recorded_one(collector: Served, tmp_path: Path) -> None:
    """What was asked otherwise than in production shows as a diff; the expectation holds of the result."""
    final = completion({"content": "9 euros"}, "stop")
    trace_id = in_production(collector, tmp_path, tool_call("2"), final)
    link = f"http://127.0.0.1:8501/traces?trace={trace_id}"
    arguments = ("--expect", "'9' in result", "--call", "shipping_agent:answer", "--out", "test_it.py")
    written = from_trace(collector, tmp_path, link, *arguments)
    assert written.exit_code == 0, written.stderr
    same = pytest_run(tmp_path)
    assert same.returncode == 0, same.stdout + same.stderr
    assert "1 passed in" in same.stdout  # and nothing to warn of
    program = tmp_path / "shipping_agent.py"
    program.write_text(program.read_text().replace("4.5 *", "5 *"))
    other = pytest_run(tmp_path)
    assert "1 passed, 1 warning" in other.stdout, other.stdout
    assert "-  result: 9.0" in other.stdout
    assert "+  result: 10.0" in other.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["ab" * 16], 1, "the collector has no trace abab"),
        (["nonsense"], 2, "'nonsense' is no id of a trace"),
        (["ab" * 16, "--call", "shop.answer"], 2, "'shop.answer' is no function; write module:function"),
        (["ab" * 16, "--expect", "result =="], 2, "is no expression of Python"),
        (["ab" * 16, "--url", "http://127.0.0.1:1"], 1, "cannot be read"),
    ],
)
def test_what_cannot_be_done_says_what_to_do(
    collector: Served, tmp_path: Path, arguments: list[str], code: int, why: str
) -> None:
    refused = from_trace(collector, tmp_path, *arguments)
    assert refused.exit_code == code
    assert why in " ".join(refused.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_the_cost_in_a_test_is_the_collectors(collector: Served, tmp_path: Path) -> None:
    from openai import OpenAI

    trace_id = in_production(collector, tmp_path, tool_call("3 kg"))
    asked = f"SELECT sum(Cost) FROM span_cost WHERE TraceId = '{trace_id}' AND Priced FORMAT TabSeparated"
    until(lambda: collector.value(asked) not in ("", "0", "\\N"), what="a price")
    with ReplayServer(tool_call("3 kg"), provider="openai") as provider, capture() as captured:
        client = OpenAI(base_url=f"{provider.url}/v1", api_key="none")
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}])
        assert captured.cost == pytest.approx(float(collector.value(asked)), rel=1e-9)
        assert captured.cost

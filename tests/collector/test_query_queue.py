"""Texts are parsed in a process of their own, within a deadline, and nobody waits for another's slow ones."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from llmtrace_collector.store.query_guard import text_queue
from llmtrace_collector.store.query_guard.process import ParserProcess, ParserUnavailable
from llmtrace_collector.store.query_guard.refusal import QueryRefused, ReadDenied, TooSlow
from llmtrace_collector.store.query_guard.text_queue import QueryQueue, TooManyQueries

from .running import until

_FAST = "SELECT count() FROM otel_traces"


@pytest.fixture
def queue() -> Iterator[QueryQueue]:
    opened = QueryQueue(deadline=0.5)
    yield opened
    opened.close()


def _slow(number: int = 0) -> str:
    """A text whose tuples take the parser longer than it has; what keeps them out is switched off for it."""
    return f"SELECT CAST({number} AS {'Tuple(' * 24}Int8{')' * 24})"


@pytest.fixture
def unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing processes that do not count how deep a text is nested."""
    source = (
        "import sys\n"
        "from llmtrace_collector.store.query_guard import guard, worker\n"
        "guard.check_nesting = lambda tokens: None\n"
        "worker.main()\n"
    )
    start = subprocess.Popen

    def popen(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        assert command[1:3] == ["-P", "-m"]
        return start([command[0], "-c", source, command[-1]], **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(subprocess, "Popen", popen)


def test_a_process_answers_as_the_guard_does() -> None:
    process = ParserProcess()
    try:
        query = process.make_safe(f"{_FAST} FORMAT CSV SETTINGS max_threads = 1", 1000)
        assert query.sql == 'SELECT count() FROM "otel_traces"'
        assert (query.format, query.settings) == ("CSV", (("max_threads", "1"),))
        assert query.tables == {"otel_traces"}
        assert query.functions == {"count"}
        with pytest.raises(ReadDenied, match="api_keys"):
            process.make_safe("SELECT * FROM api_keys", 1000)
        with pytest.raises(QueryRefused, match="query_max_bytes"):
            process.make_safe(_FAST, 5)
        assert process.make_safe("SELECT 'é\\n\u2028' AS x", 1000).sql.count("é") == 1
    finally:
        process.close()


@pytest.mark.usefixtures("unbounded")
def test_a_text_that_takes_too_long_ends_its_process_alone() -> None:
    process = ParserProcess(0.5)
    try:
        assert process.make_safe(_FAST, 10_000).tables == {"otel_traces"}
        began = time.monotonic()
        with pytest.raises(TooSlow, match=r"longer than 0\.5 s"):
            process.make_safe(_slow(), 10_000)
        assert time.monotonic() - began < 10
        assert process.make_safe(_FAST, 10_000).tables == {"otel_traces"}
    finally:
        process.close()


def test_a_process_that_ends_is_replaced() -> None:
    process = ParserProcess()
    try:
        process.make_safe(_FAST, 1000)
        (child,) = [
            child
            for child in psutil.Process().children()
            if "query_guard.worker" in " ".join(child.cmdline())
        ]
        child.kill()
        assert process.make_safe("SELECT 1", 1000).sql == "SELECT 1"
    finally:
        process.close()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.usefixtures("unbounded")
def test_a_text_that_kills_its_process_has_a_second_one_and_no_third(monkeypatch: pytest.MonkeyPatch) -> None:
    process = ParserProcess()
    started: list[subprocess.Popen[bytes]] = []
    running = process._running

    def killed() -> subprocess.Popen[bytes]:
        started.append(running())
        started[-1].kill()
        started[-1].wait()
        return started[-1]

    monkeypatch.setattr(process, "_running", killed)
    with pytest.raises(QueryRefused, match="too much memory"):
        process.make_safe(_FAST, 1000)
    assert len(started) == 2
    process.kill()
    monkeypatch.undo()
    with pytest.raises(ParserUnavailable, match="stops"):
        process.make_safe(_FAST, 1000)


def test_without_a_process_it_is_not_the_texts_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ParserUnavailable, match="did not start"):
        ParserProcess().make_safe(_FAST, 1000)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ParserUnavailable, match="status 1"):
        ParserProcess().make_safe(_FAST, 1000)


def test_keys_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTRACE_ADMIN_KEY", "secret")
    before = psutil.Process().children()
    process = ParserProcess()
    try:
        process.make_safe(_FAST, 1000)
        (child,) = set(psutil.Process().children()) - set(before)
        assert not [name for name in child.environ() if name.startswith("LLMTRACE_")]
    finally:
        process.close()


_OWNER = """
import sys, time
from llmtrace_collector.store.query_guard.process import ParserProcess
process = ParserProcess(1.0)
process.make_safe("SELECT 1", 1000)
print("ready", flush=True)
time.sleep(60)
"""


def test_nothing_outlives_a_killed_owner() -> None:
    with subprocess.Popen([sys.executable, "-c", _OWNER], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        children = psutil.Process(owner.pid).children()
        assert len(children) == 1
        owner.send_signal(signal.SIGKILL)
    until(lambda: not children[0].is_running(), 5, "the end of the parsing process")


def test_the_same_text_is_parsed_once(queue: QueryQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = queue._parse

    def counted(text: str) -> object:
        parsed.append(text)
        return parse(text)

    monkeypatch.setattr(queue, "_parse", counted)

    async def ask() -> None:
        answers = await asyncio.gather(*(queue.make_safe(_FAST, "a") for _ in range(10)))
        assert {answer.sql for answer in answers} == {'SELECT count() FROM "otel_traces"'}
        for _ in range(2):
            with pytest.raises(ReadDenied):
                await queue.make_safe("SELECT * FROM api_keys")

    asyncio.run(ask())
    assert parsed == [_FAST, "SELECT * FROM api_keys"]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_queue, "_REMEMBERED_SIZE", 1000)
    answers = text_queue._Answers()
    for number in range(100):
        answers.put(f"{number:0100}", QueryRefused(""))
    assert answers.get(f"{99:0100}") is not None
    assert answers.get(f"{90:0100}") is not None
    assert answers.get(f"{89:0100}") is None


@pytest.mark.usefixtures("unbounded")
def test_nobody_waits_for_anothers_slow_texts(queue: QueryQueue) -> None:
    async def ask() -> float:
        await queue.make_safe("SELECT 1", "fast")
        slow = [asyncio.create_task(queue.make_safe(_slow(number), "slow")) for number in range(6)]
        await asyncio.sleep(0.1)
        waits = []
        for number in range(10):
            began = time.monotonic()
            await queue.make_safe(f"SELECT {number}", "fast")
            waits.append(time.monotonic() - began)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return sum(waits) / len(waits)

    # Six slow texts one after the other are three seconds.
    assert asyncio.run(ask()) < 1


@pytest.mark.usefixtures("unbounded")
def test_only_so_many_wait(queue: QueryQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_queue, "_WAITING_OF_ONE", 2)
    monkeypatch.setattr(text_queue, "_WAITING", 3)

    async def ask() -> list[object]:
        texts = [(_slow(number), reader) for number, reader in enumerate("aaabb")]
        asked = [queue.make_safe(text, reader) for text, reader in texts]
        return list(await asyncio.gather(*asked, return_exceptions=True))

    kinds = [type(answer) for answer in asyncio.run(ask())]
    assert kinds == [TooSlow, TooSlow, TooManyQueries, TooSlow, TooManyQueries]
    assert asyncio.run(queue.make_safe(_FAST, "a")).tables == {"otel_traces"}


def test_a_slow_moment_is_not_remembered(queue: QueryQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[object] = [TooSlow("this time"), QueryRefused("for good")]
    monkeypatch.setattr(queue, "_parse", lambda text: answers.pop(0))

    async def ask() -> str:
        try:
            await queue.make_safe(_FAST)
        except QueryRefused as error:
            return str(error)
        return ""

    assert [asyncio.run(ask()) for _ in range(3)] == ["this time", "for good", "for good"]


def test_closing_ends_the_processes_whatever_they_do() -> None:
    before = psutil.Process().children()
    queue = QueryQueue()
    asyncio.run(queue.make_safe(_FAST))
    children = set(psutil.Process().children()) - set(before)
    assert children
    queue.close()
    assert not [child for child in children if child.is_running()]

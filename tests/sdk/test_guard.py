"""`internal_errors.swallow`: what it keeps in, what it lets through, and that no trace of it is left."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import httpx
import opentelemetry.sdk.trace
import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

import llmtrace
from llmtrace import internal_errors
from llmtrace.capture.call import LlmCall
from llmtrace.internal_errors import swallow
from llmtrace.testing import ReplayServer, capture

from .chat import PLAIN, REQUEST

_OURS = Path(llmtrace.__file__).parent

OURS = [RuntimeError, KeyError, OSError, UnicodeError, StopIteration, StopAsyncIteration, RecursionError]
THEIRS = [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError]


class _Log(logging.Handler):
    """What is logged while it is attached."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(record.args, tuple)
        self.kinds.append(str(record.args[0]))

    def __enter__(self) -> _Log:
        internal_errors.logger.addHandler(self)
        return self

    def __exit__(self, *exception: object) -> None:
        internal_errors.logger.removeHandler(self)


@given(
    failures=st.lists(
        st.tuples(st.sampled_from(["reading", "writing", "ending"]), st.sampled_from([None, *OURS, *THEIRS])),
        max_size=20,
    ),
    strict=st.booleans(),
    may_raise=st.booleans(),
    decorated=st.booleans(),
    depth=st.integers(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_what_is_kept_in_and_what_passes(
    failures: list[tuple[str, type[BaseException] | None]],
    strict: bool,
    may_raise: bool,
    decorated: bool,
    depth: int,
) -> None:
    """Each kind is logged once, each failure counted by the innermost guard; nothing else is raised."""
    guards = {kind: swallow(kind, may_raise=may_raise) for kind in ("reading", "writing", "ending")}
    internal_errors.configure(strict=strict)
    counts: dict[str, int] = {}
    logged: list[str] = []
    with _Log() as log:
        for kind, exception in failures:
            error = exception() if exception is not None else None
            guard = guards[kind]

            def fail(error: BaseException | None = error) -> None:
                if error is not None:
                    raise error

            def run(level: int, guard: swallow = guard, fail: Callable[[], None] = fail) -> None:
                """The same guard, entered again and again on one stack."""
                if decorated:
                    guard(fail)()
                else:
                    with guard:
                        run(level - 1) if level else fail()

            passes = not isinstance(error, Exception) or (strict and may_raise)
            if error is not None and passes:
                with pytest.raises(type(error)) as raised:
                    run(depth)
                assert raised.value is error
            else:
                run(depth)
            if isinstance(error, Exception):
                # Strict mode raises, so that every guard around it sees the failure.
                seen = depth + 1 if passes and not decorated else 1
                counts[kind] = counts.get(kind, 0) + seen
                if not passes and (strict or kind not in logged):
                    logged.append(kind)
        assert internal_errors.failures() == counts
        assert log.kinds == logged


def test_the_value_after_a_failure_is_the_callers_to_say() -> None:
    internal_errors.configure(strict=False)

    def read(fails: bool) -> int:
        with swallow("reading"):
            return 1 // (not fails)
        return -1

    assert [read(False), read(True)] == [1, -1]


def test_a_decorated_function_stays_what_it_was() -> None:
    internal_errors.configure(strict=False)
    notes: list[str] = []

    @swallow("noting")
    def note(text: str, *, twice: bool = False) -> None:
        """Docstring."""
        notes.extend([text] * (1 + twice))
        text.removeprefix(None if text == "bad" else "")  # type: ignore[arg-type]

    note("a", twice=True)
    note("bad")
    assert notes == ["a", "a", "bad"]
    assert internal_errors.failures() == {"noting": 1}
    assert (note.__name__, note.__doc__) == ("note", "Docstring.")
    assert [*inspect.signature(note).parameters] == ["text", "twice"]
    with pytest.raises(KeyboardInterrupt):
        swallow("noting")(_interrupt)()


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt


async def _coroutine() -> None: ...
async def _async_generator() -> AsyncIterator[int]:
    yield 1


def _generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("function", [_coroutine, _async_generator, _generator])
def test_what_runs_after_the_call_cannot_be_decorated(function: Any) -> None:
    with pytest.raises(TypeError, match="use `with swallow"):
        swallow("running")(function)


def test_a_closed_generator_and_a_cancelled_task_end_as_they_should() -> None:
    internal_errors.configure(strict=False)
    seen: list[str] = []

    def numbers() -> Iterator[int]:
        with swallow("counting"):
            yield 1
        seen.append("the generator went on")

    running = numbers()
    next(running)
    running.close()  # type: ignore[attr-defined]

    async def wait() -> None:
        with swallow("waiting"):
            await asyncio.sleep(60)
        seen.append("the task went on")

    async def cancel() -> bool:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(cancel())
    assert not seen


def test_one_guard_serves_all_threads() -> None:
    internal_errors.configure(strict=False)
    guard = swallow("working", may_raise=False)
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait(10)
        for number in range(500):
            with guard, guard:
                _ = 1 // (number % 2)

    threads = [threading.Thread(target=work) for _ in range(8)]
    with _Log() as log:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert internal_errors.failures() == {"working": 8 * 250}
    assert log.kinds == ["working"]


def _broken(*args: Any, **kwargs: Any) -> NoReturn:
    raise RuntimeError("ours")


def _refused_by_httpx(url: str) -> None:
    httpx.post(url, json=REQUEST)


def _refused_by_urllib3(url: str) -> None:
    urllib3.HTTPConnectionPool("127.0.0.1", int(url.split(":")[2].split("/")[0]), retries=False).urlopen(
        "POST", "/v1/chat/completions", body=b'{"messages":[]}'
    )


def _refused_by_aiohttp(url: str) -> None:
    async def post() -> None:
        async with aiohttp.ClientSession() as session, session.post(url, json=REQUEST):
            raise AssertionError("nobody listens there")

    asyncio.run(post())


def _refused_within_decorators(url: str) -> None:
    @llmtrace.agent
    def run() -> None:
        with llmtrace.span("step"):
            list(pieces())

    @llmtrace.observe
    def pieces() -> Iterator[int]:
        yield 1
        httpx.post(url, json=REQUEST)

    run()


@pytest.mark.parametrize("broken", [False, True], ids=["working", "broken"])
@pytest.mark.parametrize(
    "refused",
    [_refused_by_httpx, _refused_by_urllib3, _refused_by_aiohttp, _refused_within_decorators],
    ids=lambda function: function.__name__[1:],
)
def test_the_programs_exception_does_not_tell_of_us(
    refused: Callable[[str], None], broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Type, text, cause and context are those of the bare program; of ours there are the wrappers alone."""
    monkeypatch.setenv("LLMTRACE_STRICT", "0")
    with ReplayServer(PLAIN) as server:
        url = server.url + "/v1/chat/completions"

    def chain() -> list[str]:
        with pytest.raises(Exception) as raised:
            refused(url)
        errors: list[BaseException] = []
        error: BaseException | None = raised.value
        while error is not None:
            errors.append(error)
            frames = [
                frame
                for frame in traceback.extract_tb(error.__traceback__)
                if Path(frame.filename).is_relative_to(_OURS)
            ]
            wrappers = {"send", "handle_request", "urlopen", "endheaders", "request", "wrapper", "run"}
            assert {frame.name for frame in frames} <= wrappers
            error = error.__cause__ or error.__context__
        return [type(error).__name__ for error in errors]

    bare = chain()
    with capture():
        if broken:
            monkeypatch.setattr(LlmCall, "fail", _broken)
            monkeypatch.setattr(LlmCall, "end", _broken)
            monkeypatch.setattr(opentelemetry.sdk.trace.Span, "record_exception", _broken)
            monkeypatch.setattr(opentelemetry.sdk.trace.Span, "end", _broken)
        assert chain() == bare
        assert bool(internal_errors.failures()) == broken

"""Blocks around a `yield`: they hold while that generator runs, and its consumer never sees them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import gc
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any

import greenlet  # type: ignore[import-untyped]
import pytest
from opentelemetry import trace

import llmtrace
from llmtrace.spans import context_attributes, generator_blocks
from llmtrace.testing import Captured

Step = Callable[[Callable[[], Any]], Any]


def _user() -> object:
    """The user of a call that would be made here."""
    user = context_attributes.attributes().get("user.id")
    with llmtrace.span("probe") as span:
        assert span._otel_span is not None
        recorded = span._otel_span.attributes or {}  # type: ignore[attr-defined]
        assert recorded.get("user.id") == user
    return user


@pytest.fixture(autouse=True)
def _nothing_is_logged(traces: Captured, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.WARNING):
        yield
    # What a test before has left to deliver may be told of meanwhile.
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]
    assert not generator_blocks._open


def _shared(step: Callable[[], Any]) -> Any:
    return step()


def _copied(step: Callable[[], Any]) -> Any:
    return contextvars.copy_context().run(step)


def _in_a_thread(step: Callable[[], Any]) -> Any:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, step).result()


@pytest.mark.parametrize("stepped", [_shared, _copied, _in_a_thread])
@pytest.mark.parametrize("outer", [None, "caller"])
def test_the_generators_own_and_nobody_elses(stepped: Step, outer: str | None) -> None:
    def numbers(user: str) -> Iterator[object]:
        yield _user()
        with llmtrace.context(user_id=user):
            yield _user()
            yield _user()
            with llmtrace.context(session_id="s"):
                yield _user()
        yield _user()

    with contextlib.nullcontext() if outer is None else llmtrace.context(user_id=outer):
        first, second = numbers("one"), numbers("two")
        for expected in (outer, "own", "own", "own", outer):
            assert stepped(lambda: next(first)) == (expected if expected == outer else "one")
            assert _user() == outer
            assert stepped(lambda: next(second)) == (expected if expected == outer else "two")
            assert _user() == outer
        assert not list(first)
        assert not list(second)
    assert _user() is None


def test_left_before_its_end(traces: Captured) -> None:
    def numbers() -> Iterator[object]:
        with llmtrace.context(user_id="own"), llmtrace.span("own"):
            yield _user()

    with llmtrace.context(user_id="caller"):
        for number in numbers():
            assert number == "own"
            break
        left = numbers()
        assert next(left) == "own"
    assert _user() is None
    thread = threading.Thread(target=left.close)  # type: ignore[attr-defined]
    thread.start()
    thread.join()
    assert _user() is None

    cycle = [numbers()]
    cycle.append(cycle)  # type: ignore[arg-type]
    next(cycle[0])
    del cycle
    thread = threading.Thread(target=gc.collect)
    thread.start()
    thread.join()
    assert _user() is None
    assert sum(span.name == "own" for span in traces.spans()) == 3


@contextlib.contextmanager
def _as_user(user: str) -> Iterator[None]:
    with llmtrace.context(user_id=user):
        yield


@contextlib.contextmanager
def _delegating(user: str) -> Iterator[None]:
    yield from _as_user.__wrapped__(user)  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def _as_user_async(user: str) -> AsyncIterator[None]:
    async with llmtrace.context(user_id=user):
        yield


class _Impersonation:
    """A context manager of the program's own."""

    def __init__(self, user: str) -> None:
        self._block = llmtrace.context(user_id=user)

    def __enter__(self) -> None:
        self._block.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._block.__exit__(kind, error, trace)


@contextlib.contextmanager
def _on_a_stack(user: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(_as_user("nobody"))
        stack.enter_context(llmtrace.context(user_id=user))
        yield


_MANAGERS = [_as_user, _delegating, _Impersonation, _on_a_stack, lambda user: llmtrace.context(user_id=user)]


@pytest.mark.parametrize("manager", _MANAGERS)
def test_a_context_manager_is_its_callers(manager: Callable[[str], Any]) -> None:
    with manager("managed"):
        assert _user() == "managed"

        def numbers() -> Iterator[object]:
            yield _user()
            with manager("own"):
                yield _user()
                yield _user()
            yield _user()

        for number, expected in zip(numbers(), ["managed", "own", "own", "managed"], strict=True):
            assert (number, _user()) == (expected, "managed")
    assert _user() is None


def test_async_context_managers() -> None:
    async def numbers() -> AsyncIterator[object]:
        async with _as_user_async("own"), contextlib.AsyncExitStack() as stack:
            yield _user()
            await stack.enter_async_context(_as_user_async("inner"))
            yield _user()

    async def run() -> None:
        async with _as_user_async("managed"):
            assert _user() == "managed"
            seen = []
            async for number in numbers():
                seen.append((number, _user()))
            assert seen == [("own", "managed"), ("inner", "managed")]
        assert _user() is None

    asyncio.run(run())


@pytest.fixture
def _user_of_the_fixture(traces: Captured) -> Iterator[None]:
    with llmtrace.context(user_id="fixture"):
        yield


@pytest.mark.usefixtures("_user_of_the_fixture")
def test_a_fixtures_is_the_tests() -> None:
    assert _user() == "fixture"


def test_generators_within_generators() -> None:
    def inner(user: str) -> Iterator[object]:
        with llmtrace.context(user_id=user):
            yield _user()
            yield _user()

    def outer() -> Iterator[object]:
        yield from inner("a")
        with llmtrace.context(user_id="outer"):
            yield from inner("b")
            for number in inner("c"):
                yield number
                yield _user()
        yield _user()

    expected = ["a", "a", "b", "b", "c", "outer", "c", "outer", None]
    for number, wanted in zip(outer(), expected, strict=True):
        assert (number, _user()) == (wanted, None)
    copied = outer()
    assert [_copied(lambda: next(copied)) for _ in expected] == expected
    copied.close()  # type: ignore[attr-defined]


async def _asked(delay: float = 0.0) -> object:
    await asyncio.sleep(delay)
    return _user()


async def _apart(step: Any) -> Any:
    """One step in a task of its own."""

    async def take() -> Any:
        return await step

    return await asyncio.create_task(take())


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("outer", [None, "caller"])
def test_what_is_started_belongs_to_who_started_it(apart: bool, outer: str | None) -> None:
    background: list[tuple[asyncio.Task[object], object]] = []

    def start(expected: object) -> None:
        background.append((asyncio.create_task(_asked(0.01)), expected))

    async def numbers() -> AsyncIterator[object]:
        with llmtrace.context(user_id="own"):
            yield _user()
            for _ in range(3):
                start("own")
                yield await asyncio.gather(
                    _asked(), asyncio.create_task(_asked()), asyncio.to_thread(_user), _asked()
                )
            async with asyncio.TaskGroup() as group:
                single = group.create_task(_asked())
            yield single.result()

    async def run() -> None:
        with contextlib.nullcontext() if outer is None else llmtrace.context(user_id=outer):
            running = numbers()
            steps: list[object] = ["own", ["own"] * 4, ["own"] * 4, ["own"] * 4, "own"]
            for expected in steps:
                step = anext(running)
                assert await (_apart(step) if apart else step) == expected
                start(outer)
                assert await asyncio.to_thread(_user) == outer
                assert await asyncio.create_task(_asked()) == outer
                assert _user() == outer
            await (_apart(anext(running, None)) if apart else anext(running, None))
        for task, whose in background:
            assert await task == whose

    asyncio.run(run())


def test_a_loop_within_a_generators_step() -> None:
    def numbers() -> Iterator[object]:
        with llmtrace.context(user_id="own"):
            for _ in range(3):
                yield asyncio.run(_asked())

    copied, shared = numbers(), numbers()
    assert [_copied(lambda: next(copied)) for _ in range(3)] == ["own"] * 3
    assert list(shared) == ["own"] * 3
    copied.close()  # type: ignore[attr-defined]


def test_a_copy_that_nobody_saw_has_no_user() -> None:
    """As a loop in C makes it: the generator's and its consumer's cannot be told apart."""

    async def numbers() -> AsyncIterator[object]:
        with llmtrace.context(user_id="own", capture_content=False):
            yield await asyncio.Task(_asked())

    async def run() -> None:
        with llmtrace.context(user_id="caller", session_id="s"):
            running = numbers()
            assert await anext(running) is None
            attributes, content = await asyncio.Task(_seen())
            assert attributes == {"session.id": "s"}
            assert content == "none"
            assert _user() == "caller"
            await anext(running, None)

    async def _seen() -> tuple[dict[str, Any], str]:
        return dict(context_attributes.attributes()), context_attributes.capture("messages")

    asyncio.run(run())


def test_spans_of_a_generator(traces: Captured) -> None:
    def numbers() -> Iterator[int]:
        with llmtrace.span("own"):
            for number in range(3):
                with llmtrace.span(f"step {number}"):
                    pass
                trace.get_tracer("elsewhere").start_span(f"other {number}").end()
                yield number

    with llmtrace.span("caller"):
        running = numbers()
        for number in range(3):
            assert _copied(lambda: next(running)) == number if number == 1 else next(running) == number
            with llmtrace.span(f"between {number}"):
                pass
            theirs = trace.get_tracer("elsewhere").start_as_current_span(f"theirs {number}")
            with theirs, llmtrace.span(f"within theirs {number}"):
                pass
        running.close()  # type: ignore[attr-defined]
    spans = {span.name: span for span in traces.spans()}

    def parent(name: str) -> str | None:
        parent = spans[name].parent
        return next((name_of for name_of, span in spans.items() if span.get_span_context() == parent), None)

    for number in range(3):
        assert parent(f"step {number}") == "own"
        assert parent(f"other {number}") == "own"
        assert parent(f"between {number}") == "caller"
        assert parent(f"theirs {number}") == "caller"
        assert parent(f"within theirs {number}") == f"theirs {number}"
    assert parent("own") == "caller"


@pytest.mark.parametrize("stepped", [_shared, _copied, _in_a_thread])
def test_an_observed_generator_keeps_where_it_began(stepped: Step, traces: Captured) -> None:
    @llmtrace.observe(name="numbers")
    def numbers() -> Iterator[object]:
        yield _user()
        with llmtrace.context(user_id="own"):
            yield _user()
            yield _user()
        yield _user()

    with llmtrace.context(user_id="first"):
        running = numbers()
        assert stepped(lambda: next(running)) == "first"
    with llmtrace.context(user_id="second"):
        assert stepped(lambda: next(running)) == "own"
        assert _user() == "second"
        assert stepped(lambda: next(running)) == "own"
    assert _user() is None
    assert stepped(lambda: next(running)) == "first"
    assert not list(running)
    (own,) = (span for span in traces.spans() if span.name == "numbers")
    probes = [span for span in traces.spans() if span.name == "probe"]
    assert sum(span.parent == own.get_span_context() for span in probes) == 4


def test_below_a_greenlet() -> None:
    def numbers() -> Iterator[object]:
        with llmtrace.context(user_id="own"):
            child = greenlet.greenlet(_user)
            child.gr_context = greenlet.getcurrent().gr_context or contextvars.copy_context()
            yield child.switch()

    assert list(numbers()) == ["own"]
    assert _user() is None


def test_one_object_around_many_yields() -> None:
    block = llmtrace.context(user_id="own")

    def numbers() -> Iterator[object]:
        with block:
            yield _user()
            yield _user()

    first, second = numbers(), numbers()
    assert [next(first), next(second), next(first), next(second)] == ["own"] * 4
    assert not list(first)
    assert _user() is None
    with pytest.raises(StopIteration):
        next(second)
    assert _user() is None


def test_a_block_that_is_left_in_another_context() -> None:
    """As a dependency of FastAPI that is entered and left in two threads."""
    block = llmtrace.context(user_id="own")
    _in_a_thread(block.__enter__)
    _in_a_thread(lambda: block.__exit__(None, None, None))
    assert _user() is None

    def left_in_a_copy() -> object:
        within = llmtrace.context(user_id="own")
        within.__enter__()

        def leave() -> object:
            within.__exit__(None, None, None)
            return _user()

        return _copied(leave)

    assert _copied(left_in_a_copy) is None

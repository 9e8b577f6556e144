"""Threads have the context of who started them, while that holds; tasks of pools have their own, always."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.dummy import Process as DummyProcess
from multiprocessing.pool import ThreadPool
from typing import Any

import anyio.to_thread
import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

import llmtrace
from llmtrace.spans import context_attributes
from llmtrace.testing import Captured, ReplayServer, capture

from .chat import PLAIN, REQUEST

NOBODY = (None, None)


def whose() -> tuple[str | None, str | None]:
    """The user and the trace that a span would have that began here."""
    span = trace.get_current_span().get_span_context()
    user = context_attributes.attributes().get("user.id")
    return (None if user is None else str(user)), f"{span.trace_id:032x}" if span.is_valid else None


class Overridden(threading.Thread):
    """As many programs write their threads."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self.work = work

    def run(self) -> None:
        self.work()


def _assigned(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(name="assigned")
    thread.run = work  # type: ignore[method-assign]
    return thread


THREADS: dict[str, Callable[[Callable[[], None]], threading.Thread]] = {
    "target": lambda work: threading.Thread(target=work),
    "partial": lambda work: threading.Thread(target=functools.partial(functools.partial(work))),
    "run overridden": Overridden,
    "run assigned": _assigned,
    "timer": lambda work: threading.Timer(0, work),
    "multiprocessing.dummy": lambda work: DummyProcess(target=work),
    "daemon": lambda work: threading.Thread(target=work, daemon=True),
}


@pytest.mark.parametrize("kind", THREADS)
def test_a_call_on_a_thread_lies_where_it_was_started(traces: Captured, kind: str) -> None:
    with (
        ReplayServer(PLAIN) as server,
        llmtrace.context(user_id="ann", session_id="s", tags=["a"]),
        llmtrace.span("request") as span,
    ):
        thread = THREADS[kind](lambda: _ask(server.url))
        thread.start()
        thread.join()
        assert "run" not in thread.__dict__ or kind == "run assigned"
        trace_id = span.trace_id
    (call,) = (span for span in traces.spans() if span.name == "chat gpt-4o-mini")
    assert call.attributes is not None
    wanted = {"user.id": "ann", "session.id": "s", "llmtrace.tags": ("a",)}
    assert wanted.items() <= dict(call.attributes).items()
    assert f"{call.context.trace_id:032x}" == trace_id
    assert whose() == NOBODY


def _ask(url: str) -> None:
    httpx.post(url + "/v1/chat/completions", json=REQUEST)


class Worker:
    """A thread that does what it is sent, one after the other, and says what came of it."""

    def __init__(self, within: Callable[[], Any] | None = None) -> None:
        self._work: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._within = within
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        if self._within is None:
            self._serve_all()
        else:
            with self._within():
                self._serve_all()

    def _serve_all(self) -> None:
        while (work := self._work.get()) is not None:
            self._results.put(work())

    def do(self, work: Callable[[], Any]) -> Any:
        """What it gives."""
        self._work.put(work)
        return self._results.get(timeout=10)

    def stop(self) -> None:
        """Also one that was never started."""
        self._work.put(None)
        if self.thread.ident is not None:
            self.thread.join(10)


@pytest.fixture
def worker() -> Iterator[Worker]:
    begun = Worker()
    yield begun
    begun.stop()


def test_a_thread_has_no_parent_and_no_user_once_its_span_ended(traces: Captured, worker: Worker) -> None:
    with llmtrace.context(user_id="ann"), llmtrace.span("request") as span:
        worker.thread.start()
        assert worker.do(whose) == ("ann", span.trace_id)
    assert worker.do(whose) == NOBODY
    assert not worker.do(otel_context.get_current)
    with llmtrace.context(user_id="bob"), llmtrace.span("another"):
        assert worker.do(whose) == NOBODY
    with ReplayServer(PLAIN) as server:
        worker.do(lambda: _ask(server.url))
    (call,) = (span for span in traces.spans() if span.name == "chat gpt-4o-mini")
    assert call.parent is None
    assert "user.id" not in (call.attributes or {})


def test_blocks_of_a_thread_outlive_what_it_was_started_under(traces: Captured) -> None:
    """What the thread itself says holds for as long as it says so, and nothing else."""
    worker = Worker(lambda: llmtrace.context(tags="worker"))

    def record(name: str) -> None:
        with llmtrace.context(experiment="e"):
            with llmtrace.span(name):
                _ask(server.url)
            _ask(server.url)

    with ReplayServer(PLAIN) as server:
        with llmtrace.context(user_id="ann", tags="request"), llmtrace.span("request") as request:
            worker.thread.start()
            worker.do(lambda: record("early"))
        worker.do(lambda: record("late"))
        worker.stop()
    early, early_call, late, late_call = (
        [span for span in traces.spans() if span.name == name and span.name != "request"][index]
        for name, index in (("early", 0), ("chat gpt-4o-mini", 1), ("late", 0), ("chat gpt-4o-mini", 3))
    )
    for span in (early, early_call):
        assert f"{span.context.trace_id:032x}" == request.trace_id
        assert dict(span.attributes or {})["user.id"] == "ann"
        assert dict(span.attributes or {})["llmtrace.tags"] == ("request", "worker")
    for span in (late, late_call):
        assert span.parent is None
        assert dict(span.attributes or {})["llmtrace.tags"] == ("worker",)
        assert dict(span.attributes or {})["llmtrace.experiment"] == "e"
        assert "user.id" not in (span.attributes or {})


def test_a_span_that_a_thread_began_keeps_what_it_began_with(traces: Captured) -> None:
    """Work that a request hands over and does not wait for belongs to it, to its end."""
    begun, go = threading.Event(), threading.Event()

    @llmtrace.observe(name="summarise")
    def summarise(url: str) -> None:
        begun.set()
        go.wait(10)
        _ask(url)

    with ReplayServer(PLAIN) as server:
        with llmtrace.context(user_id="ann"), llmtrace.span("request"):
            thread = threading.Thread(target=summarise, args=(server.url,))
            thread.start()
            begun.wait(10)
        go.set()
        thread.join(10)
    spans = {span.name: span for span in traces.spans()}
    call = spans["chat gpt-4o-mini"]
    assert call.parent == spans["summarise"].context
    assert spans["summarise"].parent == spans["request"].context
    assert dict(call.attributes or {})["user.id"] == "ann"


def test_without_a_span_the_block_decides(traces: Captured, worker: Worker) -> None:
    with llmtrace.context(user_id="ann"):
        worker.thread.start()
        assert worker.do(whose) == ("ann", None)
        with llmtrace.context(user_id="bob"):
            assert worker.do(whose) == ("ann", None)
    assert worker.do(whose) == NOBODY


def test_the_block_ends_a_user_also_within_a_longer_span(traces: Captured, worker: Worker) -> None:
    with llmtrace.span("batch") as batch:
        with llmtrace.context(user_id="ann"):
            worker.thread.start()
            assert worker.do(whose) == ("ann", batch.trace_id)
        with llmtrace.context(user_id="bob"):
            assert worker.do(whose) == (None, batch.trace_id)
    assert worker.do(whose) == NOBODY


def test_threads_of_threads(traces: Captured, worker: Worker) -> None:
    inner, within = Worker(), Worker()

    def start_with_block() -> None:
        with llmtrace.context(tags="t"):
            within.thread.start()
            assert within.do(whose)[0] == "ann"

    with llmtrace.context(user_id="ann"), llmtrace.span("request") as span:
        worker.thread.start()
        worker.do(inner.thread.start)
        worker.do(start_with_block)
        assert inner.do(whose) == ("ann", span.trace_id)
        assert within.do(whose) == (None, span.trace_id)
    assert inner.do(whose) == within.do(whose) == worker.do(whose) == NOBODY
    inner.stop()
    within.stop()


@pytest.mark.parametrize("sampled", [False, True])
def test_a_parent_of_another_process_lasts_while_somebody_has_it(
    traces: Captured, worker: Worker, sampled: bool
) -> None:
    """Whether such a one has ended is not known here: the user's block decides on the user."""
    remote = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(int(sampled)))
    with llmtrace.context(user_id="ann"):
        token = otel_context.attach(trace.set_span_in_context(NonRecordingSpan(remote)))
        worker.thread.start()
        assert worker.do(whose) == ("ann", f"{5:032x}")
        otel_context.detach(token)
        del token
        assert worker.do(whose) == NOBODY


def test_content_that_was_not_to_be_recorded_never_is(worker: Worker) -> None:
    with capture(capture_content=True) as traces, ReplayServer(PLAIN) as server:
        with llmtrace.context(capture_content=False), llmtrace.span("request"):
            worker.thread.start()
        worker.do(lambda: _ask(server.url))
        (call,) = (span for span in traces.spans() if span.name == "chat gpt-4o-mini")
    assert call.parent is None
    assert "gen_ai.input.messages" not in (call.attributes or {})


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=12))
def test_a_worker_started_somewhere_never_works_for_the_wrong_user(
    steps: Sequence[tuple[str, bool, bool]],
) -> None:
    """Requests one after the other, with or without a span; the first that needs the worker starts it."""
    worker, starter = Worker(), -1
    with capture():
        for number, (user, has_span, needs_worker) in enumerate(steps):
            with llmtrace.context(user_id=user):
                block = llmtrace.span(f"{number}")
                span = block.__enter__() if has_span else None
                if needs_worker and starter < 0:
                    worker.thread.start()
                    starter = number
                if needs_worker:
                    own = (user, None if span is None else span.trace_id)
                    assert worker.do(whose) == (own if starter == number else NOBODY)
                if has_span:
                    block.__exit__(None, None, None)
                if needs_worker:
                    lasting = starter == number and not has_span
                    assert worker.do(whose) == ((user, None) if lasting else NOBODY)
    worker.stop()


# ------------------------------------------------------------------------------------------------ pools


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.booleans()), max_size=30),
    st.integers(1, 4),
    st.sampled_from(["submit", "map", "run_in_executor", "apply_async", "imap_unordered", "starmap"]),
)
def test_each_task_has_the_context_it_was_handed_over_in(
    tasks: Sequence[tuple[str | None, bool]], workers: int, way: str
) -> None:
    """0 wrong, 0 leaked, 0 missing; tasks wait for each other's hand-over, so that workers are shared."""
    waiting: list[tuple[Callable[[], tuple[str | None, str | None]], tuple[str | None, str | None]]] = []
    with capture(), ThreadPoolExecutor(workers) as executor, ThreadPool(workers) as pool:
        for user, has_span in tasks:
            block = llmtrace.span("request")
            with llmtrace.context(user_id=user):
                span = block.__enter__() if has_span else None
                result = _handed_over(way, executor, pool)
                waiting.append((result, (user, None if span is None else span.trace_id)))
                if has_span:
                    block.__exit__(None, None, None)
        assert [result() for result, _ in waiting] == [wanted for _, wanted in waiting]
        assert executor.submit(whose).result() == pool.apply(whose) == NOBODY


def _handed_over(
    way: str, executor: ThreadPoolExecutor, pool: ThreadPool
) -> Callable[[], tuple[str | None, str | None]]:
    match way:
        case "submit":
            return executor.submit(whose).result
        case "map":
            results = executor.map(lambda _: whose(), [0])
            return lambda: next(results)
        case "run_in_executor":

            async def run() -> tuple[str | None, str | None]:
                return await asyncio.get_running_loop().run_in_executor(executor, whose)

            seen = asyncio.run(run())
            return lambda: seen
        case "apply_async":
            return pool.apply_async(whose).get
        case "imap_unordered":
            iterator = pool.imap_unordered(lambda _: whose(), [0])
            return lambda: iterator.next(10)
        case _:
            pending = pool.starmap_async(lambda _: whose(), [(0,)])
            return lambda: pending.get(10)[0]


def test_every_method_of_a_thread_pool(traces: Captured) -> None:
    def one(_: int) -> tuple[str | None, str | None]:
        return whose()

    with ThreadPool(2) as pool, llmtrace.context(user_id="ann"), llmtrace.span("request") as span:
        wanted = ("ann", span.trace_id)
        assert pool.apply(one, (1,)) == wanted
        assert pool.map(one, [1, 2]) == [wanted] * 2
        assert pool.map_async(one, [1, 2]).get() == [wanted] * 2
        assert pool.starmap(one, [(1,), (2,)]) == [wanted] * 2
        assert pool.starmap_async(func=one, iterable=[(1,)]).get() == [wanted]
        assert list(pool.imap(one, [1, 2])) == [wanted] * 2
        assert list(pool.imap_unordered(one, [1, 2], chunksize=2)) == [wanted] * 2


def test_a_task_outlives_its_span_and_keeps_it(traces: Captured) -> None:
    go = threading.Event()

    def later() -> tuple[str | None, str | None]:
        go.wait(10)
        return whose()

    with ThreadPoolExecutor(1) as pool:
        with llmtrace.context(user_id="ann"), llmtrace.span("request") as span:
            pending = pool.submit(later)
        go.set()
        assert pending.result(10) == ("ann", span.trace_id)


def test_initialisers_are_nobodys_and_may_say_whose_the_worker_is(traces: Captured) -> None:
    seen: list[object] = []
    with (
        llmtrace.context(user_id="ann"),
        ThreadPoolExecutor(1, initializer=lambda: seen.append(whose())) as executor,
        ThreadPool(1, initializer=lambda: seen.append(whose())),
    ):
        assert executor.submit(whose).result() == ("ann", None)
    assert seen == [NOBODY, NOBODY]

    def enter() -> None:
        llmtrace.context(user_id="pool").__enter__()

    with ThreadPoolExecutor(1, initializer=enter) as pool:
        assert pool.submit(whose).result() == ("pool", None)
        with llmtrace.context(user_id="bob"):
            assert pool.submit(whose).result() == ("bob", None)
        assert pool.submit(whose).result() == ("pool", None)


def test_pools_within_pools(traces: Captured) -> None:
    def outer(inner: ThreadPoolExecutor) -> list[tuple[str | None, str | None]]:
        with llmtrace.context(session_id="s"):
            return [future.result(10) for future in [inner.submit(whose) for _ in range(3)]]

    with ThreadPoolExecutor(2) as first, ThreadPoolExecutor(2) as second:
        waiting = []
        for user in "abcd" * 3:
            with llmtrace.context(user_id=user), llmtrace.span(user) as span:
                waiting.append((first.submit(outer, second), (user, span.trace_id)))
        assert all(future.result(10) == [wanted] * 3 for future, wanted in waiting)


def test_a_task_that_fails_leaves_nothing_behind(traces: Captured) -> None:
    def fail() -> None:
        otel_context.attach(otel_context.set_value("left", 1))
        raise LookupError("as ever")

    with ThreadPoolExecutor(1) as pool:
        with llmtrace.context(user_id="ann"), pytest.raises(LookupError, match="as ever"):
            pool.submit(fail).result()
        assert pool.submit(lambda: dict(otel_context.get_current())).result() == {}


def test_what_the_program_says_itself_goes_first(traces: Captured) -> None:
    with llmtrace.context(user_id="ann"):
        copied = contextvars.copy_context()
    results: list[object] = []
    with llmtrace.context(user_id="bob"), llmtrace.span("request"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(copied.run, whose).result() == ("ann", None)
        thread = threading.Thread(target=lambda: results.append(copied.run(whose)))
        thread.start()
        thread.join()
        explicit = threading.Thread(target=copied.run, args=(lambda: results.append(whose()),))
        explicit.start()
        explicit.join()
    assert results == [("ann", None)] * 2
    assert asyncio.run(asyncio.to_thread(whose)) == NOBODY


def test_no_thread_of_those_that_work_for_all_is_anybodys(traces: Captured) -> None:
    """Pools' own workers, anyio's, and what sends spans, all begun lazily within a request."""
    seen: dict[str, object] = {}

    class Exporter(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            seen["batch span processor"] = whose()
            return SpanExportResult.SUCCESS

    with llmtrace.context(user_id="ann"), llmtrace.span("request"):
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(Exporter(), schedule_delay_millis=1))
        with ThreadPoolExecutor(1) as executor, ThreadPool(1) as pool:
            done = threading.Event()
            future = executor.submit(done.wait, 10)
            future.add_done_callback(lambda _: seen.update(callback=whose()))
            done.set()
            future.result()
            pool.apply_async(int, callback=lambda _: seen.update(pool_callback=whose())).wait()
    with provider.get_tracer("t").start_as_current_span("s"):
        pass
    provider.force_flush()
    provider.shutdown()
    assert seen == {"batch span processor": NOBODY, "callback": NOBODY, "pool_callback": NOBODY}


def test_sync_endpoints_have_the_user_of_their_request(traces: Captured) -> None:
    """Starlette runs them on anyio's worker threads, which it starts within some request."""
    app = FastAPI()
    executor = ThreadPoolExecutor(2)

    @app.middleware("http")
    async def who(request: Any, call_next: Any) -> Any:
        with llmtrace.context(user_id=request.headers["x-user"]), llmtrace.span("request"):
            return await call_next(request)

    @app.get("/plain")
    def plain() -> list[str | None]:
        seen = [whose()[0], executor.submit(whose).result()[0]]
        thread = threading.Thread(target=lambda: seen.append(whose()[0]))
        thread.start()
        thread.join()
        return seen

    async def visit() -> list[tuple[str, list[str | None]]]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 3
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as browser:
            users = [f"u{number}" for number in range(40)]
            answers = await asyncio.gather(
                *(browser.get("/plain", headers={"x-user": user}) for user in users)
            )
            return [(user, answer.json()) for user, answer in zip(users, answers, strict=True)]

    for user, seen in asyncio.run(visit()):
        assert seen == [user] * 3
    executor.shutdown()


# ---------------------------------------------------------------------------------------- switches, hooks


def _on_all(work: Callable[[], Any]) -> list[Any]:
    """What it gives on a thread, in an executor and in a pool of threads."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as executor, ThreadPool(1) as pool:
        results += [executor.submit(work).result(), pool.apply(work)]
    return results


@pytest.mark.parametrize("way", ["argument", "environment"])
def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    settings: dict[str, Any] = {"propagate_threads": False} if way == "argument" else {}
    if way == "environment":
        monkeypatch.setenv("LLMTRACE_PROPAGATE_THREADS", "false")
    with capture(**settings), llmtrace.context(user_id="ann"), llmtrace.span("request"):
        assert _on_all(whose) == [NOBODY] * 3
    monkeypatch.delenv("LLMTRACE_PROPAGATE_THREADS", raising=False)
    with capture(), llmtrace.context(user_id="ann"):
        assert _on_all(whose) == [("ann", None)] * 3


def test_disabling_takes_the_hooks_off_and_starting_puts_them_back() -> None:
    llmtrace.disable()
    hooked = [(threading.Thread, "start"), (ThreadPoolExecutor, "submit"), (ProcessPoolExecutor, "submit")]
    plain = [owner.__dict__[name] for owner, name in hooked]
    assert not any(hasattr(function, "__wrapped__") for function in plain)
    assert "map" not in ThreadPool.__dict__
    for _ in range(2):
        with capture():
            for (owner, name), function in zip(hooked, plain, strict=True):
                assert owner.__dict__[name].__wrapped__ is function
                assert inspect.signature(owner.__dict__[name]) == inspect.signature(function)
                assert owner.__dict__[name].__doc__ == function.__doc__
            assert "map" in ThreadPool.__dict__
        llmtrace.disable()
        assert [owner.__dict__[name] for owner, name in hooked] == plain
        assert "map" not in ThreadPool.__dict__


def test_a_hook_of_somebody_else_on_top_stays_and_ours_goes_when_it_can() -> None:
    llmtrace.disable()
    plain = threading.Thread.start
    with capture():
        ours = threading.Thread.start

        @functools.wraps(ours)
        def theirs(self: threading.Thread) -> None:
            ours(self)

        threading.Thread.start = theirs  # type: ignore[method-assign]
    llmtrace.disable()
    assert threading.Thread.start is theirs
    with capture(), llmtrace.context(user_id="ann"):
        assert _on_all(whose)[0] == ("ann", None)
        threading.Thread.start = ours  # type: ignore[method-assign]
    llmtrace.disable()
    assert threading.Thread.start is plain


def test_errors_of_starting_and_running_are_the_programs(
    traces: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda hook: caught.append((hook.exc_value, whose())))

    def fail() -> None:
        raise LookupError("as ever")

    with llmtrace.context(user_id="ann"):
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        with pytest.raises(RuntimeError, match="only be started once"):
            thread.start()
        assert "run" not in thread.__dict__
        with pytest.raises(RuntimeError, match="__init__"):
            Uninitialised().start()
    ((error, who),) = caught
    assert str(error) == "as ever"
    assert who == ("ann", None), "a log of the error belongs to it as well"


class Uninitialised(threading.Thread):
    """A mistake of a program's."""

    def __init__(self) -> None:
        """Forgets its base."""


class Pool(ThreadPoolExecutor):
    """A subclass sees the tasks as they were handed over."""

    def __init__(self) -> None:
        super().__init__(1)
        self.tasks: list[object] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.tasks.append(fn)
        return super().submit(fn, *args, **kwargs)


def test_subclasses_see_their_own_tasks(traces: Captured) -> None:
    with Pool() as pool, llmtrace.context(user_id="ann"):
        assert pool.submit(whose).result() == ("ann", None)
        assert pool.submit(fn_keyword, 1, fn=2).result() == (1, 2)
        assert pool.tasks == [whose, fn_keyword]


def fn_keyword(number: int, *, fn: int) -> tuple[int, int]:
    return number, fn


def test_modules_that_the_program_did_not_import_are_not_imported() -> None:
    code = """
import sys, threading, llmtrace
llmtrace.init()
assert not {"concurrent.futures.process", "multiprocessing.pool"} & set(sys.modules)
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.pool import ThreadPool
assert hasattr(ProcessPoolExecutor.submit, "__wrapped__") and "map" in ThreadPool.__dict__
"""
    environ = {**os.environ, "LLMTRACE_SPOOL_DIR": "off"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environ)


# ------------------------------------------------------------------------------------- process pools


@pytest.mark.parametrize("kind", ["executor", "pool"])
def test_workers_of_process_pools_are_nobodys(traces: Captured, kind: str) -> None:
    """They are forked within somebody's request; a task that takes its context along has that one."""
    forking = get_context("fork")
    with llmtrace.context(user_id="ann"), llmtrace.span("request") as span:
        wanted = ("ann", span.trace_id)
        if kind == "executor":
            with ProcessPoolExecutor(1, mp_context=forking) as executor:
                seen = [executor.submit(whose).result(), executor.submit(llmtrace.propagate(whose)).result()]
                with llmtrace.context(user_id="bob"):
                    seen.append(executor.submit(whose).result())
        else:
            with forking.Pool(1) as pool:
                seen = [pool.apply(whose), pool.apply(llmtrace.propagate(whose))]
                with llmtrace.context(user_id="bob"):
                    seen.append(pool.apply(whose))
    assert seen == [NOBODY, wanted, NOBODY]


def test_a_forked_process_goes_on_where_it_was_forked(traces: Captured) -> None:
    forking = get_context("fork")
    receiver, sender = forking.Pipe(duplex=False)
    with llmtrace.context(user_id="ann"), llmtrace.span("request") as span:
        process = forking.Process(target=lambda: sender.send(whose()))
        process.start()
        assert receiver.poll(20)
        assert receiver.recv() == ("ann", span.trace_id)
        process.join()


def test_hooks_take_no_part_in_pickling(traces: Captured) -> None:
    with llmtrace.context(user_id="ann"):
        for function in (ThreadPoolExecutor.submit, threading.Thread.start, ThreadPool.map):
            assert pickle.loads(pickle.dumps(function)) is function

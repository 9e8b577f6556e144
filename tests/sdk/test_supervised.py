"""Supervised threads: what goes wrong is logged with its cause, counted and ridden out; nothing is lost."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

import pytest

from llmtrace.common.supervised import SupervisedThread


def until(check: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Worker:
    """Takes numbers from a queue, keeps the one in hand, and fails as often as it is told to."""

    def __init__(self, *failures: BaseException, pauses: tuple[float, float] = (0.01, 0.02)) -> None:
        self.queue: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.failures = list(failures)
        self.done: list[int] = []
        self.held: int | None = None
        self.blocked = threading.Event()
        self.blocked.set()
        self.thread = SupervisedThread(
            "worker", self.step, pauses=pauses, failing_seconds=0.05, stuck_seconds=0.3
        )
        self.thread.start()

    def step(self) -> float | None:
        if self.held is None:
            self.held = self.queue.get()
        if self.held is None:
            return None
        self.thread.begin()
        self.blocked.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.done.append(self.held)
        self.held = None
        return 0.0

    def end(self) -> None:
        self.blocked.set()
        self.queue.put(None)
        assert self.thread.join(10)


def test_what_fails_is_logged_with_its_cause_and_done_once(caplog: pytest.LogCaptureFixture) -> None:
    counted: list[int] = []
    with caplog.at_level(logging.INFO):
        # Even what would end a thread without a word: nobody would start it again.
        worker = Worker(KeyError("x"), OSError(28, "No space left"), SystemExit(3))
        worker.thread.on_failure = lambda: counted.append(1)
        for number in range(5):
            worker.queue.put(number)
        until(lambda: len(worker.done) == 5)
        worker.end()
    assert worker.done == [0, 1, 2, 3, 4]
    assert worker.thread.restarts == 3 == len(counted)
    assert worker.thread.reason() is None
    first, last = caplog.records
    assert "worker failed and will be tried again" in first.getMessage()
    assert "KeyError" in first.getMessage()
    assert first.exc_info is not None
    assert "works again after 3 failures" in last.getMessage()


def test_an_expected_failure_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(OSError(122, "Disk quota exceeded"))
    worker.queue.put(1)
    until(lambda: worker.done == [1])
    worker.end()
    (record, *_) = caplog.records
    assert record.exc_info is None
    assert record.getMessage().endswith("Disk quota exceeded")


def test_what_is_behind_says_so() -> None:
    worker = Worker(*[ValueError("not now")] * 1000)
    assert worker.thread.lag == 0
    time.sleep(0.1)
    assert worker.thread.reason() is None, "an idle thread is well, however long"
    worker.queue.put(1)
    until(lambda: worker.thread.reason() is not None)
    reason = worker.thread.reason()
    assert reason is not None
    assert reason.code == "task-failing"
    assert "not now" in reason.text
    worker.failures.clear()
    until(lambda: worker.done == [1])
    until(lambda: worker.thread.reason() is None)
    assert worker.thread.lag == 0
    assert time.time() - worker.thread.last_success < 5
    worker.blocked.clear()
    worker.queue.put(2)
    until(lambda: worker.thread.reason() is not None)
    reason = worker.thread.reason()
    assert reason is not None
    assert reason.code == "task-stuck"
    assert worker.thread.lag >= 0.3
    worker.end()
    assert worker.done == [1, 2]


def test_pauses_grow_to_the_longest() -> None:
    worker = Worker(*[ValueError("not now")] * 6, pauses=(0.02, 0.08))
    begun = time.monotonic()
    worker.queue.put(1)
    until(lambda: worker.done == [1])
    # 0.02 + 0.04 + 4 * 0.08
    assert 0.35 < time.monotonic() - begun < 3
    worker.end()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_unasked_is_dead() -> None:
    worker = Worker()
    thread = worker.thread

    def fail(error: BaseException) -> float:
        raise error

    # Only what is wrong with the supervision itself ends a thread.
    thread._fail = fail  # type: ignore[method-assign]
    worker.failures.append(SystemExit(1))
    worker.queue.put(1)
    until(lambda: thread.is_dead)
    reason = thread.reason()
    assert reason is not None
    assert reason.code == "task-dead"

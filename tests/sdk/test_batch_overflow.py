"""Results that come faster than they are delivered: none is lost, nothing of them can be read on disk."""

from __future__ import annotations

import dataclasses
import errno
import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmtrace
from llmtrace.capture import batch_call, interceptor
from llmtrace.capture.batch_memory import memory_of
from llmtrace.capture.overflow_file import OverflowFile, Stored
from llmtrace.capture.shortened_results import LEFT_OUT, shortened
from llmtrace.delivery import DeliverySettings
from llmtrace.testing import Answer, Captured, ReplayServer
from tests.endpoints import batch_samples as samples

FILE = "/v1/files/file-out/content"
TEXT = "nobody reads this " * 40


def _settings(folder: Path | str, limit: int = 2**28) -> DeliverySettings:
    return DeliverySettings.for_collector("http://127.0.0.1:1", spool_dir=str(folder), spool_bytes=limit)


def _body(count: int) -> bytes:
    def line(number: int) -> Any:
        body = samples.chat_body(number)
        body["choices"][0]["message"]["content"] = TEXT
        return samples.openai_line(number, body)

    return samples.lines(map(line, range(count))).body


def _download(body: bytes, most: int | None = None) -> None:
    """Streamed; as far as `most` pieces."""
    pieces = [body[start : start + 10_000] for start in range(0, len(body), 10_000)]
    with (
        ReplayServer(Answer(headers=samples.JsonLines, chunks=pieces)) as server,
        httpx.stream("GET", server.url + FILE) as response,
    ):
        for number, _ in enumerate(response.iter_bytes(), 1):
            if number == most:
                return


class _Crowded:
    """A queue with little room, and a delivery thread that takes no part before `gate` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, overflow: OverflowFile, most: int) -> None:
        runtime = interceptor.current_runtime()
        assert runtime is not None
        self.worker = runtime.delivery_worker
        self.queue = self.worker._queue
        self.gate = threading.Event()
        self.most_bytes = self.stored = self.most_stored = 0
        self.queue._settings = dataclasses.replace(self.queue._settings, max_queue_bytes=most)
        memory_of(self.worker).overflow = overflow
        overflow.open()
        overflow_put, submit_call, begin = overflow.put, self.worker.submit_call, overflow.open
        monkeypatch.setattr("llmtrace.capture.received_results.PART_BYTES", 2**16)

        def put(data: bytes) -> Stored | None:
            stored = overflow_put(data)
            self.stored += stored is not None
            return stored

        def submit(call: Any, **more: Any) -> bool:
            queued = submit_call(call, **more)
            self.most_bytes = max(self.most_bytes, self.queue.bytes)
            return queued

        def begin_late() -> None:
            self.gate.wait(20)
            begin()

        monkeypatch.setattr(overflow, "put", put)
        monkeypatch.setattr(overflow, "open", begin_late)
        monkeypatch.setattr(self.worker, "submit_call", submit)


def _counts(traces: Captured) -> tuple[int, ...]:
    keys = [f"llmtrace.batch.results.{word}" for word in ("received", "recorded", "repeated", "uncounted")]
    (span,) = [span["attributes"] for span in traces.snapshot() if keys[0] in span["attributes"]]
    return tuple(span[key] for key in keys)


def _results(traces: Captured) -> list[dict[str, Any]]:
    spans = [span["attributes"] for span in traces.snapshot()]
    return [span for span in spans if "llmtrace.batch.custom_id" in span]


def test_what_the_queue_has_no_room_for_waits_on_disk(
    traces: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whole, in order, each once, with its messages, and in little memory."""
    crowded = _Crowded(monkeypatch, OverflowFile(_settings(tmp_path)), 2**20)
    body = _body(20_000)
    _download(body)
    assert crowded.stored * 2**16 > len(body) / 2
    assert [*tmp_path.iterdir()] == []
    crowded.gate.set()
    assert _counts(traces) == (20_000, 20_000, 0, 0)
    results = _results(traces)
    assert [result["llmtrace.batch.custom_id"] for result in results] == [
        f"q-{number}" for number in range(20_000)
    ]
    assert all(TEXT in result["gen_ai.output.messages"] for result in results)
    assert crowded.most_bytes < 2**20
    assert crowded.worker.stats().dropped == 0


def _failing(*_: Any) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("disk", ["off", "full", "small"])
def test_without_room_on_disk_what_is_billed_is_recorded(
    traces: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, disk: str
) -> None:
    settings = _settings("" if disk == "off" else tmp_path, 2**17 if disk == "small" else 2**28)
    crowded = _Crowded(monkeypatch, OverflowFile(settings), 2**21)
    if disk == "full":
        monkeypatch.setattr("os.pwrite", _failing)
    _download(_body(3000))
    assert (0 < crowded.stored < 4) == (disk == "small")
    crowded.gate.set()
    assert _counts(traces) == (3000, 3000, 0, 0)
    results = _results(traces)
    assert {result["gen_ai.usage.input_tokens"] for result in results} == {12}
    assert {result["gen_ai.response.finish_reasons"][0] for result in results} == {"stop"}
    shortened_results = [result for result in results if LEFT_OUT in result["gen_ai.output.messages"]]
    assert 0 < len(shortened_results) < 3000
    assert all(TEXT in result["gen_ai.output.messages"] for result in results[:500])
    assert crowded.worker.stats().dropped == 0


def test_what_there_is_no_room_for_at_all_is_counted(
    traces: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowded = _Crowded(monkeypatch, OverflowFile(None), 2**17)
    _download(_body(2000))
    crowded.gate.set()
    received, recorded, repeated, uncounted = _counts(traces)
    assert (received, repeated) == (2000, 0)
    assert recorded == 2000 - uncounted == len(_results(traces)) > 0
    assert crowded.worker.stats().dropped == pytest.approx(uncounted, abs=40)  # lines that were cut


def test_a_part_that_cannot_be_read_back_is_counted(
    traces: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    crowded = _Crowded(monkeypatch, OverflowFile(_settings(tmp_path)), 2**20)
    _download(_body(2000))
    pread, reads = os.pread, iter(range(10**6))
    monkeypatch.setattr("os.pread", lambda *place: b"" if next(reads) == 2 else pread(*place))
    crowded.gate.set()
    received, recorded, _, uncounted = _counts(traces)
    assert received == 2000
    assert 0 < uncounted < 100
    assert recorded == 2000 - uncounted == len(_results(traces))


def test_an_abandoned_download_records_what_waits_on_disk(
    traces: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    crowded = _Crowded(monkeypatch, OverflowFile(_settings(tmp_path)), 2**18)
    _download(_body(3000), most=200)
    assert crowded.stored
    crowded.gate.set()
    received, recorded, repeated, uncounted = _counts(traces)
    assert received == recorded == len(_results(traces)) >= 1500
    assert (repeated, uncounted) == (0, 0)


def test_parts_that_two_threads_take_are_read_in_order(
    traces: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the end of a process, where another thread goes on with what waits."""
    runtime = interceptor.current_runtime()
    assert runtime is not None
    parts: deque[Any] = deque()
    spans: list[Any] = []
    monkeypatch.setattr("llmtrace.capture.received_results.PART_BYTES", 2**13)

    def submit(part: Any, **_: Any) -> bool:
        parts.append(part)
        return True

    with monkeypatch.context() as patch:
        patch.setattr(runtime.delivery_worker, "submit_call", submit)
        _download(_body(400))
    parts = deque(part for part in parts if isinstance(part, batch_call._Part | batch_call.BatchCall))

    def take() -> Iterator[Any]:
        while parts:
            yield from parts.popleft().complete()

    threads = [threading.Thread(target=lambda: spans.extend(take())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [(span.attributes or {}).get("llmtrace.batch.custom_id") for span in spans]
    assert len([name for name in ids if name]) == len({*ids} - {None}) == 400


def test_a_process_that_ends_loses_no_result(tmp_path: Path) -> None:
    """Where the deadline is over while the delivery thread still reads, another goes on in its place."""
    llmtrace.init(endpoint="http://127.0.0.1:9", spool_dir=tmp_path)
    try:
        runtime = interceptor.current_runtime()
        assert runtime is not None
        body = _body(6000)
        with ReplayServer(Answer(body, headers=samples.JsonLines)) as server:
            httpx.get(server.url + FILE)
        runtime.delivery_worker.shutdown(0.1)
        stats = runtime.delivery_worker.stats()
    finally:
        llmtrace.shutdown(timeout=0)
    assert stats.generated - 6000 in (1, 2)  # and its download's, and the record of counters
    assert (stats.spooled, stats.dropped, stats.pending) == (stats.generated, 0, 0)


def test_what_waits_without_a_spool_is_counted_result_by_result(
    traces: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    crowded = _Crowded(monkeypatch, OverflowFile(_settings(tmp_path)), 2**20)
    _download(_body(2000))
    crowded.worker.shutdown(0.1)
    dropped = crowded.worker.stats().dropped
    crowded.gate.set()
    assert crowded.stored
    assert 1900 < dropped < 2003  # the delivery thread has the first part


def test_nothing_can_be_read_in_the_file(tmp_path: Path) -> None:
    overflow = OverflowFile(_settings(tmp_path / "spool"))
    overflow.open()
    assert overflow.put(TEXT.encode()) is not None
    assert [*(tmp_path / "spool").iterdir()] == []
    descriptor = overflow._descriptor
    assert descriptor is not None
    status = os.fstat(descriptor)
    assert (status.st_mode & 0o777, status.st_nlink) == (0o600, 0)
    assert b"nobody" not in os.pread(descriptor, status.st_size, 0)
    del overflow
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_leaves_the_file_of_its_parent_alone(traces: Captured, tmp_path: Path) -> None:
    runtime = interceptor.current_runtime()
    assert runtime is not None
    memory = memory_of(runtime.delivery_worker)
    memory.overflow = overflow = OverflowFile(_settings(tmp_path))
    overflow.open()
    place = overflow.put(b"of the parent")
    assert place is not None
    child = os.fork()
    if not child:
        own = memory_of(runtime.delivery_worker)
        is_apart = overflow.put(b"x") is None and own is not memory and own.overflow is not overflow
        overflow.release(place)
        os._exit(0 if is_apart else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert overflow.take(place) == b"of the parent"
    assert memory_of(runtime.delivery_worker) is memory


@given(st.lists(st.tuples(st.sampled_from(["put", "take", "release"]), st.integers(0, 3000)), max_size=60))
def test_parts_come_back_as_they_were(steps: list[tuple[str, int]]) -> None:
    """In any order, in a file that never grows over its bound; from an empty one it begins anew."""
    overflow = OverflowFile(_settings("/tmp", 8192))  # without a name
    overflow.open()
    descriptor = overflow._descriptor
    assert descriptor is not None
    held: list[tuple[Stored, bytes]] = []
    for step, number in steps:
        if step == "put":
            data = bytes([number % 251]) * number
            if (place := overflow.put(data)) is not None:
                held.append((place, data))
        elif held:
            place, data = held.pop(number % len(held))
            if step == "take":
                assert overflow.take(place) == data
            else:
                overflow.release(place)
        size = os.fstat(descriptor).st_size
        assert size <= 8192
        assert held or not size
    if not held:
        assert overflow.put(bytes(8000)) is not None


@given(st.binary(max_size=300), st.integers(0, 40))
def test_shortening_leaves_lines_their_places(data: bytes, count: int) -> None:
    body = _body(3)
    for part in (data, body[count * 7 :] + data, data + b"\n" + body[: count * 50]):
        short = shortened([part])
        assert short.count(b"\n") == part.count(b"\n")
        assert short.rpartition(b"\n")[2] == part.rpartition(b"\n")[2]
        assert short.partition(b"\n")[0] == part.partition(b"\n")[0]
    assert len(shortened([b"\n" + body])) < len(body) * 0.6

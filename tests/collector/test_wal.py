"""The write-ahead log: what it acknowledges survives, what it cannot keep it says."""

from __future__ import annotations

import errno
import itertools
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as sample
from hypothesis import strategies as st

from llmtrace_collector.ingest.count_journal import CountJournal
from llmtrace_collector.ingest.request_dedup import RequestDedup
from llmtrace_collector.ingest.segment import Segment
from llmtrace_collector.ingest.wal import WalFull, WriteAheadLog
from llmtrace_collector.ingest.wal_frame import Frame, decode, encode, varint
from tests.examples import examples
from tests.synced_files import SyncedFiles

FRAMES = st.builds(Frame, st.text(max_size=20), st.integers(0, 2**64 - 1), st.binary(max_size=300))
DAY = frozenset({20_000})


class Harness:
    """A log and the segments that it handed over."""

    def __init__(self, folder: Path, behind: Callable[[], bool] = lambda: False, **fields: float) -> None:
        self.closed: list[Segment] = []
        options = {"segment_bytes": 1 << 20, "segment_seconds": 60.0, "budget_bytes": 1 << 30, **fields}
        self.wal = WriteAheadLog(
            folder,
            segment_bytes=int(options["segment_bytes"]),
            segment_seconds=options["segment_seconds"],
            budget_bytes=int(options["budget_bytes"]),
            on_closed=self.closed.append,
            behind=behind,
        )

    def start(self) -> Harness:
        self.wal.start()
        return self

    def add(self, body: bytes, days: frozenset[int] = DAY, signal: str = "traces") -> Future[bool]:
        return self.wal.append(signal, Frame("", 1, body), days)

    def end(self) -> list[Segment]:
        self.wal.close()
        self.wal.release()
        return self.closed


def bodies(segment: Segment) -> list[bytes]:
    """The bodies of the frames in a segment's file; what is damaged in it is counted."""
    assert segment.path.stat().st_size == segment.size
    if not segment.damage:
        assert list(decode(segment.path.read_bytes()))[-1][1] == segment.size
    return [item.body for item in segment.read() if isinstance(item, Frame)]


@given(st.lists(FRAMES, max_size=6))
def test_frames_round_trip(frames: list[Frame]) -> None:
    data = b"".join(b"".join(encode(frame)) for frame in frames)
    assert [frame for frame, _ in decode(data)] == frames


@sample(max_examples=examples(40))
@given(st.lists(FRAMES, min_size=1, max_size=3), st.data())
def test_a_torn_or_damaged_tail_ends_the_frames_before_it(frames: list[Frame], data: st.DataObject) -> None:
    encoded = [b"".join(encode(frame)) for frame in frames]
    whole = b"".join(encoded)
    ends = list(itertools.accumulate(map(len, encoded)))
    for cut in range(len(whole) + 1):
        decoded = list(decode(whole[:cut]))
        assert len(decoded) == sum(end <= cut for end in ends)
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[at] ^= data.draw(st.integers(1, 255))
    intact = sum(end <= at for end in ends)
    assert [frame for frame, _ in decode(bytes(damaged))][:intact] == frames[:intact]
    # Only the length in front of a frame is outside its checksum.
    assert len(list(decode(bytes(damaged)))) <= len(frames)


def test_lengths_are_varints() -> None:
    assert [varint(n) for n in (0, 1, 127, 128, 300)] == [b"\0", b"\1", b"\x7f", b"\x80\1", b"\xac\2"]


def test_every_torn_tail_is_set_aside_at_recovery(tmp_path: Path) -> None:
    first, second = (b"".join(encode(Frame("", 1, bytes([n]) * 30))) for n in (1, 2))
    name = "traces-00000000000000000001-aa.seg"
    for cut in range(len(second)):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / name).write_bytes(first + second[:cut])
        (segment,) = Harness(folder).start().end()
        assert segment.token == name.removesuffix(".seg")
        assert bodies(segment) == [b"\1" * 30]
        tails = list((folder / "quarantine").glob("*.bytes")) if cut else []
        assert [tail.read_bytes() for tail in tails] == ([second[:cut]] if cut else [])
        assert [(hole.at, hole.size, hole.requests) for hole in segment.damage] == (
            [(len(first), cut, 0)] if cut else []
        )


def test_what_is_damaged_is_on_disk_elsewhere_before_its_segment_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = SyncedFiles(monkeypatch)
    path = tmp_path / "traces-00000000000000000001-aa.seg"
    path.write_bytes(b"".join(encode(Frame("", 1, b"whole"))) + b"torn")
    seen = []

    def check(_: Segment) -> None:
        for file in (tmp_path / "quarantine").iterdir():
            assert file in synced
            assert file.stat().st_mode & 0o777 == 0o600
            seen.append(file.name)

    log = WriteAheadLog(
        tmp_path, segment_bytes=1 << 20, segment_seconds=60.0, budget_bytes=1 << 30, on_closed=check
    )
    log.start()
    log.close()
    log.release()
    name = f"{path.stem}.at-{path.stat().st_size - 4}"
    assert sorted(seen) == [f"{name}.bytes", f"{name}.damage"]


def test_why_a_segment_was_refused_is_on_disk_before_it_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, moved, rename = SyncedFiles(monkeypatch), [], Path.rename
    segment = Segment("traces", tmp_path, "traces-1-aa", tmp_path / "quarantine")
    segment.path.write_bytes(b"".join(encode(Frame("", 1, b"bad"))))

    def check(path: Path, target: Path) -> Path:
        assert target.with_suffix(".reason") in synced
        moved.append(target)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", check)
    assert [segment.quarantine("no such column")] == moved
    assert moved[0].with_suffix(".reason").read_text() == "no such column"


def test_recovered_requests_are_recognised(tmp_path: Path) -> None:
    first = Harness(tmp_path).start()
    assert first.add(b"a").result(5) is True
    assert first.add(b"a").result(5) is False
    assert first.add(b"a", signal="logs").result(5) is True
    first.end()
    second = Harness(tmp_path).start()
    assert [segment.signal for segment in second.closed] == ["traces", "logs"]
    assert second.add(b"a").result(5) is False
    for segment in second.closed:
        second.wal.done(segment)
    assert second.wal.size == 0
    assert second.add(b"a").result(5) is False
    assert second.end() == second.closed[:2]
    third = Harness(tmp_path).start()
    assert third.add(b"a").result(5) is False
    assert third.end() == []
    assert os.listdir(tmp_path) == ["seen.sqlite"]


@pytest.mark.parametrize("damage", [b"no database at all" * 100, b""])
def test_damaged_digests_are_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    first = Harness(tmp_path).start()
    assert first.add(b"stored").result(5)
    assert first.add(b"unstored", signal="logs").result(5)
    stored, _ = first.end()
    seen = RequestDedup(tmp_path / "seen.sqlite")
    seen.add(stored.digests)
    seen.close()
    stored.path.unlink()
    (tmp_path / "seen.sqlite").write_bytes(damage)
    second = Harness(tmp_path).start()
    # What is still in the log is known by that; what was stored before is not known any more.
    assert second.add(b"unstored", signal="logs").result(5) is False
    assert second.add(b"stored").result(5) is True
    second.end()
    if damage:
        assert f"{tmp_path / 'seen.sqlite'} is damaged" in caplog.text
        assert [path.read_bytes() for path in tmp_path.glob("seen.sqlite.damaged-*")] == [damage]


def test_digests_that_are_damaged_while_they_are_used_are_set_aside(tmp_path: Path) -> None:
    seen = RequestDedup(tmp_path / "seen.sqlite")
    seen.add([os.urandom(32) for _ in range(5000)])
    seen.close()
    file = tmp_path / "seen.sqlite"
    file.write_bytes(file.read_bytes()[:4096] + os.urandom(file.stat().st_size - 4096))
    seen = RequestDedup(file)
    key = b"k" * 32
    assert key not in seen
    seen.add([key])
    assert key in seen
    seen.close()
    assert len(list(tmp_path.glob("seen.sqlite.damaged-*"))) == 1


def test_a_file_of_sqlite_may_be_damaged_anywhere(tmp_path: Path) -> None:
    RequestDedup(tmp_path / "seen.sqlite").close()
    CountJournal(tmp_path / "wal").close()
    whole = {name: (tmp_path / name).read_bytes() for name in ("seen.sqlite", "counts.sqlite")}
    # The header, byte by byte, and the schema behind it: some of that speaks of versions and statements.
    places = [*range(100), *range(4096 - 300, 4096, 7)]
    for at in places:
        for name, data in whole.items():
            (tmp_path / name).write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        seen = RequestDedup(tmp_path / "seen.sqlite")
        seen.add([b"k" * 32])
        assert b"k" * 32 in seen or b"k" * 32 not in seen
        seen.close()
        CountJournal(tmp_path / "wal").close()


def test_what_is_not_the_collectors_is_named_and_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "traces-00000000000000000002-bb.seg"
    foreign = [tmp_path / "notes.seg", tmp_path / "copy of traces-1-a.seg", tmp_path / "quarantine" / "x.seg"]
    folder.mkdir()
    (tmp_path / "quarantine").mkdir()
    for path in foreign:
        path.write_text("mine")
    (tmp_path / "split").mkdir()
    harness = Harness(tmp_path).start()
    assert harness.wal.segments() == []
    assert harness.wal.quarantine.names() == []
    assert harness.add(b"x").result(5)
    harness.end()
    (message,) = [text for text in caplog.messages if "the collector did not make" in text]
    for path in [folder, *foreign]:
        assert str(path) in message
        assert path.exists()


def test_a_log_that_cannot_be_read_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "traces-00000000000000000001-aa.seg"
    path.write_bytes(b"x")

    def refuse(denied: Path) -> bytes:  # root may read everything
        raise PermissionError(errno.EACCES, "Permission denied", str(denied))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ValueError, match=r"-aa\.seg of the log cannot be used \(Permission denied\)"):
        Harness(tmp_path).start()


def test_digests_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    (tmp_path / "seen.sqlite").mkdir()
    with pytest.raises(ValueError, match=r"seen\.sqlite cannot be opened .*: let this process's user"):
        Harness(tmp_path)


def test_segments_split_by_size_and_by_days(tmp_path: Path) -> None:
    harness = Harness(tmp_path, segment_bytes=1000).start()
    for n in range(7):
        harness.add(bytes([n]) * 300).result(5)
    sizes = [len(bodies(segment)) for segment in harness.end()]
    assert sizes == [3, 3, 1]
    by_day = Harness(tmp_path / "days").start()
    done = [by_day.add(bytes([n]), frozenset(range(n * 10, n * 10 + 10))) for n in range(12)]
    assert all(future.result(5) for future in done)
    segments = by_day.end()
    assert [len(segment.days) for segment in segments] == [50, 50, 20]
    assert [b for segment in segments for b in bodies(segment)] == [bytes([n]) for n in range(12)]


def test_a_segment_closes_by_age(tmp_path: Path) -> None:
    harness = Harness(tmp_path, segment_seconds=0.05).start()
    harness.add(b"x").result(5)
    deadline = time.monotonic() + 5
    while not harness.closed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(harness.closed) == 1
    harness.end()


def test_a_segment_stays_open_while_those_before_it_are_stored(tmp_path: Path) -> None:
    busy = True
    harness = Harness(tmp_path, segment_seconds=0.01, behind=lambda: busy).start()
    closed_early = 0
    for body in (b"x", b"y", b"z"):
        harness.add(body).result(5)
        closed_early += len(harness.closed)
    assert closed_early == 0
    busy = False
    deadline = time.monotonic() + 20
    while not harness.closed and time.monotonic() < deadline:
        time.sleep(0.01)
    (segment,) = harness.end()
    assert bodies(segment) == [b"x", b"y", b"z"]


def test_the_budget_is_kept(tmp_path: Path) -> None:
    harness = Harness(tmp_path, budget_bytes=2000).start()
    harness.add(b"a" * 1500).result(5)
    with pytest.raises(WalFull, match="budget"):
        harness.add(b"b" * 1000).result(5)
    assert harness.add(b"c" * 100).result(5)
    (segment,) = harness.end()
    assert len(bodies(segment)) == 2


@pytest.mark.parametrize("failing", ["fdatasync", "writev", "short"])
def test_a_failed_write_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    harness = Harness(tmp_path).start()
    assert harness.add(b"before").result(5)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    writev = os.writev

    def short(descriptor: int, buffers: list[bytes]) -> int:
        return writev(descriptor, [b"".join(buffers)[:5]])

    replaced: dict[str, Callable[..., int]] = {"writev": short} if failing == "short" else {failing: full}
    for name, function in replaced.items():
        monkeypatch.setattr(os, name, function)
    if failing == "short":
        monkeypatch.setattr(os, "write", full)
    with pytest.raises(WalFull, match="No space left"):
        harness.add(b"lost" * 100).result(5)
    monkeypatch.undo()
    assert harness.add(b"lost" * 100).result(5) is True
    segments = harness.end()
    assert [b for segment in segments for b in bodies(segment)] == [b"before", b"lost" * 100]
    assert harness.wal.size == sum(segment.size for segment in segments)


def test_a_segment_that_cannot_be_cut_waits_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = Harness(tmp_path).start()
    assert harness.add(b"before").result(5)

    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    fdatasync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", broken)
    monkeypatch.setattr(os, "ftruncate", broken)
    with pytest.raises(WalFull, match="Input/output"):
        harness.add(b"torn").result(5)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    assert harness.add(b"after").result(5)
    assert harness.wal.opened_since() is not None
    monkeypatch.undo()
    assert sorted(b for segment in harness.end() for b in bodies(segment)) == [b"after", b"before"]


def test_a_request_that_was_given_up_does_not_stop_the_log(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    given_up = harness.add(b"gone")
    assert given_up.cancel()
    harness.start()
    assert harness.add(b"kept").result(5)
    (segment,) = harness.end()
    assert bodies(segment) == [b"kept"]


def test_appends_share_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness(tmp_path).start()
    syncs = []
    real = os.fdatasync

    def counted(descriptor: int) -> None:
        syncs.append(descriptor)
        time.sleep(0.005)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", counted)

    def send(sender: int) -> None:
        for n in range(20):
            assert harness.add(f"{sender} {n}".encode()).result(10)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (segment,) = harness.end()
    assert len(bodies(segment)) == 320
    assert len(syncs) <= 80

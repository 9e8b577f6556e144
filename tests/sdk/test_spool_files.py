"""The spool's files themselves: one process's and a dead one's, the bound, damage, former versions."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import llmtrace
from llmtrace.common.sealed_files import EncryptionKeys, seal
from llmtrace.delivery import Batch, DeliveryCounters, DeliverySettings, Exporter, ExportResult, Sender, Spool
from llmtrace.delivery.spool_format import STATE_OFFSET, Frame, Hole, framed, frames
from llmtrace.delivery.spool_room import SpoolFullError
from tests.spooled import spool_files, spooled_items, spooled_payloads
from tests.synced_files import SyncedFiles

_KEYS = EncryptionKeys((bytes(range(32)),))


class _Recording:
    """A collector that acknowledges all, or is away, and notes what it took."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.is_away = False

    def send(self, batch: Batch, timeout: float) -> ExportResult:
        if self.is_away:
            return ExportResult("retry", detail="away", retry_after=0.01)
        self.received.append(batch.payload)
        return ExportResult("acknowledged")

    def close(self) -> None: ...


def _settings(folder: Path, **more: Any) -> DeliverySettings:
    return DeliverySettings.for_collector("http://127.0.0.1:9", spool_dir=str(folder), **more)


def _sender(folder: Path, collector: Any, **more: Any) -> tuple[Sender[Any], DeliveryCounters, Spool]:
    settings = _settings(folder, **more)
    spool, counters = Spool(settings), DeliveryCounters()
    return Sender(settings, lambda: collector, counters, spool), counters, spool


def _left(folder: Path, *payloads: bytes, items: int = 1, **more: Any) -> Path:
    """What a process leaves that has ended: its file."""
    spool = Spool(_settings(folder, **more))
    for payload in payloads:
        spooled = spool.put(Batch("traces", items, payload))
    spool.close()
    return spooled.path


def _batches(*payloads: bytes, items: int = 2) -> bytes:
    return b"".join(
        framed(Batch("traces", items, payload), payload, number * items)
        for number, payload in enumerate(payloads)
    )


def test_frames_are_good_or_bad_by_themselves() -> None:
    """Each byte flipped in turn: every other batch is still there, and the loss is known."""
    data = _batches(b"first", b"second", b"third")
    states = {piece.offset + STATE_OFFSET for piece in frames(data)}
    assert [piece.payload for piece in frames(data) if isinstance(piece, Frame)] == [
        *(b"first", b"second", b"third")
    ]
    for offset in range(len(data)):
        if offset in states:  # another value is not "settled"
            continue
        damaged = bytearray(data)
        damaged[offset] ^= 0x21
        pieces = list(frames(bytes(damaged)))
        good = [piece.payload for piece in pieces if isinstance(piece, Frame)]
        assert len(good) == 2, (offset, pieces)
        holes = [piece for piece in pieces if isinstance(piece, Hole)]
        known = sum(hole.items for hole in holes)
        # A bad head of the last frame says nothing of it, and nothing follows that would.
        assert known == 2 or (known == 0 and b"third" not in good), (offset, pieces)


@pytest.mark.parametrize("cut", [1, 20, 26, 31])
def test_a_frame_that_was_cut_off_costs_itself(cut: int) -> None:
    data = _batches(b"first", b"second")
    pieces = list(frames(data[: len(_batches(b"first")) + cut]))
    assert isinstance(pieces[0], Frame)
    assert isinstance(pieces[1], Hole)
    assert pieces[1].items == (2 if cut >= 26 else 0)


def test_what_is_in_flight_at_the_end_is_kept_once(tmp_path: Path) -> None:
    """The thread that ends the process keeps it, and the attempt fails only then."""

    class Hanging:
        def send(self, batch: Batch, timeout: float) -> ExportResult:
            sender.rescue([])
            return ExportResult("retry", detail="timed out")

    sender, counters, _ = _sender(tmp_path, cast("Exporter", Hanging()))
    sender.set_deadline(time.monotonic() + 60)
    sender.deliver(Batch("traces", 1, b"one span"))
    assert spooled_payloads(tmp_path) == [b"one span"]
    assert counters.spooled == 1


def test_a_time_out_is_enough_for_the_disk(tmp_path: Path) -> None:
    class Hanging:
        attempts = 0

        def send(self, batch: Batch, timeout: float) -> ExportResult:
            self.attempts += 1
            return ExportResult("retry", detail="ReadTimeout", timed_out=True)

    collector = Hanging()
    sender, counters, _ = _sender(tmp_path, collector)
    began = time.monotonic()
    for number in range(3):
        assert sender.deliver(Batch("traces", 1, b"%d" % number)) is None
    assert time.monotonic() - began < 0.4
    assert collector.attempts == 1
    assert counters.spooled == 3


def test_a_batch_may_be_kept_before_it_is_sent(tmp_path: Path) -> None:
    """And what an earlier process left goes in the same round in which the collector is back."""
    collector = _Recording()
    collector.is_away = True
    _left(tmp_path, b"earlier")
    sender, _, _ = _sender(tmp_path, collector)
    sender.keep(Batch("logs", 1, b"own"))
    assert sorted(spooled_payloads(tmp_path)) == [b"earlier", b"own"]
    assert not sender.replay()
    collector.is_away = False
    time.sleep(0.02)
    assert sender.replay()
    assert collector.received == [b"own", b"earlier"]
    assert not sender.has_leftovers
    with pytest.raises(OSError, match="no folder"):
        Sender(_settings(tmp_path), lambda: collector, DeliveryCounters(), None).keep(Batch("logs", 1, b""))


def test_what_is_settled_is_not_sent_again(tmp_path: Path) -> None:
    """A kill between two batches of a file: the next process goes on behind the first."""
    collector = _Recording()
    path = _left(tmp_path, b"first", b"second")
    spool = Spool(_settings(tmp_path))
    first, _ = spool.read(path)
    spool.settle(_spooled(path, first))
    sender, counters, _ = _sender(tmp_path, collector)
    assert sender.replay()
    assert collector.received == [b"second"]
    assert counters.read() == llmtrace.Stats(replayed=1)
    assert not list(tmp_path.rglob("*.process")) + spool_files(tmp_path)


def _spooled(path: Path, piece: Frame | Hole) -> Any:
    from llmtrace.delivery.spool import Spooled

    return Spooled(path, piece.offset, piece.items)


def test_in_order_and_a_file_for_many_batches(tmp_path: Path) -> None:
    collector = _Recording()
    sender, counters, spool = _sender(tmp_path, collector)
    payloads = [b"%03d" % number for number in range(120)]
    counters.generated = 120
    for payload in payloads:
        sender.keep(Batch("traces", 1, payload))
    assert len(spool_files(tmp_path)) == 1
    assert sender.replay()
    assert collector.received == payloads
    assert counters.read() == llmtrace.Stats(generated=120, sent=120)
    assert not spool_files(tmp_path)
    spool.close()
    assert not list(tmp_path.rglob("*.process"))


def test_a_minute_or_so_many_bytes_have_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(_settings(tmp_path, spool_bytes=8000))
    for _ in range(4):
        spool.put(Batch("traces", 1, b"x" * 600))
    assert len(spool_files(tmp_path)) == 4, "an eighth of the bound"
    spool.put(Batch("traces", 1, b"x"))
    monkeypatch.setattr("llmtrace.delivery.spool.time.monotonic", lambda: time.perf_counter() + 1e9)
    spool.put(Batch("traces", 1, b"x"))
    assert len(spool_files(tmp_path)) == 5
    spool.close()


def test_at_the_bound_the_oldest_give_way(tmp_path: Path) -> None:
    collector = _Recording()
    sender, counters, _ = _sender(tmp_path, collector, spool_bytes=1000)
    left = _left(tmp_path, b"x" * 200, items=4)
    counters.generated = 12
    for number in range(6):
        sender.keep(Batch("traces", 2, b"%d" % number * 200))
    assert not left.exists()
    stats = counters.read()
    assert spooled_items(tmp_path) == stats.spooled
    assert sum(file.stat().st_size for file in spool_files(tmp_path)) <= 1000
    # What another process had left was not generated here; it is lost here.
    assert stats.generated == 12 + 4 == stats.spooled + stats.dropped
    assert sender.replay()
    assert collector.received[-1] == b"5" * 200, "the newest stay"
    assert counters.read().pending == 0


def test_where_nothing_may_give_way_it_is_full(tmp_path: Path) -> None:
    spool = Spool(_settings(tmp_path, spool_bytes=300), drops_oldest=False)
    first = spool.put(Batch("traces", 1, b"x" * 200))
    with pytest.raises(SpoolFullError, match="of 300 bytes"):
        spool.put(Batch("traces", 1, b"y" * 200))
    spool.settle(first)
    spool.put(Batch("traces", 1, b"y" * 200))
    with pytest.raises(SpoolFullError):
        Spool(_settings(tmp_path, spool_bytes=300)).put(Batch("traces", 1, b"z" * 301))
    spool.close()


def test_a_put_reads_and_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(_settings(tmp_path))
    for number in range(20):
        (spool.folder / "x").parent.mkdir(parents=True, exist_ok=True)
        (spool.folder / f"{number:020d}-1-aa.segment").write_bytes(b"x")
    spool.put(Batch("traces", 1, b"x"))
    calls: list[object] = []
    for name in ("scandir", "stat", "listdir", "open"):
        monkeypatch.setattr(os, name, lambda *arguments, **_: calls.append(arguments))
    for _ in range(50):
        spool.put(Batch("traces", 1, b"x"))
    monkeypatch.undo()
    assert calls == []
    spool.close()


def test_what_disappears_is_lost_and_counted(tmp_path: Path) -> None:
    """Somebody empties the folder under a process that runs."""
    collector = _Recording()
    sender, counters, spool = _sender(tmp_path, collector)
    counters.generated = 4
    sender.keep(Batch("traces", 3, b"lost"))
    for file in spool.folder.iterdir():
        file.unlink()
    sender.keep(Batch("traces", 1, b"next"))
    assert sender.replay()
    assert collector.received == [b"next"]
    assert counters.read() == llmtrace.Stats(generated=4, sent=1, dropped=3)
    spool.close()


def test_what_cannot_be_read_holds_up_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Folders with such names, foreign and empty files, a former version's drafts, holes, missing keys."""
    collector = _Recording()
    paths = [_left(tmp_path, b"good %d" % number) for number in range(3)]
    folder = paths[0].parent
    for number in range(40):
        (folder / f"{number:020d}-1-{number}-traces-1.otlp").mkdir()
        (folder / f"{number:020d}-1-{number:012x}.segment").mkdir()
        (folder / f"{number}-{number:012x}.process").mkdir()
    (folder / "1-eeeeeeeeeeee.process").mkdir()  # and a file of such a process
    (folder / f"{49:020d}-1-eeeeeeeeeeee.segment").write_bytes(_batches(b"nobody's"))
    (folder / f"{50:020d}-1-50-traces-1.otlp").touch()
    (folder / f"{51:020d}-1-51-traces-1.part").write_bytes(b"ha")
    (folder / f"{52:020d}-1-aaaaaaaaaaaa.segment").touch()
    (folder / f"{53:020d}-1-bbbbbbbbbbbb.segment").write_bytes(os.urandom(5000))
    (folder / f"{54:020d}-1-cccccccccccc.segment").symlink_to(folder / "nowhere")
    (folder / "notes.segment").write_bytes(b"not ours")
    (folder / "notes.txt").write_text("not ours")
    sealed = _left(tmp_path, b"sealed", encryption_keys=_KEYS)
    sender, counters, spool = _sender(tmp_path, collector)
    for _ in range(2):
        assert sender.replay()
    assert sorted(collector.received) == [b"good 0", b"good 1", b"good 2"]
    assert counters.read() == llmtrace.Stats(replayed=3)
    assert sealed.exists()
    assert (folder / f"{53:020d}-1-bbbbbbbbbbbb.damaged").stat().st_size == 5000
    assert not (folder / f"{52:020d}-1-aaaaaaaaaaaa.segment").exists()
    kinds = [record.getMessage() for record in caplog.records]
    assert sum("cannot be used" in text for text in kinds) == 1
    assert sum("is damaged" in text for text in kinds) == 1
    spool.close()


@pytest.mark.parametrize("own", [True, False])
def test_a_damaged_batch_costs_itself_and_is_counted(tmp_path: Path, own: bool) -> None:
    collector = _Recording()
    payloads = [b"first " * 9, b"second " * 9, b"third " * 9]
    sender, counters, spool = _sender(tmp_path, collector)
    if own:
        counters.generated = 6
        for payload in payloads:
            sender.keep(Batch("traces", 2, payload))
        (path,) = spool_files(tmp_path)
    else:
        path = _left(tmp_path, *payloads, items=2)
    data = bytearray(path.read_bytes())
    data[data.index(b"second")] ^= 1
    path.write_bytes(data)
    assert sender.replay()
    assert collector.received == [payloads[0], payloads[2]]
    expected = llmtrace.Stats(generated=6, sent=4, dropped=2)
    assert counters.read() == (expected if own else llmtrace.Stats(generated=2, dropped=2, replayed=4))
    assert path.with_suffix(".damaged").exists()
    spool.close()


def test_an_encrypted_spool_says_nothing_without_its_key(tmp_path: Path) -> None:
    path = _left(tmp_path, b"a secret", b"another", encryption_keys=_KEYS)
    assert b"secret" not in path.read_bytes()
    collector = _Recording()
    sender, counters, spool = _sender(tmp_path, collector)
    assert sender.replay()
    assert collector.received == []
    spool.close()
    newer = EncryptionKeys((bytes(32), *_KEYS.keys))
    sender, counters, spool = _sender(tmp_path, collector, encryption_keys=newer)
    assert sender.replay()
    assert collector.received == [b"a secret", b"another"]
    assert counters.replayed == 2
    spool.close()


def test_what_a_former_version_left_is_sent(tmp_path: Path) -> None:
    """A file for each batch, encrypted or not, after what has an owner."""
    collector = _Recording()
    _left(tmp_path, b"new", encryption_keys=_KEYS)
    sender, counters, spool = _sender(tmp_path, collector, encryption_keys=_KEYS)
    (spool.folder / f"{1:020d}-77-0-traces-3.otlp").write_bytes(b"former 1")
    (spool.folder / f"{2:020d}-77-1-logs-2.otlp").write_bytes(seal(b"former 2", _KEYS))
    assert sender.has_leftovers
    assert sender.replay()
    assert collector.received == [b"new", b"former 1", b"former 2"]
    assert counters.read() == llmtrace.Stats(replayed=6)
    assert not sender.has_leftovers
    spool.close()


def test_the_folder_of_what_survives_a_power_cut_does_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = SyncedFiles(monkeypatch)
    sender, _, spool = _sender(tmp_path / "data" / "spool", _Recording())
    for _ in range(2):
        sender.keep(Batch("logs", 1, b"row"))
    (file,) = spool_files(tmp_path)
    assert file in synced
    for folder in (spool.folder, spool.folder.parent, tmp_path / "data"):
        assert synced.holds_name_of(folder)
    spool.close()


@pytest.fixture
def living(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has a batch in the spool, and lives."""
    code = (
        "import sys\nfrom llmtrace.delivery import *\n"
        "settings = DeliverySettings.for_collector('http://127.0.0.1:9', spool_dir=sys.argv[1])\n"
        "spool = Spool(settings)\nspool.put(Batch('traces', 1, b'its'))\n"
        "print('kept', flush=True)\nsys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"kept\n"
    yield process
    process.kill()
    process.communicate()


def test_only_the_dead_are_taken_over(tmp_path: Path, living: subprocess.Popen[bytes]) -> None:
    collector = _Recording()
    sender, counters, spool = _sender(tmp_path, collector)
    assert not sender.has_leftovers
    assert sender.replay()
    assert collector.received == []
    living.kill()
    living.communicate()
    assert sender.has_leftovers
    (process,) = spool.dead_processes()
    other, _, _ = _sender(tmp_path, collector)
    assert other.replay()
    assert collector.received == [], "one takes it over at a time"
    process.close()
    assert sender.replay()
    assert collector.received == [b"its"]
    assert counters.read() == llmtrace.Stats(replayed=1)


def test_a_forked_child_has_a_file_of_its_own(tmp_path: Path) -> None:
    spool = Spool(_settings(tmp_path))
    spool.put(Batch("traces", 1, b"parent"))
    child = os.fork()
    if child == 0:
        spool.after_fork()
        spool.put(Batch("traces", 1, b"child"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    spool.put(Batch("traces", 1, b"parent again"))
    collector = _Recording()
    sender, counters, other = _sender(tmp_path, collector)
    assert sender.replay()
    assert collector.received == [b"child"], "the parent lives"
    assert counters.replayed == 1
    spool.close()
    assert sender.replay()
    assert collector.received == [b"child", b"parent", b"parent again"]
    other.close()


def test_puts_while_it_is_sent_lose_and_double_nothing(tmp_path: Path) -> None:
    collector = _Recording()
    sender, counters, spool = _sender(tmp_path, collector, spool_bytes=1 << 20)
    counters.generated = 400
    payloads = [b"%04d" % number for number in range(400)]

    def keep() -> None:
        for payload in payloads:
            sender._write_to_spool(Batch("traces", 1, payload))

    keeping = threading.Thread(target=keep)
    keeping.start()
    while keeping.is_alive():
        sender.replay()
    keeping.join()
    assert sender.replay()
    assert collector.received == payloads
    assert counters.read() == llmtrace.Stats(generated=400, sent=400)
    spool.close()

"""Disks that are full, read-only, broken or slow, under load."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from .case import Case, Scene, wait_until
from .incidents import put_incident
from .injectors import no_inodes, no_space, small_disk, stopped, strace
from .oracles import HealthLog, doctor_says, expect_announced, settle, worry_of
from .processes import Collector

Inject = Callable[[Scene, Collector], AbstractContextManager[None]]

#: Calls by which names are made, changed and removed; those of reads are left alone.
_NAMES: Final = "mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,ftruncate,truncate"
#: The last step of a part of the store.
_RENAMES: Final = "rename,renameat,renameat2"
#: Not `write`, by which threads also wake one another.
_WRITES: Final = "pwrite64,writev,pwritev,pwritev2,fallocate"
_SYNCS: Final = "fsync,fdatasync"


def under_load(
    scene: Scene,
    inject: Inject,
    *,
    hold: float,
    is_announced: bool = True,
    collector: Collector | None = None,
) -> Collector:
    """Load on a collector, a fault for `hold` seconds or until it is announced, and the four questions."""
    collector = collector or scene.collector()
    if not collector.is_running:
        assert collector.start(), collector.output[-1000:]
    senders = scene.senders(collector)
    time.sleep(1.5)
    log = HealthLog(collector)
    scene.stack.callback(log.stop)
    with inject(scene, collector):
        log.started = time.monotonic()
        log.start()
        if is_announced:
            wait_until(lambda: log.first() is not None, hold)
            time.sleep(3)
            expect_announced(scene, log, "during the fault")
        else:
            time.sleep(hold)
        before = collector.output
    scene.note(f"{len(before.splitlines())} log lines")
    log.stop()
    time.sleep(2)
    is_well = wait_until(lambda: not worry_of(collector), 15, 0.5)
    scene.expect(
        "recovered", is_well, f"15 s after the fault readiness still says {worry_of(collector)[:200]}"
    )
    settle(scene, collector, senders)
    if collector.is_running:
        status = collector.stop()
        scene.expect("recovered", status is not None, "it did not stop within 40 s of SIGTERM")
    return collector


def _calls(calls: str, error: str, scene: Scene, collector: Collector) -> AbstractContextManager[None]:
    """Each call fails for the length of the block."""
    return strace(collector, f"{calls}:error={error}")


def _some_calls(
    calls: str, error: str, times: int, scene: Scene, collector: Collector
) -> AbstractContextManager[None]:
    """So many calls fail, in each thread, from one that is chosen at random."""
    first = scene.random.randrange(1, 6)
    return strace(collector, f"{calls}:error={error}:when={first}..{first + times - 1}")


@contextlib.contextmanager
def _failing_renames(scene: Scene, collector: Collector) -> Iterator[None]:
    """The first part of an insert cannot be given its name, then the second of another, then the third: the
    engine has noted their tokens by then, and takes a repeat for a duplicate.
    """
    for number in range(1, 4):
        with strace(collector, f"{_RENAMES}:error=EROFS:when={number}"):
            time.sleep(4)
    yield


def _slow(scene: Scene, collector: Collector) -> AbstractContextManager[None]:
    return strace(collector, f"{_SYNCS}:delay_enter=700000")


def _stopped(scene: Scene, collector: Collector) -> AbstractContextManager[None]:
    return stopped(collector)


def _on_small_disk(scene: Scene, *, inodes: int = 0, size: str = "600m") -> Collector:
    folder = scene.folder / "disk"
    scene.stack.enter_context(small_disk(folder, size, inodes))
    return scene.collector(folder / "data")


def _no_inodes(scene: Scene) -> None:
    collector = _on_small_disk(scene, inodes=6000)
    under_load(scene, lambda _, __: no_inodes(collector.data_dir.parent), hold=12, collector=collector)


def _full_disk(scene: Scene) -> None:
    collector = _on_small_disk(scene)
    assert collector.start(), collector.output[-1000:]

    @contextlib.contextmanager
    def full(_: Scene, __: Collector) -> Iterator[None]:
        before = len(collector.output.splitlines())
        with no_space(collector.data_dir.parent):
            time.sleep(6)
            _expect_administration(scene, collector)
            yield
            lines = len(collector.output.splitlines()) - before
            scene.expect("announced", lines < 40, f"{lines} log lines while the disk was full")
            doctor = doctor_says(collector)
            printed = collector.command("doctor").text
            lying = [line for line in printed.splitlines() if "accepts spans" in line]
            scene.expect("announced", not lying, f"doctor says {lying[:1]} of a full disk ({doctor[:80]})")

    under_load(scene, full, hold=6, collector=collector)


def _expect_administration(scene: Scene, collector: Collector) -> None:
    """What administrators do answers a reason or works, also while the disk is full."""
    whom = {"user": "nobody", "project": "", "dry_run": False}
    deletion = collector.write("POST", "/v1/erasures", whom, 40)
    answer = f"HTTP {deletion.status} {deletion.text[:120]}"
    scene.expect("recovered", deletion.status in (200, 202, 503), f"a deletion on a full disk: {answer}")
    incident = put_incident(collector, "inc-of-a-full-disk", state="open", opened=time.time())
    answer = f"HTTP {incident.status} {incident.text[:120]}"
    scene.expect("announced", incident.status < 500 or incident.status == 503, f"an incident: {answer}")
    scene.note(f"on a full disk: deletion {deletion.status} {deletion.text[:80]}, incident {answer}")


def _quota_on_folders(scene: Scene) -> None:
    """Twelve new folders are refused by a quota; good spans are neither set aside nor counted twice."""
    collector = scene.collector()
    assert collector.start(), collector.output[-1000:]
    senders = scene.senders(collector)
    time.sleep(1.5)
    with strace(collector, "mkdir,mkdirat:error=EDQUOT:when=1..12"):
        time.sleep(8)
    wait_until(lambda: not list((collector.data_dir / "wal").glob("*.seg")), 5)
    aside = collector.metric("llmtrace_quarantined_items_total")
    scene.expect("stored", not aside, f"{aside:.0f} good spans were quarantined as refused")
    settle(scene, collector, senders)
    if any("stored" in finding or "recovered" in finding for finding in scene.findings):
        collector.stop(signal.SIGKILL)
        collector.start()
        time.sleep(3)
        worry = worry_of(collector)
        scene.note(f"after a restart: {worry or 'ready'}")


def _read_only_start(scene: Scene) -> None:
    """A start on a disk that is mounted read-only ends in a sentence."""
    folder = scene.folder / "disk"
    scene.stack.enter_context(small_disk(folder, "600m"))
    collector = scene.collector(folder / "data")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True, capture_output=True)
    expect_refusal(scene, collector, (str(folder), "Read-only"))
    subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True, capture_output=True)
    scene.expect("recovered", collector.start(), f"no start after the repair: {collector.output[-300:]}")


def expect_refusal(scene: Scene, collector: Collector, names: tuple[str, ...]) -> None:
    """It refuses to start with a sentence that has one of `names`, and no traceback."""
    began = len(collector.output)
    is_up = collector.start(seconds=20)
    collector.kill()
    text = collector.output[began:]
    scene.expect("recovered", not is_up, "it started")
    scene.expect(
        "recovered", "Traceback" not in text, f"the start ends in a traceback: {text.strip()[-200:]}"
    )
    scene.expect(
        "announced", any(name in text for name in names), f"the refusal names no file: {text.strip()[-200:]}"
    )
    scene.note(text.strip()[-300:])


def _io_error_in_digests(scene: Scene, collector: Collector) -> AbstractContextManager[None]:
    path = collector.data_dir / "wal" / "seen.sqlite-wal"
    return strace(collector, f"{_WRITES},{_SYNCS}:error=EIO", [path])


_STRACE: Final = ("strace",)


def _load(inject: Inject, hold: float, *, is_announced: bool = True) -> Callable[[Scene], None]:
    def play(scene: Scene) -> None:
        under_load(scene, inject, hold=hold, is_announced=is_announced)

    return play


CASES: Final = [
    Case("no inodes", "inodes", _no_inodes, ("mount",), 28, is_in_gate=True),
    Case("disk full", "ENOSPC", _full_disk, ("mount",), 35),
    Case("disk full for every write", "ENOSPC", _load(partial(_calls, _WRITES, "ENOSPC"), 12), _STRACE, 45),
    Case("no room for new names", "ENOSPC", _load(partial(_calls, _NAMES, "ENOSPC"), 12), _STRACE, 45),
    Case("quota on new folders", "EDQUOT", _quota_on_folders, _STRACE, 30),
    Case("quota on every write", "EDQUOT", _load(partial(_calls, _WRITES, "EDQUOT"), 12), _STRACE, 45),
    Case("read-only for names", "EROFS", _load(partial(_calls, _NAMES, "EROFS"), 12), _STRACE, 45),
    Case(
        "parts cannot be renamed",
        "EROFS",
        _load(_failing_renames, 0.5, is_announced=False),
        _STRACE,
        25,
        is_in_gate=True,
    ),
    Case("read-only at the start", "EROFS", _read_only_start, ("mount",), 12),
    Case("sync fails", "EIO", _load(partial(_calls, _SYNCS, "EIO"), 12), _STRACE, 45),
    Case(
        "sync fails some times",
        "EIO",
        _load(partial(_some_calls, _SYNCS, "EIO", 4), 4, is_announced=False),
        _STRACE,
        35,
    ),
    Case(
        "names fail some times",
        "EIO",
        _load(partial(_some_calls, _NAMES, "EIO", 6), 4, is_announced=False),
        _STRACE,
        35,
    ),
    Case("digests cannot be written", "EIO", _load(_io_error_in_digests, 12), _STRACE, 45),
    Case("slow sync", "slow", _load(_slow, 8, is_announced=False), _STRACE, 40),
    Case("collector stopped", "SIGSTOP", _load(_stopped, 6, is_announced=False), (), 30),
]

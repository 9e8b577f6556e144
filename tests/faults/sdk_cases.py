"""What becomes of an application's spans when its collector hangs, or the application ends at once."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from .case import Case, Scene, wait_until
from .injectors import flip_bits, stopped
from .processes import Collector, Process

_SDK = "SELECT max(Generated) AS generated FROM sdk_reports WHERE ServiceName = 'sdk'"
_SPANS = "SELECT count() AS c, uniqExact(SpanId) AS d FROM otel_traces WHERE ServiceName = 'sdk'"


def _lines(process: Process) -> list[dict[str, Any]]:
    lines = []
    for line in process.output.splitlines():
        with suppress(ValueError):
            lines.append(json.loads(line))
    return [line for line in lines if isinstance(line, dict)]


def _stats(process: Process) -> dict[str, int]:
    stats: dict[str, int] = next((line["stats"] for line in _lines(process) if "stats" in line), {})
    return stats


def _stored(collector: Collector) -> tuple[int, int]:
    (row,) = collector.rows(_SPANS)
    return int(row["c"]), int(row["d"])


def _hanging(rate: int, hang: float, scene: Scene) -> None:
    """The collector accepts connections and answers none; no span of a running application is lost."""
    collector = scene.collector()
    assert collector.start(), collector.output[-1000:]
    seconds = hang + 8
    sender = scene.program(
        "sdk_sender", collector.url, str(scene.folder / "spool"), str(rate), str(seconds), "close"
    )
    assert wait_until(lambda: bool(_lines(sender)), 30), sender.output[-500:]
    time.sleep(2)
    with stopped(collector):
        time.sleep(hang)
    assert sender.popen is not None
    sender.popen.wait(90)
    stats = _stats(sender)
    scene.note(f"the SDK says {stats}")
    scene.expect(
        "stored",
        stats.get("dropped", -1) == 0,
        f"{stats.get('dropped')} of {stats.get('generated')} spans dropped",
    )
    left = stats.get("spooled", 0)
    if left:  # another process of the same destination sends them
        heir = scene.program("sdk_sender", collector.url, str(scene.folder / "spool"), "1", "20", "close")
        assert heir.popen is not None
        heir.popen.wait(90)
        stats["generated"] += _stats(heir).get("generated", 0)
    wait_until(lambda: not list((collector.data_dir / "wal").glob("traces-*.seg")), 30)
    rows, spans = _stored(collector)
    undropped = stats.get("generated", 0) - stats.get("dropped", 0)
    scene.figures.update(
        acknowledged=undropped, stored=spans, lost=max(0, undropped - spans), doubled=rows - spans
    )
    scene.expect(
        "stored",
        spans >= undropped,
        f"{undropped - spans} of {undropped} spans are neither stored nor counted as dropped",
    )
    scene.expect("stored", rows == spans, f"{rows - spans} spans are stored twice")


def _killed(end: str, scene: Scene) -> None:
    """An application ends at once: what it had not sent is counted as missing."""
    collector = scene.collector()
    assert collector.start(), collector.output[-1000:]
    sender = scene.program("sdk_sender", collector.url, str(scene.folder / "spool"), "60", "8", end)
    assert sender.popen is not None
    if end == "wait":
        assert wait_until(lambda: bool(_lines(sender)), 30), sender.output[-500:]
        time.sleep(scene.random.uniform(4.5, 6.5))
        with suppress(ProcessLookupError):
            os.killpg(sender.pid, signal.SIGKILL)
    sender.popen.wait(60)
    generated = max(line.get("generated", 0) for line in _lines(sender))
    time.sleep(2)
    rows, spans = _stored(collector)
    # The next process of the same spool tells what this one counted.
    heir = scene.program("sdk_sender", collector.url, str(scene.folder / "spool"), "1", "4", "close")
    assert heir.popen is not None
    heir.popen.wait(60)
    time.sleep(2)
    (report,) = collector.rows(_SDK)
    reported = int(report["generated"] or 0)
    scene.figures.update(acknowledged=spans, stored=spans, doubled=rows - spans)
    scene.note(f"made {generated}, stored {spans}, the SDK's reports say {reported}")
    lost = max(0, generated - spans)
    unseen = max(0, generated - max(spans, reported))
    scene.figures.update(lost=lost, listed=lost - unseen, unseen=unseen)
    scene.expect(
        "announced", not unseen, f"{unseen} of {generated} spans were made, lost, and are in no ledger"
    )


def _spool_cost(scene: Scene) -> None:
    """A put costs the same at 10,000 batches on disk as at none."""
    measured = scene.program("spool_cost", str(scene.folder / "spool"), "10000", "40")
    assert measured.popen is not None
    measured.popen.wait(120)
    lines = _lines(measured)
    scene.expect("recovered", bool(lines), f"no figure: {measured.output[-300:]}")
    if lines:
        scene.note(f"CPU ms a put: {lines[-1]}")
        worst = max(lines[-1].values())
        scene.expect("recovered", worst < 1.0, f"{worst} ms of CPU a put with 10,000 batches in the spool")


def _spool_folders(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if path.is_dir()]


def _foreign_folder(scene: Scene) -> None:
    """Foreign things in the spool, with names like ours, end no replay."""
    collector = scene.collector()
    spool = scene.folder / "spool"
    sender = scene.program("sdk_sender", collector.url, str(spool), "50", "3", "close")
    assert sender.popen is not None
    sender.popen.wait(90)
    stats = _stats(sender)
    undropped = stats.get("generated", 0) - stats.get("dropped", 0)
    scene.expect("stored", stats.get("spooled", 0) > 0, f"nothing is in the spool: {stats}")
    for folder in _spool_folders(spool):
        for file in list(folder.glob("*-*"))[:1]:
            stamp = "00000000000000000001" + file.name[20:] if file.name[:20].isdigit() else f"0{file.name}"
            (folder / stamp).mkdir()
        (folder / "00000000000000000001-1-0-traces-5.otlp").mkdir(exist_ok=True)
        (folder / "00000000000000000002-1-0-traces-5.otlp").write_bytes(scene.random.randbytes(64))
    assert collector.start(), collector.output[-1000:]
    heir = scene.program("sdk_sender", collector.url, str(spool), "1", "6", "close")
    assert heir.popen is not None
    heir.popen.wait(90)
    later = _stats(heir)
    more = later.get("generated", 0) - later.get("dropped", 0)  # a damaged file is counted as dropped
    scene.note(f"the first process says {stats}, the next {later}")

    def is_there() -> bool:
        return _stored(collector)[1] >= undropped + more

    wait_until(is_there, 10, 0.5)
    rows, spans = _stored(collector)
    scene.figures.update(
        acknowledged=undropped + more,
        stored=spans,
        lost=max(0, undropped + more - spans),
        doubled=rows - spans,
    )
    scene.expect(
        "recovered",
        spans >= undropped + more,
        f"{undropped + more - spans} of {undropped} spans in the spool are never sent",
    )


def _damaged_spool(scene: Scene) -> None:
    """A bit of a spool file is flipped: it costs that file at most, and what it costs is counted."""
    collector = scene.collector()
    spool = scene.folder / "spool"
    generated = 0
    for _ in range(2):
        sender = scene.program("sdk_sender", collector.url, str(spool), "50", "3", "close")
        assert sender.popen is not None
        sender.popen.wait(90)
        generated += _stats(sender).get("generated", 0)
    files = sorted(path for path in spool.rglob("*") if path.is_file() and path.stat().st_size > 200)
    assert files, "nothing is in the spool"
    size = files[0].stat().st_size
    flip_bits(files[0], scene.random, 1, after=size // 4)
    assert collector.start(), collector.output[-1000:]
    heir = scene.program("sdk_sender", collector.url, str(spool), "1", "8", "close")
    assert heir.popen is not None
    heir.popen.wait(90)
    generated += _stats(heir).get("generated", 0)
    wait_until(lambda: not list((collector.data_dir / "wal").glob("traces-*.seg")), 15)
    rows, spans = _stored(collector)
    lost = max(0, generated - spans)
    listed = _stats(heir).get("dropped", 0)
    is_listed = listed >= lost or bool(list(spool.rglob("*.damaged")))
    scene.note(
        f"{spans} of {generated} after a flip in {files[0].name} ({len(files)} files), {listed} dropped"
    )
    scene.figures.update(
        acknowledged=generated, stored=spans, doubled=rows - spans, lost=lost, listed=lost if is_listed else 0
    )
    scene.figures["unseen"] += 0 if is_listed else lost
    scene.expect("stored", lost <= generated / 2, f"a bit costs {lost} of {generated} spans")
    scene.expect("announced", is_listed, f"{lost} spans of a damaged file are in no ledger")


CASES: Final = [
    Case("collector hangs, 1,000 spans/s", "SIGSTOP", partial(_hanging, 1000, 42.0), (), 90),
    Case("collector hangs for 14 s", "SIGSTOP", partial(_hanging, 600, 14.0), (), 45),
    Case("application killed", "kill", partial(_killed, "wait"), (), 25),
    Case("application ends by os._exit", "kill", partial(_killed, "exit"), (), 25),
    Case("spool with many batches", "spool", _spool_cost, (), 40),
    Case("foreign names in the spool", "foreign", _foreign_folder, (), 40),
    Case("bit of a spool file flipped", "bits", _damaged_spool, (), 40),
]

"""Files that are damaged, cut, deleted or foreign, of every kind."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from .case import Case, Scene, wait_until
from .disk_cases import expect_refusal
from .injectors import flip_bits, parts_of_spans
from .oracles import HealthLog, doctor_says, expect_announced, settle, worry_of
from .processes import Collector, UnreadableError
from .senders import send_spans

_KEY: Final = "11" * 32


def _stored_in_parts(scene: Scene, requests: int = 3, spans: int = 500) -> tuple[Collector, set[str]]:
    """A collector that was stopped, with so many parts of spans at least in its store."""
    collector = scene.collector()
    assert collector.start(), collector.output[-1000:]
    ids: set[str] = set()
    for _ in range(requests):
        ids |= send_spans(collector.port, spans, per_request=spans)
        wait_until(lambda: not list((collector.data_dir / "wal").glob("*.seg")), 20)
    # The counts of completeness are flushed every two seconds, and the rollups' passes follow.
    time.sleep(3)
    collector.stop()
    return collector, ids


def _broken_parts(scene: Scene) -> None:
    """Parts are broken while the collector is down: one lost a file, one its checksums' end."""
    collector, ids = _stored_in_parts(scene)
    parts = parts_of_spans(collector.data_dir)
    (parts[0] / "data.bin").unlink(missing_ok=True)
    for file in parts[0].glob("*.bin"):
        file.unlink()
    if len(parts) > 1:
        checksums = parts[1] / "checksums.txt"
        checksums.write_bytes(checksums.read_bytes()[:40])
    scene.note(f"{len(parts)} parts, two broken")
    _expect_loss_announced(scene, collector, ids)


def _damaged_part(scene: Scene) -> None:
    """Bits of a part are flipped while the collector is down."""
    collector, ids = _stored_in_parts(scene)
    part = parts_of_spans(collector.data_dir)[0]
    data = max(part.glob("*.bin"), key=lambda file: file.stat().st_size)
    offsets = flip_bits(data, scene.random, 40, after=64)
    scene.note(f"{len(offsets)} bits of {data.name} flipped")
    _expect_loss_announced(scene, collector, ids)


def _expect_loss_announced(scene: Scene, collector: Collector, ids: set[str]) -> None:
    """Started again, it says what is gone; the hand that it names mends what can be mended."""
    assert collector.start(), collector.output[-1000:]
    log = HealthLog(collector)
    scene.stack.callback(log.stop)
    log.start()
    wait_until(lambda: log.first() is not None, 12)
    try:
        gone = len(ids) - int(collector.rows("SELECT uniqExact(SpanId) AS c FROM otel_traces")[0]["c"])
        every = "SELECT sum(cityHash64(toString(tuple(*)))) AS h FROM otel_traces"
        collector.rows(every)
    except UnreadableError as error:
        gone = len(ids)
        scene.note(f"reads fail: {error}")
        # What lies in a part is known once somebody reads it.
        log.started = time.monotonic()
        wait_until(lambda: log.first() is not None, 12)
    if gone:
        scene.figures["lost"] += gone
        expect_announced(scene, log, f"{gone} of {len(ids)} spans gone")
        doctor = doctor_says(collector)
        scene.expect("announced", bool(doctor), "doctor finds nothing wrong")
        scene.figures["unseen"] += 0 if log.first() or doctor else gone
        repaired = collector.command("store", "check", "--repair")
        scene.note(f"store check --repair: {repaired.status} {repaired.text[-300:]}")
        is_well = wait_until(lambda: not worry_of(collector), 15, 0.5)
        is_repaired = is_well and "No such command" not in repaired.text
        scene.expect("recovered", is_repaired, f"no hand mends it: {repaired.text.strip()[-200:]}")
    try:
        collector.rows("SELECT sum(cityHash64(toString(tuple(*)))) AS h FROM otel_traces")
        _expect_rollups(scene, collector)
    except UnreadableError as error:
        scene.expect("recovered", False, f"every read over it fails: {error}")


def _expect_rollups(scene: Scene, collector: Collector) -> None:
    """Rollups hold what the spans do, after a repair and some passes."""
    last = {}

    def agree() -> bool:
        (row,) = collector.rows(
            "SELECT (SELECT count() FROM otel_traces) AS spans, (SELECT sum(Calls) FROM usage_10s) AS usage"
        )
        last.update(row)
        return int(row["spans"]) == int(row["usage"])

    scene.expect("counted", wait_until(agree, 30, 0.5), f"rollups still count what is gone: {last}")


def _left_segment(scene: Scene, **settings: Any) -> tuple[Collector, set[str], Path]:
    """A collector that was killed with 45 requests in one segment of its log."""
    collector = scene.collector(segment_seconds=60.0, **settings)
    assert collector.start(), collector.output[-1000:]
    ids = send_spans(collector.port, 450)
    collector.stop(signal.SIGKILL)
    (segment,) = (collector.data_dir / "wal").glob("traces-*.seg")
    collector.settings["LLMTRACE_COLLECTOR__SEGMENT_SECONDS"] = "0.2"
    return collector, ids, segment


def _flipped_segment(scene: Scene, *, may_lose: int = 20, **settings: Any) -> None:
    collector, ids, segment = _left_segment(scene, **settings)
    size = segment.stat().st_size
    offsets = flip_bits(segment, scene.random, 1, after=size // 8)
    scene.note(f"bit of {segment.name} at {offsets} of {size} flipped")
    _expect_hole(scene, collector, ids, may_lose)


def _cut_segment(scene: Scene) -> None:
    collector, ids, segment = _left_segment(scene)
    size = segment.stat().st_size
    with segment.open("rb+") as file:
        file.truncate(size - scene.random.randrange(1, 60))
    _expect_hole(scene, collector, ids, 10)


def _deleted_segment(scene: Scene) -> None:
    """A segment vanishes: nothing can bring it back, but something is to tell that it is gone."""
    collector, ids, segment = _left_segment(scene)
    segment.unlink()
    assert collector.start(), collector.output[-1000:]
    settle(scene, collector, [], acknowledged=ids, may_lose=len(ids))


def _deleted_log(scene: Scene) -> None:
    """The log's whole folder vanishes while the collector is down."""
    collector, ids, segment = _left_segment(scene)
    shutil.rmtree(segment.parent)
    assert collector.start(), collector.output[-1000:]
    log = HealthLog(collector)
    scene.stack.callback(log.stop)
    log.start()
    wait_until(lambda: log.first() is not None, 12)
    expect_announced(scene, log, "after the start")
    settle(scene, collector, [], acknowledged=ids, may_lose=len(ids))


def _deleted_log_under_load(scene: Scene) -> None:
    """The log's whole folder is deleted under a collector that writes to it; what comes later is stored."""
    collector = scene.collector(segment_seconds=1.0)
    assert collector.start(), collector.output[-1000:]
    senders = scene.senders(collector)
    time.sleep(3 + scene.random.random())
    before = set().union(*(sender.acknowledged for sender in senders))
    log = HealthLog(collector)
    scene.stack.callback(log.stop)
    log.started = time.monotonic()
    log.start()
    shutil.rmtree(collector.data_dir / "wal", ignore_errors=True)
    time.sleep(6)
    for sender in senders:
        sender.stop()
    expect_announced(scene, log, "after the folder was deleted")
    after = set().union(*(sender.acknowledged for sender in senders)) - before
    settle(scene, collector, senders, may_lose=len(before) + 200)
    scene.expect("recovered", len(after) > 200, f"{len(after)} spans were taken afterwards")


def _expect_hole(scene: Scene, collector: Collector, ids: set[str], may_lose: int) -> None:
    assert collector.start(), collector.output[-1000:]
    settle(scene, collector, [], acknowledged=ids, may_lose=may_lose)
    scene.note(collector.output[-300:])


def _empty_key(name: str, scene: Scene) -> None:
    """A key file that a full disk left empty never admits anybody."""
    collector = scene.collector()
    collector.data_dir.mkdir(exist_ok=True)
    (collector.data_dir / name).write_text("")
    is_up = collector.start(seconds=20)
    if is_up:
        answer = httpx.get(collector.url + "/v1/keys", headers={"authorization": "Bearer "}, timeout=5)
        scene.expect(
            "stored",
            answer.status_code in (401, 403),
            f"an empty key is administrator: HTTP {answer.status_code}",
        )
        collector.kill()
    scene.expect(
        "announced",
        not is_up or bool((collector.data_dir / name).read_text().strip()),
        "it starts with an empty key",
    )
    scene.expect("recovered", "Traceback" not in collector.output, f"a traceback: {collector.output[-200:]}")
    scene.expect(
        "announced",
        is_up or name in collector.output,
        f"the refusal names no file: {collector.output[-200:]}",
    )
    (collector.data_dir / name).unlink()
    scene.expect("recovered", collector.start(), f"no start without the file: {collector.output[-200:]}")


def _foreign_file(scene: Scene) -> None:
    """Files that nobody here wrote lie in the log's folder."""
    collector, ids, segment = _left_segment(scene)
    (segment.parent / "notes.seg").write_text("nobody's")
    (segment.parent / "traces-copy of last week.seg").write_bytes(scene.random.randbytes(300))
    (segment.parent / ".DS_Store").write_bytes(b"\0" * 12)
    if not collector.start(seconds=25):
        text = collector.output
        scene.expect(
            "recovered", "Traceback" not in text, f"the start ends in a traceback: {text.strip()[-160:]}"
        )
        scene.expect("announced", "notes.seg" in text, f"the refusal names no file: {text.strip()[-160:]}")
        return
    ours = lambda: not [path for path in segment.parent.glob("traces-*-*.seg") if path == segment]  # noqa: E731
    scene.expect("recovered", wait_until(ours, 20), "the segment was not stored")
    counts = collector.rows("SELECT uniqExact(SpanId) AS c FROM otel_traces")
    scene.expect("stored", int(counts[0]["c"]) == len(ids), f"{counts} of {len(ids)} spans")


def _damaged_cache(damage: Callable[[Scene, Path], object], scene: Scene) -> None:
    """The digests of requests are damaged: a cache, of which a start is to make a new one."""
    collector, ids, segment = _left_segment(scene)
    for suffix in ("-wal", "-shm"):
        (segment.parent / f"seen.sqlite{suffix}").unlink(missing_ok=True)
    damage(scene, segment.parent / "seen.sqlite")
    is_up = collector.start(seconds=25)
    scene.expect("recovered", is_up, f"no start: {collector.output.strip()[-160:]}")
    if is_up:
        settle(scene, collector, [], acknowledged=ids)
    else:
        scene.expect("announced", "seen.sqlite" in collector.output, "the refusal names no file")


def _overwrite(scene: Scene, path: Path) -> None:
    path.write_bytes(scene.random.randbytes(8192))


def _cut_half(scene: Scene, path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb+") as file:
        file.truncate(size // 2)


def _unlink(scene: Scene, path: Path) -> None:
    path.unlink()


def _flip_some(scene: Scene, path: Path) -> None:
    flip_bits(path, scene.random, 200, after=0)


def _damaged_encryption(scene: Scene) -> None:
    """The file that says which keys the store has, damaged: a sentence names it and a hand that works."""
    collector = scene.collector(scene.folder / "encrypted", LLMTRACE_ENCRYPTION_KEY=_KEY)
    shutil.rmtree(collector.data_dir / "store")
    assert collector.start(), collector.output[-1000:]
    ids = send_spans(collector.port, 100)
    collector.stop()
    files = list(collector.data_dir.rglob("encryption.json"))
    if not files:
        scene.note("there is no such file")
        return
    data = files[0].read_bytes()
    files[0].write_bytes(data[: len(data) // 2])
    expect_refusal(scene, collector, ("encryption.json",))
    files[0].unlink()  # as the sentence says
    scene.expect("recovered", collector.start(), f"no start after the repair: {collector.output[-300:]}")
    scene.expect("recovered", files[0].exists(), "the file was not made anew")
    settle(scene, collector, [], acknowledged=ids)


def _damaged_quarantine(scene: Scene) -> None:
    """Damaged files in the quarantine keep nobody from listing the others."""
    collector, ids, segment = _left_segment(scene)
    aside = segment.parent / "quarantine"
    aside.mkdir()
    name = "traces-00000000000000000001-0123456789ab"
    segment.rename(aside / f"{name}.seg")
    (aside / f"{name}.reason").write_text("for a test")
    flip_bits(aside / f"{name}.seg", scene.random, 30)
    (aside / "notes.txt").write_text("nobody's")
    assert collector.start(), collector.output[-1000:]
    answer = collector.write("GET", "/v1/quarantine")
    scene.expect(
        "announced",
        answer.status == 200,
        f"the quarantine cannot be listed: HTTP {answer.status} {answer.text[:100]}",
    )
    entry = collector.write("GET", f"/v1/quarantine/{name}")
    scene.expect("announced", entry.status < 500, f"an entry cannot be shown: HTTP {entry.status}")
    again = collector.write("POST", f"/v1/quarantine/{name}/replay")
    scene.expect(
        "recovered",
        again.status < 500,
        f"an entry cannot be replayed: HTTP {again.status} {again.text[:100]}",
    )
    settle(scene, collector, [], acknowledged=ids, may_lose=len(ids))


def _newer_store(scene: Scene) -> None:
    """The store was written by a program that is newer than this one: refused with a sentence, nothing
    changed.
    """
    collector = scene.collector()
    bump = scene.program("newer_store", str(collector.data_dir / "store"))
    assert bump.popen is not None
    bump.popen.wait(60)
    scene.note(bump.output.strip()[-200:])
    expect_refusal(scene, collector, ("newer", "upgrade", "schema"))


def _moved(scene: Scene) -> None:
    """The data directory is copied elsewhere, with what was still in the log; a collector goes on there."""
    collector, ids, _ = _left_segment(scene)
    copy = scene.folder / "copied" / "data"
    subprocess.run(["cp", "-a", f"{collector.data_dir}/.", str(_new_folder(copy))], check=True)
    shutil.rmtree(collector.data_dir)
    collector = scene.collector(copy)
    scene.expect("recovered", collector.start(), f"no start at the new place: {collector.output[-300:]}")
    settle(scene, collector, [], acknowledged=ids)


def _new_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


CASES: Final = [
    Case("parts broken at the start", "deleted", _broken_parts, (), 35),
    Case("bits of a part flipped", "bits", _damaged_part, (), 45),
    Case("bit of a segment flipped", "bits", _flipped_segment, (), 20, is_in_gate=True),
    Case(
        "bit of an encrypted segment flipped",
        "bits",
        partial(_flipped_segment, LLMTRACE_ENCRYPTION_KEY=_KEY),
        (),
        30,
    ),
    Case(
        "bit of a segment flipped, with redaction", "bits", partial(_flipped_segment, redact=["pii"]), (), 30
    ),
    Case("end of a segment cut", "truncated", _cut_segment, (), 25),
    Case("segment deleted", "deleted", _deleted_segment, (), 20),
    Case("log deleted", "deleted", _deleted_log, (), 20),
    Case("log deleted under load", "deleted", _deleted_log_under_load, (), 30),
    Case("admin key empty", "truncated", partial(_empty_key, "admin.key"), (), 10, is_in_gate=True),
    Case("dashboard key empty", "truncated", partial(_empty_key, "dashboard.key"), (), 15),
    Case("foreign files in the log", "foreign", _foreign_file, (), 20, is_in_gate=True),
    Case("digests overwritten", "bits", partial(_damaged_cache, _overwrite), (), 20),
    Case("digests with bits flipped", "bits", partial(_damaged_cache, _flip_some), (), 20),
    Case("digests cut", "truncated", partial(_damaged_cache, _cut_half), (), 20),
    Case("digests deleted", "deleted", partial(_damaged_cache, _unlink), (), 20),
    Case("encryption.json cut", "truncated", _damaged_encryption, (), 25),
    Case("quarantine damaged", "bits", _damaged_quarantine, (), 20),
    Case("data directory moved", "moved", _moved, (), 20),
    Case("newer store", "foreign", _newer_store, (), 15),
]

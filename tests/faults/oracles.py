"""The four questions that are asked of every fault."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterable
from contextlib import suppress

from .case import ANNOUNCE_SECONDS, Scene, wait_until
from .processes import Collector, UnreadableError
from .senders import HttpSender

#: What a sentence of health, doctor or a command has when it tells of something missing or broken.
_LOSS = re.compile(r"lost|missing|broken|damaged|hole|not hold|fewer|differ|cannot be read", re.IGNORECASE)

_IDS = "SELECT SpanId, count() AS c FROM otel_traces WHERE SpanName = 'fault' GROUP BY SpanId"
_COUNTS = """SELECT
    (SELECT count() FROM otel_traces WHERE SpanName = 'fault') AS spans,
    (SELECT sum(Calls) FROM usage_10s) AS usage,
    (SELECT sum(Calls) FROM usage_hour) AS hours,
    (SELECT sum(Stored) FROM completeness WHERE Signal = 'traces') AS stored,
    (SELECT sum(Received) FROM completeness WHERE Signal = 'traces') AS received,
    (SELECT sum(Quarantined) FROM completeness WHERE Signal = 'traces') AS quarantined"""


class HealthLog(threading.Thread):
    """Asks for readiness four times a second, from now on."""

    def __init__(self, collector: Collector) -> None:
        super().__init__(daemon=True)
        self.collector = collector
        self._stopping = threading.Event()
        self.started = time.monotonic()
        self.worries: list[tuple[float, str]] = []

    def run(self) -> None:
        """Ask until stopped."""
        while not self._stopping.wait(0.25):
            if worry := worry_of(self.collector):
                self.worries.append((time.monotonic() - self.started, worry))

    def stop(self) -> None:
        """Stop asking."""
        self._stopping.set()
        if self.is_alive():
            self.join(10)

    def first(self) -> tuple[float, str] | None:
        """After how many seconds health said that something is wrong, and what."""
        return self.worries[0] if self.worries else None


def worry_of(collector: Collector) -> str:
    """What readiness says is wrong; empty when all is well."""
    answer = collector.health()
    if answer.status != 200:
        return answer.text or f"no answer ({answer.status})"
    with suppress(ValueError):
        body = json.loads(answer.text)
        if body.get("warning") or body.get("reasons") or body.get("reason"):
            return answer.text
    return ""


def doctor_says(collector: Collector) -> str:
    """What `llmtrace doctor` says is wrong with the data, the first of it; empty when nothing is."""
    for line in collector.command("doctor").text.splitlines():
        if line.lower().startswith(("fail", "warn")) and _LOSS.search(line):
            return line.strip()
    return ""


def expect_announced(scene: Scene, log: HealthLog, what: str) -> None:
    """Health said so in time."""
    first = log.first()
    if first is None:
        scene.note(f"doctor while nothing was announced: {doctor_says(log.collector)[:150] or 'nothing'}")
    scene.expect(
        "announced",
        first is not None and first[0] <= ANNOUNCE_SECONDS + 1,
        f"{what}: readiness said {'nothing' if first is None else f'it after {first[0]:.0f} s'}",
    )
    if first is not None:
        scene.note(f"after {first[0]:.1f} s: {first[1][:300]}")


def listed_rows(collector: Collector) -> int:
    """Rows that the quarantine lists. Holes of the log, whose rows nobody knows, count by their requests."""
    rows = 0
    answer = collector.write("GET", "/v1/quarantine")
    if answer.status != 200:
        return 0
    for entry in json.loads(answer.text).get("segments", []):
        rows += max(1, int(entry.get("rows", 0) or 0))
        details = collector.write("GET", f"/v1/quarantine/{entry['name']}")
        if details.status == 200:
            rows += sum(
                int(request.get("rows", 0) or 0) for request in json.loads(details.text).get("requests", [])
            )
    return rows


def settle(
    scene: Scene,
    collector: Collector,
    senders: Iterable[HttpSender],
    *,
    acknowledged: Iterable[str] = (),
    seconds: float = 45.0,
    count_seconds: float = 40.0,
    may_lose: int = 0,
) -> None:
    """Stop the senders, wait for the store, and ask the first two questions. `may_lose` is how many spans a
    damaged medium may have cost, if they are listed or announced.
    """
    senders = list(senders)
    for sender in senders:
        sender.stop()
    ids = set(acknowledged).union(*(sender.acknowledged for sender in senders))
    sent = set(ids).union(*(sender.sent for sender in senders))
    log = collector.data_dir / "wal"
    is_drained = wait_until(lambda: not list(log.glob("traces-*.seg")), seconds)
    try:
        counts = {row["SpanId"]: int(row["c"]) for row in collector.rows(_IDS)}
    except UnreadableError as error:
        scene.expect("recovered", False, f"spans cannot be read: {error}")
        return
    lost = ids - counts.keys()
    doubled = sum(count > 1 for count in counts.values())
    listed = listed_rows(collector) if lost else 0
    scene.figures.update(
        acknowledged=len(ids),
        stored=len(counts),
        lost=len(lost),
        listed=min(listed, len(lost)),
        doubled=doubled,
    )
    left = 0 if is_drained else len(list(log.glob("traces-*.seg")))
    scene.expect("recovered", is_drained, f"{left} segments were still not stored after {seconds:.0f} s")
    scene.expect("stored", not doubled, f"{doubled} spans are stored twice")
    scene.expect("stored", not counts.keys() - sent, "there are spans that nobody sent")
    if lost:
        is_said = listed > 0 or bool(_LOSS.search(worry_of(collector))) or bool(doctor_says(collector))
        scene.figures["unseen"] += 0 if is_said else len(lost)
        scene.expect(
            "stored", is_said, f"{len(lost)} of {len(ids)} acknowledged spans are gone and nothing lists them"
        )
        scene.expect(
            "stored",
            len(lost) <= may_lose,
            f"{len(lost)} acknowledged spans are lost, not {may_lose} at most",
        )
    if is_drained:
        expect_counts(scene, collector, len(lost), count_seconds)


def expect_counts(scene: Scene, collector: Collector, lost: int, seconds: float) -> None:
    """What rollups and completeness count is what the tables hold, within some passes (seconds)."""
    last: dict[str, int] = {}
    unreadable: list[str] = []

    def agree() -> bool:
        try:
            (row,) = collector.rows(_COUNTS)
        except UnreadableError as error:
            unreadable.append(str(error))
            return False
        last.update({name: int(value or 0) for name, value in row.items()})
        rollups = last["usage"] == last["hours"] == last["spans"]
        return rollups and (
            lost > 0 or last["stored"] == last["spans"] == last["received"] - last["quarantined"]
        )

    is_equal = wait_until(agree, seconds, 0.5)
    scene.note(f"counts {last}{' ' + unreadable[-1] if unreadable else ''}")
    worry = worry_of(collector)
    if lost == 0:
        scene.expect("counted", is_equal, f"nothing is lost and counts differ: {last} {worry[:250]}")
        scene.expect(
            "recovered", "rows-missing" not in worry, f"nothing is lost, and health says {worry[:250]}"
        )
        return
    is_even = bool(last) and last["usage"] == last["hours"] == last["spans"]
    scene.expect("counted", is_even, f"rollups differ from spans: {last}")

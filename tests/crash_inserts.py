"""Kill a collector in the middle of an insert, and in the middle of bisecting a refused segment.

    python -m tests.crash_inserts [--rounds N]

Each round leaves a segment of acknowledged requests in the log, starts a collector and kills it with SIGKILL
while it writes a part of a table, or when it has written the n-th piece of a refused segment. In the end
every span is in the store exactly once, except those that the store refuses, which are in the quarantine. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from llmtrace_collector.ingest.segment import Segment
from llmtrace_collector.ingest.wal import WriteAheadLog
from llmtrace_collector.ingest.wal_frame import Frame, decode
from tests.collector.otlp import llm, traces
from tests.collector.refusing import POISON
from tests.collector.running import Launched, settings, until

_REQUESTS = 6
_SPANS = 150
_DAY = 86_400_000_000_000
#: A round ends after this many seconds whatever was seen.
_PATIENCE = 60.0


@dataclass
class Outcome:
    """Counts of spans; `lost`, `doubled` and `stray` (refused, but stored) should be 0. `amid` says how often
    the kill came while a part was being written, `apart` how often while a segment was being bisected.
    """

    rounds: int
    acknowledged: int = 0
    refused: int = 0
    quarantined: int = 0
    lost: int = 0
    doubled: int = 0
    stray: int = 0
    rollup_calls: int = 0
    stored: int = 0
    amid: int = 0
    apart: int = 0
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether every span is where it belongs, once."""
        misplaced = self.lost or self.doubled or self.stray or self.quarantined != self.refused
        return not misplaced and self.rollup_calls == self.stored


@dataclass
class _Sent:
    good: set[str] = field(default_factory=set)
    bad: set[str] = field(default_factory=set)


def _leave_segment(folder: Path, sent: _Sent, *, poisoned: bool) -> None:
    """One segment in the log, as a collector that was killed leaves it."""
    closed: list[Segment] = []
    wal = WriteAheadLog(
        folder,
        segment_bytes=32 << 20,
        segment_seconds=60.0,
        budget_bytes=1 << 30,
        on_closed=closed.append,
    )
    wal.start()
    now = time.time_ns()
    for number in range(_REQUESTS):
        spans = [llm() for _ in range(_SPANS)]
        ids = sent.good
        if poisoned and number == _REQUESTS // 2:
            spans = [llm({"text": POISON})]
            ids = sent.bad
        body = traces(spans).SerializeToString()
        wal.append("traces", Frame("", now, body), frozenset({now // _DAY})).result(30)
        ids.update(span.span_id.hex() for span in spans)
    wal.close()
    wal.release()


class _Parts:
    """Parts that the engine is writing now: folders of a table that have their final name later."""

    def __init__(self, store: Path) -> None:
        self._tables = [path for path in (store / "store").glob("*/*") if path.is_dir()]
        self.seen: set[str] = set()

    def count(self) -> int:
        """How many were seen since the first call."""
        for table in self._tables:
            for path in table.glob("tmp_insert_*"):
                self.seen.add(f"{table.name}/{path.name}")
        return len(self.seen)


def _kill_amid(collector: Launched, stage: int, *, poisoned: bool) -> bool:
    """Kill at the `stage`-th part that is written, or piece of a refused segment; whether it came so far."""
    wal = collector.settings.data_dir / "wal"
    parts = _Parts(collector.settings.data_dir / "store")
    pieces: set[str] = set()
    collector.spawn()
    assert collector.process is not None
    deadline = time.monotonic() + _PATIENCE
    reached = False
    while time.monotonic() < deadline and collector.process.poll() is None:
        pieces.update(path.name for path in wal.glob("split/*.seg"))
        reached = len(pieces) >= stage if poisoned else parts.count() >= stage
        if reached or not list(wal.glob("traces-*.seg")):
            break
    assert collector.process.poll() is None, collector.errors.read_text()[-2000:]
    collector.stop(signal.SIGKILL)
    return reached and bool(list(wal.glob("traces-*.seg")))


def run(directory: Path, rounds: int) -> Outcome:
    """Kill `rounds` times, every other time amid a refused segment, each time at a later stage."""
    started = time.monotonic()
    outcome = Outcome(rounds)
    sent = _Sent()
    collector = Launched(settings(directory, segment_seconds=0.1), "tests.collector.refusing")
    with collector:
        collector.stop()  # the tables are made
        for number in range(rounds):
            poisoned = number % 2 == 1
            _leave_segment(directory / "wal", sent, poisoned=poisoned)
            hit = _kill_amid(collector, 1 + number // 2 % 5, poisoned=poisoned)
            outcome.apart += hit and poisoned
            outcome.amid += hit and not poisoned
            print(f"round {number + 1}: {'amid' if hit else 'after'}", file=sys.stderr)
        collector.start()
        collector.stored()
        rows = collector.rows("SELECT SpanId, count() AS c FROM otel_traces GROUP BY SpanId")
        counts = {row["SpanId"]: int(row["c"]) for row in rows}
        rollup = "SELECT sum(Calls) FROM usage_10s"
        # What was stored in part is made anew by a pass of `CallDeduplicator`.
        with contextlib.suppress(AssertionError):
            until(lambda: int(collector.value(rollup)) == len(counts), 60.0, "the rollup")
        outcome.rollup_calls = int(collector.value(rollup))
        collector.stop()
    quarantine = Counter(
        frame.body
        for path in (directory / "wal" / "quarantine").glob("*.seg")
        for frame, _ in decode(path.read_bytes())
    )
    outcome.acknowledged = len(sent.good) + len(sent.bad)
    outcome.refused = len(sent.bad)
    outcome.quarantined = sum(quarantine.values())
    outcome.stored = sum(counts.values())
    outcome.lost = len(sent.good - counts.keys())
    outcome.doubled = sum(count > 1 for count in counts.values())
    outcome.stray = len(sent.bad & counts.keys())
    outcome.seconds = round(time.monotonic() - started, 1)
    return outcome


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash_inserts", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        outcome = run(Path(directory) / "data", arguments.rounds)
    print(json.dumps({**asdict(outcome), "good": outcome.good}))
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())

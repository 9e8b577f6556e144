"""Kill a loaded collector again and again, then look for what it had acknowledged.

    python -m tests.crash [--rounds N]

Several senders post requests of LLM spans and resend each until it is acknowledged, as exporters do. The
collector gets SIGKILL at random moments and starts again on its directory. In the end every acknowledged
span is in the store exactly once, and the rollup counts it once. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import signal
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.collector.otlp import llm, traces
from tests.collector.running import PROTOBUF, Launched, settings

_SPANS = 20


@dataclass(frozen=True)
class Outcome:
    """Counts of spans; `lost` and `doubled` should be 0."""

    rounds: int
    acknowledged: int
    stored: int
    lost: int
    doubled: int
    rollup_calls: int
    resends: int
    seconds: float

    @property
    def good(self) -> bool:
        """Whether every acknowledged span is there once, in the table and in the rollup."""
        return not self.lost and not self.doubled and self.rollup_calls == self.stored


class Sender(threading.Thread):
    """Posts requests until it is stopped; resends one until it is acknowledged."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.stopping = threading.Event()
        self.acknowledged: list[str] = []
        self.resends = 0

    def run(self) -> None:
        """Send until stopped; the request under way is finished first."""
        while not self.stopping.is_set():
            spans = [llm() for _ in range(_SPANS)]
            body = traces(spans).SerializeToString()
            while not self._post(body):
                self.resends += 1
                time.sleep(0.02)
            self.acknowledged += [span.span_id.hex() for span in spans]

    def _post(self, body: bytes) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/v1/traces", body, PROTOBUF)
            return connection.getresponse().status == 200
        return False


def run(directory: Path, rounds: int, seed: int = 0, seconds: float = 1.5) -> Outcome:
    """Kill `rounds` times, at a random moment within `seconds` of each start."""
    started = time.monotonic()
    choose = random.Random(seed)
    configured = settings(directory, segment_seconds=0.1, segment_bytes=1 << 18)
    with Launched(configured) as collector:
        senders = [Sender(configured.port) for _ in range(3)]
        for sender in senders:
            sender.start()
        for number in range(rounds):
            time.sleep(choose.uniform(0.05, seconds))
            collector.stop(signal.SIGKILL)
            collector.start()
            print(f"round {number + 1}: {sum(len(s.acknowledged) for s in senders)} spans", file=sys.stderr)
        for sender in senders:
            sender.stopping.set()
        for sender in senders:
            sender.join(30)
        # A collector that is killed again and again leaves what it had no time to store to the last one.
        left = len(list((directory / "wal").glob("*.seg")))
        print(f"{left} segments are left for the last start", file=sys.stderr)
        collector.stored(60.0 + 10.0 * rounds)
        acknowledged = {span_id for sender in senders for span_id in sender.acknowledged}
        rows = collector.rows("SELECT SpanId, count() AS c FROM otel_traces GROUP BY SpanId")
        counts = {row["SpanId"]: int(row["c"]) for row in rows}
        calls = int(collector.value("SELECT sum(Calls) FROM usage_10s"))
        collector.stop()
    return Outcome(
        rounds=rounds,
        acknowledged=len(acknowledged),
        stored=sum(counts.values()),
        lost=len(acknowledged - counts.keys()),
        doubled=sum(count > 1 for count in counts.values()),
        rollup_calls=calls,
        resends=sum(sender.resends for sender in senders),
        seconds=round(time.monotonic() - started, 1),
    )


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        outcome = run(Path(directory) / "data", arguments.rounds, arguments.seed)
    print(json.dumps({**asdict(outcome), "good": outcome.good}))
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())

"""Send a collector requests that are almost right, and check that it copes.

    python -m tests.malformed [--bodies N] [--seed N]

Valid requests of every signal, as protobuf and as JSON, plain and in every content-encoding, have some bytes
changed, inserted, removed or repeated, before or after compression. Every answer is a 200, a 4xx or the
deliberate 503; the collector goes on, its memory does not grow, and what it acknowledged is what it stores or
has set aside. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import random
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from backports import zstd
from google.protobuf.message import Message

from tests.collector.otlp import as_json, llm, logs, score, span, traces
from tests.collector.running import Launched, settings
from tests.collector.test_metrics import request as metrics_request

_ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "identity": lambda body: body,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
}
_TYPES = {"protobuf": "application/x-protobuf", "json": "application/json"}
_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Outcome:
    """`answers` by status; `grown_mib` is the growth of the collector's memory over the second half."""

    bodies: int
    answers: dict[str, int]
    unexpected: int
    grown_mib: int
    received: int
    stored: int
    quarantined: int
    seconds: float

    @property
    def good(self) -> bool:
        """Whether every answer was a deliberate one and everything acknowledged is accounted for."""
        whole = self.received == self.stored + self.quarantined
        return not self.unexpected and self.grown_mib < 64 and whole


def originals() -> list[tuple[str, Message]]:
    """Valid requests of every signal."""
    nested = llm({"tags": ["a", 1, 2.5], "nested": {"a": [1, {"b": None}]}, "raw": b"\x00\xff"})
    nested.events.add(name="e", time_unix_nano=time.time_ns()).attributes.extend(span({"k": "v"}).attributes)
    nested.links.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    record = score({"gen_ai.evaluation.name": "x", "gen_ai.evaluation.score.value": 0.5})
    return [
        ("traces", traces([nested, span()])),
        ("traces", traces([llm({"gen_ai.input.messages": '[{"role":"user","parts":[]}]'})])),
        ("logs", logs([record])),
        ("metrics", metrics_request()),
    ]


def mutated(body: bytes, source: random.Random) -> bytes:
    """The body with one or two small changes."""
    changed = bytearray(body)
    for _ in range(source.randrange(1, 3)):
        at = source.randrange(len(changed) + 1)
        how = source.choice(("flip", "flip", "flip", "insert", "delete", "cut", "repeat", "large"))
        if how == "flip" and at < len(changed):
            changed[at] ^= 1 << source.randrange(8)
        elif how == "insert":
            changed[at:at] = source.randbytes(source.randrange(1, 9))
        elif how == "delete":
            del changed[at : at + source.randrange(1, 9)]
        elif how == "cut":
            del changed[at:]
        elif how == "repeat":
            changed[at:at] = changed[max(0, at - 64) : at]
        elif how == "large":
            changed[at : at + 10] = b"\xff" * 9 + b"\x01"
    return bytes(changed)


def requests(count: int, seed: int) -> Iterator[tuple[str, dict[str, str], bytes]]:
    """Signal, headers and body of each request."""
    source = random.Random(seed)
    valid = [
        (signal, kind, message.SerializeToString() if kind == "protobuf" else as_json(message))
        for signal, message in originals()
        for kind in _TYPES
    ]
    for _ in range(count):
        signal, kind, body = source.choice(valid)
        encoding = source.choice(list(_ENCODINGS))
        inside = source.random() < 0.7
        sent = _ENCODINGS[encoding](mutated(body, source) if inside else body)
        if not inside:
            sent = mutated(sent, source)
        yield signal, {"content-type": _TYPES[kind], "content-encoding": encoding}, sent


def run(directory: Path, count: int, seed: int = 0) -> Outcome:
    """Send `count` requests over one connection that is opened again when the collector closes it."""
    started = time.monotonic()
    configured = settings(directory)
    answers: Counter[str] = Counter()
    unexpected = 0
    with Launched(configured) as collector:
        assert collector.process is not None
        process = psutil.Process(collector.process.pid)
        connection = http.client.HTTPConnection("127.0.0.1", configured.port, timeout=60)
        before = 0
        for number, (signal, headers, body) in enumerate(requests(count, seed)):
            if number == count // 2:
                connection.close()  # the collector closes it as well where storing outlasts its keep-alive
                collector.stored()
                before = process.memory_info().rss
            connection.request("POST", f"/v1/{signal}", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            answers[str(answer.status)] += 1
            deliberate = answer.status in (200, 400, 413, 415, 503)
            if not deliberate:
                unexpected += 1
                print(f"{answer.status} for {headers} {body!r}: {text!r}", file=sys.stderr)
            if number % 1000 == 999:
                print(f"{number + 1}: {dict(answers)}", file=sys.stderr)
        connection.close()
        collector.stored()
        grown = process.memory_info().rss - before
        received, quarantined = (
            sum(
                int(collector.metric(f"llmtrace_{name}_items_total", signal=signal))
                for signal in ("traces", "logs")
            )
            for name in ("received", "quarantined")
        )
        tables = ("otel_traces", "otel_logs")
        stored = sum(int(collector.value(f"SELECT count() FROM {table}")) for table in tables)
        collector.stop()
    return Outcome(
        bodies=count,
        answers=dict(sorted(answers.items())),
        unexpected=unexpected,
        grown_mib=grown // _MEBIBYTE,
        received=received,
        stored=stored,
        quarantined=quarantined,
        seconds=round(time.monotonic() - started, 1),
    )


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.malformed", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--bodies", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        outcome = run(Path(directory) / "data", arguments.bodies, arguments.seed)
    print(json.dumps({**asdict(outcome), "good": outcome.good}))
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())

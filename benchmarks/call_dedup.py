"""What it costs to count calls once: CPU of the passes of call deduplication beside what ingest takes.

    python -m benchmarks.call_dedup --help

Loads of LLM spans of 2 kB are inserted period by period, ten seconds of traffic each, with a pass of the
rollups and one of call deduplication after each. The last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from llmtrace_collector.ingest.wal_frame import Frame, encode

from .checkout import HERE, Checkout, ask, read_line
from .span_load import SPANS_PER_REQUEST, SpanLoad

_HELP = """\
What it costs to count calls once. A period is ten seconds of 2,048 spans; CPU counts, not time.

loads
  once        one instrumentation tells of every call
  two tracers each call is told once, by either of two instrumentations: every pass pairs, and finds nothing
  told twice  one instrumentation tells of every call, another one of 30 % of them too, without the id

figures of each load
  ingest_us       CPU of inserts and rollups per span (µs), merges included: of a run without deduplication
  dedup_percent   CPU that deduplication adds, in percent of that, merges included
  pass_percent    CPU of the passes themselves, in percent of that
  pass_seconds    how long a pass takes; the collector waits twenty times as long after one that wrote
  changed         spans of a pass that count otherwise since

examples:
  python -m benchmarks.call_dedup                           ten periods of each load
  python -m benchmarks.call_dedup --periods 4 --load once --against /tmp/before
"""

#: Requests of a segment, and segments of a period.
_REQUESTS, _SEGMENTS = 10, 4
_TELLER = "openinference.instrumentation.langchain"
LOADS = ("once", "two tracers", "told twice")


def bodies(load: str, periods: int, began: int) -> Iterator[bytes]:
    """The requests of a load, those of one period after those of another."""
    chance = random.Random(5)
    count = periods * _SEGMENTS * _REQUESTS
    spans = SpanLoad(count * SPANS_PER_REQUEST, 2000, "words")
    for number in range(count):
        body = spans.request(number, began)
        if load == "once":
            yield body
            continue
        request = ExportTraceServiceRequest.FromString(body)
        of_resource = request.resource_spans[0]
        first = of_resource.scope_spans[0]
        second = of_resource.scope_spans.add()
        second.scope.name = _TELLER
        if load == "two tracers":
            half = list(first.spans[::2])
            other = list(first.spans[1::2])
            del first.spans[:]
            first.spans.extend(half)
            second.spans.extend(other)
        else:
            _tell_again(first, second, chance)
        yield request.SerializeToString()


def _tell_again(first: ScopeSpans, second: ScopeSpans, chance: random.Random) -> None:
    """30 % of the calls of one instrumentation by another one that knows no id, in traces of its own."""
    for span in first.spans:
        if chance.random() >= 0.3:
            continue
        again = second.spans.add()
        again.CopyFrom(span)
        again.trace_id, again.span_id = chance.randbytes(16), chance.randbytes(8)
        again.start_time_unix_nano += 5_000_000
        again.end_time_unix_nano -= 5_000_000
        attributes = [item for item in again.attributes if item.key != "gen_ai.response.id"]
        del again.attributes[:]
        again.attributes.extend(attributes)


def segments_of(load: str, periods: int, folder: Path) -> list[list[Path]]:
    """The load as segment files, by period."""
    folder.mkdir(parents=True)
    began = time.time_ns()
    paths: list[Path] = []
    part: list[bytes] = []
    for number, body in enumerate(bodies(load, periods, began), 1):
        part += encode(Frame("", began, body))
        if number % _REQUESTS == 0:
            paths.append(folder / f"{len(paths):05d}.seg")
            paths[-1].write_bytes(b"".join(part))
            part = []
    return [paths[at : at + _SEGMENTS] for at in range(0, len(paths), _SEGMENTS)]


def run(checkout: Checkout, segments: Sequence[Sequence[Path]], directory: Path, mode: str) -> dict[str, Any]:
    """Insert a load into a new store; the sums of what the program says."""
    directory.mkdir(parents=True)
    errors = directory / "stderr.txt"
    child = checkout.start("call_dedup.py", [str(directory / "store"), mode], errors=errors)
    try:
        read_line(child, errors)
        periods = [json.loads(ask(child, " ".join(map(str, part)), errors)) for part in segments]
        assert child.stdin is not None
        child.stdin.close()
        last: dict[str, Any] = json.loads(read_line(child, errors))
        child.wait(120)
    finally:
        child.kill()
        child.wait()
    sums = {name: sum(period[name] for period in periods) for name in periods[0]}
    return {**last, **sums, "periods": len(periods)}


def measure(checkout: Checkout, load: str, periods: int, folder: Path) -> dict[str, float]:
    """The figures of one load over a checkout's sources."""
    segments = segments_of(load, periods, folder / "segments")
    off = run(checkout, segments, folder / "off", "off")
    on = run(checkout, segments, folder / "on", "on")
    spans = on["spans"]
    return {
        "spans": spans,
        "counted": on["counted"],
        "ingest_us": round(off["cpu"] / spans * 1e6, 2),
        "dedup_percent": round((on["cpu"] / off["cpu"] - 1) * 100, 2),
        "pass_percent": round(on["dedup"] / off["cpu"] * 100, 2),
        "pass_seconds": round(on["seconds"] / on["periods"], 3),
        "changed": round(on["changed"] / on["periods"]),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--periods", type=int, default=10)
    parser.add_argument("--load", choices=LOADS, action="append", help="only this load")
    parser.add_argument("--against", type=Path, help="another checkout, measured in turn")
    options = parser.parse_args(arguments)
    checkouts = {"": Checkout.of(HERE)}
    if options.against:
        checkouts["before: "] = Checkout.of(options.against)
    figures: dict[str, dict[str, float]] = {}
    for load in options.load or LOADS:
        for name, checkout in checkouts.items():
            with tempfile.TemporaryDirectory() as folder:
                figures[name + load] = measure(checkout, load, options.periods, Path(folder) / "run")
            print(f"{name}{load}: {figures[name + load]}", file=sys.stderr, flush=True)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())

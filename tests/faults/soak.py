"""Steady load for long, with watch and queries: lag, memory, descriptors."""

from __future__ import annotations

import contextlib
import json
import os
import random
import statistics
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.collector.otlp import realistic, traces

from .case import Scene, wait_until
from .processes import Process, Tree, Watch
from .senders import post

_QUERIES = (
    "SELECT RequestModel, count(), sum(InputTokens) FROM otel_traces "
    "WHERE Timestamp > now() - INTERVAL 5 MINUTE GROUP BY 1",
    "SELECT Time, sum(Calls) FROM usage_10s "
    "WHERE Time > now() - INTERVAL 15 MINUTE GROUP BY Time ORDER BY Time",
    "SELECT ServiceName, sum(Received), sum(Stored) FROM completeness GROUP BY 1",
)
_SAMPLE_SECONDS = 2.0
#: A start is no steady state.
_WARM_SECONDS = 20.0
#: Growth of memory between the second and the last quarter above which there is a trend.
_TREND = 0.15


@dataclass
class _Samples:
    lags: list[float] = field(default_factory=list)
    memory: dict[str, list[int]] = field(default_factory=lambda: {"collector": [], "watch": []})
    descriptors: dict[str, list[int]] = field(default_factory=lambda: {"collector": [], "watch": []})
    worries: list[str] = field(default_factory=list)
    query_seconds: list[float] = field(default_factory=list)


def soak(tree: Tree, folder: Path, minutes: float, rate: int) -> int:
    """Send `rate` spans of 1 kB a second; prints a line a minute and one JSON object last. 0 where all is
    bounded.
    """
    samples = _Samples()
    acknowledged = [0]
    with contextlib.ExitStack() as stack:
        scene = Scene(folder / "soak", tree, random.Random(1), stack)
        scene.folder.mkdir()
        collector = scene.collector(segment_seconds=1.0, segment_bytes=8 << 20)
        assert collector.start(), collector.output[-1000:]
        watch = scene.watch(collector, interval_seconds=3.0)
        stopping = threading.Event()
        stack.callback(stopping.set)
        bodies = _Bodies(rate)
        threads = [
            threading.Thread(target=_send, args=(collector.port, bodies, stopping, acknowledged), daemon=True)
        ]
        threads.append(threading.Thread(target=_query, args=(collector, stopping, samples), daemon=True))
        for thread in threads:
            thread.start()
        began = time.monotonic()
        ends = began + minutes * 60
        printed = 0.0
        while (now := time.monotonic()) < ends:
            _sample("collector", collector, samples)
            _sample("watch", watch, samples)
            lag = _lag(watch)
            page = watch.page("/health/ready")
            if now - began > _WARM_SECONDS:
                samples.lags.append(lag)
                if page.status != 200:
                    samples.worries.append(f"{page.status} {page.text[:150]}")
            if now - printed > 60:
                printed = now
                memory = samples.memory["collector"][-1] >> 20
                print(
                    f"soak: {acknowledged[0]} spans, lag {lag:.1f} s, collector {memory} MB",
                    file=sys.stderr,
                    flush=True,
                )
            time.sleep(_SAMPLE_SECONDS)
        stopping.set()
        for thread in threads:
            thread.join(30)
        is_drained = wait_until(lambda: not list((collector.data_dir / "wal").glob("traces-*.seg")), 120)
        stored = int(collector.rows("SELECT count() AS c FROM otel_traces")[0]["c"])
    result = {
        "minutes": minutes,
        "rate": rate,
        "acknowledged": acknowledged[0],
        "stored": stored,
        "drained": is_drained,
        "watch_lag_p50": _percentile(samples.lags, 50),
        "watch_lag_p99": _percentile(samples.lags, 99),
        "query_p99_seconds": _percentile(samples.query_seconds, 99),
        "memory_mb": {
            name: [value >> 20 for value in _quarters(values)] for name, values in samples.memory.items()
        },
        "descriptors": {name: _quarters(values) for name, values in samples.descriptors.items()},
        "not_ready": len(samples.worries),
        "last_worry": samples.worries[-1] if samples.worries else "",
    }
    print(json.dumps(result))
    trends = [_trend(values) for values in (*samples.memory.values(), *samples.descriptors.values())]
    is_good = stored == acknowledged[0] and _percentile(samples.lags, 99) <= 10 and max(trends) <= _TREND
    return 0 if is_good else 1


class _Bodies:
    """Requests of 50 spans, made of some spans each with new ids and times: making each anew takes a core.
    Each is a call of its own, as its response's id says.
    """

    def __init__(self, rate: int) -> None:
        self.interval = 50 / rate
        choose = random.Random(3)
        self._requests = [
            traces([realistic(choose, 1000, time.time_ns()) for _ in range(50)]) for _ in range(12)
        ]
        self._number = 0

    def next(self) -> bytes:
        """The next one, of now."""
        self._number += 1
        request = self._requests[self._number % len(self._requests)]
        now = time.time_ns()
        for span in request.resource_spans[0].scope_spans[0].spans:
            span.span_id, span.trace_id = os.urandom(8), os.urandom(16)
            for attribute in span.attributes:
                if attribute.key == "gen_ai.response.id":
                    attribute.value.string_value = f"chatcmpl-{span.trace_id.hex()[:24]}"
            length = min(span.end_time_unix_nano - span.start_time_unix_nano, 10**9)
            span.start_time_unix_nano, span.end_time_unix_nano = now - length, now
        return request.SerializeToString()


def _send(port: int, bodies: _Bodies, stopping: threading.Event, acknowledged: list[int]) -> None:
    began = time.monotonic()
    number = 0
    while not stopping.is_set():
        body = bodies.next()
        while not post(port, body):
            if stopping.wait(0.2):
                return
        number += 1
        acknowledged[0] += 50
        stopping.wait(max(0.0, began + number * bodies.interval - time.monotonic()))


def _query(collector: object, stopping: threading.Event, samples: _Samples) -> None:
    number = 0
    while not stopping.wait(2.0):
        began = time.monotonic()
        collector.read(_QUERIES[number % len(_QUERIES)])  # type: ignore[attr-defined]
        samples.query_seconds.append(time.monotonic() - began)
        number += 1


def _sample(name: str, process: Process, samples: _Samples) -> None:
    status = Path(f"/proc/{process.pid}/status").read_text()
    resident = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS"))
    samples.memory[name].append(resident)
    samples.descriptors[name].append(len(list(Path(f"/proc/{process.pid}/fd").iterdir())))


def _lag(watch: Watch) -> float:
    """The largest lag that watch's metrics tell of, or how long its last evaluation took where they tell of
    none.
    """
    lags, seconds = [], 0.0
    for line in watch.page("/metrics").text.splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("llmtrace") and "lag_seconds" in name:
            lags.append(float(value))
        elif name == "llmtrace_watch_look_seconds":
            seconds = float(value)
    return max(lags, default=seconds)


def _percentile(values: list[float], percent: int) -> float:
    if len(values) < 2:
        return round(values[0], 2) if values else 0.0
    return round(statistics.quantiles(values, n=100)[percent - 1], 2)


def _quarters(values: list[int]) -> list[int]:
    """The median of each quarter of the run."""
    size = max(1, len(values) // 4)
    return [
        int(statistics.median(values[start : start + size]))
        for start in range(0, size * 4, size)
        if values[start:]
    ]


def _trend(values: list[int]) -> float:
    """By what share the last quarter is above the second."""
    quarters = _quarters(values)
    return 0.0 if len(quarters) < 4 else quarters[3] / max(1, quarters[1]) - 1

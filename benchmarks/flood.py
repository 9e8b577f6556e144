"""A flood of OTLP requests to running collectors, and what it costs their processes."""

from __future__ import annotations

import http.client
import itertools
import random
import statistics
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.collector.otlp import DAY, realistic, traces
from tests.collector.running import PROTOBUF

from .collector_process import CollectorProcess
from .quiet import Patience, Quiet, cpu_seconds, until_quiet
from .span_load import RATE, SPANS_PER_REQUEST, Load, PartOfLoad

#: Hours are closed outside of a flood, where it does not last long: seconds before an hour's end at which a
#: flood still begins, and seconds of the spans' own time from which on and up to which it waits for that.
_BEFORE_THE_HOUR, _SHORT, _BRIEF = 150, 900, 30

#: Requests that a collector gets in its turn: six whole segments of the default size.
_REQUESTS_OF_A_TURN = 96

#: Closed segments that may wait to be stored before senders pause: the flood is as fast as the store, and a
#: long one neither fills the disk nor meets the log's budget.
_WAITING_SEGMENTS = 16


@dataclass(frozen=True)
class Destination:
    """What is posted: where to, how encoded, and the table in which each of its items is a row."""

    signal: str = "traces"
    table: str = "otel_traces"
    headers: Mapping[str, str] = field(default_factory=dict)


_SPANS = Destination()


@dataclass(frozen=True)
class Plan:
    """How a flood is sent and watched. With a `rate` (spans a second) that much is sent, and read meanwhile;
    without, all that is taken. `patience` None: nobody waits until merges are quiet.
    """

    senders: int = 4
    rate: float = 0.0
    destination: Destination = _SPANS
    patience: Patience | None = None


@dataclass(frozen=True)
class Cost:
    """What a flood cost: CPU (s) until the last row, CPU until quiet and of that Python's own threads, and
    the process's share of a core when idle; time (s) until the last acknowledgement and until the last row.
    """

    spans: int
    cpu: float
    wall: float
    acknowledged: float
    rss_mb_peak: float
    acks: list[float]
    queryable: list[float]
    to_quiet: float = 0.0
    python: float = 0.0
    idle_share: float = 0.0

    @property
    def ack_ms_p50(self) -> float:
        """Median time of an acknowledgement."""
        return statistics.median(self.acks)

    @property
    def ack_ms_p99(self) -> float:
        """Time within which 99 of 100 requests were acknowledged."""
        return self.acks[int(len(self.acks) * 0.99)]

    @property
    def queryable_ms_p95(self) -> float:
        """Time within which 95 of 100 marked spans could be read; 0 where none were sent."""
        return sorted(self.queryable)[int(len(self.queryable) * 0.95)] if self.queryable else 0.0


class _Post(threading.Thread):
    """Posts requests over one connection, each the next of what all senders share; keeps the time of each
    acknowledgement (ms).
    """

    def __init__(
        self, collector: CollectorProcess, bodies: Iterator[bytes], pause: float, plan: Plan
    ) -> None:
        super().__init__(daemon=True)
        self._collector = collector
        self._bodies = bodies
        self._pause = pause
        self._destination = plan.destination
        self.acks: list[float] = []
        self.error: Exception | None = None

    def run(self) -> None:
        """Post until there is nothing left."""
        try:
            self._post_all()
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            self.error = error

    def _post_all(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._collector.port, timeout=120)
        began = time.perf_counter()
        headers = {**PROTOBUF, **self._destination.headers}
        for number, body in enumerate(self._bodies):
            time.sleep(max(0.0, began + number * self._pause - time.perf_counter()))
            while self._collector.segments() > _WAITING_SEGMENTS:
                time.sleep(0.05)
            started = time.perf_counter()
            connection.request("POST", f"/v1/{self._destination.signal}", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"the collector answered {answer.status}")
            self.acks.append((time.perf_counter() - started) * 1e3)
        connection.close()


class _Shared(Iterator[bytes]):
    """The requests of a load, each for the first thread that asks."""

    def __init__(self, load: Load, began: int) -> None:
        self._load = load
        self._began = began
        self._numbers = itertools.count()  # next() of it is one step for the interpreter

    def __next__(self) -> bytes:
        number = next(self._numbers)
        if number >= len(self._load):
            raise StopIteration
        return self._load.request(number, self._began)


class _FreshnessProbe(threading.Thread):
    """Sends one marked span now and then and times until it can be read (ms)."""

    def __init__(self, collector: CollectorProcess) -> None:
        super().__init__(daemon=True)
        self._collector = collector
        self.stopping = threading.Event()
        self.queryable: list[float] = []

    def run(self) -> None:
        """Measure until stopped."""
        source = random.Random(2)
        while not self.stopping.wait(0.1):
            probe = realistic(source, 0, time.time_ns() - 2 * DAY)
            started = time.perf_counter()
            self._collector.post(traces([probe]))
            text = (
                "SELECT count() FROM otel_traces WHERE TraceId = {t:String} "
                "AND Timestamp < now() - INTERVAL 1 DAY"
            )
            while self._collector.value(text, t=probe.trace_id.hex()) == "0":
                time.sleep(0.05)
            self.queryable.append((time.perf_counter() - started) * 1e3)


class _Flood:
    """A load on its way to a running collector, in parts; CPU is its process's, from the first byte on."""

    def __init__(self, collector: CollectorProcess, plan: Plan) -> None:
        self._collector = collector
        self._plan = plan
        self._before = collector.count(plan.destination.table) or 0
        self._meters = [lambda: cpu_seconds(collector.process), collector.python_seconds]
        self._used = [meter() for meter in self._meters]
        self._cpu = self._acknowledged = self._rss = 0.0
        self._acks: list[float] = []
        self._queryable: list[float] = []
        self._quiet: Quiet | None = None
        self.seconds = 0.0

    def send(self, load: Load, began: int) -> None:
        """Send some of it and wait until that can be read. Raises RuntimeError where a request fails."""
        plan, collector = self._plan, self._collector
        started = time.perf_counter()
        bodies = _Shared(load, began)
        pause = SPANS_PER_REQUEST * plan.senders / plan.rate if plan.rate else 0.0
        posts = [_Post(collector, bodies, pause, plan) for _ in range(plan.senders)]
        freshness = _FreshnessProbe(collector)
        for thread in [*posts, *([freshness] if plan.rate else [])]:
            thread.start()
        acknowledged = 0.0
        while (sending := any(post.is_alive() for post in posts)) or collector.segments():
            if not sending:
                acknowledged = acknowledged or time.perf_counter() - started
            self._rss = max(self._rss, collector.process.memory_info().rss)
            time.sleep(0.02)
        seconds = time.perf_counter() - started
        self.seconds += seconds
        self._acknowledged += acknowledged or seconds
        self._cpu = self._meters[0]() - self._used[0]
        freshness.stopping.set()
        if plan.rate:
            freshness.join()
        for post in posts:
            if post.error is not None:
                raise RuntimeError(f"a request failed: {post.error}") from post.error
            self._acks += post.acks
        self._queryable += freshness.queryable

    def wait(self, spans: int) -> None:
        """Wait until the process is quiet, where that is planned."""
        if self._plan.patience is None:
            return
        store = self._collector.directory / "store"
        rows = self._before + spans
        self._quiet = until_quiet(
            self._meters, store, self._plan.patience, lambda: _caught_up(self._collector, rows)
        )

    def cost(self, spans: int, elsewhere: float = 0.0) -> Cost:
        """What it cost, without what the process uses idle in the seconds in which the load was `elsewhere`.

        Raises RuntimeError where not everything is stored.
        """
        stored = (self._collector.count(self._plan.destination.table) or 0) - self._before
        if stored != spans + len(self._queryable):
            raise RuntimeError(f"{stored} of {spans} spans were stored")
        quiet = self._quiet
        idle = (0.0, 0.0) if quiet is None else quiet.idle
        totals = self._used if quiet is None else quiet.cpu
        to_quiet, python = (
            total - used - share * elsewhere
            for total, used, share in zip(totals, self._used, idle, strict=True)
        )
        return Cost(
            spans=spans,
            cpu=self._cpu - idle[0] * elsewhere,
            wall=self.seconds,
            acknowledged=self._acknowledged,
            rss_mb_peak=self._rss / (1 << 20),
            acks=sorted(self._acks),
            queryable=self._queryable,
            to_quiet=to_quiet,
            python=python,
            idle_share=idle[0],
        )


def send_in_turn(collectors: Mapping[str, CollectorProcess], load: Load, plan: Plan) -> dict[str, Cost]:
    """Send the same load to several running collectors, a few seconds' worth to each in turn, so that all of
    them meet whatever else the machine does.

    Raises RuntimeError where one did not take and store everything.
    """
    _wait_for_an_hour(load.spans / RATE)
    began = time.time_ns()
    floods = {name: _Flood(collector, plan) for name, collector in collectors.items()}
    order = list(floods)
    for first in range(0, len(load), _REQUESTS_OF_A_TURN):
        part = PartOfLoad(load, first, min(_REQUESTS_OF_A_TURN, len(load) - first))
        for name in order:
            floods[name].send(part, began)
        order.reverse()
    with ThreadPoolExecutor(len(floods)) as pool:
        list(pool.map(lambda flood: flood.wait(load.spans), floods.values()))
    everywhere = sum(flood.seconds for flood in floods.values())
    return {name: flood.cost(load.spans, everywhere - flood.seconds) for name, flood in floods.items()}


def send(collector: CollectorProcess, load: Load, plan: Plan) -> Cost:
    """Send a load to a running collector at once.

    Raises RuntimeError where it did not take and store everything.
    """
    _wait_for_an_hour(load.spans / RATE)
    flood = _Flood(collector, plan)
    flood.send(load, time.time_ns())
    flood.wait(load.spans)
    return flood.cost(load.spans)


def _wait_for_an_hour(seconds: float) -> None:
    """Wait until the last `seconds` and the next ones lie within one hour: a flood is faster than live
    traffic, so an hour that ends within it would be closed again and again.
    """
    if not _BRIEF < seconds < _SHORT:
        return
    while not seconds < time.time() % 3600 < 3600 - _BEFORE_THE_HOUR:
        time.sleep(1)


def _caught_up(collector: CollectorProcess, spans: int) -> bool:
    """Whether the rows of whole traces are all there, where a checkout has such: each span is a trace."""
    traces_rows = collector.count("traces")
    return traces_rows is None or traces_rows >= spans

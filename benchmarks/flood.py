"""A flood of OTLP requests to a collector in a process of its own, and what it cost that process."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from tests.collector.otlp import DAY, realistic, traces
from tests.collector.running import CLIENT, PROTOBUF, RunningCollector, free_port, until

from .checkout import Checkout, ask
from .quiet import Patience, cpu_seconds, until_quiet
from .span_load import RATE, SPANS_PER_REQUEST, Load

#: Hours are closed outside of a flood, where it does not last long: seconds before an hour's end at which a
#: flood still begins, and seconds of the spans' own time from which on and up to which it waits for that.
_BEFORE_THE_HOUR, _SHORT, _BRIEF = 150, 900, 30

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


class CollectorProcess(RunningCollector):
    """A checkout's collector with its data in `directory`, running while the context lasts.

    `program` is one of `programs/`. Settings that are not in `fields` are the checkout's defaults.
    """

    def __init__(
        self, checkout: Checkout, directory: Path, fields: Mapping[str, Any], program: str = "collector.py"
    ) -> None:
        self._checkout = checkout
        self._program = program
        self._port = free_port()
        self._fields = {**fields, "data_dir": str(directory), "port": self._port}
        self._errors = directory / "stderr.txt"
        self.directory = directory
        self.url = f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return self._port

    def __enter__(self) -> CollectorProcess:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._child = self._checkout.start(self._program, [json.dumps(self._fields)], errors=self._errors)
        self.process = psutil.Process(self._child.pid)
        try:
            until(self._ready, 120, "the collector's start")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._child.terminate()
        try:
            self._child.wait(60)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def _ready(self) -> bool:
        if self._child.poll() is not None:
            raise RuntimeError(f"the collector of {self._checkout.folder} ended: {self._complaint()}")
        try:
            return CLIENT.get(f"{self.url}/health/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def _complaint(self) -> str:
        return self._errors.read_text()[-2000:]

    def segments(self) -> int:
        """Segments of the log that are not stored yet."""
        return sum(1 for _ in (self.directory / "wal").glob("*.seg"))

    def python_seconds(self) -> float:
        """CPU of its Python threads so far, without the one that waits in the engine for each insert."""
        seconds: dict[str, float] = json.loads(ask(self._child, "", self._errors))
        return sum(used for name, used in seconds.items() if name != "llmtrace-writer")

    def count(self, table: str) -> int | None:
        """How many rows a table has; None where this checkout has no such table."""
        answer = self.sql(f"SELECT count() FROM {table}")
        return int(answer.text) if answer.status_code == 200 else None


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


def send(collector: CollectorProcess, load: Load, plan: Plan) -> Cost:
    """Send a load to a running collector; CPU is its process's, from the first byte on.

    Raises RuntimeError where it did not take and store everything.
    """
    _wait_for_an_hour(load.spans / RATE)
    before = collector.count(plan.destination.table) or 0
    meters: list[Callable[[], float]] = [lambda: cpu_seconds(collector.process), collector.python_seconds]
    used, python = (meter() for meter in meters)
    began, started = time.time_ns(), time.perf_counter()
    bodies = _Shared(load, began)
    pause = SPANS_PER_REQUEST * plan.senders / plan.rate if plan.rate else 0.0
    posts = [_Post(collector, bodies, pause, plan) for _ in range(plan.senders)]
    freshness = _FreshnessProbe(collector)
    for thread in [*posts, *([freshness] if plan.rate else [])]:
        thread.start()
    rss = 0
    acknowledged = 0.0
    while (sending := any(post.is_alive() for post in posts)) or collector.segments():
        if not sending:
            acknowledged = acknowledged or time.perf_counter() - started
        rss = max(rss, collector.process.memory_info().rss)
        time.sleep(0.02)
    wall, cpu = time.perf_counter() - started, cpu_seconds(collector.process) - used
    freshness.stopping.set()
    if plan.rate:
        freshness.join()
    for post in posts:
        if post.error is not None:
            raise RuntimeError(f"a request failed: {post.error}") from post.error
    quiet = None
    if plan.patience is not None:
        store = collector.directory / "store"
        quiet = until_quiet(meters, store, plan.patience, lambda: _caught_up(collector, before + load.spans))
    stored = (collector.count(plan.destination.table) or 0) - before - len(freshness.queryable)
    if stored != load.spans:
        raise RuntimeError(f"{stored} of {load.spans} spans were stored")
    return Cost(
        spans=load.spans,
        cpu=cpu,
        wall=wall,
        acknowledged=acknowledged or wall,
        rss_mb_peak=rss / (1 << 20),
        acks=sorted(ack for post in posts for ack in post.acks),
        queryable=freshness.queryable,
        to_quiet=quiet.cpu[0] - used if quiet else 0.0,
        python=quiet.cpu[1] - python if quiet else 0.0,
        idle_share=quiet.idle_share if quiet else 0.0,
    )


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


def flood(
    checkout: Checkout,
    directory: Path,
    fields: Mapping[str, Any],
    load: Load,
    plan: Plan,
    program: str = "collector.py",
) -> Cost:
    """Send a load to a new collector of a checkout with its data in `directory`; see `send`."""
    with CollectorProcess(checkout, directory, fields, program) as collector:
        return send(collector, load, plan)

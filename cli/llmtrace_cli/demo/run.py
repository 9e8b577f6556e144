"""The demo: start everything, drive real calls through it, wait until all of it arrived, and show it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, cycle, repeat
from pathlib import Path
from typing import TypeVar

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import llmtrace
from llmtrace.common.escaping import visible_lines
from llmtrace_analysis.settings import Webhook
from llmtrace_cli.config.settings import PartName, Settings
from llmtrace_cli.local_servers import free_port, is_free
from llmtrace_cli.stack.processes import Process, Stack, plan, wait_ready
from llmtrace_collector.settings import ModelPrice
from llmtrace_collector.store.reader import open_reader

from . import report
from .simulated_history import CallMeasurement, send_history
from .traffic import RUNS, SERVICE, USERS, DemoCall, Traffic
from .webhook_sink import WebhookSink

_Result = TypeVar("_Result")

#: In the order in which they should be ready: the service loads longest, MLflow is needed last.
_PARTS: tuple[PartName, ...] = ("collector", "inference", "watch", "mlflow", "dashboard")
_DEFAULT_PORTS: dict[PartName, int] = {
    "collector": 4318,
    "dashboard": 8501,
    "mlflow": 5000,
    "inference": 8000,
}

_MARKER = "this-is-a-demo"
_BUCKET = 10.0
_WARM_UP_CALLS = 24
_ORDINARY_SECONDS = 10.5  # both runs of the experiment fit
_CALLS_PER_SECOND = 6.0
_ANOMALY_CALLS_PER_SECOND = 9.0
_EXPERIMENT_CALLS = 20
_ANOMALY_BEFORE, _ANOMALY_AFTER = 4.0, 5.0  # around a bucket's edge, so that two buckets show it
_FLOOD_CALLS = 90
_WAIT_SECONDS = 120.0


class DemoFailed(Exception):
    """The demo could not be carried out; the message says why."""


def run(
    *,
    once: bool,
    keep: bool,
    calls: int = 320,
    data_dir: Path = Path(".llmtrace/demo"),
    crash: bool = False,
    report_file: Path | None = None,
) -> int:
    """Run the demo and return its exit code: 0 when every check holds.

    Without `once` it stays up with light traffic until Ctrl-C. `crash` kills the collector (SIGKILL) in the
    middle of the traffic and starts it again. `report_file` gets the report as JSON.
    """
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 118)
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _interrupt)
    stack: Stack | None = None
    processes: dict[PartName, Process] = {}
    try:
        _make_data_directory(data_dir)
        with WebhookSink() as sink:
            stack = plan(_settings(data_dir, sink).linked(_PARTS), _PARTS)
            processes = {
                part.name: Process(part, data_dir / "logs" / f"{part.name}.log") for part in stack.parts
            }
            with _progress(console) as progress:
                demo = _Demo(stack, processes, sink, progress, calls=calls, crash=crash)
                demo_report = demo.play(started)
            report.show(demo_report, console)
            if report_file is not None:
                report_file.write_text(json.dumps(demo_report.as_json(), indent=2, default=str))
            failed = [check.name for check in demo_report.checks() if not check.holds]
            if failed:
                keep = True  # its logs and store say more
                logs = escape(str(data_dir / "logs"))
                console.print(f"[red]the demo failed:[/red] {'; '.join(failed)} (logs: {logs})")
            if not once:
                console.print("It stays up with light traffic; Ctrl-C stops everything.")
                demo.stay()
            demo.close()
            return 1 if failed else 0
    except KeyboardInterrupt:
        console.print("stopping …")
        return 0 if not once else 130
    except DemoFailed as error:
        console.print(f"[red]the demo failed:[/red] {escape(visible_lines(str(error)))}")
        keep = True
        return 1
    finally:
        llmtrace.shutdown()
        # The collector last: the others have spans to hand over.
        stop_all([process for name, process in processes.items() if name != "collector"])
        stop_all([process for name, process in processes.items() if name == "collector"])
        if stack is not None:
            stack.file.unlink(missing_ok=True)
        if once and not keep and not sys.exc_info()[0]:
            shutil.rmtree(data_dir, ignore_errors=True)


class _Demo:
    """One demo on its running parts."""

    def __init__(
        self,
        stack: Stack,
        processes: dict[PartName, Process],
        sink: WebhookSink,
        progress: Progress,
        *,
        calls: int,
        crash: bool,
    ) -> None:
        self._stack = stack
        self._processes = processes
        self._sink = sink
        self._progress = progress
        self._calls = calls
        self._crash = crash
        self._collector_url = _url(stack, "collector")
        self._traffic: Traffic | None = None

    def play(self, started: float) -> report.Report:
        """Everything from the start of the parts to the report."""
        self._start(("collector", "inference"))
        # What an earlier demo could not deliver is not this one's.
        os.environ["LLMTRACE_SPOOL_DIR"] = str(self._stack.settings.data_dir / "spool")
        llmtrace.init(endpoint=self._collector_url, service_name=SERVICE)
        models = tuple(self._stack.settings.inference.models)
        traffic = self._traffic = Traffic(_url(self._stack, "inference"), models)
        self._warm_up(traffic)
        self._start(("watch", "mlflow", "dashboard"), wait=False)
        with ThreadPoolExecutor(1) as executor:
            simulated = executor.submit(self._send_history, list(traffic.counts.measurements))
            anomaly_start = self._send_ordinary_calls(traffic)
        # A busy machine: the history, which must be there, took longer than the ordinary traffic.
        if time.time() > anomaly_start + 1:
            anomaly_start = _next_edge(time.time()) - _ANOMALY_BEFORE
            for _ in traffic.pace(repeat(traffic.ordinary), _CALLS_PER_SECOND, anomaly_start):
                pass
        self._send_anomalous_calls(traffic, anomaly_start)
        reader = open_reader(self._collector_url)
        try:
            with self._step("calls until detection has spoken", self._calls) as advance:
                self._send_until_detected(traffic, reader, advance)
            traffic.drain()
            demo_report = self._collect(traffic, reader, anomaly_start, simulated.result(), started)
        finally:
            reader.close()
        return demo_report

    def stay(self) -> None:
        """Light traffic until interrupted."""
        if self._traffic is None:
            return
        for _ in self._traffic.pace(repeat(self._traffic.ordinary), 1.0, math.inf):
            for process in self._processes.values():
                if not process.alive:
                    raise DemoFailed(f"{process.part.name} ended:\n{process.tail()}")

    def close(self) -> None:
        """End the traffic."""
        if self._traffic is not None:
            self._traffic.close()

    def _start(self, names: tuple[PartName, ...], *, wait: bool = True) -> None:
        for name in names:
            self._processes[name].start()
        if not wait:
            return
        with self._step(f"starting {', '.join(names)}", None):
            self._wait_ready(names)

    def _wait_ready(self, names: tuple[PartName, ...]) -> None:
        parts = [self._stack.part(name) for name in names]
        missing = wait_ready(parts, timeout=120.0, alive=lambda part: self._processes[part.name].alive)
        for part in missing:
            process = self._processes[part.name]
            state = "did not become ready" if process.alive else "ended"
            raise DemoFailed(f"{part.name} {state}; its log ends:\n{process.tail()}")

    def _warm_up(self, traffic: Traffic) -> None:
        with self._step("first calls, to learn how fast this machine is", _WARM_UP_CALLS) as advance:
            for number in range(_WARM_UP_CALLS):
                traffic.send(traffic.ordinary())
                advance(number + 1)
            traffic.drain()
        if traffic.counts.errors or not traffic.counts.measurements:
            log = self._processes["inference"].tail()
            raise DemoFailed(f"the inference service did not answer the first calls; its log ends:\n{log}")

    def _send_history(self, measurements: list[CallMeasurement]) -> int:
        with self._step("beside them, an hour of simulated history, labelled so", 60) as advance:
            return send_history(
                self._collector_url,
                measurements,
                USERS,
                until=time.time_ns() - 30 * 1_000_000_000,
                calls_per_second=_CALLS_PER_SECOND,
                seed=11,
                progress=advance,
            )

    def _send_ordinary_calls(self, traffic: Traffic) -> float:
        """Ordinary traffic and the experiment; returns when the anomaly begins."""
        begin = time.time()
        anomaly_start = _next_edge(begin + _ORDINARY_SECONDS) - _ANOMALY_BEFORE
        rotation: list[Callable[[], DemoCall]] = [traffic.ordinary]
        rotation += [partial(traffic.experiment, name) for name in RUNS]
        call_makers = chain(rotation * _EXPERIMENT_CALLS, repeat(traffic.ordinary))
        with self._step("ordinary calls: 20 users, two runs of an experiment", 100) as advance:
            for _ in traffic.pace(call_makers, _CALLS_PER_SECOND, anomaly_start):
                share = (time.time() - begin) / (anomaly_start - begin)
                advance(round(100 * share))
                if self._crash and share > 0.5:
                    self._crash_collector()
        return anomaly_start

    def _crash_collector(self) -> None:
        self._crash = False
        self._processes["collector"].kill()
        self._processes["collector"].start()

    def _send_anomalous_calls(self, traffic: Traffic, anomaly_start: float) -> None:
        """Slow and failing calls, and one user who floods with injection prompts."""
        until = anomaly_start + _ANOMALY_BEFORE + _ANOMALY_AFTER
        with self._step("a spell of slow and failing calls, and a flood of injections", 100) as advance:
            flooded = 0
            refused = (traffic.failing, traffic.failing)
            call_makers = cycle((traffic.failing, traffic.slow, *refused, traffic.ordinary, *refused))
            for _ in traffic.pace(call_makers, _ANOMALY_CALLS_PER_SECOND, until):
                share = min(1.0, (time.time() - anomaly_start) / (until - anomaly_start))
                # One at a time: on a busy machine the flood must not crowd out the failing calls.
                if flooded < share * _FLOOD_CALLS:
                    traffic.send(traffic.injection())
                    flooded += 1
                advance(round(100 * share))

    def _send_until_detected(self, traffic: Traffic, reader: Client, advance: Callable[[int], None]) -> None:
        """Ordinary calls until enough were made and both kinds of incident are there."""
        next_query = 0.0
        deadline = time.time() + _WAIT_SECONDS
        for _ in traffic.pace(repeat(traffic.ordinary), _CALLS_PER_SECOND / 2, deadline):
            advance(min(traffic.counts.calls, self._calls))
            if traffic.counts.calls < self._calls or time.time() < next_query:
                continue
            next_query = time.time() + 1.0
            kinds: set[str] = _query_or_default(
                lambda: {row["Kind"] for row in report.incidents(reader)}, set()
            )
            if {"anomaly", "abuse"} <= kinds:
                return

    def _collect(
        self, traffic: Traffic, reader: Client, anomaly_start: float, simulated: int, started: float
    ) -> report.Report:
        """Wait until every part has everything, and ask."""
        with self._step("waiting until everything is queryable", None):
            llmtrace.flush(30)
            expected = traffic.counts.calls
            answered = expected - traffic.counts.errors
            _wait_until(lambda: int(report.spans(reader)["distinct_calls"]) >= expected)
            _wait_until(lambda: report.whole_traces(reader) >= answered)
            self._wait_ready(("dashboard", "mlflow"))
            mlflow_url = _url(self._stack, "mlflow")
            _wait_until(lambda: {run.name for run in report.runs(mlflow_url) if run.metrics} >= set(RUNS))
            _wait_until(lambda: int(report.overall(reader)["unpriced"]) == 0, seconds=10)
            _wait_until(
                lambda: (
                    {incident["IncidentId"] for incident in report.incidents(reader)}
                    <= {
                        str(item.incident.get("incident_id", item.incident.get("id")))
                        for item in self._sink.received
                    }
                ),
                seconds=10,
            )
        trace = report.example_trace(reader)
        dashboard = _url(self._stack, "dashboard")
        incidents = report.incidents(reader)
        return report.Report(
            generated=traffic.counts.calls,
            failed=traffic.counts.errors,
            stored=report.overall(reader),
            spans=report.spans(reader),
            whole_traces=report.whole_traces(reader),
            incidents=incidents,
            # An anomaly opens with the bucket in which it showed first.
            calm_incidents=sum(
                incident["OpenedAt"] < anomaly_start // _BUCKET * _BUCKET for incident in incidents
            ),
            deliveries=self._sink.received,
            runs=report.runs(mlflow_url),
            simulated=simulated,
            example_trace=trace,
            seconds=time.monotonic() - started,
            urls={
                "dashboard": dashboard,
                "a trace": f"{dashboard}/traces?trace={trace}",
                "MLflow": mlflow_url,
                "ClickHouse over HTTP": f"{self._collector_url}/clickhouse",
                "inference": _url(self._stack, "inference") + "/v1",
            },
        )

    @contextlib.contextmanager
    def _step(self, text: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A line of progress; the function it gives takes what is done so far."""
        task = self._progress.add_task(text, total=total)
        yield lambda done: self._progress.update(task, completed=done)
        self._progress.update(task, total=total or 1, completed=total or 1)


def _next_edge(after: float) -> float:
    """The first bucket's edge (Unix seconds) before which the anomaly's first part fits."""
    return math.ceil((after + _ANOMALY_BEFORE) / _BUCKET) * _BUCKET


def stop_all(processes: list[Process]) -> None:
    """Stop processes side by side."""
    with ThreadPoolExecutor(max(1, len(processes))) as pool:
        list(pool.map(Process.stop, processes))


def _settings(data_dir: Path, sink: WebhookSink) -> Settings:
    """Everything on loopback, on the usual ports where they are free, with the thresholds that ship."""
    ports = {
        name: port if is_free("127.0.0.1", port) else free_port() for name, port in _DEFAULT_PORTS.items()
    }
    prices = [
        ModelPrice(model="tiny-chat-s", provider="llmtrace", input_per_million=0.05, output_per_million=0.2),
        ModelPrice(model="tiny-chat-m", provider="llmtrace", input_per_million=0.1, output_per_million=0.4),
    ]
    webhook = Webhook.model_validate({"url": sink.url, "secret": sink.secret, "allow_private": True})
    return Settings.model_validate(
        {
            "data_dir": data_dir.absolute(),
            "collector": {"port": ports["collector"], "prices": prices, "mlflow_interval_seconds": 2},
            "watch": {"webhooks": [webhook]},
            "dashboard": {"port": ports["dashboard"]},
            "mlflow": {"port": ports["mlflow"]},
            "inference": {"port": ports["inference"]},
        }
    )


def _make_data_directory(data_dir: Path) -> None:
    """An empty data directory; one that is not a demo's is left alone."""
    marker = data_dir / _MARKER
    if data_dir.exists() and any(data_dir.iterdir()):
        if not marker.exists():
            raise DemoFailed(
                f"{data_dir} holds data that is not a demo's; give another folder with --data-dir"
            )
        shutil.rmtree(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    marker.touch()


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(finished_text="[green]✓[/green]"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        console=console,
    )


def _url(stack: Stack, name: PartName) -> str:
    return stack.part(name).url


def _query_or_default(query: Callable[[], _Result], default: _Result) -> _Result:
    """The query's result, or `default` while the collector is unavailable (the demo may have killed it)."""
    try:
        return query()
    except ClickHouseError:
        return default


def _wait_until(condition: Callable[[], bool], seconds: float = _WAIT_SECONDS) -> bool:
    """Wait until a condition holds; False when it did not in time, which a check of the report will say."""
    deadline = time.monotonic() + seconds
    while not _query_or_default(condition, False):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.25)
    return True


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt

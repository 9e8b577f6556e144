"""Experiment runs in a real MLflow server, from spans in a real embedded store."""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.entities import Run, ViewType
from mlflow.tracking import MlflowClient

from llmtrace.common.escaping import visible
from llmtrace_collector.accounting.price_book import book_row, choose_book
from llmtrace_collector.mlflow import MlflowSync, MlflowUnavailable, SyncResult
from llmtrace_collector.mlflow.runs.run_contents import contents
from llmtrace_collector.mlflow.runs.run_data import RunKey, RunReader
from llmtrace_collector.pricing.tariffs import Tariff
from llmtrace_collector.store.store import Store, open_store

from .prefilled import prefill

TRACE_URL = "http://127.0.0.1:8501/traces?trace={trace_id}"
BASE = int(time.time()) - 600


class Server:
    """`mlflow server` on a port of its own, which can be stopped and started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{self.directory / 'mlflow.db'}"),
                *("--artifacts-destination", str(self.directory / "artifacts")),
                *("--host", "127.0.0.1", "--port", str(self.port)),
            ],
            env={
                **os.environ,
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_MODEL_CATALOG_URI": "",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(urllib.error.URLError, ConnectionError):
                if urllib.request.urlopen(f"{self.url}/health", timeout=2).status == 200:
                    return
            assert self.process.poll() is None, "the MLflow server ended at its start"
            time.sleep(0.1)
        raise TimeoutError("the MLflow server did not become ready")

    def stop(self) -> None:
        if self.process is None:
            return
        # The worker is a child of the server's: the whole session of ours ends.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=20)
        self.process = None


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("mlflow"))
    server.launch()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def server(launched: Server, store: Store) -> Server:
    launched.wait()
    return launched


@pytest.fixture(scope="module")
def store(launched: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store(f"chdb://{prefill(tmp_path_factory.mktemp('runs') / 'store')}")
    pair = {"Provider": "openai", "Model": "gpt-a", "ResponseModel": "gpt-a-2026", "ServiceTier": ""}
    tariff = Tariff({"Input": 2e-6, "CacheRead": 1e-6, "Output": 8e-6}, source="config")
    store.insert_rows("price_book", [book_row("tests", pair, tariff)])
    choose_book(store, "tests", "tests", "")
    yield store
    store.close()


@pytest.fixture(scope="module")
def mlflow(server: Server) -> MlflowClient:
    return MlflowClient(tracking_uri=server.url)


class Clock:
    """Unix seconds that stand still unless a test moves them."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def call(
    index: int,
    *,
    experiment: str,
    run: str,
    project: str = "shop",
    model: str = "gpt-a",
    latency_ms: int = 100,
    tokens: tuple[int, int, int] | None = (1000, 200, 400),
    error: bool = False,
    ttft: float | None = None,
    purpose: str = "product",
    temperature: str = "0.2",
    question: str = "What is a span?",
) -> dict[str, Any]:
    """One LLM call as a row of `otel_traces`; tokens are (input, output, read from cache)."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "gen_ai.response.model": f"{model}-2026",
        "gen_ai.response.id": f"resp-{experiment}-{run}-{index}",
        "gen_ai.request.temperature": temperature,
        "llmtrace.experiment": experiment,
        "llmtrace.run": run,
        "user.id": "ada",
    }
    if tokens:
        attributes["gen_ai.usage.input_tokens"] = str(tokens[0])
        attributes["gen_ai.usage.output_tokens"] = str(tokens[1])
        attributes["gen_ai.usage.cache_read.input_tokens"] = str(tokens[2])
    if ttft is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = str(ttft)
    trace_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{project}{experiment}{run}{index}").hex
    return {
        "Timestamp": f"{BASE + index}.250000000",
        "TraceId": trace_id,
        "SpanId": trace_id[:16],
        "SpanName": f"chat {model}",
        "SpanKind": "Client",
        "ServiceName": "checkout",
        "ResourceAttributes": {
            "service.name": "checkout",
            "llmtrace.project": project,
            "llmtrace.purpose": purpose,
        },
        "SpanAttributes": attributes,
        "Duration": latency_ms * 1_000_000,
        "StatusCode": "Error" if error else "Unset",
        "StatusMessage": "rate limit" if error else "",
        "InputMessages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": question}]}]),
        "OutputMessages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": f"Answer {index}"}]}]
        ),
    }


def score(row: dict[str, Any], name: str, value: float) -> dict[str, Any]:
    return {
        "Project": row["ResourceAttributes"]["llmtrace.project"],
        "Timestamp": row["Timestamp"],
        "TraceId": row["TraceId"],
        "SpanId": row["SpanId"],
        "Name": name,
        "Value": value,
    }


def runs_of(mlflow: MlflowClient, experiment: str) -> dict[str, Run]:
    mlflow_experiment = mlflow.get_experiment_by_name(experiment)
    assert mlflow_experiment is not None, f"no experiment {experiment}"
    runs = mlflow.search_runs([mlflow_experiment.experiment_id], run_view_type=ViewType.ALL)
    names = [run.info.run_name for run in runs]
    assert len(set(names)) == len(names), f"a run is there twice: {names}"
    return {run.info.run_name: run for run in runs}


def history(mlflow: MlflowClient, run: Run, metric: str) -> list[tuple[int, float]]:
    points = mlflow.get_metric_history(run.info.run_id, metric)
    return sorted((point.step, point.value) for point in points)


def table(mlflow: MlflowClient, run: Run, directory: Path) -> list[dict[str, Any]]:
    path = mlflow.download_artifacts(run.info.run_id, "llmtrace/samples.json", str(directory))
    content = json.loads(Path(path).read_text())
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def test_two_runs_compare_by_the_numbers_of_their_spans(
    server: Server, store: Store, mlflow: MlflowClient, tmp_path: Path
) -> None:
    latencies = {"short prompt": [120, 80, 400, 95, 240, 61, 77], "long prompt": [900, 310, 555, 620]}
    rows = {
        run: [
            call(
                index,
                experiment="prompts",
                run=run,
                latency_ms=latency,
                error=index == 2,
                ttft=latency / 4000 if index % 2 else None,
                tokens=None if index == 2 else (1000 + index, 200, 400),
                question="x" * 5000 if index == 1 else "What is a span?",
            )
            for index, latency in enumerate(values)
        ]
        for run, values in latencies.items()
    }
    unpriced = call(9, experiment="prompts", run="long prompt", model="home-made", latency_ms=50)
    store.insert_rows("otel_traces", [*rows["short prompt"], *rows["long prompt"], unpriced])
    store.insert_rows(
        "otel_traces",
        [
            # A run keeps its calls, whatever they were for.
            call(3, experiment="prompts", run="judged", purpose="evaluation"),
            call(4, experiment="prompts", run="judged", purpose="judge"),
            call(5, experiment="", run="", latency_ms=7),
        ],
    )
    marks = [0.5, 1.0, 0.75]
    store.insert_rows(
        "scores",
        [
            score(row, "helpful & true", mark)
            for row, mark in zip(rows["short prompt"][:3], marks, strict=True)
        ]
        # On a trace's root, which belongs to no run itself.
        + [{**score(rows["long prompt"][0], "bleu", 0.25), "SpanId": "f" * 16}],
    )

    syncer = MlflowSync(store.rows, server.url, TRACE_URL)
    assert syncer.sync() == SyncResult(created=3, updated=3)
    runs = runs_of(mlflow, "prompts")
    assert set(runs) == {"short prompt", "long prompt", "judged"}
    assert runs["judged"].data.metrics["calls"] == 2

    short = runs["short prompt"].data
    assert short.metrics["calls"] == 7
    assert short.metrics["errors"] == 1
    assert short.metrics["error_rate"] == pytest.approx(1 / 7)
    values = latencies["short prompt"]
    assert short.metrics["latency/p50_ms"] == pytest.approx(np.percentile(values, 50))
    assert short.metrics["latency/p95_ms"] == pytest.approx(np.percentile(values, 95))
    streamed = [latency / 4 for index, latency in enumerate(values) if index % 2]
    assert short.metrics["ttft/p50_ms"] == pytest.approx(np.percentile(streamed, 50))
    assert short.metrics["ttft/p95_ms"] == pytest.approx(np.percentile(streamed, 95))
    inputs = [1000 + index for index in range(7) if index != 2]
    assert short.metrics["tokens/input"] == sum(inputs)
    assert short.metrics["tokens/output"] == 6 * 200
    assert short.metrics["tokens/cached"] == 6 * 400
    assert short.metrics["tokens/unknown_calls"] == 1
    cost = sum((tokens - 400) * 2e-6 + 400 * 1e-6 + 200 * 8e-6 for tokens in inputs)
    assert short.metrics["cost/total_usd"] == pytest.approx(cost)
    assert short.metrics["cost/unpriced_calls"] == 0
    scored = next(name for name in short.metrics if name.startswith("scores/helpful _ true-"))
    assert short.metrics[scored] == pytest.approx(statistics.mean(marks))
    assert short.metrics[f"{scored}_count"] == 3

    long = runs["long prompt"].data
    assert long.metrics["calls"] == 5
    assert long.metrics["cost/unpriced_calls"] == 1
    assert long.metrics["cost/total_usd"] == pytest.approx(
        sum((1000 + index - 400) * 2e-6 + 400 * 1e-6 + 200 * 8e-6 for index in (0, 1, 3))
    )
    assert long.metrics["scores/bleu"] == 0.25
    assert long.params["model"] == "gpt-a, home-made"
    assert short.params | {"operation": ""} == {
        "model": "gpt-a",
        "response_model": "gpt-a-2026",
        "provider": "openai",
        "service": "checkout",
        "temperature": "0.2",
        "operation": "",
    }

    first = rows["short prompt"][0]["TraceId"]
    assert short.tags["llmtrace.run_key"] == "shop/prompts/short prompt"
    assert short.tags["llmtrace.first_trace"] == first
    assert TRACE_URL.format(trace_id=first) in short.tags["mlflow.note.content"]

    samples = table(mlflow, runs["short prompt"], tmp_path)
    assert [sample["output"] for sample in samples] == [f"Answer {index}" for index in range(7)]
    assert samples[0]["input"] == "What is a span?"
    assert samples[1]["input"].startswith("xxx")
    assert samples[1]["input"].endswith("characters in all]")
    assert samples[0]["score: helpful & true"] == 0.5
    assert samples[0]["cost_usd"] == pytest.approx(600 * 2e-6 + 400 * 1e-6 + 200 * 8e-6)
    assert samples[2]["cost_usd"] is None
    assert "rate limit" in samples[2]["error"]
    assert samples[0]["trace_url"] == TRACE_URL.format(trace_id=first)


def test_a_repeated_pass_adds_nothing_and_new_spans_raise_the_step(
    server: Server, store: Store, mlflow: MlflowClient
) -> None:
    clock = Clock()
    syncer = MlflowSync(store.rows, server.url, TRACE_URL, clock=clock)
    rows = [call(index, experiment="growing", run="r1", latency_ms=100) for index in range(3)]
    store.insert_rows("otel_traces", rows)
    syncer.sync()
    run = runs_of(mlflow, "growing")["r1"]
    assert run.info.status == "RUNNING"
    assert syncer.sync() == SyncResult()
    # Another process, which knows nothing yet, finds nothing to do either.
    again = MlflowSync(store.rows, server.url, TRACE_URL, clock=clock)
    assert again.sync() == SyncResult()
    assert history(mlflow, run, "calls") == [(1, 3.0)]

    store.insert_rows(
        "otel_traces", [call(5, experiment="growing", run="r1", latency_ms=900, temperature="0.9")]
    )
    clock.now += 1
    assert syncer.sync() == SyncResult(updated=1)
    run = runs_of(mlflow, "growing")["r1"]
    assert history(mlflow, run, "calls") == [(1, 3.0), (2, 4.0)]
    assert run.data.metrics["latency/p95_ms"] == pytest.approx(np.percentile([100, 100, 100, 900], 95))
    # A param is for good in MLflow; the present value stands in a tag.
    assert run.data.params["temperature"] == "0.2"
    assert run.data.tags["param.temperature"] == "0.2, 0.9"

    store.insert_rows("scores", [score(rows[0], "late", 1.0)])
    clock.now += 1
    assert syncer.sync() == SyncResult(updated=1)
    assert runs_of(mlflow, "growing")["r1"].data.metrics["scores/late"] == 1.0

    clock.now = time.time() + 61  # rows arrive by the real clock, which a slow machine moves on
    assert syncer.sync().finished >= 1
    assert syncer.sync() == SyncResult()
    run = runs_of(mlflow, "growing")["r1"]
    assert run.info.status == "FINISHED"
    assert run.info.end_time == (BASE + 5) * 1000 + 250 + 900

    late = call(7, experiment="growing", run="r1") | {"ReceivedAt": f"{clock.now:.3f}"}
    store.insert_rows("otel_traces", [late])
    clock.now += 1
    assert syncer.sync() == SyncResult(updated=1)
    run = runs_of(mlflow, "growing")["r1"]
    assert (run.info.status, run.data.metrics["calls"]) == ("RUNNING", 5.0)


@pytest.mark.parametrize("step", ["before", "between", "after"])
def test_a_crash_between_create_and_log_leaves_one_whole_run(
    step: str, server: Server, store: Store, mlflow: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = f"crash {step}"
    store.insert_rows("otel_traces", [call(index, experiment=experiment, run="r1") for index in range(4)])
    log_batch, done = MlflowClient.log_batch, 0

    def crash(self: MlflowClient, *arguments: Any, **options: Any) -> Any:
        nonlocal done
        done += 1
        if step == "before" or (step == "between" and done == 2):
            raise KeyboardInterrupt
        result = log_batch(self, *arguments, **options)
        if done == 2:
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", crash)
        with pytest.raises(KeyboardInterrupt):
            MlflowSync(store.rows, server.url, TRACE_URL).sync()
    MlflowSync(store.rows, server.url, TRACE_URL).sync()
    run = runs_of(mlflow, experiment)["r1"]
    assert run.data.metrics["calls"] == 4
    assert len(history(mlflow, run, "calls")) == 1


def test_odd_names_reach_their_own_run_and_a_refused_run_holds_up_no_other(
    server: Server, store: Store, mlflow: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = 'it\'s "a"\\b/c%\t<img src=x>\n* [x](javascript:1) 日本 ../'
    pairs = [("a/x", "r"), ("a", "x/r"), ("a", odd), ("a", "n" * 3000)]
    rows = [call(0, project=project, experiment=odd, run=run) for project, run in pairs]
    store.insert_rows("otel_traces", rows)
    store.insert_rows("scores", [score(rows[2], odd, 0.5), score(rows[2], "../../etc", 0.25)])
    syncer = MlflowSync(store.rows, server.url, TRACE_URL)
    assert syncer.sync() == SyncResult(created=4, updated=4)
    assert MlflowSync(store.rows, server.url, TRACE_URL).sync() == SyncResult()
    # MLflow is told of it in letters that can be seen.
    run = runs_of(mlflow, visible(odd))[visible(odd)]
    scores = [
        value
        for name, value in run.data.metrics.items()
        if name.startswith("scores/") and not name.endswith("_count")
    ]
    assert sorted(scores) == [0.25, 0.5]
    note = run.data.tags["mlflow.note.content"]
    assert "<img" not in note
    assert "](javascript" not in note


def test_a_run_deleted_in_mlflow_stays_deleted_and_holds_up_no_other(
    server: Server, store: Store, mlflow: MlflowClient
) -> None:
    clock = Clock()
    syncer = MlflowSync(store.rows, server.url, TRACE_URL, clock=clock)
    store.insert_rows("otel_traces", [call(0, experiment="mixed", run=run) for run in ("gone", "kept")])
    syncer.sync()
    mlflow.delete_run(runs_of(mlflow, "mixed")["gone"].info.run_id)

    clock.now += 1
    store.insert_rows("otel_traces", [call(1, experiment="mixed", run=run) for run in ("gone", "kept")])
    # What is remembered says that the run is there: MLflow refuses, the other run goes on.
    assert syncer.sync() == SyncResult(updated=1, refused=1)
    assert MlflowSync(store.rows, server.url, TRACE_URL, clock=clock).sync() == SyncResult()
    runs = runs_of(mlflow, "mixed")
    assert runs["kept"].data.metrics["calls"] == 2
    assert runs["gone"].data.metrics["calls"] == 1


def test_what_a_run_shows_does_not_hang_on_the_order_in_which_its_spans_came(store: Store) -> None:
    """Equal times and durations, amounts that floating point adds up to this or that: nothing to log anew."""
    calls = [
        call(index, experiment="ties", run="there", tokens=(7 * index**5 + 1, 3 * index**4, 0), error=True)
        | {"Timestamp": f"{BASE}.250000000"}
        for index in range(12)
    ]
    for row in calls:
        store.insert_rows("otel_traces", [row])
    for row in reversed(calls):
        attributes = row["SpanAttributes"] | {"llmtrace.run": "back"}
        store.insert_rows("otel_traces", [row | {"SpanAttributes": attributes}])
    reader = RunReader(store.rows)
    there, back = (reader.run_data(RunKey("shop", "ties", run)) for run in ("there", "back"))
    assert there is not None
    assert back is not None
    there_contents, back_contents = contents(there, TRACE_URL), contents(back, TRACE_URL)
    assert there_contents.metrics == back_contents.metrics
    traces = sorted(row["TraceId"] for row in calls)
    for run_data in (there, back):
        assert (run_data.first_trace, run_data.last_trace, run_data.slowest_trace) == (
            traces[0],
            traces[-1],
            traces[-1],
        )
        assert run_data.error_traces == tuple(traces[:5])


def test_a_long_run_is_written_less_often_and_completely_in_the_end(
    server: Server, store: Store, mlflow: MlflowClient
) -> None:
    clock = Clock()
    syncer = MlflowSync(store.rows, server.url, TRACE_URL, clock=clock)

    def add(index: int) -> None:
        row = call(index, experiment="long", run="r1") | {"ReceivedAt": f"{clock.now:.3f}"}
        store.insert_rows("otel_traces", [row])

    add(0)
    syncer.sync()
    clock.now += 2000
    add(1)
    assert syncer.sync().updated == 1
    # 1/200 of 2,000 seconds is not over yet, also for the full pass that falls into it.
    clock.now += 4
    add(2)
    assert syncer.sync().updated == 0
    assert runs_of(mlflow, "long")["r1"].data.metrics["calls"] == 2
    clock.now += 7
    assert syncer.sync().updated == 1
    assert runs_of(mlflow, "long")["r1"].data.metrics["calls"] == 3


def test_spans_that_expire_take_nothing_from_a_run(
    server: Server, store: Store, mlflow: MlflowClient
) -> None:
    store.insert_rows("otel_traces", [call(index, experiment="old", run="r1") for index in range(3)])
    rows = [call(index, experiment="old", run="r2") for index in range(2)]
    store.insert_rows("otel_traces", rows)
    MlflowSync(store.rows, server.url, TRACE_URL).sync()
    store.engine.execute(
        "ALTER TABLE otel_traces DELETE WHERE Experiment = 'old' AND RunId = 'r1' AND SpanId != "
        f"'{call(0, experiment='old', run='r1')['SpanId']}'",
        settings={"mutations_sync": "1"},
    )
    # A score makes both runs look changed.
    late = [score(call(0, experiment="old", run=run), "q", 1.0) for run in ("r1", "r2")]
    store.insert_rows("scores", late)
    assert MlflowSync(store.rows, server.url, TRACE_URL).sync() == SyncResult(updated=1)
    runs = runs_of(mlflow, "old")
    assert runs["r1"].data.metrics["calls"] == 3
    assert runs["r2"].data.metrics["scores/q"] == 1.0


def test_closing_stops_a_pass_at_the_run_it_is_at(
    server: Server, store: Store, mlflow: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.insert_rows("otel_traces", [call(0, experiment="closing", run=f"r{n}") for n in range(3)])
    syncer = MlflowSync(store.rows, server.url, TRACE_URL)
    create = MlflowClient.create_run

    def closing(self: MlflowClient, *arguments: Any, **options: Any) -> Run:
        syncer.close()
        return create(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_run", closing)
        assert syncer.sync() == SyncResult(created=1, updated=1)
    assert syncer.sync() == SyncResult()
    assert MlflowSync(store.rows, server.url, TRACE_URL).sync() == SyncResult(created=2, updated=2)
    assert len(runs_of(mlflow, "closing")) == 3


def test_prices_that_come_later_make_the_cost_known(
    server: Server, store: Store, mlflow: MlflowClient
) -> None:
    syncer = MlflowSync(store.rows, server.url, TRACE_URL)
    store.insert_rows("otel_traces", [call(0, experiment="prices", run="r1", model="gpt-new")])
    syncer.sync()
    before = runs_of(mlflow, "prices")["r1"].data.metrics
    assert "cost/total_usd" not in before
    assert before["cost/unpriced_calls"] == 1
    pair = {"Provider": "openai", "Model": "gpt-new", "ResponseModel": "gpt-new-2026", "ServiceTier": ""}
    tariff = Tariff({"Input": 1e-6, "Output": 1e-6}, source="config")
    store.insert_rows("price_book", [book_row("tests", pair, tariff)])
    assert syncer.sync() == SyncResult(updated=1)
    after = runs_of(mlflow, "prices")["r1"].data.metrics
    assert after["cost/total_usd"] == pytest.approx(1200e-6)
    assert after["cost/unpriced_calls"] == 0


def test_a_server_that_is_away_fails_fast_and_is_caught_up_with(
    server: Server, store: Store, mlflow: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    syncer = MlflowSync(store.rows, server.url, TRACE_URL, clock=clock)
    syncer.sync()
    server.stop()
    store.insert_rows("otel_traces", [call(0, experiment="away", run="r1")])
    for _ in range(3):
        caplog.clear()
        started = time.monotonic()
        with pytest.raises(MlflowUnavailable, match=f"127.0.0.1:{server.port}.*llmtrace mlflow"):
            syncer.sync()
        assert time.monotonic() - started < 5
    # The caller logs what was raised; nothing else is to fill the log while the server does not answer.
    assert caplog.records == []
    server.launch()
    server.wait()
    assert syncer.sync() == SyncResult(created=1, updated=1)
    assert runs_of(mlflow, "away")["r1"].data.metrics["calls"] == 1


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("sqlite:///mlflow.db", r"http://127\.0\.0\.1:5000"),
        ("127.0.0.1:5000", r"http://127\.0\.0\.1:5000"),
        ("http://ada:secret@127.0.0.1:5000", "MLFLOW_TRACKING_PASSWORD"),
    ],
)
def test_an_address_that_cannot_serve_is_refused_at_once(url: str, advice: str, store: Store) -> None:
    with pytest.raises(ValueError, match=advice) as raised:
        MlflowSync(store.rows, url, TRACE_URL)
    assert "secret" not in str(raised.value)

"""The benchmark of ingest measures what it says, on little."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from benchmarks import ingest
from benchmarks.checkout import HERE, Checkout
from benchmarks.collector_process import CollectorProcess
from benchmarks.flood import Cost, Plan, send
from benchmarks.ingest_pairs import Comparison, compare_floods
from benchmarks.ingest_run import BARE, Run, Side, demand_space
from benchmarks.one_engine import OneEngine, Schema
from benchmarks.quiet import Patience
from benchmarks.span_load import SPANS_PER_REQUEST, SpanLoad

_SPANS = 2 * SPANS_PER_REQUEST

#: What `docs/collector.md` and others quote.
_FIGURES = {
    "spans",
    "span_bytes",
    "to_quiet_spans_per_cpu_second",
    "bare_to_quiet_spans_per_cpu_second",
    "ratio_to_bare",
    "engine_to_quiet_spans_per_cpu_second",
    "spans_per_cpu_second",
    "bare_spans_per_cpu_second",
    "engine_spans_per_cpu_second",
    "ratio",
    "python_share",
    "idle_cpu_share",
    "spans_per_second",
    "rss_mb_peak",
    "ack_ms_p50",
    "ack_ms_p99",
    "queryable_ms_p95",
}


def run_command(*options: str) -> tuple[dict[str, float], str]:
    """The figures that the command prints, and what it says meanwhile."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ingest", "--json", *options],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=HERE,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == 1
    figures: dict[str, float] = json.loads(done.stdout)
    return figures, done.stderr


@pytest.fixture(scope="module")
def load() -> SpanLoad:
    return SpanLoad(_SPANS, 900, "words")


def test_quick_gives_every_figure(tmp_path: Path) -> None:
    figures, progress = run_command("--quick", "--text", "prompts", "--directory", str(tmp_path))
    assert set(figures) == _FIGURES
    assert all(value > 0 for value in figures.values())
    assert figures["to_quiet_spans_per_cpu_second"] <= figures["spans_per_cpu_second"]
    assert figures["bare_spans_per_cpu_second"] > figures["spans_per_cpu_second"]
    assert 0 < figures["ratio_to_bare"] < 1
    assert 1800 < figures["span_bytes"] < 2200
    assert "through the collector and the bare one in turn" in progress
    assert not list(tmp_path.iterdir())  # nothing is left


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    directory = tmp_path_factory.mktemp("bare")
    with CollectorProcess(Checkout.of(HERE), directory, {}, "bare_collector.py") as collector:
        yield collector


def test_the_bare_store_holds_what_was_sent(bare: CollectorProcess, load: SpanLoad) -> None:
    result = send(bare, load, Plan(senders=2, patience=Patience(window=0.5, idle=0.5)))
    assert result.spans == _SPANS
    assert 0 < result.cpu <= result.to_quiet
    assert len(result.acks) == 2
    row = bare.rows(
        "SELECT uniqExact(TraceId) AS traces, uniqExact(SpanId) AS spans, "
        "min(mapContains(SpanAttributes, 'gen_ai.input.messages')) AS texts, "
        "countIf(SpanAttributes['gen_ai.response.finish_reasons'] = '[\"stop\"]') AS arrays, "
        "countIf(startsWith(ServiceName, 'service-')) AS services, min(Duration) AS duration, "
        "countIf(SpanAttributes['server.port'] = '443') AS ports FROM otel_traces"
    )[0]
    assert int(row["traces"]) == int(row["spans"]) == _SPANS
    assert int(row["arrays"]) == int(row["services"]) == int(row["ports"]) == _SPANS
    assert row["texts"]
    assert int(row["duration"]) >= 10**8
    assert bare.count("traces") is None


def test_a_program_ends_with_its_benchmark(tmp_path: Path) -> None:
    settings = json.dumps({"data_dir": str(tmp_path)})
    child = Checkout.of(HERE).start("collector.py", [settings], errors=tmp_path / "stderr.txt")
    process = psutil.Process(child.pid)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    assert child.wait(60) == 1
    child.stdout.close()
    assert not process.is_running()


def test_two_schemas_of_one_engine_get_the_same_rows(tmp_path: Path) -> None:
    example, segment = tmp_path / "example.csv", tmp_path / "segment.csv"
    example.write_text("1,llmtrace.a\n")
    # Enough for more than one tick of the clock that counts a process's CPU (10 ms).
    rows = 300_000
    segment.write_text("".join(f"{number},llmtrace.b\n" for number in range(rows)))
    schema = Schema(
        "llmtrace",
        {
            "filled_mv": "CREATE MATERIALIZED VIEW llmtrace.filled_mv TO llmtrace.filled "
            "AS SELECT a, 'llmtrace.filled' AS b FROM llmtrace.incoming",
            "filled": "CREATE TABLE llmtrace.filled (a UInt32, b String) ENGINE = MergeTree ORDER BY a",
            "incoming": "CREATE TABLE llmtrace.incoming (a UInt32, b String) ENGINE = Null",
        },
        (
            f"INSERT INTO incoming FROM INFILE '{example}' FORMAT CSV",
            f"INSERT INTO filled SELECT throwIf(count() != {rows} OR any(b) != 'llmtrace.filled'), '' "
            "FROM filled",
        ),
    )
    engine = OneEngine(tmp_path, {"here": schema, "against": schema}, example)
    try:
        for database in ("here", "against"):
            assert engine.insert(database, segment) > 0
        with pytest.raises(RuntimeError, match="a program of the benchmark ended"):
            engine.insert("here", segment)  # twice as many rows now: the check inside fails
    finally:
        engine.close()


def test_a_schema_moves_to_another_database_by_its_names_alone() -> None:
    schema = Schema("default", {"spans": "", "spans_mv": ""}, ())
    statement = (
        "CREATE VIEW default.spans_mv TO `default`.`spans` AS SELECT default.other, 'default.spans', "
        "'it\\'s default.spans' FROM default.spans WHERE my_default.spans"
    )
    assert schema.moved(statement, "here") == (
        "CREATE VIEW here.spans_mv TO here.`spans` AS SELECT default.other, 'default.spans', "
        "'it\\'s default.spans' FROM here.spans WHERE my_default.spans"
    )


def test_pairs_of_floods_change_who_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, load: SpanLoad
) -> None:
    other = tmp_path / "other"
    (other / "collector" / "llmtrace_collector").mkdir(parents=True)
    order: list[list[str]] = []

    def floods(_: Run, sides: Mapping[str, Side]) -> dict[str, Cost]:
        order.append(list(sides))
        assert sides["against_"][0].folder == other
        assert sides["bare_"] == BARE
        seconds = {"bare_": 0.5, "": 1.1, "against_": 1.0}
        costs = {name: Cost(_SPANS, used, 1, 1, 1, [1.0], [], 2 * used) for name, used in seconds.items()}
        return {name: costs[name] for name in sides}

    monkeypatch.setattr(Run, "floods", floods)
    run = Run(load, {}, 4, Patience(), tmp_path)
    figures, verdict = compare_floods(run, Comparison(Checkout.of(other), pairs=2, at_most=8), bare=True)
    assert order[:2] == [["bare_", "against_", ""], ["", "against_", "bare_"]]
    assert figures["cost_percent"] == figures["cost_percent_high"] == pytest.approx(10)
    assert figures["pairs"] == 2
    assert figures["to_quiet_spans_per_cpu_second"] == round(_SPANS / 2.2)
    assert figures["against_spans_per_cpu_second"] == _SPANS
    assert figures["ratio_to_bare"] == pytest.approx(0.5 / 1.1, abs=1e-3)
    assert figures["against_ratio_to_bare"] == 0.5
    assert figures["settled"] is True
    assert verdict.holds is False
    assert math.isclose(verdict.interval.half_width, 0, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--at-most", "8"], "say which by --against DIR"),
        (["--against", "/nowhere", "--quick"], "/nowhere is no checkout of llmtrace"),
        (["--against", str(HERE), "--pairs", "1", "--at-most", "8"], "two or more with --at-most"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_sentence(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest.main(options) == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_a_flood_that_would_fill_the_disk_does_not_begin(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose another place by --directory, or fewer spans by --spans"):
        demand_space(tmp_path, 10**12, 2000)
    demand_space(tmp_path, 1000, 2000)


def test_the_baseline_holds_what_later_changes_are_held_to() -> None:
    baseline = json.loads((HERE / "benchmarks" / "baseline.json").read_text())
    assert baseline["ratio_to_bare"] == pytest.approx(
        baseline["to_quiet_spans_per_cpu_second"] / baseline["bare_to_quiet_spans_per_cpu_second"], abs=0.002
    )
    assert baseline["spans"] >= 200_000


@pytest.mark.long
def test_a_checkout_costs_about_what_it_costs(tmp_path: Path) -> None:
    options = ["--against", str(HERE), "--pairs", "2", "--directory", str(tmp_path)]
    figures, _ = run_command(*options, "--quick", "--no-bare")
    assert figures["commit"] == figures["against_commit"]
    assert figures["pairs"] == 2
    assert -50 < figures["cost_percent"] < 50
    figures, progress = run_command(*options, "--quick", "--one-engine")
    assert 0.5 < figures["engine_us_per_span"] / figures["against_engine_us_per_span"] < 2
    assert figures["python_us_per_span"] > 0
    assert progress.count("us of CPU a span") == 2

"""A backtest opens what the watch would have opened, and writes nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrace_analysis.detect.backtest import spikes
from llmtrace_analysis.detect.backtest.fired import Fired, matched, merged
from llmtrace_analysis.detect.backtest.outcome import Configuration, difference, outcome, suggested
from llmtrace_analysis.detect.backtest.replay_all import replay_all
from llmtrace_analysis.detect.backtest.spikes import SpikeConfiguration
from llmtrace_analysis.detect.detectors.anomalies import evaluate_series
from llmtrace_analysis.detect.detectors.parameters import AnomalyParameters
from llmtrace_analysis.detect.detectors.series import Series
from llmtrace_analysis.detect.findings import RULES, anomaly_finding
from llmtrace_analysis.detect.incident_lifecycle import QuietPeriod, advance
from llmtrace_analysis.detect.labels import NATS_A_LABEL, Margin
from llmtrace_analysis.detect.rules import excluded_times
from llmtrace_analysis.watch.app import build
from llmtrace_cli.main import cli
from llmtrace_collector.store.incident import Incident, fingerprint, incident_id
from llmtrace_collector.store.reader import open_reader
from tests.collector.running import Served
from tests.collector.running import settings as collector_settings
from tests.collector.test_incidents import report

from .test_detect_anomalies import HOUR, KEY, Regime, Spell, simulate
from .test_watch import Scene, watch_settings

WIDTH = 10


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    collector = Served(collector_settings(tmp_path_factory.mktemp("backtest")))
    yield collector
    collector.close()


def configured(**margins: Margin) -> SpikeConfiguration:
    """One false incident a week; margins by metric."""
    by_fingerprint = {
        fingerprint(f"anomaly.{metric}", KEY.project, KEY.dimensions): margin
        for metric, margin in margins.items()
    }
    return SpikeConfiguration(AnomalyParameters(), 1.0, 300.0, lambda moment: by_fingerprint)


def replayed(series: Series, start: int, end: int, chunk: int, by: SpikeConfiguration) -> list[Fired]:
    past, fired = spikes.Past(), list[Fired]()
    for since in range(start, end, chunk):
        fired += spikes.replayed(series, since, min(since + chunk, end), past, by)
    return fired


def live(series: Series, start: int, end: int) -> Iterator[tuple[float, float | None, str]]:
    """What is opened when every bucket is evaluated as it becomes complete, with nothing left out."""
    parameters, incidents = AnomalyParameters(), dict[str, Incident]()
    for until in range(start + WIDTH, end + WIDTH, WIDTH):
        now = until + parameters.late_seconds
        seen = series.times < until
        known = Series(
            series.key,
            *(
                getattr(series, name)[seen]
                for name in ("times", "calls", "live_calls", "errors", "p50", "p95", "tokens", "cost")
            ),
        )
        excluded = excluded_times(series.key, list(incidents.values()), parameters.adapt_seconds)
        results = evaluate_series(known, now, parameters, excluded)
        findings = [item for result in results if (item := anomaly_finding(result, parameters))]
        quiet = QuietPeriod(float(until), parameters.quiet_seconds, parameters.adapt_seconds)
        for change in advance(
            findings,
            list(incidents.values()),
            dict.fromkeys(RULES.values(), quiet),
            now,
            rest_seconds=300.0,
            update_seconds=0.0,
        ):
            incidents[change.incident.incident_id] = change.incident
            if change.action == "resolve":
                yield change.incident.opened_at, change.incident.resolved_at, change.incident.rule


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    metric=st.sampled_from(["latency", "error_rate", "tokens_per_call"]),
    size=st.floats(0.3, 14.0),
    seconds=st.sampled_from([20.0, 60.0, 400.0, 2400.0]),
    chunk=st.sampled_from([600, 3600, 7200]),
)
def test_nothing_that_live_opens_is_left_out_nor_anything_added(
    seed: int, metric: Any, size: float, seconds: float, chunk: int
) -> None:
    spell = Spell(metric, min(size, 1.0) if metric == "error_rate" else size + 1, 3700.0, seconds)
    regime = Regime(calls=(2, 12), failing=0.03)
    series = simulate(np.random.default_rng(seed), 2 * HOUR, regime, spell)
    # Hours without any call are a gap, not a zero.
    gap = np.random.default_rng(seed).random(len(series.times)) < 0.1
    series = replace(series, live_calls=np.where(gap, 0, series.live_calls))
    expected = set(live(series, 3600, 7200))
    fired = {
        (item.opened, item.ended, item.rule) for item in replayed(series, 3600, 7200, chunk, configured())
    }
    assert fired == expected


def test_a_margin_ends_the_incidents_of_its_rule_and_leaves_the_others() -> None:
    series = simulate(
        np.random.default_rng(5), 2 * HOUR, Regime(calls=(8, 15)), Spell("latency", 6.0, 4000.0, 60.0)
    )
    without = replayed(series, 3600, 7200, 3600, configured())
    assert [item.rule for item in without] == ["anomaly.latency"]
    asks = Margin(4 * NATS_A_LABEL, 0, 4)
    assert replayed(series, 3600, 7200, 3600, configured(latency=asks)) == []
    assert replayed(series, 3600, 7200, 3600, configured(cost=asks)) == without


def fired(opened: float, ended: float | None, rule: str = "anomaly.cost", **fields: Any) -> Fired:
    return Fired(rule, "p", "spike", opened, opened + 30, ended, 1.0, 0.0, 0.5, **fields)


def real(opened: float, label: Any, rule: str = "anomaly.cost") -> Incident:
    same = fingerprint(rule, "p", {})
    return Incident(
        incident_id=incident_id(same, opened),
        project="p",
        fingerprint=same,
        kind="anomaly",
        rule=rule,
        severity="warning",
        state="resolved",
        title="t",
        opened_at=opened,
        updated_at=opened + 60,
        last_seen_at=opened + 60,
        resolved_at=opened + 60,
        label=label,
    )


def test_what_overlaps_of_one_series_is_one_incident() -> None:
    together = merged(
        [fired(100, 900), fired(500, 1200), fired(5000, None), fired(9000, 9100), fired(100, 200, "x.y")]
    )
    assert [(item.rule, item.opened, item.ended) for item in together] == [
        ("anomaly.cost", 100, 1200),
        ("x.y", 100, 200),
        ("anomaly.cost", 5000, None),
    ]


def test_labels_are_counted_and_configurations_compared() -> None:
    week = 7 * 86_400
    labelled = [
        real(1000, "useful"),
        real(100_000, "noise"),
        real(300_000, "useful"),
        real(1000, "noise", "x.y"),
    ]
    low, high = (Configuration(value, ("product",), 60, 300.0) for value in (1.0, 10.0))
    calm = outcome(low, 0, 2 * week, [fired(900, 1500)], labelled)
    busy = outcome(
        high, 0, 2 * week, [fired(900, 1400), fired(100_100, 100_500), fired(600_000, None)], labelled
    )
    assert (calm.per_week, busy.per_week) == (0.5, 1.5)
    assert (calm.useful, calm.noise, busy.useful, busy.noise) == ((1, 2), (0, 2), (1, 2), (1, 2))
    assert [item.label for item in busy.fired] == ["useful", "noise", ""]
    parts = difference(calm, busy)
    assert (parts.both, parts.only_first) == (1, ())
    assert [item.opened for item in parts.only_second] == [100_100, 600_000]
    assert suggested([calm, busy], 1.0) is calm
    assert suggested([calm, busy], 2.0) is busy
    assert suggested([calm, busy], 0.1) is None
    assert matched([fired(50_000, 50_100)], labelled, week)[0].incident_id == ""


def test_a_backtest_of_a_store_opens_what_watch_opened_and_writes_nothing(served: Served) -> None:
    scene = Scene(served, "backtest")
    scene.normal_traffic()
    scene.spell(0, 2, slow=8)
    watch = build(watch_settings(served))
    for end in range(1, 14):
        assert watch.evaluate(scene.at(end * 10 + 4.5))
    watch.close()
    (opened,) = scene.incidents()
    before = served.rows("SELECT sum(Version) AS n, max(UpdatedAt) AS at FROM incidents")
    labelling = {"label": "useful", "actor": "ann"}
    assert served.write("POST", f"/v1/incidents/{opened['IncidentId']}/label", labelling).status_code == 200
    labelled = served.rows("SELECT sum(Version) AS n, max(UpdatedAt) AS at FROM incidents")
    assert before != labelled

    reader = open_reader(served.url, served.admin_key)
    shares: list[float] = []
    start = int(scene.at(0)) // 60 * 60
    usual = Configuration(1.0, ("product",), 10, 300.0)
    outcomes = replay_all(
        reader, start, start + 300, [usual, replace(usual, sensitivity=0.01)], shares.append
    )
    mine = [item for item in outcomes[0].fired if item.project == scene.project]
    assert [item.rule for item in mine] == [opened["Rule"]]
    assert mine[0].incident_id == opened["IncidentId"]
    assert mine[0].label == "useful"
    assert mine[0].value == pytest.approx(opened["Observed"])
    assert mine[0].kind == "spike"
    assert outcomes[1].per_week <= outcomes[0].per_week
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    reader.close()
    assert served.rows("SELECT sum(Version) AS n, max(UpdatedAt) AS at FROM incidents") == labelled


def command(served: Served, *arguments: str) -> Result:
    """The command line on that collector."""
    environment = {
        "LLMTRACE_COLLECTOR__PORT": served.url.rpartition(":")[2],
        "LLMTRACE_COLLECTOR__ADMIN_KEY": served.admin_key,
    }
    return CliRunner().invoke(cli, arguments, env=environment)


def test_the_command_lists_compares_and_suggests(served: Served) -> None:
    scene = Scene(served, "commanded", seed=3)
    # The command knows no later than now.
    scene.start -= 1800
    scene.normal_traffic()
    scene.spell(0, 2, slow=9)
    scene.spell(2, 12)
    project = ("--since", "2h", "--project", "commanded")

    answer = command(
        served, "watch", "backtest", *project, "--against-sensitivity", "0.01", "--wanted", "100"
    )
    assert answer.exit_code == 0, answer.output
    assert "sensitivity 1" in answer.output
    assert "1 incident, 84.0 a week: anomaly.latency 1" in answer.output
    assert "only with sensitivity 1:" in answer.output
    assert "For 100 incidents a week: sensitivity = 10, which has 84.0 on this history." in answer.output
    assert "nobody knows" in answer.output

    against = ("--against-sensitivity", "0.01")
    answer = command(served, "watch", "backtest", *project, "--json", *against)
    body = json.loads(answer.stdout)
    first, second = body["configurations"]
    (incident,) = first["incidents"]
    assert (incident["rule"], incident["kind"], incident["unit"]) == ("anomaly.latency", "spike", "s")
    assert incident["value"] > incident["expected_high"]
    assert (second["count"], len(body["difference"]["only_first"])) == (0, 1)

    answer = command(served, "watch", "backtest", *project, "--csv")
    (row,) = csv.DictReader(io.StringIO(answer.stdout))
    assert (row["rule"], row["opened"]) == ("anomaly.latency", incident["opened"])
    assert command(served, "watch", "backtest", "--since", "1m").exit_code == 2
    assert command(served, "watch", "backtest", "--since", "soon").exit_code == 2


def test_labels_are_said_and_shown_by_the_command(served: Served) -> None:
    scene = Scene(served, "labelled", seed=4)
    body = report(project="labelled", rule="anomaly.latency")
    for name in ("first", "second"):
        assert served.write("PUT", f"/v1/incidents/{name}", body).status_code == 200
        answer = command(served, "incidents", "label", name, "noise", "--note", "the nightly batch")
        assert answer.exit_code == 0, answer.output
    answer = command(served, "incidents", "show", "second")
    assert "labelled noise by" in answer.output
    assert "16.0× as unlikely by chance: 2 noise labels" in answer.output
    assert ": the nightly batch" in answer.output
    command(served, "incidents", "label", "first", "useful")
    command(served, "incidents", "label", "second", "none")
    listed = command(served, "incidents", "list", "--project", "labelled", "--format", "json")
    assert {row["id"]: row["label"] for row in json.loads(listed.output)} == {"first": "useful", "second": ""}
    useful = command(served, "incidents", "list", "--project", "labelled", "--useful", "--format", "csv")
    assert useful.output.splitlines()[1].startswith("anomaly.latency,1,0,1,1")
    assert "there is no incident" in command(served, "incidents", "show", "third").output
    assert command(served, "incidents", "label", "third", "noise").exit_code == 1
    assert scene.incidents()


def test_a_label_moves_the_live_rule_of_that_series_alone(served: Served) -> None:
    """Two models go slow alike; that whose last incidents were noise opens nothing."""
    quiet, loud = Scene(served, "quiet", seed=6), Scene(served, "loud", seed=6)
    for scene in (quiet, loud):
        scene.normal_traffic()
        scene.spell(0, 2, slow=8)
    dimensions = {"provider": "openai", "model": "gpt-4o-mini"}
    same = fingerprint("anomaly.latency", "quiet", dimensions)
    for number in range(4):
        body = report(
            project="quiet",
            rule="anomaly.latency",
            dimensions=dimensions,
            fingerprint=same,
            state="resolved",
        )
        served.write("PUT", f"/v1/incidents/quiet-{number}", body)
        labelling = {"label": "noise", "actor": "ann"}
        assert served.write("POST", f"/v1/incidents/quiet-{number}/label", labelling).status_code == 200
    watch = build(watch_settings(served))
    assert watch.evaluate(loud.at(24.5))
    watch.close()
    assert [row["Rule"] for row in loud.incidents()] == ["anomaly.latency"]
    assert {row["State"] for row in quiet.incidents()} == {"resolved"}

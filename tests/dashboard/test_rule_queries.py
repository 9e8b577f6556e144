"""What rules ask the store when much is wrong at once: one query for all of it, each with its own traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.detect import store_queries
from llmtrace_analysis.detect.rules import AnomalyRule, FloodRule
from llmtrace_analysis.watch.app import anomaly_parameters, flood_parameters
from tests.collector.running import Served, settings

from .test_watch import Scene, watch_settings

PURPOSES = ("product",)
COUNT = "SELECT count() FROM otel_traces WHERE has(splitByChar(',', {ids:String}), TraceId)"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    collector = Served(settings(tmp_path_factory.mktemp("asked")))
    yield collector
    collector.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries that detection asks."""
    texts: list[str] = []
    rows = store_queries._rows

    def counted(client: Client, sql: str, **parameters: Any) -> Sequence[Sequence[Any]]:
        texts.append(sql)
        return rows(client, sql, **parameters)

    monkeypatch.setattr(store_queries, "_rows", counted)
    return texts


def test_anomalies_of_a_metric_share_one_query_and_show_their_own_traces(
    served: Served, asked: list[str]
) -> None:
    scenes = [Scene(served, f"slow '{number}", seed=number) for number in range(3)]
    for scene in scenes:
        scene.start = scenes[0].start
        scene.normal_traffic()
        scene.spell(0, 2, slow=8, failing=0.5)
    configured = watch_settings(served)
    rule = AnomalyRule(anomaly_parameters(configured), PURPOSES)
    with closing(served.reader()) as reader:
        findings = rule.findings(reader, [], scenes[0].at(24.5))
    slow = {finding.project: finding for finding in findings if finding.rule == "anomaly.latency"}
    failing = {finding.project: finding for finding in findings if finding.rule == "anomaly.error_rate"}
    assert set(slow) == set(failing) == {scene.project for scene in scenes}
    assert asked.count(store_queries._EVIDENCE) == 2
    traces = f"{COUNT} AND Project = {{project:String}}"
    for scene in scenes:
        assert len(slow[scene.project].evidence) == 10
        ids = {"project": scene.project, "ids": ",".join(slow[scene.project].evidence)}
        assert served.value(f"{traces} AND Duration > 3e9", **ids) == "10"
        ids["ids"] = ",".join(failing[scene.project].evidence)
        assert served.value(f"{traces} AND StatusCode != 'Error'", **ids) == "0"
        assert "Most fail with overloaded_error." in failing[scene.project].summary


def test_floods_share_their_queries_and_the_lookback_is_read_once_in_ten_seconds(
    served: Served, asked: list[str]
) -> None:
    scene = Scene(served, "flooded", seed=5)
    scene.normal_traffic()
    users = ["eve", "mal'ory"]
    scene.send([scene.call(bucket * 10, user=user) for bucket in (0, 1) for user in users for _ in range(60)])
    configured = watch_settings(served)
    rule = FloodRule(flood_parameters(configured), 20.0, PURPOSES)
    with closing(served.reader()) as reader:
        findings = rule.findings(reader, [], scene.at(20))
        assert {finding.dimensions["user"] for finding in findings} == set(users)
        again = rule.findings(reader, [], scene.at(23))
        assert [finding.fingerprint for finding in again] == [finding.fingerprint for finding in findings]
        assert asked.count(store_queries._MINUTE_COUNTS) == 1
        # Whoever is busy only now is compared with what was there before by name, as the others are.
        scene.send([scene.call(20, user="trent") for _ in range(60)])
        users.append("trent")
        later = rule.findings(reader, [], scene.at(26))
        assert asked.count(store_queries._MINUTE_COUNTS) == 2
        rule.findings(reader, [], scene.at(33))
        assert asked.count(store_queries._MINUTE_COUNTS) == 3
    assert asked.count(store_queries._USER_TRACES) == 4
    assert {finding.dimensions["user"] for finding in later} == set(users)
    for finding in later:
        assert len(finding.evidence) == 10
        ids = ",".join(finding.evidence)
        assert (
            served.value(f"{COUNT} AND UserId = {{user:String}}", user=finding.dimensions["user"], ids=ids)
            == "10"
        )

"""Bursts at the collector's endpoints: from refused keys to an incident and a webhook."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from llmtrace_analysis.detect.abuse.access_events import AccessCount, AccessParameters, find_bursts
from llmtrace_analysis.detect.findings import access_finding
from llmtrace_analysis.watch.app import build
from tests.collector.otlp import span, traces
from tests.collector.running import CLIENT, Served, settings

from .test_alerts import SECRET, Receiver, verified
from .test_watch import watch_settings

PARAMETERS = AccessParameters(window_seconds=600, refused_keys=10, denied_reads=5, new_addresses=0)


def count(kind: str, events: int, key_id: str = "", address: str = "") -> AccessCount:
    return AccessCount(kind, key_id, address, events, 100.0 + events)


def test_refused_keys_are_counted_by_address_and_denied_reads_by_key() -> None:
    counts = [
        count("key_refused", 6, address="a"),
        count("key_refused", 4, "key_1", "a"),
        count("key_refused", 9, address="b"),
        count("read_denied", 3, "key_1", "a"),
        count("read_denied", 3, "key_1", "b"),
        count("read_denied", 4, "key_2", "b"),
        count("key_new_address", 50, "key_1", "c"),
    ]
    bursts = find_bursts(counts, PARAMETERS)
    assert [(burst.kind, burst.of, burst.events) for burst in bursts] == [
        ("key_refused", "a", 10),
        ("read_denied", "key_1", 6),
    ]
    assert bursts[0].last_at == 106.0


def test_many_addresses_together_are_a_burst_of_none() -> None:
    counts = [count("key_refused", 9, address=f"10.0.0.{number}") for number in range(12)]
    (burst,) = find_bursts(counts, PARAMETERS)
    assert (burst.of, burst.events, burst.limit) == ("", 108, 100)
    finding = access_finding(burst, 600)
    assert finding.title == "Refused keys from all addresses: 108 in 10 min"
    assert finding.project == "", "no project's key reads of it"


def test_zero_turns_a_rule_off() -> None:
    nothing = AccessParameters(600, 0, 0, 0)
    counts = [count(kind, 10_000, "k", "a") for kind in ("key_refused", "read_denied", "key_new_address")]
    assert find_bursts(counts, nothing) == []
    (burst,) = find_bursts(counts, AccessParameters(600, 0, 0, 3))
    assert access_finding(burst, 600).title == "k is used from 10000 new addresses in 10 min"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    keys = {"ingest_key": "in-key", "read_key": "read-key", "trusted_proxies": ("127.0.0.0/8",)}
    collector = Served(settings(tmp_path_factory.mktemp("access"), **keys))
    yield collector
    collector.close()


def _incidents(served: Served) -> list[dict[str, object]]:
    return served.collector.store.rows("SELECT * FROM incidents ORDER BY OpenedAt")


def test_a_burst_of_refused_keys_is_told_to_whoever_listens(served: Served) -> None:
    receiver = Receiver()
    webhook = {"url": receiver.url, "secret": SECRET}
    watch = build(watch_settings(served, webhooks=(webhook,), refused_keys=20))
    watch.start()
    try:
        assert watch.evaluate(time.time())
        assert _incidents(served) == []
        for number in range(20):
            headers = {"x-api-key": f"guess-{number}", "x-forwarded-for": "203.0.113.5"}
            assert served.post(traces([span()]), headers=headers).status_code == 401
        served.collector.security_events.flush()
        now = time.time()
        assert watch.evaluate(now)
        (opened,) = _incidents(served)
        assert (opened["Rule"], opened["State"], opened["Project"]) == ("abuse.refused_keys", "open", "")
        assert opened["Dimensions"] == {"address": "203.0.113.5"}
        assert opened["Observed"] == 20
        event = verified(receiver.next())
        assert event["type"] == "incident.opened"
        assert event["data"]["incident"]["title"] == "Refused keys from 203.0.113.5: 20 in 10 min"
        assert "guess" not in str(event)
        assert watch.evaluate(now + 700)
        assert _incidents(served)[0]["State"] == "resolved"
        assert verified(receiver.next())["type"] == "incident.resolved"
    finally:
        watch.close()
        receiver.close()


def test_a_projects_reader_hears_of_none(served: Served) -> None:
    key = served.write("POST", "/v1/keys", {"project": "default", "role": "read"}).json()
    answer = CLIENT.post(
        f"{served.url}/clickhouse/",
        content=b"SELECT count() FROM incidents",
        headers={"x-clickhouse-key": key["key"]},
    )
    assert answer.text == "0\n"

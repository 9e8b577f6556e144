"""An incident's and a delivery's fields, declared once: the table, its rows, reports and messages follow."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from llmtrace_collector.api.incidents import DeliveryReport, IncidentReport
from llmtrace_collector.store.incident import AlertDelivery, HistoryEntry, Incident
from llmtrace_collector.store.record import Record

from .running import Served

INCIDENT = Incident(
    incident_id="7c1e7c0a-0000-4000-8000-000000000001",
    project="shop",
    fingerprint="f" * 32,
    kind="anomaly",
    rule="anomaly.latency",
    severity="critical",
    state="acknowledged",
    title="Latency of gpt-4o-mini: 8.1 s",
    summary="The slowest 5% of calls took 8.1 s.",
    metric="latency",
    dimensions={"provider": "openai", "model": "gpt-4o-mini"},
    observed=8.1,
    expected_low=0.2,
    expected_high=None,
    unit="s",
    opened_at=1_799_999_939.75,
    updated_at=1_800_000_000.5,
    last_seen_at=1_799_999_990.0,
    acknowledged_at=1_799_999_969.5,
    acknowledged_by="ada",
    resolved_at=None,
    evidence=("a" * 32, "b" * 32),
    count=3,
    label="noise",
    labelled_at=1_799_999_999.25,
    labelled_by="ada",
    version=2,
)
DELIVERY = AlertDelivery(
    project="shop",
    delivery_id="record-1",
    incident_id=INCIDENT.incident_id,
    event="incident.opened",
    at=1_799_999_940.125,
    url="https://hooks.example.org/x",
    attempt=2,
    status_code=503,
    ok=False,
    error="answered 503",
    duration_ms=12.5,
)
HISTORY = HistoryEntry(
    project="shop", incident_id="record-1", at=1_799_999_969.5, action="open", actor="watch", note="why"
)

# As written before the fields were declared once; they are not to change.
ROW = {
    "Project": "shop",
    "IncidentId": "7c1e7c0a-0000-4000-8000-000000000001",
    "Fingerprint": "f" * 32,
    "Kind": "anomaly",
    "Rule": "anomaly.latency",
    "Severity": "critical",
    "State": "acknowledged",
    "Title": "Latency of gpt-4o-mini: 8.1 s",
    "Summary": "The slowest 5% of calls took 8.1 s.",
    "Metric": "latency",
    "Dimensions": {"provider": "openai", "model": "gpt-4o-mini"},
    "Observed": 8.1,
    "ExpectedLow": 0.2,
    "ExpectedHigh": None,
    "Unit": "s",
    "OpenedAt": "2027-01-15 07:58:59.750",
    "UpdatedAt": "2027-01-15 08:00:00.500",
    "LastSeenAt": "2027-01-15 07:59:50.000",
    "AcknowledgedAt": "2027-01-15 07:59:29.500",
    "AcknowledgedBy": "ada",
    "ResolvedAt": None,
    "Evidence": ["a" * 32, "b" * 32],
    "Count": 3,
    "Label": "noise",
    "LabelledAt": "2027-01-15 07:59:59.250",
    "LabelledBy": "ada",
    "Version": 2,
}
REPORT = (
    '{"project": "shop", "fingerprint": "ffffffffffffffffffffffffffffffff", "kind": "anomaly", '
    '"rule": "anomaly.latency", "severity": "critical", "state": "acknowledged", '
    '"title": "Latency of gpt-4o-mini: 8.1 s", "summary": "The slowest 5% of calls took 8.1 s.", '
    '"metric": "latency", "dimensions": {"provider": "openai", "model": "gpt-4o-mini"}, "observed": 8.1, '
    '"expected_low": 0.2, "expected_high": null, "unit": "s", "opened_at": "2027-01-15T07:58:59.750Z", '
    '"last_seen_at": "2027-01-15T07:59:50.000Z", "resolved_at": null, '
    '"evidence": ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"], "count": 3}'
)
DELIVERY_ROW = {
    "Project": "shop",
    "DeliveryId": "record-1",
    "IncidentId": "7c1e7c0a-0000-4000-8000-000000000001",
    "Event": "incident.opened",
    "At": "2027-01-15 07:59:00.125",
    "Url": "https://hooks.example.org/x",
    "Attempt": 2,
    "StatusCode": 503,
    "Ok": False,
    "Error": "answered 503",
    "DurationMs": 12.5,
}

TABLES: dict[str, type[Record]] = {
    "incident_versions": Incident,
    "incident_history": HistoryEntry,
    "delivery_log": AlertDelivery,
}


@pytest.mark.parametrize("table", TABLES)
def test_a_fresh_store_has_the_columns_that_the_fields_declare(served: Served, table: str) -> None:
    rows = served.collector.store.rows(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {t:String}",
        {"t": table},
    )
    assert {row["name"]: row["type"] for row in rows} == TABLES[table].ddl()


@pytest.mark.parametrize(
    ("table", "record", "row"),
    [
        ("incident_versions", INCIDENT, ROW),
        ("incident_versions", replace(INCIDENT, incident_id="bare", dimensions={}, evidence=()), None),
        ("incident_history", HISTORY, None),
        ("delivery_log", DELIVERY, DELIVERY_ROW),
    ],
)
def test_a_row_is_read_back_by_name_as_it_was_written(
    served: Served, table: str, record: Record, row: dict[str, Any] | None
) -> None:
    store = served.collector.store
    store.insert_rows(table, [record.to_row()])
    key = "DeliveryId" if table == "delivery_log" else "IncidentId"
    of = f"FROM {table} WHERE {key} = '{record.to_row()[key]}'"
    (read,) = store.rows(f"SELECT {type(record).select_list()} {of}")
    assert type(record).from_row(read) == record
    # By name: neither the order nor what else there is matters.
    assert type(record).from_row({"more": 1, **dict(reversed(read.items()))}) == record
    if row is not None:
        assert store.rows(f"SELECT * {of}") == [row]


def test_a_report_says_what_it_said_and_reads_back() -> None:
    assert json.dumps(INCIDENT.to_report()) == REPORT
    opened = replace(INCIDENT, state="open")
    model = IncidentReport.model_validate(opened.to_report())
    assert (model.actor, model.note) == ("watch", "")
    not_reported = {
        name: getattr(opened, name) for name, column in Incident.columns.items() if not column.reported
    }
    assert Incident.from_report(model, **not_reported) == opened
    assert AlertDelivery.from_report(DeliveryReport.model_validate(DELIVERY.to_report())) == DELIVERY


def test_a_message_says_what_it_said_and_cuts_long_texts() -> None:
    sent = INCIDENT.message()
    assert list(sent) == [
        "id",
        "project",
        "kind",
        "rule",
        "severity",
        "state",
        "title",
        "summary",
        "metric",
        "dimensions",
        "observed",
        "expected_low",
        "expected_high",
        "unit",
        "opened_at",
        "last_seen_at",
        "acknowledged_by",
        "resolved_at",
        "count",
    ]
    assert sent["id"] == INCIDENT.incident_id
    assert sent["opened_at"] == "2027-01-15T07:58:59.750Z"
    long = replace(INCIDENT, title="t" * 600, summary="s" * 5000, dimensions={"k" * 300: "v" * 300})
    cut = long.message()
    assert (len(cut["title"]), len(cut["summary"])) == (512, 4000)
    assert cut["dimensions"] == {"k" * 256: "v" * 256}


def test_a_missing_column_is_an_error_and_not_another_fields_value() -> None:
    with pytest.raises(KeyError, match="opened_at"):
        Incident.from_row({name: "x" for name in Incident.columns if not name.endswith("_at")})

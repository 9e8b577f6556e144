"""Audit rows of other services, posted with a key of the role `service`."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from llmtrace_collector.api.audit import MAX_ROWS

from .otlp import span, traces
from .running import CLIENT, Served, settings


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector with a key for each role."""
    keys = {"ingest_key": "in-key", "read_key": "read-key", "service_key": "service-key"}
    collector = Served(settings(tmp_path_factory.mktemp("audit"), **keys))
    yield collector
    collector.close()


def row(**fields: object) -> dict[str, Any]:
    """A row as an inference service sends it."""
    return {
        "id": str(uuid.uuid4()),
        "at": "2026-11-20T08:00:00.250+01:00",
        "origin": "llmtrace-inference",
        "actor": "admin_key",
        "action": "blocks.add",
        "target": "sha256:00",
        "detail": "3600 s",
        "address": "192.0.2.7",
        **fields,
    }


def send(served: Served, body: object, key: str = "service-key") -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return CLIENT.post(f"{served.url}/v1/audit", content=content, headers={"x-api-key": key})


def stored(served: Served, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    ids = [uuid.UUID(sent["id"]) for sent in rows]
    text = "SELECT * FROM audit_log WHERE Id IN {ids:Array(UUID)} ORDER BY At, Outcome"
    return served.collector.store.rows(text, {"ids": ids})


def test_rows_are_stored_as_sent_and_say_whose_they_are(served: Served) -> None:
    sent = row()
    assert send(served, [sent]).json() == {"stored": 1, "known": 0}
    (saved,) = stored(served, sent)
    assert saved == {
        "Project": "",
        "At": "2026-11-20 07:00:00.250",
        "KeyId": "service_key",
        "Action": "blocks.add",
        "Target": "sha256:00",
        "Detail": "3600 s",
        "Address": "192.0.2.7",
        "Id": sent["id"],
        "Origin": "llmtrace-inference",
        "Actor": "admin_key",
        "Outcome": "",
    }


@pytest.mark.parametrize(
    ("at", "held"),
    [
        ("2001-09-09T01:46:40Z", "2001-09-09 01:46:40.000"),
        # Its name is the same in each process of a run, whenever it is collected there.
        pytest.param(
            (datetime.now(UTC) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.000Z"), None, id="ahead"
        ),
        ("2200-02-03T04:05:06.007Z", "2200-02-03 04:05:06.007"),
        ("2286-11-20T17:46:38Z", "2286-11-20 17:46:38.000"),
        ("2286-11-20T17:46:39Z", ""),
        ("9999-12-31T23:59:59-14:00", ""),
        ("2001-09-09T01:46:39Z", ""),
        ("1970-01-01T00:00:07Z", ""),
        ("1969-12-31T23:59:59Z", ""),
        ("1900-01-01T00:00:00Z", ""),
        ("0001-01-01T00:00:00+14:00", ""),
    ],
)
@pytest.mark.parametrize("detail", ["3600 s", "", "x" * 4096])
def test_a_clock_that_is_wrong_loses_no_row(served: Served, at: str, held: str | None, detail: str) -> None:
    """`held`: the time that is stored, None for the stated one, "" for that of the arrival."""
    started = datetime.now(UTC)
    sent = row(at=at, detail=detail)
    assert send(served, [sent]).json() == {"stored": 1, "known": 0}
    assert send(served, [sent]).json() == {"stored": 0, "known": 1}
    (saved,) = stored(served, sent)
    if held == "":
        assert started - timedelta(seconds=1) < datetime.fromisoformat(saved["At"] + "Z") <= datetime.now(UTC)
    else:
        assert saved["At"] == (held or at.removesuffix("Z").replace("T", " "))
    if held == "2001-09-09 01:46:40.000":
        assert saved["Detail"] == detail, "rows may wait for long"
    else:
        stated = datetime.fromisoformat(at).isoformat()
        assert saved["Detail"].startswith(f"{detail} [its clock said {stated}, it came at ".lstrip())


def test_a_row_that_is_sent_again_is_stored_once(served: Served) -> None:
    first, second = row(), row()
    assert send(served, [first, first]).json() == {"stored": 1, "known": 1}
    assert send(served, [first, second]).json() == {"stored": 1, "known": 1}
    assert send(served, [first, second]).json() == {"stored": 0, "known": 2}
    failed = {**first, "outcome": "failed: 404"}
    assert send(served, [failed]).json() == {"stored": 1, "known": 0}
    assert [saved["Outcome"] for saved in stored(served, first)] == ["", "failed: 404"]
    assert len(stored(served, second)) == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"id": "7"}, "row 1: id: "),
        ({"at": "2026-11-20T08:00:00"}, "row 1: at: "),
        ({"origin": "collector"}, "the collector's own rows are written by the collector alone"),
        ({"origin": "Collector"}, "the collector's own rows are written by the collector alone"),
        ({"origin": ""}, "row 1: origin: "),
        ({"actor": ""}, "row 1: actor: "),
        ({"action": "drop"}, "row 1: action: "),
        ({"target": "x" * 1025}, "row 1: target: "),
        ({"detail": "x" * 4097}, "row 1: detail: "),
        ({"address": "x" * 65}, "row 1: address: "),
        ({"key_id": "admin_key"}, "row 1: key_id: Extra inputs"),
    ],
)
def test_of_a_body_with_a_bad_row_nothing_is_stored(
    served: Served, change: dict[str, object], sentence: str
) -> None:
    good = row()
    answer = send(served, [good, row(**change)])
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("nothing was stored: ")
    assert sentence in answer.json()["detail"]
    assert stored(served, good) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"rows": []}', b"\xff", b'["\\ud800"]'])
def test_other_bodies_are_refused_with_a_sentence(served: Served, body: bytes) -> None:
    answer = send(served, body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("nothing was stored: ")


def test_large_bodies_are_refused_before_they_are_parsed(served: Served) -> None:
    assert send(served, [row()] * (MAX_ROWS + 1)).status_code == 422
    # Whoever parsed it would answer 422: it is no JSON.
    assert send(served, b"[" * ((1 << 20) + 1)).status_code == 413
    assert send(served, b"[" * 10_000).status_code == 400
    assert send(served, [row() for _ in range(MAX_ROWS)]).json() == {"stored": MAX_ROWS, "known": 0}


def test_the_service_key_sends_and_audits_and_does_not_read(served: Served) -> None:
    for key, status in (("in-key", 401), ("read-key", 401), ("", 401), (served.admin_key, 200)):
        assert send(served, [row()], key).status_code == status, key
    service = {"x-api-key": "service-key"}
    assert served.post(traces([span()]), headers=service).status_code == 200
    read = CLIENT.post(f"{served.url}/clickhouse/", content=b"SELECT 1", headers=service)
    assert read.status_code == 401
    assert CLIENT.get(f"{served.url}/v1/keys", headers=service).status_code == 401


def test_rows_of_a_projects_key_are_that_projects(served: Served) -> None:
    body = {"role": "service", "project": "shop", "name": "inference"}
    key = served.write("POST", "/v1/keys", body).json()
    assert key["key"].startswith("llmt_service_")
    sent = row(actor="key_of_somebody_else")
    assert send(served, [sent], key["key"]).status_code == 200
    (saved,) = stored(served, sent)
    assert (saved["Project"], saved["KeyId"]) == ("shop", key["key_id"])
    assert (saved["Origin"], saved["Actor"]) == ("llmtrace-inference", "key_of_somebody_else")

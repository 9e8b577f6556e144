"""The life of data: retention by project, erasure of a user, exports, sizes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pandas
import pytest

import llmtrace_cli.admin.store
from llmtrace_collector.settings import CollectorSettings

from .conftest import Run
from .otlp import DAY, llm, logs, score, span, traces
from .running import Served, settings


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector that keeps two projects longer and shorter than the others."""
    fields = {"retention_days": 30, "retention": {"long": 90, "it's": 3}}
    collector = Served(settings(tmp_path_factory.mktemp("life"), **fields))
    yield collector
    collector.close()


def test_each_project_has_its_own_retention(served: Served) -> None:
    now = time.time_ns()
    for project, days in (("long", 90), ("it's", 3), ("other", 30)):
        resource = {"service.name": "kept", "llmtrace.project": project}
        inside, outside = span(start=now - (days - 1) * DAY), span(start=now - (days + 1) * DAY)
        answer = served.post(traces([inside, outside], resource))
        assert b"retention" in answer.content
        assert served.post(logs([score({})], resource), "logs").status_code == 200
    served.stored()
    for table in ("otel_traces", "otel_logs"):
        rows = served.rows(f"SELECT Project, RetentionDays FROM {table} ORDER BY Project")
        assert [tuple(row.values()) for row in rows] == [("it's", 3), ("long", 90), ("other", 30)]


def test_days_out_of_range_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="retention of 'a' is 0 days"):
        CollectorSettings(data_dir=tmp_path, retention={"a": 0})


def test_a_user_is_erased_and_nobody_else(served: Served, run: Run) -> None:
    ann = llm({"user.id": "ann's"})
    below = span({"text": "what ann wrote"}, trace_id=ann.trace_id, parent_span_id=ann.span_id)
    elsewhere = llm({"user.id": "ann's"})
    bob = llm({"user.id": "bob"})
    other = {"service.name": "s", "llmtrace.project": "other"}
    assert served.post(traces([ann, below, bob], {"service.name": "s"})).status_code == 200
    assert served.post(traces([elsewhere], other)).status_code == 200
    records = [
        score({"gen_ai.evaluation.name": "of ann"}, trace_id=ann.trace_id),
        score({"gen_ai.evaluation.name": "of bob"}, trace_id=bob.trace_id),
        score({"user.id": "ann's"}, event_name="feedback", trace_id=b""),
    ]
    assert served.post(logs(records), "logs").status_code == 200
    served.stored()

    counted = run("store", "delete", "--user", "ann's", "--project", "default", "--dry-run").stdout
    rows = {line.split()[0]: int(line.split()[1]) for line in counted.splitlines()}
    assert rows["otel_traces"] == 2
    assert rows["otel_logs"] == 2
    assert rows["scores"] == 1
    assert served.value("SELECT count() FROM otel_traces WHERE UserId = 'ann\\'s'") == "2"

    done = run("store", "delete", "--user", "ann's", "--project", "default", "--yes")
    assert "deleted" in done.stdout
    steps = [line.split(": ")[1] for line in done.stderr.splitlines() if " of " in line]
    assert {"scores", "otel_logs", "otel_traces"} <= set(steps)
    assert steps[-1].startswith("usage of")
    where = f"TraceId = '{ann.trace_id.hex()}'"
    for table in ("otel_traces", "otel_logs", "scores", "otel_traces_trace_id_ts"):
        assert served.value(f"SELECT count() FROM {table} WHERE {where}") == "0", table
    text = "SELECT Project, UserId, sum(Calls) AS n FROM usage_10s GROUP BY ALL ORDER BY ALL"
    assert [tuple(row.values())[:2] for row in served.rows(text)] == [("default", "bob"), ("other", "ann's")]
    assert served.value("SELECT groupArray(Name) FROM scores WHERE Name != ''") == "['of bob']"

    run("store", "delete", "--user", "ann's", "--yes")
    assert served.value("SELECT count() FROM otel_traces WHERE UserId = 'ann\\'s'") == "0"
    tables = served.write("GET", "/v1/stats", None).json()["tables"]
    assert not [row for row in tables if row["table"].startswith("erasure_")]
    actions = served.rows("SELECT Target FROM audit_log WHERE Action = 'store.delete'")
    assert len(actions) == 2
    assert "ann" not in json.dumps(actions)


def test_exports_hold_every_row(
    served: Served, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llmtrace_cli.admin.store, "_FILE_ROWS", 10)
    sent = [llm({"user.id": "exported\t" if n % 2 else "not"}) for n in range(60)]
    assert served.post(traces(sent)).status_code == 200
    served.stored()
    run("store", "export", str(tmp_path / "parquet"))
    files = sorted((tmp_path / "parquet").glob("*.parquet"))
    assert len(files) > 6
    exported = [row for file in files for row in pandas.read_parquet(file).to_dict("records")]
    wanted = served.value("SELECT count() FROM otel_traces WHERE Timestamp > now() - INTERVAL 30 DAY")
    assert len({row["SpanId"] for row in exported}) == len(exported) == int(wanted)
    out = run("store", "export", str(tmp_path / "user"), "--format", "jsonl", "--user", "exported\t").stdout
    assert out == "30 rows\n"
    lines = [
        json.loads(line) for file in (tmp_path / "user").iterdir() for line in file.read_text().splitlines()
    ]
    assert {line["UserId"] for line in lines} == {"exported\t"}
    assert "already" in run("store", "export", str(tmp_path / "parquet"), fails=True).output


def test_sizes(served: Served, run: Run) -> None:
    assert "otel_traces " in run("store", "stats").stdout
    first = json.loads(run("store", "stats", "--json").stdout.splitlines()[0])
    assert first["bytes_on_disk"] > 0

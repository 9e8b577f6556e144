"""The ledger over the store: what was stored is there, part by part and day by day, or everybody is told."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmtrace_collector.accounting import store_ledger
from llmtrace_collector.ingest.count_journal import Arrival, CountJournal
from llmtrace_collector.store.integrity.day_counts import (
    differences,
    note_retention,
    start_counting,
    totals,
    unstored,
)
from llmtrace_collector.store.integrity.parts import _is_covered

from .conftest import Run
from .otlp import DAY, SECOND, llm, logs, score, traces
from .running import CLIENT, Served, settings, until
from .test_metrics import request

_ACTIVE = (
    "SELECT path FROM system.parts WHERE active AND database = currentDatabase() AND table = 'otel_traces' "
    "AND partition_id IN (SELECT _partition_id FROM otel_traces WHERE ServiceName = {s:String}) "
    "AND name IN (SELECT _part FROM otel_traces WHERE ServiceName = {s:String}) FORMAT TSVRaw"
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector whose ledger the tests run themselves, but for what it does at its start."""
    collector = Served(settings(tmp_path_factory.mktemp("ledger")))
    yield collector
    collector.close()


def send(served: Served, service: str, spans: int = 10, **fields: Any) -> None:
    """Store calls of a service; what was stored before lies in other parts."""
    body = traces([llm({"user.id": service}, **fields) for _ in range(spans)], {"service.name": service})
    assert served.post(body).status_code == 200
    served.stored()
    served.collector.arrival_counts.flush()


def of_traces(served: Served) -> dict[str, Any]:
    return next(row for row in totals(served.collector.store) if row["signal"] == "traces")


def adds_up(served: Served) -> bool:
    store = served.collector.store
    row = of_traces(served)
    return (
        differences(store) == []
        and unstored(store) == {}
        and row["received"] == row["stored"] + row["quarantined"]
        and row["present"] == row["stored"] + sum(row["adjusted"].values())
    )


def ready(served: Served) -> dict[str, str]:
    """Code → text of the reasons for which it is not ready."""
    answer = CLIENT.get(f"{served.url}/health/ready").json()
    return {reason["code"]: reason["text"] for reason in answer["reasons"]}


def test_what_is_erased_and_what_ages_is_taken_off_the_books(served: Served) -> None:
    for service in ("ann", "bob"):
        send(served, service)
    served.post(logs([score({"gen_ai.evaluation.name": "x"})], {"service.name": "ann"}), "logs")
    served.post(request(), "metrics")
    served.stored()
    assert adds_up(served)

    erasure = served.write("POST", "/v1/erasures", {"user": "ann"}).json()
    until(
        lambda: served.write("GET", f"/v1/erasures/{erasure['erasure_id']}", None).json()["state"] == "done"
    )
    assert served.value("SELECT count() FROM otel_traces WHERE ServiceName = 'ann'") == "0"
    assert adds_up(served)
    assert of_traces(served)["adjusted"] == {"erasure": -10}

    # The first day of a month of retention may go at any time, and then does.
    send(served, "old", start=time.time_ns() - 30 * DAY + 600 * SECOND)
    assert adds_up(served)
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 30 * 86400 + 600))
    served.collector.store.engine.execute(f"ALTER TABLE otel_traces DROP PARTITION (30, '{day}')")
    assert differences(served.collector.store) == []
    note_retention(served.collector.store)
    assert adds_up(served)
    assert of_traces(served)["adjusted"] == {"erasure": -10, "retention": -10}


def test_rows_that_no_count_knows_are_counted(served: Served) -> None:
    send(served, "uncounted")
    store = served.collector.store
    # What a kill between two tables of one insert leaves.
    store.mutate("ALTER TABLE completeness_counts DELETE WHERE ServiceName = 'uncounted' AND Stored > 0")
    assert not differences(store)
    assert served.value("SELECT sum(Stored) FROM completeness WHERE ServiceName = 'uncounted'") == "10"
    assert adds_up(served)


def test_rows_that_vanish_are_an_incident_until_they_are_taken_off_the_books(
    served: Served, run: Run
) -> None:
    send(served, "here")
    send(served, "gone", 7)
    (path,) = served.collector.store.engine.execute(_ACTIVE, {"s": "gone"}).decode().split()
    name = Path(path).name
    ledger = served.collector.store_ledger
    served.collector.store.engine.execute(f"ALTER TABLE otel_traces DETACH PART '{name}'")
    ledger.sync(at_once=True)
    (code, text) = ready(served).popitem()
    assert code == "rows-missing"
    assert text.startswith("7 of ")
    assert "gone" not in text  # anybody may ask
    assert served.metric("llmtrace_ledger_difference_rows", signal="traces") == 7
    (row,) = served.rows("SELECT Title, Summary, State FROM incidents WHERE Rule = 'store-ledger'")
    assert row["State"] == "open"
    assert "7 spans of gone" in row["Summary"]

    output = run("store", "check", fails=True)
    assert "differs: 7 of " in output.output
    assert "missing or not readable: 7 spans of gone (project default), received " in output.output
    assert "rows-missing" in ready(served)
    output = run("store", "check", "--repair", fails=True)
    assert "lost: 7 spans of gone" in output.output
    assert ready(served) == {}
    assert adds_up(served)
    assert served.value("SELECT sum(Spans) FROM usage_10s WHERE ServiceName = 'gone'") == "0"
    assert served.value("SELECT State FROM incidents WHERE Rule = 'store-ledger'") == "resolved"
    assert run("store", "check").output.count("every part is whole and every day adds up") == 1

    # Attached again by hand they are there again.
    served.collector.store.engine.execute(f"ALTER TABLE otel_traces ATTACH PART '{name}'")
    ledger.sync(at_once=True)
    assert adds_up(served)
    assert "lost" not in of_traces(served)["adjusted"] or of_traces(served)["adjusted"]["back"] == 7


def test_damaged_bytes_are_found_and_come_back_from_a_backup(
    served: Served, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(served, "saved", 9)
    assert served.write("POST", "/v1/backups", None).status_code == 200
    send(served, "unsaved", 6)
    engine, ledger = served.collector.store.engine, served.collector.store_ledger
    for service in ("saved", "unsaved"):
        (path,) = engine.execute(_ACTIVE, {"s": service}).decode().split()
        data = bytearray((Path(path) / "data.bin").read_bytes())
        for at in range(len(data) // 2, len(data) // 2 + 8):
            data[at] ^= 0xFF
        (Path(path) / "data.bin").write_bytes(data)
    monkeypatch.setattr(store_ledger, "_COLD_SECONDS", 0)
    for _ in range(20):
        ledger.check_cold()
    assert {part.table for part in ledger.state.damaged} == {"otel_traces"}
    assert ready(served)["parts-damaged"].startswith("2 parts of otel_traces are damaged")
    assert served.metric("llmtrace_broken_parts", state="damaged") == 2

    output = run("store", "check", fails=True).output
    assert "missing or not readable: 9 spans of saved" in output
    assert "missing or not readable: 6 spans of unsaved" in output
    output = run("store", "check", "--repair", fails=True).output
    assert "restored: 9 spans of " in output
    assert "lost: 6 spans of unsaved" in output
    assert "saved (project" not in output.replace("unsaved", "")
    assert ready(served) == {}
    assert served.value("SELECT count(), sum(InputTokens) FROM otel_traces WHERE ServiceName = 'saved'") == (
        "9\t1080"
    )
    usage = "SELECT sum(Spans) FROM usage_10s WHERE ServiceName = {s:String}"
    assert served.value(usage, s="saved") == "9"
    assert served.value(usage, s="unsaved") == "0"
    assert served.value("SELECT sum(Calls) FROM usage_hour WHERE ServiceName = 'saved'") == "9"
    assert adds_up(served)


def test_an_upgraded_store_begins_with_what_it_holds(served: Served) -> None:
    store = served.collector.store
    for table in ("row_adjustments", "completeness_counts"):
        store.engine.execute(f"TRUNCATE TABLE {table} SYNC")
    start_counting(store)
    assert differences(store) == []
    send(served, "later")
    assert differences(store) == []
    row = of_traces(served)
    assert row["stored"] == 10
    assert row["present"] == row["stored"] + row["adjusted"]["upgrade"]


@pytest.mark.parametrize(
    ("active", "covered"),
    [
        ([(1, 9)], True),
        ([(3, 4), (1, 2), (5, 6)], True),
        ([(1, 2), (4, 6)], False),
        ([(2, 6)], False),
        ([], False),
    ],
)
def test_a_broken_part_whose_blocks_lie_in_others_is_none(
    active: list[tuple[int, int]], covered: bool
) -> None:
    same = {"table": "t", "partition": "p"}
    parts = [{**same, "first": first, "last": last} for first, last in active]
    other = [{"table": "t", "partition": "q", "first": 1, "last": 9}]
    assert _is_covered({**same, "first": 1, "last": 6}, [*parts, *other]) is covered


_ANN = Arrival("p", "ann", 60)


def test_a_segment_counts_once_it_has_left_the_log(tmp_path: Path) -> None:
    log = tmp_path / "wal"
    journal = CountJournal(log)
    file = log / "traces-1-a.seg"
    file.touch()
    for _ in range(2):  # a process that was killed before it let go of the file says it again
        journal.note(file, "traces", {_ANN: 5}, {_ANN: 2})
        assert journal.batches() == []
        journal.close()
        journal = CountJournal(log)
    file.unlink()
    (batch,) = journal.batches()
    (row,) = batch.rows
    assert (row.arrival, row.received, row.quarantined) == (_ANN, 5, 2)
    journal.close()
    journal = CountJournal(log)
    assert journal.batches() == [batch]  # under its name until it is in the store
    journal.note(log / "back.seg", "traces", {_ANN: 2}, {_ANN: 2}, back=True)
    assert batch in journal.batches()
    assert len(journal.batches()) == 2
    journal.done(journal.batches())
    assert journal.batches() == []
    journal.close()


def test_a_damaged_journal_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    CountJournal(tmp_path / "wal").close()
    (tmp_path / "counts.sqlite").write_bytes(b"no database" * 1000)
    journal = CountJournal(tmp_path / "wal")
    assert journal.batches() == []
    journal.close()
    assert "was set aside as counts.sqlite.damaged-" in caplog.text
    assert len(list(tmp_path.glob("counts.sqlite.damaged-*"))) == 1
    with sqlite3.connect(tmp_path / "counts.sqlite") as database:
        assert database.execute("SELECT count() FROM counts").fetchone() == (0,)

"""A segment of the log that somebody takes away while the collector is down is missed, and counted."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtrace_collector.ingest.count_journal import CountJournal
from llmtrace_collector.ingest.wal import WriteAheadLog

from .otlp import llm, traces
from .running import CLIENT, Served, settings, until

SPANS = 15


def left_log(folder: Path, key: Path | None = None) -> Path:
    """What a kill leaves of a data directory: the log with one segment of spans, noted with its rows."""
    fields = {} if key is None else {"encryption_key_file": key}
    before = Served(settings(folder / "before", segment_seconds=60.0, **fields))
    try:
        for _ in range(SPANS // 3):
            sent = traces([llm(), llm(), llm()], {"service.name": "shop"})
            assert before.post(sent).status_code == 200
        before.collector.wal.note_held()
        shutil.copytree(folder / "before" / "wal", folder / "left" / "wal")
        for file in (folder / "before").glob("counts.sqlite*"):
            shutil.copy(file, folder / "left")
    finally:
        before.close()
    return folder / "left"


@pytest.fixture(scope="module")
def plain_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a log, to be copied."""
    return left_log(tmp_path_factory.mktemp("log"))


def killed(folder: Path, log: Path) -> tuple[Path, Path]:
    """A data directory with a copy of that log; and the log's segment."""
    shutil.copytree(log, folder / "killed")
    (segment,) = (folder / "killed" / "wal").glob("*.seg")
    return folder / "killed", segment


def reasons(served: Served) -> list[tuple[str, str]]:
    body = CLIENT.get(f"{served.url}/health/ready").json()
    return [(reason["code"], reason["text"]) for reason in body["reasons"]]


def counted(served: Served) -> tuple[int, int, int]:
    """Received, quarantined and stored spans, as completeness has them."""
    served.collector.wal.note_held()
    served.collector.arrival_counts.flush()
    columns = ("Received", "Quarantined", "Stored")
    received, quarantined, stored = (
        int(served.value(f"SELECT sum({column}) FROM completeness")) for column in columns
    )
    return received, quarantined, stored


@pytest.mark.parametrize(("kind", "rows"), [("noted", SPANS), ("unnoted", 1), ("encrypted", SPANS)])
def test_a_segment_that_was_taken_away_is_missed_until_its_entry_is_deleted(
    tmp_path: Path, plain_log: Path, kind: str, rows: int
) -> None:
    key = None
    if kind == "encrypted":
        key = tmp_path / "key"
        key.write_text("11" * 32)
    folder, segment = killed(tmp_path, plain_log if key is None else left_log(tmp_path, key))
    if kind == "unnoted":
        with sqlite3.connect(folder / "counts.sqlite") as database:
            database.execute("UPDATE segments SET held = x''")
        database.close()
    segment.unlink()
    fields = {} if key is None else {"encryption_key_file": key}
    served = Served(settings(folder, **fields))
    try:
        ((code, text),) = reasons(served)
        assert code == "segments-missing"
        assert f"at least {rows} acknowledged rows" in text
        assert "; `llmtrace collector quarantine list`" in text
        assert served.metric("llmtrace_missing_log_segments") == 1
        (entry,) = served.write("GET", "/v1/quarantine", None).json()["segments"]
        assert entry["name"] == f"{segment.stem}.at-0"
        assert entry["services"] == ({"shop": SPANS} if rows > 1 else {})
        assert entry["reason"].startswith(f"missing log segment: {segment.name} lay in the log with at least")
        assert counted(served) == (rows, rows, 0)
        assert served.collector.store_ledger.state.unstored == ()
        served.collector.missing_segments.sync()
        incident = "SELECT State, Project, Severity, Observed FROM incidents WHERE Rule = 'missing-segments'"
        assert served.value(incident).split("\t") == ["open", "default", "critical", str(rows)]
    finally:
        served.close()

    served = Served(settings(folder, **fields))  # nothing is counted or said twice
    try:
        assert [code for code, _ in reasons(served)] == ["segments-missing"]
        assert counted(served) == (rows, rows, 0)
        served.collector.missing_segments.sync()
        assert served.value("SELECT count() FROM incidents") == "1"
        deleted = served.write("DELETE", f"/v1/quarantine/{segment.stem}.at-0", None)
        assert deleted.status_code == 200
        assert reasons(served) == []
        served.collector.missing_segments.sync()
        assert served.value(incident).startswith("resolved")
    finally:
        served.close()
    assert not (segment.parent / "quarantine" / f"{segment.stem}.at-0.damage").exists()


@pytest.mark.parametrize("is_old", [True, False])
def test_a_log_that_was_deleted_whole_is_missed(tmp_path: Path, plain_log: Path, *, is_old: bool) -> None:
    folder, segment = killed(tmp_path, plain_log)
    if is_old:  # a release of before, whose journal the first start of this one moves
        for file in folder.glob("counts.sqlite*"):
            file.rename(folder / "wal" / file.name)
        CountJournal(folder / "wal").close()
        assert sorted(path.name for path in folder.glob("**/counts.sqlite*")) == ["counts.sqlite"]
    shutil.rmtree(segment.parent)
    served = Served(settings(folder))
    try:
        ((code, text),) = reasons(served)
        assert code == "segments-missing"
        assert f"at least {SPANS} acknowledged rows" in text
        assert counted(served) == (SPANS, SPANS, 0)
        assert served.post(traces([llm()])).status_code == 200
        served.stored()
        assert counted(served) == (SPANS + 1, SPANS, 1)
    finally:
        served.close()


def test_a_log_that_is_deleted_under_the_collector_is_missed_and_made_anew(tmp_path: Path) -> None:
    served = Served(settings(tmp_path, segment_seconds=1.0))
    try:
        assert served.post(traces([llm(), llm()], {"service.name": "shop"})).status_code == 200
        shutil.rmtree(tmp_path / "wal")
        until(lambda: bool(reasons(served)), what="a reason")
        ((code, text),) = reasons(served)
        assert code == "segments-missing"
        assert "a segment of the log, with at least 2 acknowledged rows" in text
        (entry,) = served.write("GET", "/v1/quarantine", None).json()["segments"]
        assert entry["services"] == {"shop": 2}
        assert entry["reason"].startswith("missing log segment: ")
        assert served.post(traces([llm()])).status_code == 200
        served.stored()
        assert counted(served) == (3, 2, 1)
    finally:
        served.close()
    served = Served(settings(tmp_path))
    try:
        assert [code for code, _ in reasons(served)] == ["segments-missing"]
        assert counted(served) == (3, 2, 1)
    finally:
        served.close()


@pytest.mark.parametrize("is_counted", [True, False])
def test_a_segment_that_is_there_again_is_stored_and_counts_once(
    tmp_path: Path, plain_log: Path, is_counted: bool
) -> None:
    folder, segment = killed(tmp_path, plain_log)
    aside = segment.rename(tmp_path / segment.name)
    if is_counted:
        served = Served(settings(folder))
        try:
            assert [code for code, _ in reasons(served)] == ["segments-missing"]
            assert counted(served) == (SPANS, SPANS, 0)
        finally:
            served.close()
    else:
        _start_and_kill(folder / "wal")
    aside.rename(segment)
    served = Served(settings(folder))
    try:
        served.stored()
        assert reasons(served) == []
        assert counted(served) == (SPANS, 0, SPANS)
        assert served.write("GET", "/v1/quarantine", None).json()["segments"] == []
    finally:
        served.close()


def _start_and_kill(log: Path) -> None:
    """A start that misses a segment and is killed before its counts are in the store."""
    journal = CountJournal(log)
    wal = WriteAheadLog(
        log,
        segment_bytes=1 << 20,
        segment_seconds=60.0,
        budget_bytes=1 << 30,
        on_closed=lambda _: None,
        journal=journal,
    )
    wal.recover()
    assert len(wal.quarantine.missing()) == 1
    wal.release()
    journal.close()


def _delete(file: Path) -> None:
    for path in file.parent.glob("counts.sqlite*"):
        path.unlink()


def _overwrite(file: Path) -> None:
    file.write_bytes(b"nobody's" * 1000)


def _fill_with_nonsense(file: Path) -> None:
    with sqlite3.connect(file) as database:
        rows = [("notes.txt", b"x"), ("traces-1-ab.seg", b"\0\1"), (7, "text"), ("../../x.seg", b"[1]")]
        database.executemany("INSERT INTO segments VALUES (?, ?)", rows)
    database.close()


@pytest.mark.parametrize(
    ("damage", "codes"), [(_delete, []), (_overwrite, []), (_fill_with_nonsense, ["segments-missing"])]
)
def test_a_journal_that_is_gone_or_damaged_stops_no_start_and_alarms_nobody(
    tmp_path: Path, plain_log: Path, damage: Callable[[Path], None], codes: list[str]
) -> None:
    folder, _ = killed(tmp_path, plain_log)
    damage(folder / "counts.sqlite")
    served = Served(settings(folder))
    try:
        served.stored()
        assert [code for code, _ in reasons(served)] == codes
        assert served.value("SELECT count() FROM otel_traces") == str(SPANS)
    finally:
        served.close()


def test_what_leaves_the_log_as_it_should_is_not_missed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    served = Served(settings(folder))
    try:
        assert served.post(traces([llm()])).status_code == 200
        served.stored()
    finally:
        served.close()
    database = sqlite3.connect(folder / "counts.sqlite")
    assert database.execute("SELECT count() FROM segments").fetchall() == [(0,)]
    database.close()


def test_requests_are_taken_where_segments_cannot_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    served = Served(settings(tmp_path))
    try:

        def note_opened(files: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(served.collector.arrival_counts.journal, "note_opened", note_opened)
        assert served.post(traces([llm()])).status_code == 200
        until(lambda: "is not noted: database or disk is full" in caplog.text)
        served.stored()
        assert served.value("SELECT count() FROM otel_traces") == "1"
    finally:
        served.close()

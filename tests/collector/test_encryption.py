"""With a key nothing that the collector keeps can be read on the disk; nothing is lost for want of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmtrace.common.sealed_files import EncryptionUnavailable, SealBroken, load_keys, unseal
from llmtrace_collector.ingest.segment import Segment
from llmtrace_collector.ingest.wal import WriteAheadLog
from llmtrace_collector.ingest.wal_frame import Frame
from llmtrace_collector.store.engine import StoreError
from llmtrace_collector.store.store import Store

from .otlp import llm, logs, score, traces
from .running import Served, settings

MARK = "zanzibar"
FIRST, SECOND = "ab" * 32, "cd" * 32


def key_file(folder: Path, *keys: str) -> Path:
    file = folder / "keys.txt"
    file.write_text("\n".join(keys))
    return file


def marked(folder: Path) -> list[str]:
    """Files below a folder in which the mark can be read."""
    return sorted(
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if file.is_file() and MARK.encode() in file.read_bytes()
    )


def send(served: Served) -> None:
    prompt = f'[{{"role": "user", "parts": [{{"type": "text", "content": "{MARK} in a prompt"}}]}}]'
    span = llm({"gen_ai.input.messages": prompt, "user.id": f"{MARK}@example.org", "note": MARK})
    assert served.post(traces([span], {"service.name": MARK})).status_code == 200
    scored = score({"gen_ai.evaluation.name": MARK, "gen_ai.evaluation.explanation": MARK})
    assert served.post(logs([scored]), "logs").status_code == 200
    served.stored()


def served(folder: Path, *keys: str, **fields: Any) -> Served:
    file = key_file(folder.parent, *keys) if keys else None
    return Served(settings(folder, encryption_key_file=file, **fields))


def count(collector: Served) -> str:
    return collector.value(f"SELECT count() FROM otel_traces WHERE InputMessages LIKE '%{MARK}%'")


def test_what_is_stored_refused_and_backed_up_says_nothing_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    plain = served(folder)
    try:
        send(plain)
    finally:
        plain.close()
    assert marked(folder / "store"), "the mark can be found where nothing is encrypted"

    # What was there before there was a key is encrypted at the first start with one.
    encrypted = served(folder, FIRST)
    try:
        assert count(encrypted) == "1"
        assert marked(folder) == []
        send(encrypted)
        refuse(monkeypatch, f"Code: 27. DB::Exception: cannot parse '{MARK}'")
        assert encrypted.post(traces([llm({"note": f"{MARK} refused"})])).status_code == 200
        encrypted.stored()
        monkeypatch.undo()
        (refused,) = encrypted.write("GET", "/v1/quarantine", None).json()["segments"]
        assert MARK in refused["reason"]
        assert encrypted.write("GET", f"/v1/quarantine/{refused['name']}", None).json()["count"] == 1
        backup = encrypted.write("POST", "/v1/backups", None)
        assert backup.status_code == 200, backup.text
        assert marked(folder) == []
    finally:
        encrypted.close()
    assert marked(folder) == []

    # Without its key the store would look empty, and its parts would be put away as broken.
    for keys in ((), (SECOND,)):
        with pytest.raises(EncryptionUnavailable, match="which is not set"):
            served(folder, *keys)

    # A rotation: the new key writes, the old one still reads.
    rotated = served(folder, SECOND, FIRST)
    try:
        assert count(rotated) == "2"
        send(rotated)
        assert rotated.write("POST", f"/v1/quarantine/{refused['name']}/replay", None).status_code == 200
        rotated.stored()
        assert rotated.value("SELECT count() FROM otel_traces WHERE has(SpanAttributes, 'note')") == "4"
        assert count(rotated) == "3"
        name = rotated.write("POST", "/v1/backups", None).json()["name"]
    finally:
        rotated.close()
    assert marked(folder) == []
    with pytest.raises(EncryptionUnavailable, match="which is not set"):
        served(folder, SECOND)

    # What the old key wrote goes with the store: a backup of now needs the new one alone.
    shutil.copytree(folder / "backups" / name, tmp_path / "new" / "backups" / name)
    new = served(tmp_path / "new", SECOND)
    try:
        answer = new.write("POST", f"/v1/backups/{name}/restore", None)
        assert answer.status_code == 200, answer.text
        assert count(new) == "3"
    finally:
        new.close()
    assert marked(tmp_path / "new") == []


def refuse(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    """The store refuses every segment, and says so in words that quote it."""

    def insert(self: Store, signal: str, path: Path, token: str) -> None:
        raise StoreError(reason, 27)

    monkeypatch.setattr(Store, "insert_segment", insert)


def written_log(
    folder: Path, keys: Any, bodies: list[bytes], stop: Callable[[WriteAheadLog], None]
) -> list[Segment]:
    closed: list[Segment] = []
    wal = WriteAheadLog(
        folder,
        segment_bytes=1 << 20,
        segment_seconds=60.0,
        budget_bytes=1 << 30,
        on_closed=closed.append,
        keys=keys,
    )
    wal.start()
    for body in bodies:
        assert wal.append("traces", Frame("shop", 1, body), frozenset({20_000})).result(10)
    stop(wal)
    return closed


def test_a_log_with_a_torn_tail_gives_every_whole_record_back_and_only_with_its_key(tmp_path: Path) -> None:
    keys = load_keys(key_file(tmp_path, FIRST), {})

    def end(wal: WriteAheadLog) -> None:
        wal.close()
        wal.release()

    bodies = [traces([llm({"note": f"{MARK} {number}"})]).SerializeToString() for number in range(5)]
    (segment,) = written_log(tmp_path / "wal", keys, bodies, end)
    data = segment.path.read_bytes()
    assert MARK.encode() not in data
    with segment.plain_file() as plain:
        assert plain.read_bytes().count(MARK.encode()) == 5
    assert not plain.exists() or not str(plain).startswith(str(tmp_path))

    segment.path.write_bytes(data[:-3])
    with pytest.raises(SealBroken, match="not among the keys"):
        written_log(tmp_path / "wal", None, [], end)
    (recovered,) = written_log(tmp_path / "wal", keys, [], end)
    assert [frame.body for frame in recovered.frames()] == bodies[:4]
    assert recovered.rows["shop"] == 4


def test_what_a_crash_left_before_there_was_a_key_is_not_left_plain(tmp_path: Path) -> None:
    log = tmp_path / "wal"
    for name in (
        "quarantine/traces-1-a.reason",  # of a request whose bytes were not kept
        "quarantine/traces-1-b.tail",
        "quarantine/traces-1-c.reason.new",
        "split/traces-1-d.0-1.seg",
        "traces-2-e.seg",  # nothing but a torn tail
    ):
        (log / name).parent.mkdir(parents=True, exist_ok=True)
        (log / name).write_bytes(f"{MARK} in {name}".encode())
    keys = load_keys(key_file(tmp_path, FIRST), {})

    def end(wal: WriteAheadLog) -> None:
        wal.close()
        wal.release()

    for _ in range(2):
        for segment in written_log(log, keys, [], end):  # nothing of which can be read: the writer lets it go
            assert not segment.has_requests()
            segment.path.unlink()
        assert marked(log) == []
    files = {file.name: unseal(file.read_bytes(), keys) for file in (log / "quarantine").iterdir()}
    plain = {name: data for name, data in files.items() if not name.endswith(".damage")}
    assert plain == {
        "traces-1-a.reason": f"{MARK} in quarantine/traces-1-a.reason".encode(),
        "traces-1-b.0-0.at-0.bytes": f"{MARK} in quarantine/traces-1-b.tail".encode(),
        "traces-2-e.at-0.bytes": f"{MARK} in traces-2-e.seg".encode(),
    }


def test_a_key_that_is_there_twice_is_one(tmp_path: Path) -> None:
    keys = load_keys(key_file(tmp_path, FIRST, FIRST.upper(), SECOND, f"{FIRST}\r"), {})
    assert keys is not None
    assert [key.hex() for key in keys.keys] == [FIRST, SECOND]

"""Files that are there whole or not at all."""

from __future__ import annotations

import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmtrace.common.durable_files import open_journal, sync_file, write_durably
from tests.synced_files import SyncedFiles


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_file_is_on_disk_and_its_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exclusive: bool
) -> None:
    synced = SyncedFiles(monkeypatch)
    path = tmp_path / "file"
    write_durably(path, b"content", exclusive=exclusive)
    assert path in synced
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == [path]


def test_a_journal_is_its_owners_and_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = SyncedFiles(monkeypatch)
    path = tmp_path / "journal"
    for line in (b"one\n", b"two\n"):
        with open_journal(path) as file:
            assert synced.holds_name_of(path)
            file.write(line)
            sync_file(file)
            assert path in synced
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_is_copied_from_where_it_is_open(tmp_path: Path) -> None:
    large = os.urandom((3 << 20) + 7)
    source = io.BytesIO(b"head" + large)
    source.seek(4)
    write_durably(tmp_path / "copy", source)
    assert (tmp_path / "copy").read_bytes() == large


def test_what_fails_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for target in (path, tmp_path / "new"):
        with pytest.raises(OSError, match="No space"):
            write_durably(target, b"new", exclusive=target != path)
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_bytes() == b"old"


def test_of_those_who_write_exclusively_one_does(tmp_path: Path) -> None:
    writers = 16
    barrier = threading.Barrier(writers)
    path = tmp_path / "file"

    def write(number: int) -> int | None:
        barrier.wait()
        try:
            write_durably(path, bytes([number]) * 10_000, exclusive=True)
        except FileExistsError:
            return None
        return number

    with ThreadPoolExecutor(writers) as pool:
        written = [number for number in pool.map(write, range(writers)) if number is not None]
    assert len(written) == 1
    assert path.read_bytes() == bytes(written) * 10_000
    assert [*tmp_path.iterdir()] == [path]

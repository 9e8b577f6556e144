"""A collector whose disk is full: what was acknowledged stays, senders and administrators are told why, and
what frees space works from inside.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from llmtrace.common.log_lines import OncePerKind
from llmtrace_collector import disk_reserve
from llmtrace_collector.disk_reserve import DiskReserve
from llmtrace_collector.metrics import CollectorMetrics
from tests.cli.running import run

from .otlp import llm, traces
from .running import Launched, settings, until
from .test_faults import small_disk


def body(user: str, spans: int) -> bytes:
    """A request of so many spans of a user, 8 kB each."""
    noisy = [llm({"note": os.urandom(4000).hex(), "user.id": user}, name="disk") for _ in range(spans)]
    return traces(noisy).SerializeToString()


def fill(file: Path) -> None:
    """Take what is free on the disk of `file`."""
    with file.open("ab", buffering=0) as target, suppress(OSError):
        while target.write(bytes(1 << 16)):
            pass


def erase(collector: Launched, user: str) -> dict[str, object]:
    answer = collector.write("POST", "/v1/erasures", {"user": user})
    assert answer.status_code == 200, answer.text
    path = f"/v1/erasures/{answer.json()['erasure_id']}"
    until(lambda: collector.write("GET", path, None).json()["state"] != "running", 100, "the erasure")
    state: dict[str, object] = collector.write("GET", path, None).json()
    return state


def test_a_full_disk_is_cleared_from_inside(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "180m"):
        collector = Launched(settings(disk / "data", disk_reserve_bytes=32 << 20))
        collector.errors = tmp_path / "stderr.txt"
        with collector:
            acknowledged = {"ann": 0, "bob": 0}
            for user in ("ann", "bob", "ann", "bob"):
                assert collector.post(body(user, 100)).status_code == 200
                acknowledged[user] += 100
            collector.stored()
            assert (disk / "data" / "reserve").stat().st_blocks * 512 >= 8 << 20
            fill(disk / "filler")
            until(lambda: collector.metric("llmtrace_disk_full") == 1, 10, "the full disk")
            assert not (disk / "data" / "reserve").exists(), "it is given back"

            refused = collector.post(body("ann", 5))
            assert refused.status_code == 503
            assert b"the disk is full since" in refused.content
            assert int(refused.headers["retry-after"]) >= 1
            for _ in range(30):
                collector.post(body("ann", 1))
            ready = httpx.get(f"{collector.url}/health/ready", trust_env=False)
            assert ready.status_code == 503
            assert "disk-full" in [reason["code"] for reason in ready.json()["reasons"]]

            doctor = run("doctor", "--endpoint", collector.url, cwd=tmp_path)
            assert doctor.returncode == 1
            assert f"{collector.url}/v1/traces answers 503 to spans: the disk is full since" in doctor.stdout

            key = collector.write("POST", "/v1/keys", {"role": "read", "project": "default"})
            assert key.status_code == 200, key.text
            backup = collector.write("POST", "/v1/backups", None)
            assert backup.status_code == 503, backup.text
            assert "make room" in backup.text

            state = erase(collector, "ann")
            assert state["state"] == "done", state
            reader = collector.reader(key.json()["key"])
            rows = reader.query("SELECT UserId, count() FROM otel_traces GROUP BY UserId").result_rows
            reader.close()
            assert rows == [("bob", acknowledged["bob"])]

            with (disk / "filler").open("ab") as filler:
                filler.truncate(1 << 20)
            until(lambda: collector.metric("llmtrace_disk_full") == 0, 10, "room")
            assert (disk / "data" / "reserve").exists(), "and taken again"
            fill(disk / "filler")
            until(lambda: collector.metric("llmtrace_disk_full") == 1, 10, "the full disk")
            started = time.monotonic()
            assert collector.stop() == -signal.SIGTERM
            assert time.monotonic() - started < 20
        lines = collector.errors.read_text().splitlines()
        assert len([line for line in lines if "the disk is full since" in line]) <= 3, lines
        assert len(lines) < 40, lines


def reserve_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[DiskReserve, SimpleNamespace]:
    """A reserve of 1 MB on a disk of 40 MB as the namespace says that it is."""
    disk = SimpleNamespace(
        f_blocks=40_000, f_frsize=1000, f_bavail=20_000, f_files=1_000_000, f_favail=1_000_000
    )
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    return DiskReserve(folder, 1_000_000, 2_000_000, CollectorMetrics()), disk


def test_the_reserve_is_given_back_and_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve, disk = reserve_on(tmp_path, monkeypatch)
    file = tmp_path / disk_reserve.FILE
    reserve.check()
    assert reserve.reason() == ""
    assert file.stat().st_size == 1_000_000
    assert file.stat().st_mode & 0o777 == 0o600
    disk.f_bavail = 1_999
    reserve.check()
    assert not file.exists()
    assert "2.0 MB free" in reserve.reason()
    disk.f_bavail = 4_900  # room, but not for the reserve and twice what counts as full
    reserve.check()
    assert reserve.reason()
    assert not file.exists()
    disk.f_bavail = 5_100
    reserve.check()
    assert reserve.reason() == ""
    assert file.exists()
    disk.f_favail = 3
    reserve.check()
    assert "3 more files possible" in reserve.reason()


def test_a_kind_of_warning_is_written_once_with_the_number_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(OncePerKind(0.2))
    logger = logging.Logger("disk")
    logger.addHandler(handler)
    for number in range(50):
        logger.warning("commit %d failed", number)
    logger.warning("another kind")
    logger.info("said %d", 1)
    logger.info("said %d", 2)
    for text in ("one", "two"):
        logger.error("%s", text)
    time.sleep(0.25)
    logger.warning("commit %d failed", 99)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:6] == ["commit 0 failed", "another kind", "said 1", "said 2", "one", "two"]
    assert lines[6].startswith("commit 99 failed (49 more like this since ")
    assert len(lines) == 7

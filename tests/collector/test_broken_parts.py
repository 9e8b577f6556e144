"""Faults of the store's own files, in a collector of its own process: they are seen at the start, said within
seconds, repaired by one command, and a kill loses no count.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .otlp import llm, traces
from .running import CLIENT, Launched, settings, until

_COUNTS = (
    "SELECT sum(Received) AS received, sum(Stored) AS stored FROM completeness WHERE ServiceName = {s:String}"
)


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    with Launched(settings(tmp_path_factory.mktemp("broken"))) as collector:
        yield collector


def send(launched: Launched, service: str, spans: int) -> None:
    body = traces([llm() for _ in range(spans)], {"service.name": service})
    assert launched.post(body).status_code == 200


def counted(launched: Launched, service: str) -> tuple[int, int]:
    (row,) = launched.rows(_COUNTS, s=service)
    return int(row["received"]), int(row["stored"])


def reasons(launched: Launched) -> dict[str, str]:
    answer = CLIENT.get(f"{launched.url}/health/ready").json()
    return {reason["code"]: reason["text"] for reason in answer["reasons"]}


def check(launched: Launched, *, repair: bool) -> dict[str, Any]:
    """The report of a check that has ended."""
    report = launched.write("POST", "/v1/ledger/checks", {"repair": repair}).json()
    path = f"/v1/ledger/checks/{report['check_id']}"
    reports: list[dict[str, Any]] = []

    def ended() -> bool:
        reports.append(launched.write("GET", path, None).json())
        return bool(reports[-1]["state"] != "running")

    until(ended, 60, "the check")
    assert reports[-1]["state"] == "done", reports[-1]
    return reports[-1]


def newest_parts(launched: Launched) -> list[Path]:
    """The folders of the spans' parts as they were inserted, the oldest first."""
    folders = (launched.settings.data_dir / "store" / "store").glob("*/*/*-*_*_*_0")
    spans = [folder for folder in folders if "EndBeforeStart" in (folder / "columns.txt").read_text()]
    return sorted(spans, key=lambda folder: int(folder.name.split("_")[1]))


def test_a_kill_after_an_acknowledgement_loses_no_count(launched: Launched) -> None:
    """Whether it comes before the segment is stored, after it, or before the counts are in the store."""
    total = 0
    for pause in (0.0, 0.4):
        send(launched, "killed", 5)
        total += 5
        time.sleep(pause)
        launched.stop(signal.SIGKILL)
        launched.start()
        launched.stored()
    until(lambda: counted(launched, "killed") == (total, total), 30, "exact counts")
    assert reasons(launched) == {}


def test_parts_broken_at_the_start_are_told_and_repaired(launched: Launched) -> None:
    for number, service in enumerate(("whole", "cut", "deleted")):
        send(launched, service, 10 + number)
        launched.stored()
    until(lambda: counted(launched, "deleted") == (12, 12), what="the counts")
    cut, deleted = newest_parts(launched)[-2:]
    launched.stop()
    (deleted / "data.bin").unlink()
    with (cut / "checksums.txt").open("rb+") as file:
        file.truncate(20)
    launched.spawn()
    until(lambda: "rows-missing" in _reasons_if_up(launched), 120, "the reason")
    texts = reasons(launched)
    assert texts["parts-broken"].startswith("2 parts of otel_traces were broken when the store was opened")
    assert texts["rows-missing"].startswith("23 of ")
    until(lambda: "Whose: " in launched.errors.read_text(), what="the log")
    log = launched.errors.read_text()
    assert "detached/broken-on-start_" in log
    assert "11 spans of cut (project default), received " in log
    assert "12 spans of deleted (project default), received " in log
    assert launched.metric("llmtrace_broken_parts", state="set aside") == 2
    assert launched.metric("llmtrace_ledger_difference_rows", signal="traces") == 23

    usage = "SELECT sum(Spans) FROM usage_10s WHERE ServiceName IN ('whole', 'cut', 'deleted')"
    assert launched.value(usage) == "33"
    report = check(launched, repair=True)
    assert {(item["service"], item["rows"]) for item in report["lost"]} == {("cut", 11), ("deleted", 12)}
    assert launched.value(usage) == "10"
    until(lambda: reasons(launched) == {}, what="readiness")
    ledger = launched.write("GET", "/v1/ledger", None).json()
    (row,) = [row for row in ledger["signals"] if row["signal"] == "traces"]
    assert row["received"] == row["quarantined"] + row["in_log"] + row["stored"]
    assert row["adjusted"] == {"lost": -23}
    assert row["present"] == row["stored"] - 23
    assert json.dumps(ledger["broken_parts"]) == "[]"

    # It does not come back with a restart.
    launched.stop()
    launched.start()
    time.sleep(1)
    assert reasons(launched) == {}
    assert check(launched, repair=False)["broken"] == []


def _reasons_if_up(launched: Launched) -> dict[str, str]:
    try:
        return reasons(launched)
    except httpx.TransportError:
        return {}

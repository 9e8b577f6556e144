"""What outlives a restart."""

from __future__ import annotations

import os
import re
from pathlib import Path

import httpx

from .otlp import span, traces
from .running import Served, settings
from .test_receive import ids


def test_a_resend_after_a_restart_is_stored_once(tmp_path: Path) -> None:
    sent = span()
    body = traces([sent]).SerializeToString()
    for _ in range(2):
        door = Served(settings(tmp_path))
        assert door.post(body).status_code == 200
        door.stored()
        assert len(ids(door, sent)) == 1
        door.close()


def test_metrics_are_prometheus_text(tmp_path: Path) -> None:
    door = Served(settings(tmp_path))
    try:
        text = httpx.get(f"{door.url}/metrics").text
    finally:
        door.close()
    assert re.search(r"^llmtrace_log_bytes 0.0$", text, re.MULTILINE)
    assert os.listdir(tmp_path / "wal") == ["seen.sqlite"]

"""The benchmark of reads makes a store, asks it everything, and uses it again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.filled_store import fill
from benchmarks.query import BARS

_SPANS = 6000
_ASKED = ("trace_by_id", "user_traces", "attribute_search", "text_search", "overview", "cost_30d")


def run(folder: Path) -> dict[str, object]:
    command = [sys.executable, "-m", "benchmarks.query", "--spans", str(_SPANS), "--rounds", "1", "--json"]
    done = subprocess.run(
        [*command, "--store", str(folder)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    figures: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return figures


def test_every_figure_is_there_and_a_store_is_made_once(tmp_path: Path) -> None:
    figures = run(tmp_path)
    assert figures["spans"] == _SPANS
    for name in _ASKED:
        for part in ("p50", "p95"):
            value = figures[f"{name}_ms_{part}"]
            assert isinstance(value, float)
            assert value > 0
    assert figures["trace_by_id_found"] == 5
    assert figures["attribute_search_found"] == 10
    assert figures["attribute_search_common_found"] == 100
    assert isinstance(figures["user_traces_found"], float)
    assert figures["user_traces_found"] >= 1
    for name in ("bytes_per_span", "compression", "compression_columns", "compression_text"):
        value = figures[name]
        assert isinstance(value, float)
        assert value > 1
    bars = figures["bars"]
    assert isinstance(bars, dict)
    for key, bound, above in BARS:
        value = figures[key]
        assert isinstance(value, float)
        assert bars[key] == (value >= bound if above else value <= bound)

    progress: list[int] = []
    again = fill(tmp_path / f"query-{_SPANS}", _SPANS, lambda done, _: progress.append(done))
    assert not progress  # nothing was made
    assert again.build_seconds == pytest.approx(figures["build_seconds"], abs=0.1)

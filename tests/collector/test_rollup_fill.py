"""A store that has spans before it has steps and traces is filled by the passes."""

from __future__ import annotations

import time
from pathlib import Path

from llmtrace_collector.store.rollups.settings import RollupSettings
from llmtrace_collector.store.store import Store, open_store

from .otlp import SECOND, llm
from .rolled import Rolled


def test_a_store_with_spans_is_filled_newest_first_and_bit_by_bit(tmp_path: Path) -> None:
    harness = Rolled(tmp_path, RollupSettings(trace_quiet_seconds=0, fill_seconds=0.0))
    now = time.time_ns()
    for hours in (0, 30, 60):
        harness.send(llm(start=now - hours * 3600 * SECOND), project="before")
    # However little time there is, a pass makes a part.
    seen = [passed(harness.store)]
    harness.store.close()
    store = open_store(
        f"chdb://{tmp_path / 'store'}", rollups=RollupSettings(trace_quiet_seconds=0, fill_seconds=0.0)
    )
    seen += [passed(store) for _ in range(3)]
    assert seen == [(1, 1), (2, 2), (3, 3), (3, 3)]
    # What comes in meanwhile is the passes' as ever, and what is full stays so.
    rows = store.rows("SELECT FilledFrom FROM rollup_passes FINAL WHERE Name = 'steps and traces of before'")
    assert rows == [{"FilledFrom": "1970-01-01 00:00:00.000"}]
    store.close()


def passed(store: Store) -> tuple[int, int]:
    """The steps and the traces that are made after one more pass."""
    store.roll_up()
    (row,) = store.rows(
        "SELECT (SELECT count() FROM steps) AS steps, (SELECT count() FROM trace_rows) AS traces"
    )
    return row["steps"], row["traces"]

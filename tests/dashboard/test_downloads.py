"""Files that visitors take away, and what the browser makes of tables."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from llmtrace_analysis.cost.price_books import read_prices
from llmtrace_dashboard.ui.downloads import csv_of
from llmtrace_dashboard.ui.span_tree import Node
from llmtrace_dashboard.views.trace import _span_table
from tests.hostile_text import hostile


@given(st.lists(hostile, min_size=1, max_size=4))
def test_numbers_stay_numbers_and_text_stays_text(names: list[str]) -> None:
    frame = pd.DataFrame({"model": names, "calls": -1, "cost": -0.25, "unknown": float("nan")})
    frame["at"] = pd.Timestamp("2026-11-29", tz="UTC")
    rows = list(csv.reader(io.StringIO(csv_of(frame), newline="")))
    assert rows[0] == ["model", "calls", "cost", "unknown", "at"]
    assert len(rows) == len(names) + 1
    for name, row in zip(names, rows[1:], strict=True):
        assert row[0] in (name, f"'{name}")
        assert row[1:] == ["-1", "-0.25", "", "2026-11-29 00:00:00+00:00"]


def test_the_table_of_spans_is_no_sheet_of_formulas() -> None:
    """The browser exports what the cells hold."""
    span = {
        "name": "=1+1", "service": "@x", "kind": "Client", "status": "Error", "start_ns": 0, "duration_ns": 5,
        "ttft": None, "model": "-1", "input_tokens": 1, "output_tokens": None, "estimated": "",
    }  # fmt: skip
    table = _span_table([Node(span=span, depth=0, children=0)], 0)
    assert table[["Span", "Service", "Model"]].to_numpy().tolist() == [["'=1+1", "'@x", "'-1"]]


def test_prices_that_were_listed_are_taken_back(tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text(csv_of(pd.DataFrame({"model": ["@cf/meta/llama"], "input": [0.1], "output": [0.2]})))
    assert "'@cf/meta/llama" in file.read_text()
    (price,) = read_prices(file)
    assert price["model"] == "@cf/meta/llama"

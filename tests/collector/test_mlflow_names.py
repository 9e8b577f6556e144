"""Whatever runs and scores are called, MLflow takes it: judged by MLflow's own checks."""

from __future__ import annotations

import json
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.validation import _validate_batch_log_data, _validate_batch_log_limits

from llmtrace_collector.mlflow.runs.run_contents import RUN_KEY_TAG, contents, run_key
from llmtrace_collector.mlflow.runs.run_data import PARAMETERS, RunData, RunKey, Sample, Score
from llmtrace_collector.mlflow.tracking import _shown
from tests.hostile_text import hostile


def run_data(names: list[str]) -> RunData:
    """A run in which every text is one of these."""
    first, second, third = (names * 3)[:3]
    sample = Sample(
        first,
        "s",
        0,
        second,
        third,
        first,
        9,
        second,
        9,
        1.0,
        None,
        1,
        None,
        None,
        third,
        {first: 1.0, second: third},
    )
    return RunData(
        key=RunKey(first, second, third),
        **dict.fromkeys(("unknown_usage", "cached_tokens", "unpriced_calls", "started_ms", "received_ms"), 0),
        **dict.fromkeys(("calls", "errors", "input_tokens", "output_tokens", "ended_ms"), 2),
        latency_ms=(1.0, 2.0),
        ttft_ms=None,
        cost_usd=0.1,
        first_trace=first,
        last_trace=second,
        slowest_trace=third,
        error_traces=(first,),
        parameters={name: tuple(names) for name in PARAMETERS},
        samples=(sample,),
        scores=tuple(Score(name, 0.5, 2) for name in names),
    )


@settings(max_examples=60)
@given(st.lists(hostile, min_size=1, max_size=5))
def test_mlflow_takes_every_name(names: list[str]) -> None:
    run_contents = contents(run_data(names), "http://127.0.0.1:8501/traces?trace={trace_id}")
    key = run_key(RunKey(*(names * 3)[:3]))
    tags = {**run_contents.tags, RUN_KEY_TAG: key}
    batch = (
        [Metric(name, value, 1, 0) for name, value in run_contents.metrics.items()],
        [Param(name, value) for name, value in run_contents.params.items()],
        [RunTag(name, value) for name, value in tags.items()],
    )
    _validate_batch_log_limits(*batch)  # type: ignore[no-untyped-call]
    _validate_batch_log_data(*batch)  # type: ignore[no-untyped-call]
    assert len(run_contents.metrics) >= len(set(names))
    note = tags.pop("mlflow.note.content")
    for value in (*run_contents.params.values(), *tags.values(), _shown(names[0], 250)):
        assert not any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs") for char in value)
        assert "\x00" not in value
    json.dumps(run_contents.table).encode()
    # The note's links are ours alone, and nothing in it is an image or HTML.
    inline = [child for token in MarkdownIt("commonmark").parse(note) for child in token.children or []]
    assert {child.type for child in inline} <= {
        "text", "text_special", "link_open", "link_close", "strong_open", "strong_close",
    }  # fmt: skip
    links = [str(child.attrs["href"]) for child in inline if child.type == "link_open"]
    assert len(links) == 4
    assert all(link.startswith("http://127.0.0.1:8501/traces?trace=") for link in links)


@given(st.lists(st.tuples(hostile, hostile, hostile), min_size=2, max_size=2, unique=True))
def test_two_runs_never_have_one_key(keys: list[tuple[str, str, str]]) -> None:
    first, second = (run_key(RunKey(*key)) for key in keys)
    assert first != second

"""Recorded answers cost what they state, and what the public list reads of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.sdk.naive import FOLDER

from . import __main__ as command
from .comparison import compare
from .replay import recordings_of, stored_calls


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recorded traffic at {FOLDER}")
def test_every_recording_has_its_total_and_its_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMTRACE_SPOOL_DIR", str(tmp_path / "spool"))
    recordings = list(recordings_of(FOLDER))
    comparison = compare(recordings, stored_calls(tmp_path, recordings))
    with capsys.disabled():
        print("", *comparison.lines(), sep="\n")
    counts = comparison.counts
    assert not comparison.differences
    assert counts["totals compared"] == counts["totals equal"] > 400
    assert counts["prices compared"] == counts["prices equal"] > 400
    assert counts["counts recalculated"] == counts["counts recalculated equal"]
    # What differs for a reason is seldom, and the reason is one of those that are known.
    assert len(comparison.exceptions) < 5


def test_a_file_of_spans_is_held_against_its_own_totals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that agrees, one that does not."""
    file = tmp_path / "spans.jsonl"
    lines = [_request("a1", 100, 20, 120), _request("a2", 100, 20, 121)]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    assert command.main(["--file", str(file)]) == 1
    *_, last = capsys.readouterr().out.splitlines()
    counts = json.loads(last)
    assert (counts["calls"], counts["totals compared"], counts["totals equal"]) == (2, 2, 1)
    assert counts["counts recalculated"] == counts["counts recalculated equal"] == 2


def _request(span_id: str, sent: int, answered: int, total: int) -> dict[str, object]:
    """An OTLP request of one call, as OpenLLMetry sends it."""
    values = {
        "gen_ai.system": "openai",
        "llm.request.type": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": sent,
        "gen_ai.usage.output_tokens": answered,
        "llm.usage.total_tokens": total,
    }
    attributes = [
        {"key": key, "value": {"intValue": value} if isinstance(value, int) else {"stringValue": value}}
        for key, value in values.items()
    ]
    span = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": span_id.ljust(16, "0"),
        "name": "openai.chat",
        "kind": 3,
        "startTimeUnixNano": "1796000000000000000",
        "endTimeUnixNano": "1796000001000000000",
        "attributes": attributes,
    }
    scope = {"scope": {"name": "opentelemetry.instrumentation.openai.v1"}, "spans": [span]}
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [scope]}]}

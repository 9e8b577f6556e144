"""Segments that the store refuses: the good of them is stored, the bad is set aside, shown and replayed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtrace_collector.store.engine import StoreError, StoreUnavailable

from .conftest import Run
from .otlp import llm, span, traces
from .running import Served, settings

REASON = "Code: 33. these bytes are bad"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector whose segments hold several requests."""
    collector = Served(settings(tmp_path_factory.mktemp("poison"), segment_seconds=0.5))
    yield collector
    collector.close()


class Refusing:
    """The store's insert, which refuses files with `poison` in them and keeps the tokens it was asked for."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = served.collector.store.insert_segment
        self.tokens: list[str] = []
        self.stored_first = False
        self.away_at = -1
        monkeypatch.setattr(served.collector.store, "insert_segment", self.insert)

    def insert(self, kind: str, path: Path, token: str) -> None:
        self.tokens.append(token)
        if len(self.tokens) == self.away_at:
            raise StoreUnavailable("away", 210)
        if b"poison" in path.read_bytes():
            if self.stored_first:
                self._real(kind, path, token)
            raise StoreError(REASON, 33)
        self._real(kind, path, token)


def count(served: Served, *spans: object) -> tuple[int, int]:
    """Rows and distinct spans stored of those given."""
    wanted = ",".join(f"'{sent_span.span_id.hex()}'" for sent_span in spans)  # type: ignore[attr-defined]
    text = f"SELECT count(), uniqExact(SpanId) FROM otel_traces WHERE SpanId IN ({wanted})"
    rows, distinct = served.value(text).split("\t")
    return int(rows), int(distinct)


def calls(served: Served, name: str) -> str:
    served.collector.store.rebuild_stale()
    return served.value("SELECT sum(Calls) FROM usage_10s WHERE ServiceName = {n:String}", n=name)


@pytest.mark.parametrize("away_at", [-1, 2, 5])
def test_the_good_of_a_segment_is_stored(
    served: Served,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    away_at: int,
) -> None:
    refusing = Refusing(served, monkeypatch)
    refusing.away_at = away_at
    service = {"service.name": f"mixed{away_at}"}
    good = [llm() for _ in range(6)]
    bad = llm({"text": "poison"})
    before = served.metric("llmtrace_quarantined_items_total", signal="traces")
    for call in [*good[:4], bad, *good[4:]]:
        assert served.post(traces([call], service)).status_code == 200
    served.stored()
    assert count(served, *good) == (6, 6)
    assert count(served, bad) == (0, 0)
    assert calls(served, service["service.name"]) == "6"
    assert served.metric("llmtrace_quarantined_items_total", signal="traces") == before + 1
    assert served.metric("llmtrace_split_segments_total") >= 1
    folder = served.collector.settings.data_dir / "wal"
    assert not list(folder.glob("*.split"))
    assert not list((folder / "split").iterdir())

    name = run("collector", "quarantine", "list").stdout.split()[0]
    description = json.loads(run("collector", "quarantine", "show", name).stdout)
    assert description["reason"] == REASON
    assert [request["rows"] for request in description["requests"]] == [1]
    # Refused again it comes back; once the store takes it, it is stored once.
    assert "queued" in run("collector", "quarantine", "replay", name).stdout
    served.stored()
    assert count(served, bad) == (0, 0)
    assert run("collector", "quarantine", "list").stdout.split()[0] == name
    monkeypatch.undo()
    run("collector", "quarantine", "replay", "--all")
    served.stored()
    assert count(served, bad, *good) == (7, 7)
    assert run("collector", "quarantine", "list").stdout == ""
    assert f"no {name} in" in run("collector", "quarantine", "show", name, fails=True).output


def test_a_segment_of_which_a_part_was_stored_is_not_split(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = Refusing(served, monkeypatch)
    refusing.stored_first = True
    sent = [span(), span({"text": "poison"}), span()]
    for sent_span in sent:
        assert served.post(traces([sent_span])).status_code == 200
    served.stored()
    assert len(refusing.tokens) == 1
    quarantined = served.collector.settings.data_dir / "wal" / "quarantine"
    assert (quarantined / f"{refusing.tokens[0]}.reason").read_text() == REASON
    monkeypatch.undo()
    # Its own token makes the replay exact.
    assert served.write("POST", f"/v1/quarantine/{refusing.tokens[0]}/replay", {}).status_code == 200
    served.stored()
    assert count(served, *sent) == (3, 3)


def test_names_lead_nowhere_else(served: Served) -> None:
    for name in ("..%2Fseen", "traces", "traces-1-../x", "traces-1-a.seg"):
        assert served.write("POST", f"/v1/quarantine/{name}/replay", {}).status_code in (404, 422)

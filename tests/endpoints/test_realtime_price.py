"""What a spoken response costs, from the WebSocket to the store: sound, words and what was cached apart."""

from __future__ import annotations

from pathlib import Path

import pytest

import llmtrace
from tests.collector.running import Served, settings

from .realtime_endpoints import ENDPOINTS

#: Dollars a million: words, sound; both cached; words and sound of the answer.
_TEXT, _AUDIO, _CACHED, _TEXT_OUT, _AUDIO_OUT = 4.0, 32.0, 0.4, 16.0, 64.0


def test_the_cost_of_a_spoken_response(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTRACE_STRICT", "1")
    response = next(row for row in ENDPOINTS if row.name == "realtime: a response · OpenAI")
    assert response.send is not None
    served = Served(settings(tmp_path / "store"))
    try:
        llmtrace.init(endpoint=served.url, service_name="realtime", spool_dir="off")
        response.send(False)
        llmtrace.flush(60)
        llmtrace.shutdown()
        served.stored()
        served.collector.price_book.sync()
        (row,) = served.collector.store.rows("SELECT Cost FROM call_cost")
    finally:
        llmtrace.shutdown(timeout=1)
        served.close()
    # 1,200 of input: 200 words of which 100 cached, 1,000 of sound of which 300; 300 of output, 250 of sound.
    micro = 100 * _TEXT + 700 * _AUDIO + 400 * _CACHED + 50 * _TEXT_OUT + 250 * _AUDIO_OUT
    assert row["Cost"] == pytest.approx(micro / 1e6)

"""Recorded traffic of real providers through the SDK and the collector: tokens and cost as the bodies say.

The bodies are read a second time by the naive reader, and priced by the price list's own calculator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from genai_prices import Usage, calc_price

import llmtrace
from llmtrace.testing import Answer, ReplayServer
from tests.sdk.naive import FOLDER, Expected, Recording, expected, recordings
from tests.sdk.test_recordings import Loopback, answer_of

from .running import Served, settings, until

#: Providers as hosts name them → as the price list does.
PROVIDERS = {
    "openai": "openai", "anthropic": "anthropic", "azure.ai.openai": "azure", "aws.bedrock": "aws",
    "gcp.gemini": "google", "gcp.vertex_ai": "google", "deepseek": "deepseek",
    "unknown": None,  # whoever has the model, as the store has it
}  # fmt: skip

#: Last words of the usage attribute → the cost view's column, and the calculator's unit.
COLUMNS = {
    "input_tokens": ("InputTokens", "input_tokens"),
    "output_tokens": ("OutputTokens", "output_tokens"),
    "cache_read.input_tokens": ("CacheReadTokens", "cache_read_tokens"),
    "cache_write.input_tokens": ("CacheWriteTokens", "cache_write_tokens"),
    "cache_write_1h.input_tokens": ("CacheWrite1hTokens", "cache_write_1h_tokens"),
    "reasoning.output_tokens": ("ReasoningTokens", "output_reasoning_tokens"),
    "audio.input_tokens": ("AudioInputTokens", "input_audio_tokens"),
    "audio.output_tokens": ("AudioOutputTokens", "output_audio_tokens"),
}


def cost(want: Expected, at: datetime) -> float | None:
    """USD by the calculator; None where the list does not have the model."""
    usage = Usage(**{unit: want.usage.get(key, 0) for key, (_, unit) in COLUMNS.items()})
    tier = None if want.tier in (None, "default", "standard") else {"service_tier": want.tier}
    for model in (want.response_model, want.request_model):
        if not model:
            continue
        try:
            price = calc_price(
                usage,
                model,
                provider_id=PROVIDERS[want.provider],
                genai_request_timestamp=at,
                price_context=tier,
            )
        except LookupError:
            continue
        return float(price.total_price)
    return None


def replay(url: str) -> Iterator[Recording]:
    """Send every recorded request; its name is the session of the span."""
    llmtrace.init(endpoint=url, http_spans="none")
    with ReplayServer(Answer()) as server, httpx.Client(transport=Loopback(server)) as client:
        for recording in recordings():
            server.answer_with(answer_of(recording))
            record = recording.record
            with (
                llmtrace.context(session_id=recording.name),
                client.stream(record["method"], record["url"], content=recording.sent or None) as response,
            ):
                response.read()
            yield recording
    llmtrace.flush(30)
    llmtrace.shutdown()


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recorded traffic at {FOLDER}")
def test_every_recording_with_usage_is_stored_and_priced_as_its_body_says(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("recorded")
    monkeypatch.setenv("LLMTRACE_SPOOL_DIR", str(folder / "spool"))
    served = Served(settings(folder / "store"))
    try:
        wanted = dict(_wanted(served))
        at = datetime.now(UTC)
        until(lambda: len(_stored(served)) >= len(wanted), 60, "the recordings' arrival")
        served.stored()
        served.collector.price_book.sync()
        stored = _stored(served)
        wrong = [
            f"{name}: {difference}"
            for name, want in wanted.items()
            for difference in _differences(want, stored[name], at)
        ]
        assert not wrong, f"{len(wrong)} differences\n" + "\n".join(wrong[:20])
        priced = Counter(bool(row["Priced"]) for row in stored.values())
        assert len(wanted) == 506
        assert priced[True] > 400, priced
        extra = [
            row for name, row in stored.items() if name not in wanted and row["Cost"] and not row["Estimated"]
        ]
        assert not extra, f"calls without usage that cost something: {extra[:3]}"
        # The hours add up to the same.
        (hours,) = served.collector.store.rows("SELECT sum(Cost) AS cost, sum(Calls) AS calls FROM cost_hour")
        assert hours["calls"] == len(stored)
        assert hours["cost"] == pytest.approx(sum(row["Cost"] or 0 for row in stored.values()), rel=1e-9)
    finally:
        llmtrace.shutdown(timeout=1)
        served.close()


def _wanted(served: Served) -> Iterator[tuple[str, Expected]]:
    counted: set[str] = set()
    for recording in replay(served.url):
        if recording.left_out is None:
            want = expected(recording, counted)
            if want.usage:
                yield recording.name, want


def _stored(served: Served) -> dict[str, dict[str, Any]]:
    rows = served.collector.store.rows(
        "SELECT * EXCEPT (Timestamp, Tags) FROM call_cost WHERE SessionId != ''"
    )
    return {row["SessionId"]: row for row in rows}


def _differences(want: Expected, row: dict[str, Any], at: datetime) -> Iterator[str]:
    for key, (column, _) in COLUMNS.items():
        if row[column] != want.usage.get(key, 0):
            yield f"{column} is {row[column]}, expected {want.usage.get(key, 0)}"
    amount = cost(want, at)
    stored_cost = row["Cost"]
    if amount is None and row["Priced"]:
        yield f"{row['Provider']}/{row['Model']} has a price, and the list does not have it"
    elif amount is not None and (
        stored_cost is None or abs(stored_cost - amount) > 1e-9 * max(abs(amount), 1e-9)
    ):
        yield f"{row['Provider']}/{row['Model']} {row['ServiceTier']} costs {stored_cost}, expected {amount}"

"""What is billed by the piece, in the store: jobs with their chain, storage, sound, images, free calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.cost import report
from llmtrace_analysis.queries import fine_tuning, traces
from llmtrace_analysis.queries.scope import Scope
from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.settings import ModelPrice
from llmtrace_collector.store.search import parse
from llmtrace_collector.store.store import Store, open_store
from llmtrace_dashboard.views import fine_tuning as view

DAY = datetime(2026, 11, 10, tzinfo=UTC)
WHOLE = Scope(DAY, DAY + timedelta(days=1))
BASE = "gpt-4o-mini-2024-07-18"
RESULT = "ft:gpt-4o-mini-2024-07-18:acme::abc"


def _span(number: int, operation: str, model: str, **attributes: object) -> dict[str, Any]:
    values = {"gen_ai.operation.name": operation, "gen_ai.request.model": model, **attributes}
    values.setdefault("gen_ai.provider.name", "openai")
    return {
        "Timestamp": (DAY + timedelta(seconds=number)).strftime("%Y-%m-%d %H:%M:%S.%f"),
        "Duration": 10**9,
        "TraceId": f"{number:032x}",
        "SpanId": f"{number:016x}",
        "SpanKind": "Client",
        "ScopeName": "llmtrace",
        "ServiceName": "shop",
        "SpanAttributes": {key: str(value) for key, value in values.items()},
    }


JOB = {
    "llmtrace.fine_tuning.job": "ftjob-1",
    "llmtrace.fine_tuning.training_file": "file-abc",
    "llmtrace.fine_tuning.dataset_version": "orders-7",
    "llmtrace.fine_tuning.result_model": RESULT,
    "llmtrace.usage.trained_tokens": 2_000_000,
    "llmtrace.response.service_tier": "training",
    "gen_ai.response.status": "succeeded",
}
USED = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100}
GEMINI = {
    "gen_ai.provider.name": "gcp.gemini",
    "llmtrace.response.service_tier": "cache_storage",
    "llmtrace.usage.cache_storage_token_hours": 10**6,
}
SPANS = [
    _span(1, "fine_tuning", BASE, **JOB),
    _span(2, "chat", RESULT, **USED),
    _span(3, "chat", BASE, **USED),
    _span(4, "cache_storage", "gemini-2.5-flash", **GEMINI),
    _span(5, "transcription", "whisper-1", **{"llmtrace.usage.audio_input_seconds": 90}),
    _span(6, "speech", "tts-1", **{"llmtrace.usage.speech_characters": 2000}),
    _span(7, "moderation", "omni-moderation-latest"),
    _span(8, "transcription", "gpt-4o-transcribe"),
    _span(9, "generate_content", "dall-e-3",
          **{"llmtrace.usage.generated_images": 2, "llmtrace.response.service_tier": "hd+1024x1792"}),
]  # fmt: skip
OWN = (
    ModelPrice(
        model=BASE,
        provider="openai",
        input_per_million=0.15,
        output_per_million=0.6,
        training_per_million=3.0,
    ),
    ModelPrice(
        model="gemini-2.5-flash",
        provider="gcp.gemini",
        input_per_million=0.3,
        output_per_million=2.5,
        cache_storage_per_million=1.0,
    ),
    ModelPrice(
        model="dall-e-3",
        provider="openai",
        service_tier="hd+1024x1792",
        input_per_million=0,
        output_per_million=0,
        per_generated_image=0.12,
    ),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('pieces')}", 3650)
    opened.insert_rows("otel_traces", SPANS)
    opened.roll_up(at_once=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Client]:
    opened = store.client
    yield opened
    opened.close()


def _costs(store: Store) -> dict[str, float | None]:
    """Cost of each call of `call_cost`, by operation and model."""
    rows = store.rows("SELECT Operation, Model, Cost FROM call_cost ORDER BY Timestamp")
    return {f"{row['Operation']} {row['Model']}": row["Cost"] for row in rows}


def test_pieces_cost_what_the_list_says_or_are_unpriced(store: Store, client: Client) -> None:
    PriceBook(store, ()).sync(activate=True)
    costs = _costs(store)
    # No price of a base model stands in for that of its training, nor one of input for that of storage.
    assert costs[f"fine_tuning {BASE}"] is None
    assert costs["cache_storage gemini-2.5-flash"] is None
    assert costs["generate_content dall-e-3"] is None
    assert costs["transcription gpt-4o-transcribe"] is None  # nothing told its usage
    assert costs["transcription whisper-1"] == pytest.approx(90 * 0.36 / 3600)
    assert costs["speech tts-1"] == pytest.approx(2000 * 15 / 1e6)
    assert costs["moderation omni-moderation-latest"] == 0
    assert costs[f"chat {BASE}"] == pytest.approx(1000 * 0.15e-6 + 100 * 0.6e-6)
    whole = report.report(client, WHOLE).iloc[0]
    assert (whole["calls"], whole["calls_without_tokens"], whole["unpriced_calls"]) == (9, 1, 3)
    assert (whole["audio_seconds"], whole["characters"], whole["images"]) == (90, 2000, 2)
    assert (whole["trained_tokens"], whole["cache_token_hours"]) == (2_000_000, 1_000_000)


def test_prices_of_one_s_own(store: Store, client: Client) -> None:
    PriceBook(store, OWN).sync(activate=True)
    costs = _costs(store)
    assert costs[f"fine_tuning {BASE}"] == pytest.approx(6.0)
    assert costs["cache_storage gemini-2.5-flash"] == pytest.approx(1.0)
    assert costs["generate_content dall-e-3"] == pytest.approx(0.24)
    whole = report.report(client, WHOLE).iloc[0]
    assert whole["cost"] == pytest.approx(sum(cost for cost in costs.values() if cost is not None))
    # One that says nothing of training leaves it unpriced.
    PriceBook(store, [OWN[0].model_copy(update={"training_per_million": None})]).sync(activate=True)
    assert _costs(store)[f"fine_tuning {BASE}"] is None


def test_from_the_data_set_to_the_calls_and_back(
    store: Store, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(function: Any, *arguments: Any) -> Any:
        return function(client, *arguments)

    monkeypatch.setattr(view, "load", load)

    def facts(number: int) -> Mapping[str, Mapping[str, Any]]:
        detail = traces.span_detail(client, f"{number:032x}", f"{number:016x}")
        assert detail is not None
        return {fact["label"]: fact for fact in view.facts(detail.values)}

    job = facts(1)
    assert job["Resulting model"]["text"] == RESULT
    assert job["Resulting model"]["href"].endswith("model=ft%3Agpt-4o-mini-2024-07-18%3Aacme%3A%3Aabc")
    assert (job["Training file"]["text"], job["Data set version"]["text"]) == ("file-abc", "orders-7")
    assert job["Trained tokens"]["text"] == "2000000"
    call = facts(2)
    assert call["Fine-tuned by"]["text"] == "ftjob-1"
    assert f"trace={1:032x}" in call["Fine-tuned by"]["href"]
    assert (call["Training file"]["text"], call["Data set version"]["text"]) == ("file-abc", "orders-7")
    assert facts(3) == {}
    # What the links search for.
    text = 'attr.llmtrace.fine_tuning.training_file="file-abc"'
    assert parse(text)
    assert (
        call["Training file"]["href"] == "/traces?q=attr.llmtrace.fine_tuning.training_file%3D%22file-abc%22"
    )


@pytest.mark.parametrize(
    ("model", "may_be"),
    [
        ("ft:gpt-4o:a::b", True),
        ("gpt-4o-mini.ft-0123", True),
        ("gpt-4o", False),
        ("minecraft-soft", False),
        ("", False),
    ],
)
def test_names_of_fine_tuned_models(client: Client, model: str, may_be: bool) -> None:
    assert fine_tuning.may_be_fine_tuned(model) is may_be
    assert fine_tuning.job_of(client, model) is None

"""What a stored call costs by what decides its price, and what of it has no price."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from genai_prices import Usage, calc_price

from llmtrace_analysis.cost import report
from llmtrace_analysis.queries.scope import Scope
from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.pricing.tariffs import listing
from llmtrace_collector.settings import ModelPrice
from llmtrace_collector.store.store import Store, open_store

_NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

#: One USD for each token, whatever its kind; a search unit costs two.
_FLAT = ModelPrice.model_validate(
    {"model": "flat", "input_per_million": 1e6, "output_per_million": 1e6, "per_rerank_search": 2}
)

#: Parts of input and of output by the last words of their attributes; of both, those with names of ours.
_INPUT = tuple(f"{part}.input_tokens" for part in ("cache_read", "cache_write", "audio", "image", "video"))
_OUTPUT = tuple(f"{part}.output_tokens" for part in ("reasoning", "audio", "image", "video"))
_OUR_INPUT = tuple(
    f"{part}.input_tokens"
    for part in ("cache_write_1h", "cache_read_audio", "cache_read_image", "cache_read_video")
)
_OUR_OUTPUT = ("citation.output_tokens",)
_OURS = (*_OUR_INPUT, *_OUR_OUTPUT)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('billed')}", 3650)
    yield opened
    opened.close()


def span(
    user: str,
    model: str,
    counts: dict[str, int],
    attributes: Mapping[str, str] | None = None,
    *,
    at: datetime = _NOON,
    operation: str = "chat",
) -> dict[str, Any]:
    """A stored call of `provider/model`; counts by the last words of their attributes."""
    provider, _, name = model.partition("/")
    ours = [key for key in counts if key in _OURS or key.endswith(("searches", "containers"))]
    usage = {
        f"{'llmtrace' if key in ours else 'gen_ai'}.usage.{key}": str(count) for key, count in counts.items()
    }
    return {
        "Timestamp": at.strftime("%Y-%m-%d %H:%M:%S"),
        "TraceId": "t",
        "SpanId": user,
        "SpanKind": "Client",
        "UserId": user,
        "SpanAttributes": {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": name,
            **usage,
            **(attributes or {}),
        },
    }


def costs(store: Store, spans: list[dict[str, Any]], *own: ModelPrice) -> dict[str, dict[str, Any]]:
    """Each call by its user, priced; the hours have to hold the same."""
    store.insert_rows("otel_traces", spans)
    PriceBook(store, own).sync(activate=True)
    users = [row["UserId"] for row in spans]
    rows = store.rows(
        "SELECT UserId, Cost, Priced, PriceSource, UnpricedParts, InputTokens, CacheReadTokens, Operation "
        "FROM call_cost WHERE UserId IN {users:Array(String)}",
        {"users": users},
    )
    hours = store.rows(
        "SELECT UserId, sum(Cost) AS cost FROM cost_hour WHERE UserId IN {users:Array(String)} GROUP BY ALL",
        {"users": users},
    )
    by_hour = {row["UserId"]: row["cost"] for row in hours}
    for row in rows:
        assert by_hour[row["UserId"]] == (
            None if row["Cost"] is None else pytest.approx(row["Cost"], rel=1e-9)
        )
    return {row["UserId"]: row for row in rows}


def test_buckets_are_all_of_a_call_whatever_it_says(store: Store) -> None:
    """Parts that their wholes cannot hold, parts that overlap and say so or not: a token is charged once."""
    source = random.Random(15)

    def some(most: int) -> int:
        return source.choice([0, 0, source.randrange(most + 1), source.randrange(3 * most + 1)])

    spans, wanted = [], {}
    for number in range(400):
        sent, answered = source.randrange(1000), source.randrange(1000)
        counts = {"input_tokens": sent, "output_tokens": answered}
        counts |= {key: some(sent) for key in (*_INPUT, *_OUR_INPUT)}
        counts |= {key: some(answered) for key in (*_OUTPUT, *_OUR_OUTPUT)}
        spans.append(span(f"any{number}", "house/flat", counts))
        wanted[f"any{number}"] = sent + answered
    rows = costs(store, spans, _FLAT)
    assert {user: row["Cost"] for user, row in rows.items()} == {
        user: pytest.approx(tokens, rel=1e-9) for user, tokens in wanted.items()
    }
    assert all(row["CacheReadTokens"] <= row["InputTokens"] for row in rows.values())


def test_a_part_that_its_whole_cannot_hold_is_marked_and_costs_no_more_than_it(store: Store) -> None:
    cached = {"input_tokens": 10, "output_tokens": 20, "cache_read.input_tokens": 992}
    whole = {"input_tokens": 10, "output_tokens": 20, "cache_read.input_tokens": 10}
    rows = costs(
        store,
        [
            span(user, "anthropic/claude-sonnet-4-5", counts)
            for user, counts in (("more", cached), ("all", whole))
        ],
    )
    assert rows["more"]["Cost"] == pytest.approx(rows["all"]["Cost"])
    faults = store.rows(
        "SELECT SpanId, UsageFault, CacheReadTokens FROM otel_traces WHERE SpanId IN ('more', 'all')"
    )
    assert {row["SpanId"]: (row["UsageFault"], row["CacheReadTokens"]) for row in faults} == {
        "more": ("cache exceeds input", 992),
        "all": ("", 10),
    }


def test_prices_by_the_time_of_day_take_the_calls_time(store: Store) -> None:
    times = [(0, 29), (0, 30), (3, 59), (16, 29), (16, 30), (23, 59)]
    spans, wanted = [], {}
    for model in ("deepseek-chat", "deepseek-reasoner"):
        for hour, minute in times:
            at = datetime(2026, 3, 3, hour, minute, 30, tzinfo=UTC)
            counts = {"input_tokens": 1000, "cache_read.input_tokens": 300, "output_tokens": 100}
            user = f"{model} {hour}:{minute}"
            spans.append(span(user, f"deepseek/{model}", counts, at=at))
            usage = Usage(input_tokens=1000, cache_read_tokens=300, output_tokens=100)
            price = calc_price(usage, model, provider_id="deepseek", genai_request_timestamp=at)
            wanted[user] = float(price.total_price)
    assert len(set(wanted.values())) > 2
    rows = costs(store, spans)
    assert {user: row["Cost"] for user, row in rows.items()} == {
        user: pytest.approx(amount, rel=1e-9) for user, amount in wanted.items()
    }
    # Reports add up before they price.
    scope = Scope(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 5, tzinfo=UTC))
    client = store.client
    reported = report.report(client, scope, ["provider"]).set_index("provider")["cost"].to_dict()
    client.close()
    assert reported == {"deepseek": pytest.approx(sum(wanted.values()), rel=1e-9)}


@pytest.mark.parametrize(
    ("model", "counts", "unpriced"),
    [
        ("openai/gpt-4o", {"audio.input_tokens": 50}, ["audio input"]),
        ("openai/gpt-4o", {"audio.output_tokens": 50}, ["audio output"]),
        ("openai/gpt-realtime", {"audio.input_tokens": 50, "audio.output_tokens": 50}, []),
        ("openai/gpt-4o", {"image.input_tokens": 50, "cache_read.input_tokens": 9}, []),
        ("openai/gpt-4o", {"code_containers": 1}, ["code container"]),
        ("mistral_ai/mistral-large-latest", {"web_searches": 3}, ["web search"]),
        ("anthropic/claude-sonnet-4-5", {"web_searches": 3}, []),
        ("cohere/command-r-plus", {}, []),
        ("house/nobody-knows-it", {"audio.input_tokens": 50}, []),
    ],
)
def test_what_has_no_price_of_its_own_is_named(
    store: Store, model: str, counts: dict[str, int], unpriced: list[str]
) -> None:
    user = f"unpriced {model} {sorted(counts)}"
    rows = costs(store, [span(user, model, {"input_tokens": 100, "output_tokens": 100, **counts})])
    assert rows[user]["UnpricedParts"] == unpriced
    assert rows[user]["Priced"] == (model != "house/nobody-knows-it")


@pytest.mark.parametrize(
    ("model", "tier", "factor"),
    [
        ("anthropic/claude-opus-4-6", "us", 1.1),
        ("anthropic/claude-opus-4-6", "", 1),
        ("gcp.vertex_ai/claude-sonnet-4-5", "regional", 1.1),
        ("gcp.vertex_ai/claude-3-5-haiku", "regional", 1),
        ("gcp.vertex_ai/gemini-2.5-pro", "regional", 1),
        ("openrouter/openai/gpt-4o", "provisioned", 1),
        ("gcp.vertex_ai/gemini-2.5-pro", "provisioned_throughput", 0),
        ("openai/gpt-4o", "scale", 0),
        ("aws.bedrock/amazon.nova-pro-v1:0", "flex", 1),
    ],
)
def test_what_decides_the_price(store: Store, model: str, tier: str, factor: float) -> None:
    counts = {"input_tokens": 1000, "output_tokens": 100, "cache_read.input_tokens": 400, "web_searches": 2}
    user = f"decides {model} {tier}"
    standard = span(f"{user} standard", model, counts)
    rows = costs(store, [standard, span(user, model, counts, {"llmtrace.response.service_tier": tier})])
    row, base = rows[user], rows[f"{user} standard"]
    assert base["Cost"] > 0
    provider, _, name = model.partition("/")
    listed = listing(provider, name)
    assert listed is not None
    searches = listed.tariffs[0].prices.get("WebSearch", 0) * 2
    wanted = (base["Cost"] - searches) * factor + (searches if factor else 0)
    assert row["Cost"] == pytest.approx(wanted, rel=1e-9)
    assert (" × 1.1: " in row["PriceSource"]) == (factor == 1.1)
    assert ("no price of its own for flex" in row["PriceSource"]) == (tier == "flex")


def test_words_of_a_tier_hold_together() -> None:
    """Batch halves it, inference in the United States adds a tenth."""
    standard, both = (
        listing("anthropic", "claude-opus-4-8"),
        listing("anthropic", "claude-opus-4-8", "batch+us"),
    )
    assert standard is not None
    assert both is not None
    assert both.tariffs[-1].prices["Input"] == pytest.approx(standard.tariffs[-1].prices["Input"] * 0.5 * 1.1)
    assert both.tariffs[-1].prices.get("WebSearch") == standard.tariffs[-1].prices.get("WebSearch")


def test_on_bedrock_the_model_that_was_asked_for_decides(store: Store) -> None:
    """Claude's bodies name the model alone, as the list names a regional one."""
    counts = {"input_tokens": 1000, "output_tokens": 100}
    rows = costs(
        store,
        [
            span(
                f"bedrock {place}",
                f"aws.bedrock/{place}anthropic.claude-haiku-4-5-20251001-v1:0",
                counts,
                {"gen_ai.response.model": "claude-haiku-4-5-20251001"},
            )
            for place in ("global.", "us.")
        ],
    )
    assert rows["bedrock us."]["Cost"] == pytest.approx(rows["bedrock global."]["Cost"] * 1.1)


@pytest.mark.parametrize("region", ["", "us.", "eu."])
def test_bedrock_says_in_the_models_id_where_it_runs(region: str) -> None:
    model = "anthropic.claude-sonnet-4-5-20250929-v1:0"
    regional, anywhere = listing("aws.bedrock", region + model), listing("aws.bedrock", f"global.{model}")
    assert regional is not None
    assert anywhere is not None
    ratio = regional.tariffs[0].prices["Input"] / anywhere.tariffs[0].prices["Input"]
    assert ratio == pytest.approx(1.1)


def test_a_rerank_is_a_row_of_the_ledger_priced_or_not(store: Store) -> None:
    """Search units are what it is billed by: it need not tell tokens."""
    spans = [
        span("reranked", "house/flat", {"rerank_searches": 3}, operation="rerank"),
        span("reranked by nobody", "cohere/rerank-v4", {"rerank_searches": 3}, operation="rerank"),
        span("by tokens", "voyageai/voyage-3.5", {"input_tokens": 1000}, operation="rerank"),
    ]
    rows = costs(store, spans, _FLAT)
    assert (rows["reranked"]["Priced"], rows["reranked"]["Cost"]) == (True, pytest.approx(6))
    assert (rows["reranked by nobody"]["Priced"], rows["reranked by nobody"]["Cost"]) == (False, None)
    assert rows["by tokens"]["Cost"] > 0
    assert {row["Operation"] for row in rows.values()} == {"rerank"}

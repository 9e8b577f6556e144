"""Savings of caches, requests that are sent again, and advice, over calls whose right answer is known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client
from fastapi.testclient import TestClient
from genai_prices import Usage, calc_price

from llmtrace import semconv
from llmtrace_analysis.cost import report
from llmtrace_analysis.cost.planning import advice, answer_caches, prompt_caches, repeats, savings, waste
from llmtrace_analysis.queries.scope import Scope
from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.store.store import Store, open_store

from .prices_app import prices_app

DAY = datetime(2026, 11, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
_numbers = count(1)


def scope(project: str) -> Scope:
    """November of one project: each test has its own."""
    return Scope(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC), project=project)


def span(
    project: str,
    at: timedelta | float = 0,
    *,
    name: Any = "",
    operation: Any = "chat",
    provider: Any = "openai",
    model: Any = "gpt-4o",
    tokens: Any = (1000, 100),
    seconds: Any = 2,
    user: Any = "ann",
    session: Any = "",
    trace: Any = 0,
    prompt: Any = "",
    failed: Any = False,
    **attributes: Any,
) -> dict[str, object]:
    """A stored span, `at` after the day began (hours, or a timedelta); keys of attributes have `__` for a
    dot."""
    number = next(_numbers)
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in named.items()}
    of_call = {} if name else {
        semconv.OPERATION_NAME: operation, semconv.PROVIDER_NAME: provider, semconv.REQUEST_MODEL: model,
    }  # fmt: skip
    if tokens is not None and not name:
        of_call |= {semconv.USAGE_INPUT_TOKENS: str(tokens[0]), semconv.USAGE_OUTPUT_TOKENS: str(tokens[1])}
    start = DAY + (at if isinstance(at, timedelta) else timedelta(hours=at))
    messages = [{"role": "user", "parts": [{"type": "text", "content": prompt}]}]
    return {
        "Project": project,
        "Timestamp": start.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "Duration": int(seconds * 1e9),
        "TraceId": f"{trace or number:032x}",
        "SpanId": f"{number:016x}",
        "SpanName": name or f"{operation} {model}",
        "SpanKind": "Client",
        "ServiceName": "shop",
        "ScopeName": "llmtrace",
        "StatusCode": "Error" if failed else "Unset",
        "InputMessages": json.dumps(messages) if prompt else "",
        "SpanAttributes": {
            **of_call, semconv.USER_ID: user, semconv.SESSION_ID: session, **texts,
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('caches')}", 3650)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Client]:
    opened = store.client
    yield opened
    opened.close()


def insert(store: Store, spans: Sequence[dict[str, object]]) -> None:
    store.insert_rows("otel_traces", list(spans))
    PriceBook(store, ()).sync()


def list_price(model: str, provider: str, **usage: int) -> float:
    """USD by the public list."""
    moment = DAY + timedelta(hours=1)
    price = calc_price(Usage(**usage), model, provider_id=provider, genai_request_timestamp=moment)
    return float(price.total_price)


# --- prompt caches


def test_prompt_caches_are_net_of_what_writing_and_keeping_cost(store: Store, client: Client) -> None:
    claude = {"provider": "anthropic", "model": "claude-sonnet-4-5", "tokens": (10_000, 10)}
    written = {"gen_ai__usage__cache_write__input_tokens": 8_000}
    for_an_hour = {**written, "llmtrace__usage__cache_write_1h__input_tokens": 3_000}
    read = {"gen_ai__usage__cache_read__input_tokens": 8_000}
    of_writes = [span("lost", 1, **claude, **written), span("lost", 2, **claude, **for_an_hour)]
    insert(store, [*of_writes, *(span("won", hour, **claude, **read) for hour in range(3)),
                   span("won", 4, **claude, **written)])  # fmt: skip

    def cost(**usage: int) -> float:
        return list_price("claude-sonnet-4-5", "anthropic", input_tokens=10_000, output_tokens=10, **usage)

    fresh = cost()
    premium = cost(cache_write_tokens=8_000) - fresh
    hour_premium = cost(cache_write_tokens=8_000, cache_write_1h_tokens=3_000) - fresh
    assert hour_premium > premium > 0
    lost = savings.savings(client, scope("lost")).set_index("kind").loc["prompt_cache"]
    assert (lost["gross"], lost["tokens"]) == (0, 0)
    assert lost["spent"] == pytest.approx(premium + hour_premium)
    assert lost["saved"] == pytest.approx(-(premium + hour_premium)), "a loss shows as a loss"
    won = savings.savings(client, scope("won")).set_index("kind").loc["prompt_cache"]
    assert won["gross"] == pytest.approx(3 * (fresh - cost(cache_read_tokens=8_000)))
    assert won["saved"] == pytest.approx(won["gross"] - premium)
    (total,) = report.report(client, scope("won")).to_dict("records")
    assert total["cache_savings"] == pytest.approx(won["saved"])

    line = {"kind": "cache_storage", "name": "cached contents", "project": "won", "units": 0.5, "price": 0.25,
            "valid_from": "2026-11-10", "valid_to": "2026-11-12"}  # fmt: skip
    with TestClient(prices_app(store, PriceBook(store, ()))) as prices_api:
        assert prices_api.put("/v1/cost/fixed/contents", json=line).status_code == 200
        stored = savings.savings(client, scope("won")).set_index("kind").loc["prompt_cache"]
        assert stored["spent"] == pytest.approx(premium + 0.5 * 0.25 * 48)
        assert stored["saved"] < 0
        prices_api.put("/v1/cost/fixed/contents", json={**line, "removed": True})


def test_the_first_token_with_and_without_cache_reads_at_like_length(store: Store, client: Client) -> None:
    def timed(length: int, seconds: float, reads: int, at: float) -> dict[str, object]:
        return span(
            "ttft", at, tokens=(length, 10),
            gen_ai__usage__cache_read__input_tokens=reads, gen_ai__response__time_to_first_chunk=seconds,
        )  # fmt: skip

    fresh = [timed(3_000 + 100 * n, 1.0 + n / 10, 0, n) for n in range(6)]
    cached = [timed(2_500 + 100 * n, 0.2 + n / 10, 2_000, 10 + n) for n in range(5)]
    few = [timed(9_000, 3.0, 0, 20), *(timed(9_000, 1.0, 8_000, 21 + n) for n in range(9))]
    insert(store, [*fresh, *cached, *few])
    (row,) = prompt_caches.first_tokens(client, scope("ttft")).to_dict("records")
    assert (row["input_from"], row["input_to"]) == (2048, 4095)
    assert (row["fresh_calls"], row["cached_calls"]) == (6, 5)
    assert row["cached_ttft"] == pytest.approx(0.4)
    assert row["fresh_ttft"] == pytest.approx(1.25)
    assert row["difference"] == pytest.approx(row["fresh_ttft"] - 0.4)
    assert row["cached_share"] == pytest.approx(5 * 2_000 / (5 * 2_700))


# --- caches of answers


def hit(project: str, cache: str, at: float, **more: object) -> dict[str, object]:
    fields: dict[str, object] = {
        "llmtrace__response__cache_hit": "true", "llmtrace__cache__name": cache,
        "llmtrace__cache__result": "hit", "seconds": 0.1, **more,
    }  # fmt: skip
    return span(project, at, **fields)


def test_a_gateways_cache_saves_what_the_calls_would_have_cost(store: Store, client: Client) -> None:
    missed = {"llmtrace__cache__name": "portkey", "llmtrace__cache__result": "miss"}
    insert(
        store,
        [
            *(span("gateway", n, **missed) for n in range(3)),
            hit("gateway", "portkey", 4),
            hit("gateway", "portkey", 5, llmtrace__cache__result="semantic"),
            hit("gateway", "helicone", 6, llmtrace__cache__saved_seconds=7.5),
            hit("gateway", "litellm", 7, llmtrace__cache__saved_cost=0.25),
            hit("gateway", "litellm", 8, model="nobody-prices-this", provider="unknown"),
            hit("gateway", "", 9),
            span("gateway", 10),  # by no cache
        ],
    )
    data = answer_caches.caches(client, scope("gateway")).set_index("cache")
    price = list_price("gpt-4o", "openai", input_tokens=1000, output_tokens=100)
    portkey = data.loc["portkey"]
    assert (portkey["lookups"], portkey["hits"], portkey["semantic_hits"]) == (5, 2, 1)
    assert portkey["hit_rate"] == pytest.approx(2 / 5)
    assert portkey["saved"] == portkey["net"] == pytest.approx(2 * price)
    assert portkey["saved_seconds"] == pytest.approx(2 * (2 - 0.1)), "as long as such calls usually take"
    assert (portkey["saved_calls"], portkey["unpriced_hits"]) == (2, 0)
    assert data.loc["helicone", "saved_seconds"] == pytest.approx(7.5 - 0.1)
    litellm = data.loc["litellm"]
    assert litellm["saved"] == pytest.approx(0.25), "what the old answer says that it cost"
    assert litellm["unpriced_hits"] == 1
    assert pd.isna(litellm["hit_rate"]), "it tells of its hits alone"
    assert data.loc[answer_caches.UNNAMED, "saved"] == pytest.approx(price)
    (total,) = report.report(client, scope("gateway")).to_dict("records")
    assert total["cost"] == pytest.approx(4 * price), "hits cost nothing, and nothing is unknown about that"
    assert (total["unpriced_calls"], total["unknown_cost_calls"]) == (0, 0)
    saved = savings.savings(client, scope("gateway")).set_index("kind")
    assert saved.loc["response_cache", "saved"] == pytest.approx(data["net"].sum())
    wasted = waste.waste(client, scope("gateway"))
    assert wasted["calls"].sum() == 0


def test_an_applications_cache_saves_the_calls_its_entries_were_made_of(store: Store, client: Client) -> None:
    calls = [span("app", 1, trace=91), span("app", 1.01, trace=91, model="gpt-4o-mini", seconds=3)]
    sources = [str(call["SpanId"]) for call in calls]
    named = {"llmtrace__cache__name": "answers"}
    entry = {**named, "llmtrace__cache__entry": "e1"}

    def step(step: str, at: float, **more: object) -> dict[str, object]:
        of_step = {"llmtrace__cache__step": step, **more}
        return span("app", at, name=f"cache_{step} answers", tokens=None, **of_step)

    embedded = [
        span("app", at, operation="embeddings", model="text-embedding-3-small", tokens=(500_000, 0), **named)
        for at in (1, 2, 3)
    ]
    insert(
        store,
        [
            *calls,
            *embedded,
            span("app", 1, operation="embeddings", model="text-embedding-3-small", tokens=(900, 0)),
            *(step("lookup", at, **named) for at in (1, 2, 3, 4)),
            step("store", 0.5, **entry, llmtrace__cache__sources=["ffffffffffffffff"]),
            step("store", 1.1, **entry, llmtrace__cache__sources=sources),
            hit("app", "answers", 2, tokens=None, provider="", model="", **entry),
            hit("app", "answers", 3, tokens=None, provider="", model="", **entry),
            hit("app", "answers", 4, tokens=None, provider="", model="", **named),
        ],
    )
    (row,) = answer_caches.caches(client, scope("app")).to_dict("records")
    assert (row["lookups"], row["hits"], row["hit_rate"]) == (4, 3, 0.75)
    both = list_price("gpt-4o", "openai", input_tokens=1000, output_tokens=100) + list_price(
        "gpt-4o-mini", "openai", input_tokens=1000, output_tokens=100
    )
    embedding = list_price("text-embedding-3-small", "openai", input_tokens=500_000)
    assert row["saved"] == pytest.approx(2 * both)
    assert row["embedding_cost"] == pytest.approx(3 * embedding)
    assert row["net"] == pytest.approx(2 * both - 3 * embedding)
    assert row["net"] < 0, "a cache that costs more than it saves shows as a loss"
    assert row["unpriced_hits"] == 1, "nobody knows what the third stands for"
    assert (row["saved_calls"], row["saved_seconds"]) == (2 + 2 + 1, pytest.approx(2 * (2 + 3 - 0.1)))
    (total,) = report.report(client, scope("app")).to_dict("records")
    assert (total["unpriced_calls"], total["unknown_cost_calls"], total["calls_without_tokens"]) == (0, 0, 0)


def test_a_hit_with_the_id_of_the_old_answer_is_a_call_of_its_own(store: Store, client: Client) -> None:
    """Each of the two is seen by another tracer as well, and all four spans have the answer's id."""
    answer = {"gen_ai__response__id": "chatcmpl-1"}
    spans = []
    for hour, more in ((0, {}), (1, {"llmtrace__response__cache_hit": "true"})):
        trace = next(_numbers)
        around = span("old-id", hour, trace=trace, seconds=2.2, **answer)
        call = span("old-id", hour * HOUR + timedelta(seconds=0.1), trace=trace, **answer, **more)
        spans += [
            {**around, "ScopeName": "openinference.instrumentation.openai"},
            {**call, "ParentSpanId": around["SpanId"]},
        ]
    insert(store, spans)
    CallDeduplicator(store).sync()
    (row,) = answer_caches.caches(client, scope("old-id")).to_dict("records")
    (total,) = report.report(client, scope("old-id")).to_dict("records")
    assert (row["hits"], total["calls"]) == (1, 2)
    assert row["saved"] == pytest.approx(total["cost"])


# --- requests that are sent again

MINUTE = timedelta(minutes=1)

#: Of one session or of several: (minutes, user, session, prompt, more) → the kinds of those that have one.
AGAIN: dict[str, tuple[list[tuple[float, str, str, str, dict[str, object]]], list[str]]] = {
    "again in the session, at once": (
        [(0, "ann", "s", "a", {}), (1, "ann", "s", "a", {})], ["duplicate"],
    ),
    "again and again": (
        [(0, "ann", "s", "a", {}), (1, "ann", "s", "a", {}), (2, "ann", "s", "a", {})],
        ["duplicate", "duplicate"],
    ),
    "by another user days later": (
        [(0, "ann", "s", "a", {}), (60 * 20, "bob", "t", "a", {})], ["cacheable"],
    ),
    "by another user, longer than the cache lives": (
        [(0, "ann", "s", "a", {}), (60 * 30, "bob", "t", "a", {})], [],
    ),
    "kept alive by being asked for": (
        [(0, "ann", "s", "a", {}), (60 * 20, "bob", "t", "a", {}), (60 * 40, "cid", "u", "a", {})],
        ["cacheable", "cacheable"],
    ),
    "in the session after something else": (
        [(0, "ann", "s", "a", {}), (1, "ann", "s", "b", {}), (2, "ann", "s", "a", {})], ["cacheable"],
    ),
    "in the session an hour later": (
        [(0, "ann", "s", "a", {}), (60, "ann", "s", "a", {})], ["cacheable"],
    ),
    "five at once are asked on purpose": (
        [(0, "ann", "s", "a", {"seconds": 30}) for _ in range(5)], [],
    ),
    "after a failure": (
        [(0, "ann", "s", "a", {"failed": True, "tokens": None}), (1, "ann", "s", "a", {})], [],
    ),
    "a failure between": (
        [(0, "ann", "s", "a", {}), (1, "ann", "s", "a", {"failed": True, "tokens": None}),
         (2, "ann", "s", "a", {})], ["duplicate"],
    ),
    "answered by a cache": (
        [(0, "ann", "s", "a", {}), (1, "ann", "s", "a", {"llmtrace__response__cache_hit": "true"}),
         (9, "bob", "t", "a", {"llmtrace__response__cache_hit": "true"})], [],
    ),
    "a retry that does not count": (
        [(0, "ann", "s", "a", {}), (60, "bob", "t", "a", {"llmtrace__counted": "false"})], [],
    ),
    "to another model": (
        [(0, "ann", "s", "a", {}), (1, "ann", "s", "a", {"model": "gpt-4o-mini"})], [],
    ),
    "in one trace, where no session is named": (
        [(0, "ann", "", "a", {"trace": 7}), (1, "ann", "", "a", {"trace": 7})], ["duplicate"],
    ),
    "by nobody named, in two traces": (
        [(0, "", "", "a", {}), (1, "", "", "a", {})], ["cacheable"],
    ),
    "an embedding between is no use of the answer": (
        [(0, "ann", "s", "a", {}), (0.5, "ann", "s", "q", {"operation": "embeddings", "tokens": (9, 0)}),
         (1, "ann", "s", "a", {})], ["duplicate"],
    ),
    "never recorded": ([(0, "ann", "s", "", {}), (1, "ann", "s", "", {})], []),
}  # fmt: skip


def cacheable(client: Client, chosen: Scope, lifetime: timedelta = waste.LIFETIME) -> pd.Series:
    """The row of what a cache of that lifetime would have kept."""
    data = waste.by_kind(client, chosen, lifetime)
    return data[data["kind"] == waste.CACHEABLE].iloc[0]


def test_what_is_sent_again_is_waste_or_cacheable_or_neither(store: Store, client: Client) -> None:
    projects = {name: f"again-{number}" for number, name in enumerate(AGAIN)}
    spans = [
        span(projects[name], minutes * MINUTE, user=user, session=session, prompt=prompt, **more)
        for name, (calls, _) in AGAIN.items()
        for minutes, user, session, prompt, more in calls
    ]
    insert(store, spans)
    kinds = {}
    for name, project in projects.items():
        listed = {
            kind: waste.calls_of_kind(client, scope(project), kind) for kind in ("duplicate", waste.CACHEABLE)
        }
        kinds[name] = sorted(kind for kind, calls in listed.items() for _ in range(len(calls)))
        spent = waste.waste(client, scope(project)).set_index("kind").loc["duplicate"]
        assert (spent["calls"], spent["cost"]) == (
            len(listed["duplicate"]),
            pytest.approx(listed["duplicate"]["cost"].sum()),
        )
        possible = cacheable(client, scope(project))
        assert possible["calls"] == len(listed[waste.CACHEABLE])
        assert possible["cost"] == pytest.approx(listed[waste.CACHEABLE]["cost"].sum())
    assert kinds == {name: sorted(wanted) for name, (_, wanted) in AGAIN.items()}


def test_each_row_has_a_way_down_to_requests_users_and_traces(store: Store, client: Client) -> None:
    asked = [("ann", "Rain?"), ("bob", "Rain?"), ("cid", "Rain?"), ("ann", "Snow?"), ("bob", "Snow?")]
    calls = [
        span("down", number, user=user, session=user, prompt=text)
        for number, (user, text) in enumerate(asked)
    ]
    insert(store, calls)
    data = repeats.prompts(client, scope("down"))
    assert data[["text", "calls", "users", "traces"]].to_dict("records") == [
        {"text": "Rain?", "calls": 2, "users": 2, "traces": 2},
        {"text": "Snow?", "calls": 1, "users": 1, "traces": 1},
    ]
    rain = waste.calls_of_kind(client, scope("down"), "cacheable", prompt=data["prompt"][0])
    assert sorted(rain["user"]) == ["bob", "cid"]
    assert set(rain["trace"]) == {str(calls[1]["TraceId"]), str(calls[2]["TraceId"])}
    assert rain["cost"].sum() == pytest.approx(data["cost"][0])
    assert cacheable(client, scope("down"))["cost"] == pytest.approx(data["cost"].sum())
    shorter = cacheable(client, scope("down"), timedelta(minutes=30))
    assert shorter["calls"] == 0, "by the hour, a cache of half an hour keeps nothing"
    # Of one user's calls alone the first is a repeat where somebody else had asked before.
    bob = Scope(**{**vars(scope("down")), "user": "bob"})
    assert cacheable(client, bob)["calls"] == 2


# --- advice


def test_an_output_limit_that_is_never_near(store: Store, client: Client) -> None:
    def limited(project: str, longest: int, **more: object) -> list[dict[str, object]]:
        fields = {"gen_ai__request__max_tokens": 4096, **more}
        return [
            span(project, n / 10, tokens=(100, longest if n == 3 else 50), **fields)
            for n in range(advice.LEAST_CALLS)
        ]

    insert(
        store,
        [
            *limited("limit", 200),
            *limited("near", 2_100),
            *limited("reached", 200, gen_ai__response__finish_reasons=["length"]),
            *limited("few", 200)[1:],
        ],
    )
    (row,) = advice.advice(client, scope("limit")).to_dict("records")
    assert (row["rule"], row["model"], row["service"]) == ("output_limit", "openai/gpt-4o", "shop")
    assert row["calls"] == advice.LEAST_CALLS
    assert row["saves_tokens"] == advice.LEAST_CALLS * (4096 - advice.ROOM * 200)
    assert pd.isna(row["saves_usd"])
    assert len(row["traces"].split(", ")[0]) == 32
    assert all(advice.advice(client, scope(other)).empty for other in ("near", "reached", "few"))


def test_stop_sequences_that_are_never_reached(store: Store, client: Client) -> None:
    claude = {
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "gen_ai__request__stop_sequences": ["##"],
    }
    calls = advice.LEAST_CALLS
    insert(
        store,
        [
            *(span("unstopped", n / 10, **claude) for n in range(calls)),
            *(
                span(
                    "stopped",
                    n / 10,
                    **claude,
                    **({"llmtrace__response__stop_sequence": "true"} if n == 5 else {}),
                )
                for n in range(calls)
            ),
            *(span("untold", n / 10, **{**claude, "provider": "openai"}) for n in range(calls)),
        ],
    )
    (row,) = advice.advice(client, scope("unstopped")).to_dict("records")
    assert (row["rule"], row["calls"]) == ("stop_sequences", calls)
    assert all(advice.advice(client, scope(other)).empty for other in ("stopped", "untold"))


def test_a_smaller_model_with_equal_scores(store: Store, client: Client) -> None:
    spans: list[dict[str, object]] = []
    scores: list[dict[str, object]] = []

    def judged(project: str, model: str, number: int, **values: float) -> None:
        call = span(project, number / 10, model=model, prompt=f"question {number}")
        spans.append(call)
        scores.extend(
            {"Project": project, "Timestamp": "2026-11-10 12:00:00", "TraceId": call["TraceId"],
             "SpanId": call["SpanId"] if number % 2 else "", "Name": name, "Value": value}
            for name, value in values.items()
        )  # fmt: skip

    for number in range(advice.LEAST_PAIRS):
        judged("equal", "gpt-4o", number, helpful=0.9, right=1.0)
        judged("equal", "gpt-4o-mini", number, helpful=0.9, right=1.0)
        judged("worse", "gpt-4o", number, helpful=0.9, right=1.0)
        judged("worse", "gpt-4o-mini", number, helpful=0.9, right=0.8)
        judged("unjudged", "gpt-4o", number)
        judged("unjudged", "gpt-4o-mini", number)
        judged("different", "gpt-4o", number, right=1.0)
        judged("different", "gpt-4o-mini", number + 100, right=1.0)
        if number:
            judged("few", "gpt-4o", number, right=1.0)
            judged("few", "gpt-4o-mini", number, right=1.0)
    spans.append(span("equal", 3, prompt="asked of the dear one alone"))
    insert(store, spans)
    store.insert_rows("scores", scores)
    (row,) = advice.advice(client, scope("equal")).to_dict("records")
    dear = list_price("gpt-4o", "openai", input_tokens=1000, output_tokens=100)
    cheap = list_price("gpt-4o-mini", "openai", input_tokens=1000, output_tokens=100)
    assert (row["rule"], row["model"], row["instead"]) == (
        "smaller_model",
        "openai/gpt-4o",
        "openai/gpt-4o-mini",
    )
    assert row["calls"] == advice.LEAST_PAIRS + 1
    assert row["saves_usd"] == pytest.approx((advice.LEAST_PAIRS + 1) * (dear - cheap))
    for other in ("worse", "unjudged", "different", "few"):
        assert advice.advice(client, scope(other)).empty, other


def test_a_history_that_is_sent_again_and_not_read_from_a_cache(store: Store, client: Client) -> None:
    def talk(project: str, lengths: Sequence[int], reads: int = 0) -> list[dict[str, object]]:
        cached = {"gen_ai__usage__cache_read__input_tokens": reads} if reads else {}
        return [
            span(project, n, session=f"{project}-1", tokens=(length, 50), **cached)
            for n, length in enumerate(lengths)
        ]

    lengths = (2_000, 3_000, 4_000, 6_000)
    insert(
        store,
        [
            *talk("unread", lengths),
            *talk("read", lengths, reads=1_500),
            *talk("flat", (4_000, 4_000, 4_000, 4_100)),
            *talk("shrinks", (2_000, 6_000, 3_000, 7_000)),
            *talk("short", lengths[:3]),
            *talk("small", (100, 300, 500, 900)),
        ],
    )
    (row,) = advice.advice(client, scope("unread")).to_dict("records")
    assert (row["rule"], row["calls"]) == ("unread_context", 4)
    repeated = sum(lengths[:-1])
    cached = list_price("gpt-4o", "openai", input_tokens=repeated, cache_read_tokens=repeated)
    assert row["saves_usd"] == pytest.approx(list_price("gpt-4o", "openai", input_tokens=repeated) - cached)
    for other in ("read", "flat", "shrinks", "short", "small"):
        assert advice.advice(client, scope(other)).empty, other

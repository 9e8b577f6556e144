"""Headroom over a real store: limits of headers and settings, bursts, shared quotas, units, time left."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtrace_analysis.cost.headroom.capacity_use import region_of, rolling
from llmtrace_analysis.cost.headroom.exhaustion import days_to_limit, seconds_to_limit
from llmtrace_analysis.cost.headroom.limit_use import LimitUse, as_json
from llmtrace_analysis.cost.headroom.limits import read_headroom
from llmtrace_analysis.cost.headroom.quotas import Quota, quotas
from llmtrace_analysis.cost.headroom.reported import DAY, duration, limits_in, window_of_reset
from llmtrace_analysis.queries.scope import Scope
from llmtrace_collector.store.store import Store, open_store

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
HOUR = Scope(NOW - timedelta(hours=1), NOW)
AZURE = "azure.ai.openai"

_numbers = itertools.count()


def call(
    seconds_ago: float,
    model: str,
    provider: str = "openai",
    *,
    tokens: int | None = 1000,
    output: int = 0,
    cached: int = 0,
    answering: str = "",
    status: int = 200,
    weight: int = 1,
    **attributes: str,
) -> dict[str, object]:
    """A span of a call that began so many seconds before NOW."""
    number = next(_numbers)
    at = NOW - timedelta(seconds=seconds_ago)
    known = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.response.model": answering,
        "http.response.status_code": str(status),
        "llmtrace.sample.weight": str(weight),
    }
    if tokens is not None and status == 200:
        known |= {"gen_ai.usage.input_tokens": str(tokens), "gen_ai.usage.output_tokens": str(output)}
        known["gen_ai.usage.cache_read.input_tokens"] = str(cached)
    return {
        "Timestamp": at.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "TraceId": f"{number:032x}",
        "SpanId": f"{number:016x}",
        "SpanKind": "Client",
        "StatusCode": "Error" if status != 200 else "Unset",
        "SpanAttributes": {name: value for name, value in (known | attributes).items() if value},
    }


def limited_by(**values: object) -> dict[str, Any]:
    """Attributes of reported limits: `requests__limit=100`."""
    return {f"llmtrace.ratelimit.{name.replace('__', '.')}": str(value) for name, value in values.items()}


def named(**values: str) -> dict[str, Any]:
    """Attributes: `error__type="…"`."""
    return {name.replace("__", "."): value for name, value in values.items()}


def at_azure(resource: str, region: str = "East US") -> dict[str, Any]:
    return {"server.address": f"{resource}.openai.azure.com", "llmtrace.response.region": region}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('headroom')}", 3650)
    yield opened
    opened.close()


def headroom(store: Store, calls: Sequence[dict[str, object]], *rules: Quota, project: str) -> list[LimitUse]:
    """The limits over calls of a project of their own."""
    rows = [row | {"ResourceAttributes": {"llmtrace.project": project}} for row in calls]
    store.insert_rows("otel_traces", rows)
    with store.client as client:
        scope = Scope(HOUR.since, HOUR.until, project=project)
        return read_headroom(client, rules, scope).limits


def test_the_newest_reported_limits_hold_and_what_nobody_reports_is_unknown(store: Store) -> None:
    calls = [
        call(600, "gpt-4o", **limited_by(requests__limit=100, requests__remaining=10)),
        call(100, "gpt-4o", **limited_by(requests__limit=500, requests__remaining=400)),
        call(5, "gpt-4o", **limited_by(tokens__remaining=7)),
    ]
    (limit,) = headroom(store, calls, project="newest")
    assert (limit.measure, limit.limit, limit.source) == ("requests", 500, "reported")
    assert limit.reported_share == pytest.approx(0.2)
    assert (limit.used_now, limit.used_peak) == (1, 1)
    assert limit.days_to_limit.why == "unknown"
    assert limit.seconds_to_limit.why == "never"


def test_a_limit_of_a_day_is_told_from_one_of_a_minute_by_its_reset(store: Store) -> None:
    groq = limited_by(requests__limit=14400, requests__remaining=14370, requests__reset="2m59.56s",
                      tokens__limit=18000, tokens__remaining=17997, tokens__reset="7.66ms")  # fmt: skip
    by_measure = {
        item.measure: item for item in headroom(store, [call(9, "llama", "groq", **groq)], project="day")
    }
    assert by_measure["tokens"].window == 60
    requests = by_measure["requests"]
    assert requests.window == DAY
    # Calls of an hour say nothing of a day's limit; what answers report does.
    assert requests.used_now is None
    assert requests.share_peak == pytest.approx(30 / 14400)


def test_a_burst_that_the_mean_of_a_minute_hides(store: Store) -> None:
    calls = [call(304, "gpt-4o", weight=40)]
    (limit,) = headroom(store, calls, Quota("openai", requests_per_minute=120), project="burst")
    assert limit.share_peak == pytest.approx(40 / 120)
    assert (limit.burst, limit.burst_limit) == (40, 20)
    assert limit.burst_share == pytest.approx(2)
    assert limit.short_window
    assert limit.minute_lasts == pytest.approx(30)
    (own,) = headroom(
        store, [], Quota("openai", requests_per_minute=120, requests_per_10_seconds=50), project="burst"
    )
    assert own.burst_share == pytest.approx(0.8)


def test_attempts_that_were_refused_count_as_requests(store: Store) -> None:
    refused = call(62, "gpt-4o", status=429)
    no_money = call(62, "gpt-4o", status=429, **named(error__type="insufficient_quota"))
    cached = call(61, "gpt-4o", **named(llmtrace__response__cache_hit="true"))
    retried = call(63, "gpt-4o", status=429, **named(llmtrace__counted="false"))
    calls = [call(61, "gpt-4o"), refused, no_money, cached, retried]
    (limit,) = headroom(store, calls, Quota("openai", requests_per_minute=10), project="refused")
    assert (limit.used_peak, limit.limited) == (4, 2)


def test_settings_hold_before_headers_and_a_difference_is_a_conflict(store: Store) -> None:
    calls = [call(30, "gpt-4o", **limited_by(tokens__limit=90_000, tokens__remaining=45_000))]
    quota = Quota("openai", model="gpt-4o", tokens_per_minute=100_000)
    (limit,) = headroom(store, calls, quota, project="conflict")
    assert (limit.source, limit.limit, limit.reported_limit, limit.conflict) == (
        "configured",
        100_000,
        90_000,
        True,
    )
    # Half is gone, though these calls used a hundredth: others use the quota too.
    assert limit.used_peak == 1000
    assert limit.share_now == pytest.approx(0.5)
    (agreed,) = headroom(store, [], Quota("openai", tokens_per_minute=90_000), project="conflict")
    assert not agreed.conflict


def test_deployments_of_a_region_exceed_their_quota_together(store: Store) -> None:
    east, other = at_azure("shop"), at_azure("lab")
    calls = [
        call(45, "chat-a", AZURE, tokens=60_000, answering="gpt-4o-2024-08-06", **east,
             **limited_by(tokens__limit=80_000, tokens__remaining=20_000)),
        call(41, "chat-b", AZURE, tokens=50_000, answering="gpt-4o-2024-11-20", **other,
             **limited_by(tokens__limit=70_000, tokens__remaining=20_000)),
        call(44, "chat-c", AZURE, tokens=90_000, answering="gpt-4o-2024-11-20",
             **at_azure("west", "West US")),
        call(44, "small", AZURE, tokens=90_000, answering="gpt-4o-mini-2024-07-18", **east),
    ]  # fmt: skip
    quota = Quota(AZURE, name="gpt-4o in eastus", region="East US", model="gpt-4o", tokens_per_minute=100_000)
    limits = {item.name: item for item in headroom(store, calls, quota, project="together")}
    shared = limits["gpt-4o in eastus"]
    assert shared.used_peak == 110_000
    assert shared.exceeded_together
    assert [(member.label, member.used) for member in shared.members] == [
        ("chat-a eastus shop", 60_000),
        ("chat-b eastus lab", 50_000),
    ]
    assert shared.promised == 150_000
    assert limits["chat-a eastus shop"].limit == 80_000
    assert not limits["chat-a eastus shop"].exceeded_together


def test_two_keys_of_a_deployment_share_its_limit(store: Store) -> None:
    reported = limited_by(requests__limit=10, requests__remaining=8)
    calls = [
        call(20, "chat", AZURE, **at_azure("shop"), **reported, **named(llmtrace__account=f"key-{number}"))
        for number in range(2)
    ]
    (limit,) = headroom(store, calls, project="keys")
    assert (limit.used_peak, limit.account) == (2, "")


def test_a_refusal_without_region_or_model_is_of_its_deployment(store: Store) -> None:
    place = named(server__address="shop.openai.azure.com")
    calls = [
        call(31, "chat", AZURE, answering="gpt-4o-2024-08-06", **at_azure("shop")),
        call(32, "chat", AZURE, status=429, **place),
    ]
    quota = Quota(AZURE, region="eastus", model="gpt-4o", requests_per_minute=10)
    (limit,) = headroom(store, calls, quota, project="unnamed")
    assert (limit.used_peak, limit.limited) == (2, 1)


@pytest.mark.parametrize(
    ("provider", "model", "counted"),
    [
        ("openai", "gpt-4o", 1000 + 100),
        ("anthropic", "claude-sonnet-4-5", 200 + 100),
        ("anthropic", "claude-3-5-haiku-20241022", 1000 + 100),
        ("aws.bedrock", "anthropic.claude-sonnet-4-20250514-v1:0", 200 + 5 * 100),
        ("gcp.gemini", "gemini-2.5-pro", 1000),
        ("groq", "llama-3.3-70b", 200 + 100),
    ],
)
def test_cached_tokens_and_output_count_as_the_provider_counts(
    store: Store, provider: str, model: str, counted: int
) -> None:
    calls = [call(20, model, provider, tokens=1000, cached=800, output=100)]
    quota = Quota(provider, tokens_per_minute=10_000)
    (limit,) = headroom(store, calls, quota, project=f"counts {provider} {model}")
    assert limit.used_peak == counted


def test_provisioned_units(store: Store) -> None:
    calls = [
        call(20, "ptu", AZURE, tokens=50_000, cached=20_000, output=5_000, answering="gpt-4.1-2025-04-14",
             **at_azure("units"), **limited_by(deployment__utilization=0.9)),
        call(20, "odd", AZURE, tokens=50_000, answering="model-without-a-rate", **at_azure("units")),
        call(20, "reported", AZURE, **at_azure("units"), **limited_by(deployment__utilization=1.2)),
    ]  # fmt: skip
    rules = [
        Quota(AZURE, deployment="ptu", ptus=20),
        Quota(
            AZURE,
            deployment="ptu",
            name="own rate",
            ptus=20,
            tokens_per_minute_per_ptu=1000,
            ptu_output_weight=2,
        ),
        Quota(AZURE, deployment="odd", ptus=20),
    ]
    limits = {item.name: item for item in headroom(store, calls, *rules, project="units")}
    # 30,000 fresh tokens and 5,000 of output for 4 each, by 3,000 a unit.
    assert limits["ptu"].used_peak == pytest.approx(50_000 / 3_000)
    assert limits["ptu"].share_peak == pytest.approx(0.9)
    assert limits["own rate"].used_peak == pytest.approx(40)
    assert limits["odd"].used_peak is None
    assert limits["odd"].share_peak is None
    reported = limits["reported eastus units"]
    assert (reported.measure, reported.limit) == ("ptu", None)
    assert reported.share_peak == pytest.approx(1.2)


def test_a_ramp_tells_when_the_quota_is_used(store: Store) -> None:
    """From 20 % on by 3 % a minute: at 80 % after 20 minutes, so 400 s are left."""
    calls = [
        call((20 - minute) * 60 - 30, "gpt-4o", tokens=20_000 + 3_000 * minute) for minute in range(20)
    ]  # fmt: skip
    (limit,) = headroom(store, calls, Quota("openai", tokens_per_minute=100_000), project="ramp")
    assert limit.used_now == 77_000
    assert limit.seconds_to_limit.after == pytest.approx((100 - 77) / 3 * 60, rel=0.2)


def test_growth_of_days_tells_when_the_quota_is_used(store: Store) -> None:
    calls = [call(86_400 * day, "gpt-4o", tokens=10_000, weight=2 ** (4 - day // 3)) for day in range(1, 13)]
    calls.append(call(30, "gpt-4o", tokens=10_000, weight=16))
    (limit,) = headroom(store, calls, Quota("openai", tokens_per_minute=320_000), project="growth")
    assert limit.days_to_limit.after == pytest.approx(3, rel=0.2)


def test_calls_without_a_known_limit_are_named_with_their_refusals(store: Store) -> None:
    calls = [
        call(
            20,
            "nova",
            "aws.bedrock",
            status=429,
            **named(server__address="bedrock-runtime.us-east-1.amazonaws.com"),
        )
    ]
    store.insert_rows(
        "otel_traces", [row | {"ResourceAttributes": {"llmtrace.project": "no"}} for row in calls]
    )
    with store.client as client:
        answer = as_json(read_headroom(client, [], Scope(HOUR.since, HOUR.until, project="no")))
        nothing = read_headroom(client, [], Scope(HOUR.since, HOUR.until, project="nobody"))
    assert json.loads(json.dumps(answer))["without_known_limit"] == [
        {
            "provider": "aws.bedrock",
            "account": "",
            "region": "us-east-1",
            "model": "nova",
            "requests": 1.0,
            "limited": 1.0,
        }
    ]
    assert (nothing.limits, nothing.unlimited) == ([], [])


def test_a_quota_that_nobody_calls_is_used_by_nobody(store: Store) -> None:
    rule = quotas(
        [{"provider": "openai", "requests_per_minute": 5, "tokens_per_minute": 10, "later_field": 1}]
    )
    limits = headroom(store, [], *rule, project="idle")
    assert [(item.measure, item.used_now, item.share_peak) for item in limits] == [
        ("requests", 0, 0),
        ("tokens", 0, 0),
    ]


def test_tokens_that_nobody_tells_are_counted(store: Store) -> None:
    (limit,) = headroom(
        store, [call(20, "m", tokens=None)], Quota("openai", tokens_per_minute=10), project="untold"
    )
    assert (limit.used_peak, limit.untold) == (0, 1)


@pytest.mark.parametrize(
    ("address", "named", "region"),
    [
        ("shop.openai.azure.com", "East US 2", "eastus2"),
        ("shop.openai.azure.com", "", ""),
        ("bedrock-runtime.us-gov-west-1.amazonaws.com", "", "us-gov-west-1"),
        ("bedrock-runtime.eu-central-1.amazonaws.com", "", "eu-central-1"),
        ("europe-west4-aiplatform.googleapis.com", "", "europe-west4"),
        ("eastus.api.cognitive.microsoft.com", "", "eastus"),
        ("api.openai.com", "", ""),
    ],
)
def test_regions_of_addresses(address: str, named: str, region: str) -> None:
    assert region_of(address, named) == region


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120ms", 0.12), ("8.64s", 8.64), ("6m0s", 360), ("1d2h", 93_600), ("2m59.56s", 179.56), ("", None),
     ("2026-01-01T00:00:00Z", None), ("..s", None)],
)  # fmt: skip
def test_durations(text: str, seconds: float | None) -> None:
    assert duration(text) == (None if seconds is None else pytest.approx(seconds))


def test_words_of_headers() -> None:
    words = {"tokens_minute.limit": ("60000", 5), "tokens_minute.remaining": ("0", 5),
             "requests_day.limit": ("x", 5),
             "bysize_minute.limit": ("500000", 5), "concurrent.limit": ("5", 5)}  # fmt: skip
    limits = limits_in(words)
    assert [(item.measure, item.limit, item.window, item.share) for item in limits] == [
        ("tokens", 60000, 60, 1.0),
        ("tokens", 500000, 60, None),
    ]


@given(used=st.integers(1, 5000), day=st.booleans())
def test_the_window_of_a_bucket_that_refills(used: int, day: bool) -> None:
    window = DAY if day else 60
    reset = f"{window * used / 5000}s"
    assert window_of_reset(5000, 5000 - used, reset) == window


@given(st.lists(st.integers(0, 100), min_size=1, max_size=40), st.integers(1, 8))
def test_rolling_sums(values: list[int], width: int) -> None:
    sums = rolling(np.array(values, dtype=np.float64), width)
    assert list(sums) == [sum(values[max(0, at - width + 1) : at + 1]) for at in range(len(values))]


@given(level=st.floats(1, 50), slope=st.floats(1, 5))
def test_a_straight_ramp_reaches_its_limit_when_it_does(level: float, slope: float) -> None:
    minutes = level + slope * np.arange(12, dtype=np.float64)
    after = seconds_to_limit(minutes, 120).after
    assert after == pytest.approx(60 * (120 - minutes[-1]) / slope, rel=1e-6)


def test_noise_and_falling_use_reach_no_limit() -> None:
    flat = 50 + np.array([3, -4, 2, -1, 4, -3, 1, -2, 3, -3, 2, -2, 1, 0.0])
    assert seconds_to_limit(flat, 100).why == "never"
    assert seconds_to_limit(np.arange(20, 0, -1.0), 100).why == "never"
    assert seconds_to_limit(np.array([1.0, 2, 3]), 100).why == "unknown"
    days = [(date(2026, 11, 1) + timedelta(days=n), 100 + 10 * math.sin(n)) for n in range(20)]
    assert days_to_limit(days, 100, 1000).why == "never"
    assert days_to_limit(days[:5], 100, 1000).why == "unknown"


def test_weekends_are_no_growth() -> None:
    first = date(2026, 11, 2)
    days = [first + timedelta(days=n) for n in range(21)]
    peaks = [(day, (20.0 if day.weekday() >= 5 else 100.0) * 1.02**n) for n, day in enumerate(days)]
    assert days_to_limit(peaks, 150, 300).after == pytest.approx(35, rel=0.05)

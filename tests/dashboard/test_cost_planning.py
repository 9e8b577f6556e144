"""Forecast, what-if and reserved capacity, on series and mixes whose right answer is known."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest
from genai_prices import Usage, calc_price

from llmtrace_analysis.cost.planning import forecast, reserved_capacity, what_if
from llmtrace_analysis.cost.planning.reserved_capacity import Unit
from llmtrace_analysis.cost.planning.what_if import Candidate
from llmtrace_collector.pricing.charges import COUNTS


def days(values: list[float] | np.ndarray, start: str = "2026-08-01") -> pd.Series:
    return pd.Series(
        np.asarray(values, dtype="float64"), index=pd.date_range(start, periods=len(values), freq="D")
    )


def weekly(count: int, seed: int, noise: float = 0.1) -> pd.Series:
    """Busy weekdays and quiet weekends, scattered in proportion."""
    source = np.random.default_rng(seed)
    index = pd.date_range("2026-08-01", periods=count, freq="D")
    level = np.where(index.day_of_week < 5, 100.0, 20.0)
    return days(level * np.exp(source.normal(0, noise, count)))


def test_the_forecast_knows_weekends_and_its_interval_holds_the_truth() -> None:
    series = weekly(122, seed=1)
    truth = series["2026-11"].sum()
    month_end = forecast.month_end(series, date(2026, 11, 10))
    assert month_end.month == "2026-11"
    assert month_end.spent == pytest.approx(series["2026-11-01":"2026-11-09"].sum())
    assert month_end.low < truth < month_end.high
    assert month_end.expected == pytest.approx(truth, rel=0.1)
    assert month_end.high - month_end.low < truth / 2
    # What is known is never learnt from the future, today's part included.
    altered = series.copy()
    altered["2026-11-10":] = 1e6
    assert forecast.month_end(altered, date(2026, 11, 10)) == month_end


def test_the_backtest_covers_about_as_often_as_it_says() -> None:
    results = pd.concat(
        [forecast.backtest(weekly(90, seed), date(2026, 10, 30)) for seed in range(3)], ignore_index=True
    )
    assert len(results) >= 20
    assert results["inside"].mean() >= 0.75
    assert results["error"].abs().median() < 0.1


def test_the_last_day_of_a_month_and_constant_and_empty_series() -> None:
    constant = forecast.month_end(days([10.0] * 40), date(2026, 8, 31))
    assert (constant.expected, constant.low, constant.high) == pytest.approx((310, 310, 310))
    with pytest.raises(forecast.TooLittleHistory, match="needs 7 full days"):
        forecast.month_end(days([0.0, 0.0, 5.0, 1.0]), date(2026, 8, 5))
    gaps = forecast.month_end(days([0.0, 10.0, 0.0, 12.0, 9.0, 0.0, 11.0, 10.0, 9.0]), date(2026, 8, 10))
    assert 0 < gaps.spent < gaps.low <= gaps.expected <= gaps.high < math.inf


def test_a_what_if_costs_what_the_price_list_says_call_by_call() -> None:
    calls = [(1000, 400, 100), (250_000, 0, 2000), (300, 0, 40)]
    moment = pd.Timestamp("2026-11-10", tz="UTC")
    mix = pd.DataFrame(
        {
            "day": int(moment.timestamp()),
            "provider": "openai",
            "model": "gpt-4o",
            "context": [0, 200_000, 0],
            "minute": 0,
            **dict.fromkeys(COUNTS, 0),
            "Requests": 1,
            "InputTokens": [call[0] for call in calls],
            "CacheReadTokens": [call[1] for call in calls],
            "OutputTokens": [call[2] for call in calls],
            "unpriced_calls": 0,
            "cost": [0.01, 0.9, 0.002],
        }
    )
    names = [("anthropic", "claude-sonnet-4-5", ""), ("anthropic", "claude-sonnet-4-5", "batch"),
             ("openai", "gpt-4o-mini", "")]  # fmt: skip
    table = what_if.replay(mix, [Candidate(*name) for name in names]).set_index("candidate")
    assert table.loc["as it was", "cost"] == pytest.approx(0.912)
    for provider, model, tier in names:
        expected = sum(
            float(
                calc_price(
                    Usage(input_tokens=call[0], cache_read_tokens=call[1], output_tokens=call[2]),
                    model,
                    provider_id=provider,
                    genai_request_timestamp=moment.to_pydatetime(),
                    price_context={"processing": "batch"} if tier else None,
                ).total_price
            )
            for call in calls
        )
        row = table.loc[Candidate(provider, model, tier).label]
        assert row["cost"] == pytest.approx(expected, rel=1e-9)
        assert row["saving"] == pytest.approx(0.912 - expected)


def test_a_what_if_says_what_it_cannot_tell() -> None:
    row = {"day": 1_790_000_000, "provider": "p", "model": "m", "context": 0, "minute": 0,
           **dict.fromkeys(COUNTS, 0), "Requests": 1, "InputTokens": 100}  # fmt: skip
    mix = pd.DataFrame(
        [{**row, "unpriced_calls": 0, "cost": 1.0}, {**row, "unpriced_calls": 3, "cost": math.nan}]
    )
    table = what_if.replay(
        mix,
        [Candidate("openai", "no-such-model"), Candidate("openai", "gpt-4o", cached=0.5),
         Candidate("mistral", "mistral-large-latest", "flex")],
    )  # fmt: skip
    assert table["note"].to_list() == [
        "3 unpriced calls are left out",
        "the price list has no openai/no-such-model",
        "",
        "the list has no price of its own for flex",
    ]
    assert pd.isna(table["cost"][1])
    assert table["cost"][2] == pytest.approx((50 * 2.5 + 50 * 1.25) / 1e6)
    with pytest.raises(ValueError, match="write provider/model"):
        what_if.candidate("gpt-4o")
    assert what_if.candidate("openai/gpt-4o@batch") == Candidate("openai", "gpt-4o", "batch")


def test_reserved_units_pay_where_the_load_is_steady() -> None:
    unit = Unit(price_per_hour=1.0, tokens_per_minute=1000)
    # 60,000 tokens an hour for 2 USD all day, and 300,000 for 10 USD in one hour of it.
    hours = pd.DataFrame({"hour": range(24), "input_tokens": 60_000.0, "output_tokens": 0.0, "cost": 2.0})
    hours.loc[12, ["input_tokens", "cost"]] = [300_000.0, 10.0]
    table = reserved_capacity.compare(hours, unit)
    assert table["units"].to_list() == [0, 1, 2, 3, 4, 5]
    assert table["cost"][0] == pytest.approx(56)
    chosen = reserved_capacity.best(table)
    assert (chosen["units"], chosen["cost"], chosen["saving"]) == (
        1,
        pytest.approx(24 + 8),
        pytest.approx(24),
    )
    assert chosen["utilisation"] == pytest.approx(1.0)
    assert table["cost"][5] == pytest.approx(120)
    assert reserved_capacity.break_even(hours, unit) == pytest.approx(0.5)
    dear = Unit(price_per_hour=5.0, tokens_per_minute=1000)
    assert reserved_capacity.break_even(hours, dear) > 1
    assert reserved_capacity.best(reserved_capacity.compare(hours, dear))["units"] == 0
    assert reserved_capacity.compare(hours, Unit(1.0, 1000, step=3))["units"].to_list() == [0, 3, 6]

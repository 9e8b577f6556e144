"""Detectors that are advanced minute by minute: the same in any company, causal, right about plain cases."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import pytest
from benchmarks.simulated_traffic import COLUMNS, to_buckets
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from llmtrace_analysis.detect.detectors.series import FloatArray
from llmtrace_analysis.detect.streaming.cusum import Cusum
from llmtrace_analysis.detect.streaming.detector_bank import DetectorBank, Event, EventMeasure, MinuteResult
from llmtrace_analysis.detect.streaming.episodes import Episodes
from llmtrace_analysis.detect.streaming.minute_buckets import CallSpread, TokenAdjustment
from llmtrace_analysis.detect.streaming.own_history import OwnHistory
from llmtrace_analysis.detect.streaming.proportions import Proportions
from llmtrace_analysis.detect.streaming.robust_rows import row_medians, row_sigmas
from llmtrace_analysis.detect.streaming.season import DAY, Season
from llmtrace_analysis.detect.streaming.sensitivity import Sensitivity
from llmtrace_analysis.detect.streaming.series_changes import SeriesChanges
from llmtrace_analysis.detect.streaming.silence import Silence
from llmtrace_analysis.detect.streaming.variation import Variation

#: A Monday, 2026-01-05, in minutes since 1970.
MONDAY = 20458 * DAY

#: Column → its number of every series.
Minute = dict[str, FloatArray]


def buckets_of(series: int, **values: float | FloatArray) -> Minute:
    """A minute of which only some columns are known."""
    empty = {name: np.full(series, np.nan) for name in COLUMNS}
    return empty | {name: np.full(series, value) for name, value in values.items()}


def traffic(minutes: int, seed: int, series: int = 1, calls: float = 60.0) -> list[Minute]:
    """Minutes of even traffic: a second and a thousand tokens per call, one in a hundred fails."""
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(minutes):
        number = rng.poisson(calls, series).astype(np.float64)
        root = np.sqrt(np.maximum(number, 1.0))
        result.append(
            buckets_of(
                series,
                calls=number,
                errors=rng.binomial(number.astype(np.int64), 0.01).astype(np.float64),
                latency_calls=number,
                latency_mean=rng.normal(0.0, 0.5, series) / root,
                output_mean=5.0 + rng.normal(0.0, 1.0, series) / root,
                usage_calls=number,
                tokens_mean=1000.0 * np.exp(rng.normal(0.0, 0.7, series) / root),
                priced_calls=number,
                cost_mean=0.01 * np.exp(rng.normal(0.0, 0.7, series) / root),
            )
        )
    return result


def changed(bucket: Minute, **factors: float) -> Minute:
    """A minute with some columns multiplied."""
    return {name: value * factors.get(name, 1.0) for name, value in bucket.items()}


def advance_all(bank: DetectorBank, minutes: Sequence[Minute], start: int = MONDAY) -> list[MinuteResult]:
    """Every minute's result."""
    return [bank.advance(start + number, to_buckets(bucket)) for number, bucket in enumerate(minutes)]


def events_of(results: Sequence[MinuteResult]) -> list[Event]:
    """All events."""
    return [event for result in results for event in result.events]


def same(first: FloatArray, other: FloatArray) -> bool:
    """Bit by bit, NaN included."""
    return np.array_equal(first, other, equal_nan=True)


@settings(max_examples=2)
@given(st.integers(0, 10_000), st.integers(2, 3))
def test_a_series_is_judged_the_same_alone_and_in_company(seed: int, series: int) -> None:
    """What a batch of many gives is what each gives alone, minute by minute."""
    rng = np.random.default_rng(seed)
    minutes = traffic(DAY + 60, seed, series)
    for number in range(DAY + 30, DAY + 60):
        factor = np.where(rng.random(series) < 0.5, 4.0, 1.0)
        minutes[number] |= {"tokens_mean": minutes[number]["tokens_mean"] * factor}
    together = advance_all(DetectorBank(np.arange(series), Sensitivity(1.0, 1)), minutes)
    for row in range(series):
        alone = advance_all(
            DetectorBank(np.array([0]), Sensitivity(1.0, 1)),
            [{name: values[[row]] for name, values in bucket.items()} for bucket in minutes],
        )
        columns = row * 4 + np.arange(4)
        for company, single in zip(together, alone, strict=True):
            assert same(company.judged.nats[:, columns], single.judged.nats)
            assert same(company.judged.expected[columns], single.judged.expected)
            assert same(company.errors[[row]], single.errors)
        of_row = [event._replace(series=0) for event in events_of(together) if event.series == row]
        assert of_row == events_of(alone)


@settings(max_examples=2)
@given(st.integers(0, 10_000), st.integers(1, DAY))
def test_when_a_series_was_added_makes_no_difference(seed: int, added: int) -> None:
    """What it holds begins with its first minute."""
    first, second = traffic(DAY + 60, seed), traffic(60, seed + 1)
    bank = DetectorBank(np.array([0]), Sensitivity(1.0, 1))
    alone = DetectorBank(np.array([1]), Sensitivity(1.0, 1))
    for number, bucket in enumerate(first[: added + 60]):
        minute = MONDAY + number
        if number < added:
            bank.advance(minute, to_buckets(bucket))
            continue
        if number == added:
            bank.extend(np.array([1]))
        own = second[number - added]
        both = {name: np.append(bucket[name], own[name]) for name in COLUMNS}
        result, single = bank.advance(minute, to_buckets(both)), alone.advance(minute, to_buckets(own))
        assert same(result.judged.nats[:, 4:], single.judged.nats)
        assert same(result.judged.expected[4:], single.judged.expected)
        assert same(result.errors[1:], single.errors)


_PAIRS: tuple[tuple[EventMeasure, EventMeasure], ...] = (("cost", "errors"), ("errors", "cost"))


def test_a_margin_raises_the_threshold_of_its_series_and_measure(
    calm: list[Minute], taught: DetectorBank
) -> None:
    start = 2 * DAY
    fault = [changed(bucket, cost_mean=2.0, errors=20.0) for bucket in calm[start : start + 60]]
    for measure, other in _PAIRS:
        bank = deepcopy(taught)
        bank.margins[measure] = np.array([1e6])
        assert {event.measure for event in opened(bank, fault)} == {other}


def test_a_series_goes_on_without_those_that_are_forgotten() -> None:
    minutes = traffic(DAY + 60, 5, series=3)
    bank = DetectorBank(np.arange(3), Sensitivity(1.0, 1))
    alone = DetectorBank(np.array([2]), Sensitivity(1.0, 1))
    for number, bucket in enumerate(minutes):
        own = {name: values[[2]] for name, values in bucket.items()}
        if number == DAY:
            bank.select(np.array([2]))
        result = bank.advance(MONDAY + number, to_buckets(own if number >= DAY else bucket))
        single = alone.advance(MONDAY + number, to_buckets(own))
        assert same(result.judged.nats[:, -4:], single.judged.nats)
        assert same(result.errors[-1:], single.errors)


@settings(max_examples=3)
@given(st.integers(0, 10_000), st.integers(1, DAY + 50))
def test_a_minute_is_judged_by_earlier_ones_alone(seed: int, cut: int) -> None:
    """What comes after a minute changes nothing of it."""
    minutes = traffic(DAY + 60, seed)
    otherwise = minutes[:cut] + [changed(bucket, calls=0.0, latency_mean=9.0) for bucket in minutes[cut:]]
    results = advance_all(DetectorBank(np.array([0])), minutes)[:cut]
    for first, other in zip(results, advance_all(DetectorBank(np.array([0])), otherwise)[:cut], strict=True):
        assert same(first.judged.nats, other.judged.nats)
        assert same(first.judged.expected, other.judged.expected)
        assert first.events == other.events


@pytest.fixture(scope="module")
def calm() -> list[Minute]:
    """Two days and a bit."""
    return traffic(2 * DAY + 240, seed=7)


@pytest.fixture(scope="module")
def taught(calm: list[Minute]) -> DetectorBank:
    """A bank that has seen two calm days; it opened nothing."""
    bank = DetectorBank(np.array([0]))
    assert events_of(advance_all(bank, calm[: 2 * DAY])) == []
    return bank


def opened(bank: DetectorBank, fault: Sequence[Minute]) -> list[Event]:
    """What opens when these minutes follow on two days."""
    return events_of(advance_all(deepcopy(bank), fault, MONDAY + 2 * DAY))


def test_calm_traffic_opens_nothing(calm: list[Minute], taught: DetectorBank) -> None:
    assert opened(taught, calm[2 * DAY :]) == []


@pytest.mark.parametrize(
    ("factors", "measure", "direction", "kinds"),
    [
        ({"tokens_mean": 1.5}, "tokens", "up", {"shift", "spike"}),
        ({"tokens_mean": 0.5}, "tokens", "down", {"shift", "spike"}),
        ({"cost_mean": 2.0}, "cost", "up", {"shift", "spike"}),
        ({"calls": 0.3, "errors": 0.3}, "calls", "down", {"drop"}),
        ({"calls": 3.0}, "calls", "up", {"shift", "spike"}),
        ({"errors": 20.0}, "errors", "up", {"error_share"}),
    ],
)
def test_a_change_opens_an_incident_of_its_measure(
    calm: list[Minute],
    taught: DetectorBank,
    factors: dict[str, float],
    measure: str,
    direction: str,
    kinds: set[str],
) -> None:
    start = 2 * DAY
    events = opened(taught, [changed(bucket, **factors) for bucket in calm[start : start + 60]])
    assert [(event.measure, event.direction) for event in events] == [(measure, direction)]
    assert events[0].kind in kinds
    assert MONDAY + start - 5 <= events[0].start <= events[0].opened
    assert (events[0].value > events[0].expected) == (direction == "up")
    assert events[0].low < events[0].expected < events[0].high
    assert 0.99 < events[0].score <= 1.0


def test_no_calls_are_a_silence_after_three_minutes(taught: DetectorBank) -> None:
    start = 2 * DAY
    silent = [buckets_of(1, calls=0.0, errors=0.0)] * 10
    (event,) = opened(taught, silent)
    assert (event.kind, event.start, event.value) == ("silence", MONDAY + start, 0.0)
    assert event.opened <= MONDAY + start + 2


def test_minutes_that_are_not_known_are_no_silence(taught: DetectorBank) -> None:
    assert opened(taught, [buckets_of(1)] * 60) == []


def test_what_comes_slowly_is_a_drift(calm: list[Minute], taught: DetectorBank) -> None:
    start = 2 * DAY
    rising = [
        changed(bucket, tokens_mean=float(np.exp(number * np.log(3) / 360)))
        for number, bucket in enumerate(calm[start : start + 240])
    ]
    events = opened(taught, rising)
    assert [(event.kind, event.measure) for event in events] == [("drift", "tokens")]


def test_a_longer_answer_is_no_slower_model() -> None:
    """Latency is judged as expected for its tokens."""
    rng = np.random.default_rng(3)

    def bucket(longer: float, slower: float) -> Minute:
        output = 5.0 + longer + rng.normal(0, 0.1)
        return buckets_of(
            1, calls=60.0, errors=0.0, latency_calls=60.0, output_mean=output,
            latency_mean=0.9 * (output - 5.0) + slower + rng.normal(0, 0.05),
        )  # fmt: skip

    bank = DetectorBank(np.array([0]))
    advance_all(bank, [bucket(0.0, 0.0) for _ in range(2 * DAY)])
    assert opened(bank, [bucket(np.log(2), 0.0) for _ in range(60)]) == []
    events = opened(bank, [bucket(0.0, np.log(2)) for _ in range(60)])
    assert {(event.measure, event.direction) for event in events} == {("latency", "up")}


def test_a_switch_of_models_is_a_new_series_and_a_vanished_one() -> None:
    minutes = traffic(2 * DAY, seed=9)

    def spread(bucket: Minute, row: int) -> Minute:
        values = {}
        for name, of_minute in bucket.items():
            column = np.full(2, 0.0 if name in ("calls", "errors") else np.nan)
            column[row] = of_minute[0]
            values[name] = column
        return values

    switched = [spread(bucket, 0) for bucket in minutes] + [spread(bucket, 1) for bucket in minutes[:60]]
    bank = DetectorBank(np.array([0, 0]))
    events = [(event.kind, event.series) for event in events_of(advance_all(bank, switched))]
    assert ("new_series", 1) in events
    assert ("vanished_series", 0) in events
    assert len(events) == 2


def test_an_episode_is_one_incident_and_rests() -> None:
    episodes = Episodes(1, quiet_minutes=3, rest_minutes=10)
    firing = [True, True, False, False, False, True, True, *[False] * 8, True]
    opened_at = [
        minute
        for minute, on in enumerate(firing)
        if episodes.advance(minute, np.array([on]), np.array([on])).opened[0]
    ]
    # Over three minutes after minute 1; minutes 5 and 6 are within the rest.
    assert opened_at == [0, 15]


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=40))
def test_medians_of_rows_are_numpys(values: list[float]) -> None:
    row = np.array([values, values[::-1]])
    medians, counts = row_medians(row)
    finite = row[0][np.isfinite(row[0])]
    assert counts.tolist() == [len(finite)] * 2
    if len(finite):
        assert medians.tolist() == pytest.approx([np.median(finite)] * 2)
        sigma = 1.4826 * np.median(np.abs(finite - np.median(finite)))
        assert row_sigmas(row)[0].tolist() == pytest.approx([sigma] * 2)
    else:
        assert np.isnan(medians).all()


def test_expected_is_of_this_time_on_days_of_this_kind() -> None:
    season = Season(1)
    for minute in range(MONDAY, MONDAY + 9 * DAY):
        day = (minute - MONDAY) // DAY
        value = (100.0 if day % 7 < 5 else 10.0) + minute % DAY // 60
        assert not season.expectation(minute).seasonal[0] or day not in (0, 5)
        season.learn(minute, np.array([value]))
    at = MONDAY + 9 * DAY + 15 * 60 + 30
    assert season.expectation(at).centre[0] == 115.0
    assert season.expectation(at + 3 * DAY).centre[0] == 25.0


def test_the_kind_of_day_is_local() -> None:
    """Saturday begins ten hours sooner in Sydney."""
    utc, sydney = Season(1), Season(1, utc_offset_minutes=600)
    for minute in range(MONDAY, MONDAY + 5 * DAY - 300):
        for season in (utc, sydney):
            season.learn(minute, np.array([1.0]))
    friday_evening = MONDAY + 5 * DAY - 299
    assert utc.expectation(friday_evening).seasonal[0]
    assert not sydney.expectation(friday_evening).seasonal[0]


def test_what_was_missing_is_not_taken_for_older_days() -> None:
    season = Season(1)
    for minute in range(MONDAY, MONDAY + DAY):
        season.learn(minute, np.array([5.0]))
    assert season.expectation(MONDAY + 7 * DAY + 600).seasonal[0]
    assert not season.expectation(MONDAY + 21 * DAY + 600).seasonal[0]


def test_deviations_that_last_vary_more_in_the_long_run() -> None:
    rng = np.random.default_rng(1)
    variation = Variation(np.full(2, 0.01), np.full(2, 0.01))
    level = 0.0
    for minute in range(7 * DAY):
        level = 0.95 * level + rng.normal(0, 0.3 * np.sqrt(1 - 0.95**2))
        variation.learn(minute, np.array([rng.normal(0, 0.3), level]), np.zeros(2))
    assert variation.minute == pytest.approx([0.09, 0.09], rel=0.25)
    # (1 + 0.95) / (1 - 0.95) times the variance of a minute.
    assert variation.long_run[0] == pytest.approx(0.09, rel=0.5)
    assert variation.long_run[1] == pytest.approx(0.09 * 39, rel=0.5)


def test_sums_of_noise_rarely_reach_what_they_mean() -> None:
    """Nats mean what they say: h is reached at most about once in exp(h) minutes."""
    rng = np.random.default_rng(2)
    cusum = Cusum(np.full((1, 200), 0.5))
    reached = 0
    for minute in range(1000):
        cusum.advance(minute, rng.normal(0, 1, 200), np.ones(200))
        over = cusum.sums.max(axis=0) >= 6.0
        reached += int(over.sum())
        cusum.reset(over)
    assert reached <= 2 * 200 * 1000 * np.exp(-6.0)


def test_one_minute_never_decides() -> None:
    cusum = Cusum(np.array([[0.5], [1.0]]))
    cusum.advance(0, np.array([1e9]), np.array([0.01]))
    assert cusum.sums.max() <= 1.5
    cusum.advance(1, np.array([np.nan]), np.array([0.01]))
    assert cusum.sums.max() <= 1.5
    assert cusum.start(0, 0) == 0


@pytest.mark.parametrize(("calls", "share"), [(6.0, 0.3), (120.0, 0.05)])
def test_more_failures_are_seen_with_few_calls_and_with_many(calls: float, share: float) -> None:
    rng = np.random.default_rng(4)
    proportions = Proportions(1)
    for minute in range(DAY):
        number = rng.poisson(calls)
        proportions.advance(minute, np.array([float(rng.binomial(number, 0.007))]), np.array([float(number)]))
        proportions.learn(minute, np.array([True]))
    surprise = [
        proportions.advance(
            DAY + minute, np.array([float(rng.binomial(int(calls), share))]), np.array([calls])
        )[0][0]
        for minute in range(60)
    ]
    assert max(surprise) > 12


def test_a_burst_within_one_minute_is_no_rate() -> None:
    proportions = Proportions(1)
    for minute in range(DAY):
        proportions.advance(minute, np.array([float(minute % 50 == 0)]), np.array([10.0]))
        proportions.learn(minute, np.array([True]))
    surprise, _, _ = proportions.advance(DAY, np.array([10.0]), np.array([10.0]))
    assert surprise[0] < 5


def test_chances_of_failures_are_the_binomial_ones() -> None:
    from llmtrace_analysis.detect.streaming.proportions import _chance

    hits, trials, rate = np.array([0.0, 1.0, 7.0]), np.array([5.0, 5.0, 40.0]), np.array([0.1, 0.1, 0.05])
    assert _chance(hits, trials, rate) == pytest.approx(stats.binom.sf(hits - 1, trials, rate))


def test_a_silence_counts_what_was_cautiously_expected() -> None:
    silence = Silence(1)
    nats = [
        silence.advance(minute, np.array([calls]), np.array([4.0]))
        for minute, calls in enumerate([3, 0, 0, np.nan, 0, 1])
    ]
    assert [float(of_minute[0][0]) for of_minute in nats] == [0, 0, 0, 8, 12, 0]
    assert int(nats[4][1][0]) == 1


def test_only_a_series_among_siblings_that_are_known_is_new() -> None:
    changes = SeriesChanges(np.array([0, 0, 1]))
    news = {}
    for minute in range(MONDAY, MONDAY + DAY + 60):
        calls = np.array([50.0, 5.0 if minute >= MONDAY + DAY + 10 else 0.0, 0.0])
        if minute >= MONDAY + DAY + 10:
            calls[2] = 50.0  # a group that begins with it
        for row in np.flatnonzero(changes.advance(minute, calls)):
            news[int(row)] = minute
    # Twenty calls after four minutes, a twentieth of all after six.
    assert news == {1: MONDAY + DAY + 15}


def test_spread_and_slope_are_those_of_single_calls() -> None:
    rng = np.random.default_rng(5)
    spread, adjustment = CallSpread(np.array([1.0])), TokenAdjustment(1)
    for number in range(3000):
        calls = np.array([float(rng.integers(5, 50))])
        output = rng.normal(0, 1, 1) / np.sqrt(calls)
        latency = 0.8 * output + rng.normal(0, 0.25, 1) / np.sqrt(calls)
        adjusted = adjustment.advance(latency, output)
        if number > 500:  # the slope is known
            variance = spread.advance(adjusted, calls)
    assert variance[0] == pytest.approx(0.0625, rel=0.25)


def test_nats_of_a_column_that_always_surprises_are_worth_less() -> None:
    rng = np.random.default_rng(6)
    history = OwnHistory(2)
    for minute in range(7 * DAY):
        nats = rng.exponential(1.0, 2) * np.array([1.0, 4.0])
        history.learn(minute, nats, np.ones(2, dtype=bool))
    quiet, restless = history.conform(np.array([10.0, 10.0]))
    assert quiet == pytest.approx(10.0, rel=0.15)
    assert restless == pytest.approx(2.5, rel=0.25)


def test_sensitivity_shares_a_number_of_false_incidents() -> None:
    assert Sensitivity(2.0, 20).threshold == pytest.approx(Sensitivity(0.1, 1).threshold)
    assert Sensitivity(1.0).threshold < Sensitivity(0.1).threshold

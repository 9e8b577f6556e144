"""The ten-second rules over the stored history: the same functions as live, bucket by bucket."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.detect import store_queries
from llmtrace_analysis.detect.detectors.anomalies import evaluate_series
from llmtrace_analysis.detect.detectors.parameters import AnomalyParameters
from llmtrace_analysis.detect.detectors.series import (
    BoolArray,
    BucketRow,
    FloatArray,
    Series,
    SeriesKey,
    to_series,
)
from llmtrace_analysis.detect.findings import RULES, anomaly_finding
from llmtrace_analysis.detect.incident_lifecycle import QuietPeriod, advance
from llmtrace_analysis.detect.labels import Margin
from llmtrace_analysis.detect.rules import evidence_for, excluded_times
from llmtrace_collector.store.incident import Incident

from .fired import Fired

#: Seconds of history that are read at once.
CHUNK_SECONDS = 6 * 3600

#: Share of its buckets that a value must exceed by the ratio before a series is evaluated. The median of what
#: is left when anomalies are taken out is not below it, as long as those are less than four fifths.
_LOW_SHARE = 0.1

MarginsAt = Callable[[float], Mapping[str, Margin]]
"""Fingerprint → margin at a time, Unix seconds."""


@dataclass(frozen=True)
class SpikeConfiguration:
    """How the ten-second rules are set."""

    parameters: AnomalyParameters
    false_incidents_a_week: float
    rest_seconds: float
    margins_at: MarginsAt


@dataclass
class Past:
    """Incidents of one series so far: a few that are open or may still matter to its history."""

    incidents: list[Incident] = field(default_factory=list)


def replay_spikes(
    client: Client,
    since: int,
    until: int,
    configuration: SpikeConfiguration,
    purposes: Sequence[str],
    progress: Callable[[float], None] | None = None,
) -> Iterator[Fired]:
    """What the ten-second rules would have opened in buckets that end after `since` and until `until` (Unix
    seconds, multiples of ten): each when it is over, at last those that are not. Raises what the store does.
    """
    parameters = configuration.parameters
    lookback = parameters.lookback_minutes * 60
    rows: list[BucketRow] = []
    past: dict[SeriesKey, Past] = {}
    read_until = since - lookback
    for start in range(since, until, CHUNK_SECONDS):
        end = min(start + CHUNK_SECONDS, until)
        rows = [row for row in rows if row.time >= start - lookback]
        rows += store_queries.usage(client, read_until, parameters.bucket_seconds, purposes, end)
        read_until = end
        by_key = {series.key: series for series in to_series(rows)}
        for key in by_key.keys() | past.keys():
            # What is open of a model that is called no more is over once it is quiet.
            series = by_key.get(key) or _without_buckets(key)
            yield from replayed(series, start, end, past.setdefault(key, Past()), configuration)
        if progress is not None:
            progress(float(end))
    for of_series in past.values():
        yield from (_fired(incident) for incident in of_series.incidents if incident.state != "resolved")


def replayed(
    series: Series, start: int, end: int, past: Past, configuration: SpikeConfiguration
) -> Iterator[Fired]:
    parameters = configuration.parameters
    width = parameters.bucket_seconds
    unusual = _unusual(series, parameters)
    ends = _ends(series, unusual, parameters.window_buckets, parameters.window_outside, width)
    ends |= _ends(series, unusual[:1], parameters.tail_buckets, parameters.tail_outside, width)
    worth = sorted(ends)
    any_unusual = {int(time) + width for time in series.times[unusual.any(axis=0)]}
    bucket = start
    while bucket < end:
        is_open = any(incident.state != "resolved" for incident in past.incidents)
        if not is_open:
            place = bisect_right(worth, bucket)
            if place == len(worth) or worth[place] > end:
                return
            bucket = worth[place] - width
        bucket += width
        recent = range(bucket - parameters.late_buckets * width, bucket + width, width)
        is_worth = bucket in ends or (is_open and any(at in any_unusual for at in recent))
        yield from _evaluated(series, bucket, past, configuration, is_worth=is_worth)


def _evaluated(
    series: Series, end: int, past: Past, configuration: SpikeConfiguration, *, is_worth: bool
) -> Iterator[Fired]:
    """Evaluate as live does once a bucket has become complete; the incidents that are over with it."""
    parameters = configuration.parameters
    now = end + parameters.late_seconds
    findings = []
    if is_worth:
        lookback = parameters.lookback_minutes * 60
        recent = _between(series, end - lookback - parameters.bucket_seconds, end)
        excluded = excluded_times(series.key, past.incidents, parameters.adapt_seconds)
        margins = configuration.margins_at(now)
        evidence = evidence_for(series.key, margins, configuration.false_incidents_a_week)
        results = evaluate_series(recent, now, parameters, excluded, evidence)
        findings = [finding for result in results if (finding := anomaly_finding(result, parameters))]
    quiet = QuietPeriod(float(end), parameters.quiet_seconds, parameters.adapt_seconds)
    changes = advance(
        findings,
        past.incidents,
        dict.fromkeys(RULES.values(), quiet),
        now,
        rest_seconds=configuration.rest_seconds,
        update_seconds=0.0,
    )
    changed = {change.incident.incident_id: change.incident for change in changes}
    oldest = now - max(parameters.lookback_minutes * 60, configuration.rest_seconds) - 86_400
    past.incidents = [
        changed.pop(incident.incident_id, incident)
        for incident in past.incidents
        if incident.state != "resolved" or incident.ended_at >= oldest
    ] + list(changed.values())
    yield from (_fired(change.incident) for change in changes if change.action == "resolve")


def _fired(incident: Incident) -> Fired:
    return Fired(
        rule=incident.rule,
        project=incident.project,
        kind="spike",
        opened=incident.opened_at,
        known=incident.updated_at,
        ended=incident.resolved_at,
        value=incident.observed,
        expected_low=incident.expected_low,
        expected_high=incident.expected_high,
        unit=incident.unit,
        dimensions=dict(incident.dimensions),
    )


def _unusual(series: Series, parameters: AnomalyParameters) -> BoolArray:
    """Which buckets may be outside, by cheap bounds that no band lies below. Rows: latency, error rate,
    tokens and cost.
    """
    latency_ratio, latency_floor = parameters.latency_ratio, parameters.latency_floor_seconds
    slow = _above(series, series.p95, latency_ratio, latency_floor, parameters)
    slow |= _above(series, series.p50, latency_ratio, latency_floor, parameters)
    rates = series.errors / np.maximum(series.calls, 1)
    failing = rates > parameters.error_floor
    tokens = _above(series, series.tokens, parameters.tokens_ratio, parameters.tokens_floor, parameters)
    cost = _above(series, series.cost, parameters.cost_ratio, parameters.cost_floor_usd, parameters)
    counted: BoolArray = np.stack([slow, failing, tokens, cost])
    return counted & (series.calls >= parameters.min_calls) & (series.live_calls > 0)


def _above(
    series: Series, values: FloatArray, ratio: float, floor: float, parameters: AnomalyParameters
) -> BoolArray:
    counted = np.where(series.calls >= parameters.min_calls, values, np.nan)
    low = _low(series, counted, parameters)
    low = np.fmin(low, _low(series, np.where(series.live_calls > 0, counted, np.nan), parameters))
    return values > np.maximum(low * ratio, low + floor)


def _low(series: Series, values: FloatArray, parameters: AnomalyParameters) -> FloatArray:
    times = pd.to_datetime(series.times, unit="s")
    rolling = pd.Series(values, times).rolling(f"{parameters.lookback_minutes}min", min_periods=1)
    low: FloatArray = rolling.quantile(_LOW_SHARE).to_numpy(np.float64)
    return low


def _ends(series: Series, unusual: BoolArray, buckets: int, outside: int, width: int) -> set[int]:
    """Ends of the windows of that many buckets in which enough are unusual by one of the measures."""
    ends: set[int] = set()
    for of_measure in unusual:
        times = series.times[of_measure]
        for first, last in zip(times, times[outside - 1 :], strict=False):
            span = int(last - first) // width + 1
            ends.update(int(last) + width * (1 + extra) for extra in range(buckets - span + 1))
    return ends


def _without_buckets(key: SeriesKey) -> Series:
    integers, floats = np.empty(0, dtype=np.int64), np.empty(0)
    return Series(key, integers, integers, integers, integers, floats, floats, floats, floats)


def _between(series: Series, since: int, until: int) -> Series:
    part = slice(*np.searchsorted(series.times, (since, until)))
    return Series(
        series.key,
        series.times[part],
        series.calls[part],
        series.live_calls[part],
        series.errors[part],
        series.p50[part],
        series.p95[part],
        series.tokens[part],
        series.cost[part],
    )

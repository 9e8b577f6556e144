"""From results of series, floods and matched patterns to findings with words for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .abuse.access_events import Burst
from .abuse.prompt_injection import PatternMatch
from .abuse.request_flood import Flood
from .detectors.anomalies import UNITS, Metric, SeriesResult
from .detectors.parameters import AnomalyParameters
from .incident_lifecycle import Finding

_NAMES: dict[Metric, str] = {
    "latency": "Latency",
    "error_rate": "Error rate",
    "tokens_per_call": "Tokens per call",
    "cost": "Cost",
}

#: Rule names of the anomaly detectors, by metric.
RULES: dict[Metric, str] = {metric: f"anomaly.{metric}" for metric in _NAMES}
FLOOD_RULE = "abuse.request_flood"
INJECTION_RULE = "abuse.prompt_injection"

#: Rule names of bursts, by kind of event.
ACCESS_RULES = {
    "key_refused": "abuse.refused_keys",
    "read_denied": "abuse.denied_reads",
    "key_new_address": "abuse.new_addresses",
}

Severity = Literal["warning", "critical"]


def anomaly_finding(result: SeriesResult, parameters: AnomalyParameters) -> Finding | None:
    """The finding of a series, without evidence; None when no recent bucket is an outlier."""
    if not result.outliers:
        return None
    worst = max(outlier.value for outlier in result.outliers)
    band = result.band
    name, model = _NAMES[result.metric], label(result.key.model, "unnamed model")
    observed, usual = amount(worst, result.metric), amount(band.usual, result.metric)
    where = f"{model} ({result.key.provider})" if result.key.provider else model
    what = {
        "latency": "half of the calls took at least"
        if result.statistic == "p50"
        else "the slowest 5% of calls took at least",
        "error_rate": "failed calls reached",
        "tokens_per_call": "calls used on average",
        "cost": f"spend per {parameters.bucket_seconds} s reached",
    }[result.metric]
    return Finding(
        rule=RULES[result.metric],
        kind="anomaly",
        project=result.key.project,
        dimensions=result.key.dimensions,
        metric=result.metric,
        severity=_anomaly_severity(result, worst),
        title=f"{name} of {where}: {observed}, usually {usual}",
        summary=(
            f"{what[:1].upper()}{what[1:]} {observed}. Usual is {usual}; up to "
            f"{amount(band.high, result.metric)} is expected from the last "
            f"{parameters.lookback_minutes} minutes."
        ),
        observed=worst,
        expected_low=band.low,
        expected_high=band.high,
        unit=UNITS[result.metric],
        seen=tuple(float(outlier.time + parameters.bucket_seconds) for outlier in result.outliers),
        openings=tuple(float(time) for time in result.openings),
    )


def _anomaly_severity(result: SeriesResult, worst: float) -> Severity:
    if result.metric == "error_rate":
        return "critical" if worst >= 0.5 else "warning"
    return "critical" if worst >= 2 * result.band.high else "warning"


def amount(value: float, metric: Metric) -> str:
    """A value of a metric as people read it."""
    if metric == "latency":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
    if metric == "error_rate":
        return f"{value:.1%}"
    if metric == "cost":
        return f"${value:.4f}" if value < 1 else f"${value:.2f}"
    return f"{value:.0f} tokens"


def flood_finding(flood: Flood, now: float, window_seconds: int) -> Finding:
    """The finding of a flood, without evidence."""
    user = label(flood.user, "unknown user")
    compared = (
        f"others usually send {flood.usual:.0f}" if flood.usual else "too few others are active to compare"
    )
    return Finding(
        rule=FLOOD_RULE,
        kind="abuse",
        project=flood.project,
        dimensions={"user": flood.user},
        metric="calls",
        severity="critical" if flood.calls >= 3 * flood.limit else "warning",
        title=f"Request flood by {user}: {flood.calls} calls in {window_seconds} s",
        summary=(
            f"{user} sent {flood.calls} calls within {window_seconds} s; {compared}. "
            f"The limit is {flood.limit:.0f}. OWASP LLM10 (unbounded consumption)."
        ),
        observed=float(flood.calls),
        expected_low=0.0,
        expected_high=flood.limit,
        unit="calls",
        seen=(now,),
        openings=(now,),
    )


def injection_finding(
    project: str, user: str, matches: Sequence[PatternMatch], enough: int, window_seconds: int
) -> Finding:
    """The finding of one user's matches in the window, ascending in time. Names patterns, quotes nothing.

    `enough`: how many of them open an incident.
    """
    names = sorted({name for match in matches for name in match.patterns})
    who = label(user, "callers without a user id")
    traces = dict.fromkeys(match.trace_id for match in reversed(matches) if match.trace_id)
    first_enough = max(0, len(matches) - enough + 1)
    return Finding(
        rule=INJECTION_RULE,
        kind="abuse",
        project=project,
        dimensions={"user": user},
        metric="injection_hits",
        severity="critical" if len(matches) >= 3 * enough else "warning",
        title=f"Prompt injection attempts by {who}: {len(matches)} messages",
        summary=(
            f"{len(matches)} messages within {window_seconds} s match: "
            f"{', '.join(names)}. "
            "OWASP LLM01 (prompt injection). The traces hold the messages."
        ),
        observed=float(len(matches)),
        expected_low=0.0,
        expected_high=float(enough - 1),
        unit="messages",
        seen=tuple(match.at for match in matches),
        openings=tuple(match.at for match in matches[:first_enough]),
        evidence=tuple(traces)[:10],
    )


def access_finding(burst: Burst, window_seconds: int) -> Finding:
    """The finding of a burst at the endpoints. It is no project's: only keys of every project read it."""
    whom = label(burst.of, "all addresses")
    title, advice = {
        "key_refused": (
            f"Refused keys from {whom}: {burst.events}",
            "Somebody tries keys, or a sender has a wrong one and loses what it sends",
        ),
        "read_denied": (
            f"Denied reads of {whom}: {burst.events}",
            "Somebody asks for what this key may not read; revoke it by `llmtrace keys revoke` if it leaked",
        ),
        "key_new_address": (
            f"{whom} is used from {burst.events} new addresses",
            "It may have leaked; `llmtrace keys revoke` ends it",
        ),
    }[burst.kind]
    return Finding(
        rule=ACCESS_RULES[burst.kind],
        kind="abuse",
        project="",
        dimensions={"address" if burst.kind == "key_refused" else "key": burst.of},
        metric=burst.kind,
        severity="critical" if burst.events >= 10 * burst.limit else "warning",
        title=f"{title} in {window_seconds // 60} min",
        summary=(
            f"{advice}. The limit is {burst.limit} within {window_seconds} s. "
            f"The table security_events has each (Kind = '{burst.kind}')."
        ),
        observed=float(burst.events),
        expected_low=0.0,
        expected_high=float(burst.limit - 1),
        unit="events",
        seen=(burst.last_at,),
        openings=(burst.last_at,),
    )


def label(text: str, otherwise: str) -> str:
    """A name from a span, made safe to show: printable and short."""
    label = "".join(character for character in text if character.isprintable())[:80]
    return label or otherwise

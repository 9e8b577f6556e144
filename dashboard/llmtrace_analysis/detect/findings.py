"""From verdicts, floods and hits to findings with words for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from llmtrace_analysis.settings import WatchSettings

from .abuse.prompt_injection import PatternMatch
from .abuse.request_flood import Flood
from .detectors.anomalies import UNITS, Metric, SeriesResult
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

Severity = Literal["warning", "critical"]


def anomaly_finding(verdict: SeriesResult, settings: WatchSettings) -> Finding | None:
    """The finding of a verdict, without evidence; None when nothing recent lies outside."""
    if not verdict.outside:
        return None
    worst = max(bucket.value for bucket in verdict.outside)
    band = verdict.band
    name, model = _NAMES[verdict.metric], _label(verdict.key.model, "unnamed model")
    shown, usual = amount(worst, verdict.metric), amount(band.usual, verdict.metric)
    where = f"{model} ({verdict.key.provider})" if verdict.key.provider else model
    what = {
        "latency": "half of the calls took at least"
        if verdict.statistic == "p50"
        else "the slowest 5% of calls took at least",
        "error_rate": "failed calls reached",
        "tokens_per_call": "calls used on average",
        "cost": f"spend per {settings.bucket_seconds} s reached",
    }[verdict.metric]
    return Finding(
        rule=RULES[verdict.metric],
        kind="anomaly",
        project=verdict.key.project,
        dimensions=verdict.key.dimensions,
        metric=verdict.metric,
        severity=_anomaly_severity(verdict, worst),
        title=f"{name} of {where}: {shown}, usually {usual}",
        summary=(
            f"{what[:1].upper()}{what[1:]} {shown}. Usual is {usual}; up to "
            f"{amount(band.high, verdict.metric)} is expected from the last "
            f"{settings.lookback_minutes} minutes."
        ),
        observed=worst,
        expected_low=band.low,
        expected_high=band.high,
        unit=UNITS[verdict.metric],
        seen=tuple(float(bucket.time + settings.bucket_seconds) for bucket in verdict.outside),
        openings=tuple(float(time) for time in verdict.openings),
    )


def _anomaly_severity(verdict: SeriesResult, worst: float) -> Severity:
    if verdict.metric == "error_rate":
        return "critical" if worst >= 0.5 else "warning"
    return "critical" if worst >= 2 * verdict.band.high else "warning"


def amount(value: float, metric: Metric) -> str:
    """A value of a metric as people read it."""
    if metric == "latency":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
    if metric == "error_rate":
        return f"{value:.1%}"
    if metric == "cost":
        return f"${value:.4f}" if value < 1 else f"${value:.2f}"
    return f"{value:.0f} tokens"


def flood_finding(flood: Flood, now: float, settings: WatchSettings) -> Finding:
    """The finding of a flood, without evidence."""
    user = _label(flood.user, "unknown user")
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
        title=f"Request flood by {user}: {flood.calls} calls in {settings.flood_window_seconds} s",
        summary=(
            f"{user} sent {flood.calls} calls within {settings.flood_window_seconds} s; {compared}. "
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
    project: str, user: str, hits: Sequence[PatternMatch], settings: WatchSettings
) -> Finding:
    """The finding of one user's hits within the window, ascending in time. Names patterns, quotes nothing."""
    names = sorted({name for hit in hits for name in hit.patterns})
    who = _label(user, "callers without a user id")
    traces = dict.fromkeys(hit.trace_id for hit in reversed(hits) if hit.trace_id)
    first_enough = max(0, len(hits) - settings.injection_hits + 1)
    return Finding(
        rule=INJECTION_RULE,
        kind="abuse",
        project=project,
        dimensions={"user": user},
        metric="injection_hits",
        severity="critical" if len(hits) >= 3 * settings.injection_hits else "warning",
        title=f"Prompt injection attempts by {who}: {len(hits)} messages",
        summary=(
            f"{len(hits)} messages within {settings.injection_window_seconds} s match: {', '.join(names)}. "
            "OWASP LLM01 (prompt injection). The traces hold the messages."
        ),
        observed=float(len(hits)),
        expected_low=0.0,
        expected_high=float(settings.injection_hits - 1),
        unit="messages",
        seen=tuple(hit.at for hit in hits),
        openings=tuple(hit.at for hit in hits[:first_enough]),
        evidence=tuple(traces)[:10],
    )


def _label(text: str, otherwise: str) -> str:
    """A name from a span, made safe to show: printable and short."""
    shown = "".join(character for character in text if character.isprintable())[:80]
    return shown or otherwise

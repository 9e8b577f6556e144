"""From a trouble to a finding with words for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal, NamedTuple

from llmtrace_analysis.detect.findings import label
from llmtrace_analysis.detect.incident_lifecycle import Finding
from llmtrace_analysis.detect.streaming.detector_bank import Event, EventMeasure
from llmtrace_collector.store.incident import Incident

from .kind_bank import Opened
from .series import WatchedSeries
from .troubles import Trouble


class Wording(NamedTuple):
    """How a measure is spoken of."""

    metric: str
    """As rules and incidents name it."""
    name: str
    unit: str


WORDINGS: Mapping[EventMeasure, Wording] = MappingProxyType(
    {
        "calls": Wording("calls", "Calls", "calls/min"),
        "latency": Wording("latency", "Latency", "s"),
        "ttft": Wording("ttft", "Time to first token", "s"),
        "tpot": Wording("tpot", "Time per output token", "s"),
        "tokens": Wording("tokens_per_call", "Tokens per call", "tokens"),
        "input_tokens": Wording("input_tokens", "Input tokens per call", "tokens"),
        "output_tokens": Wording("output_tokens", "Output tokens per call", "tokens"),
        "cached_tokens": Wording("cached_tokens", "Cached tokens per call", "tokens"),
        "reasoning_tokens": Wording("reasoning_tokens", "Reasoning tokens per call", "tokens"),
        "cost": Wording("cost", "Cost per call", "USD"),
        "score": Wording("score", "Score", ""),
        "errors": Wording("error_rate", "Error rate", "ratio"),
        "refusals": Wording("refusals", "Refusals", "ratio"),
        "truncated": Wording("truncated", "Truncated answers", "ratio"),
        "retries": Wording("retries", "Retries", "ratio"),
        "cache_hits": Wording("cache_hits", "Cache hits", "ratio"),
    }
)

RULE_NAMES: Mapping[EventMeasure, str] = MappingProxyType(
    {measure: f"anomaly.{wording.metric}" for measure, wording in WORDINGS.items()}
)

#: What else shows a trouble is named up to so many.
_NAMED = 5

#: From so many times the expected on, and from this share of failures on, it is critical.
_CRITICAL_RATIO, _CRITICAL_SHARE = 2.0, 0.5

#: Every summary of ours has it, and none of the ten-second rules.
_NOTICED = ", noticed at "

_UNITS_OF_CALLS = {"trace": "traces", "step": "calls", "score": "scores", "agent": "runs"}


def rule_and_dimensions(opened: Opened) -> tuple[str, str, Mapping[str, str]]:
    """Rule, project and dimensions of the incident that an event opens."""
    return RULE_NAMES[opened.event.measure], opened.series.project, opened.series.dimensions


def trouble_finding(
    trouble: Trouble, main: Opened, seen: tuple[float, ...], evidence: tuple[str, ...]
) -> Finding:
    """The finding of a trouble that is open. `main`: the event of it that the incident is named after;
    `seen`: when it was seen (Unix seconds).
    """
    event = main.event
    rule, project, dimensions = rule_and_dimensions(main)
    wording = WORDINGS[event.measure]
    return Finding(
        rule=rule,
        kind="anomaly",
        project=project,
        dimensions=dimensions,
        metric=wording.metric,
        severity=_severity(event),
        title=_title(trouble, main),
        summary=_summary(trouble, main),
        observed=event.value,
        expected_low=event.low,
        expected_high=event.high,
        unit=wording.unit,
        seen=seen,
        openings=(60.0 * event.start, 60.0 * (event.opened + 1)),
        evidence=evidence,
        is_going_on=True,
    )


def is_ours(incident: Incident) -> bool:
    """Whether an incident tells of a trouble, though a ten-second rule has the same name."""
    return incident.rule in RULE_NAMES.values() and _NOTICED in incident.summary


def series_name(series: WatchedSeries) -> str:
    """What a series is about, in words."""
    of = {name: label(value, f"unnamed {name}") for name, value in series.dimensions.items()}
    service = f" of {of['service']}" if "service" in of else ""
    match series.kind:
        case "call":
            provider = f" ({of['provider']})" if series.dimensions["provider"] else ""
            return f"{of['model']}{provider}" + (f" in service {of['service']}" if service else "")
        case "trace":
            return f"traces {of['trace']}{service}"
        case "step":
            what = "tool" if of["operation"] == "execute_tool" else of["operation"]
            return f"{what} {of['step']}{service}"
        case "agent":
            version = f" {of['version']}" if series.dimensions["version"] else ""
            return f"agent {of['agent']}{version}{service}"
        case "prompt":
            version = f" version {of['version']}" if series.dimensions["version"] else ""
            return f"prompt {of['prompt']}{version}"
        case "ingest":
            return f"service {of['service']}"
    return " ".join(f"{name} {value}" for name, value in of.items())


def amount(value: float, measure: EventMeasure) -> str:
    """A value of a measure as people read it."""
    unit = WORDINGS[measure].unit
    if unit == "s":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
    if unit == "ratio":
        return f"{value:.1%}"
    if unit == "USD":
        return f"${value:.6f}" if value < 0.01 else f"${value:.4f}" if value < 1 else f"${value:.2f}"
    if unit == "tokens":
        return f"{value:.0f} tokens"
    return f"{value:.3g}"


def _severity(event: Event) -> Literal["warning", "critical"]:
    if event.kind in ("new_series", "vanished_series"):
        return "warning"
    if WORDINGS[event.measure].unit == "ratio":
        return "critical" if event.value >= _CRITICAL_SHARE else "warning"
    if event.kind == "silence" or (event.direction == "up" and event.value >= _CRITICAL_RATIO * event.high):
        return "critical"
    return "warning"


def _title(trouble: Trouble, main: Opened) -> str:
    event, name = main.event, series_name(main.series)
    usual = amount(event.expected, event.measure)
    calls = _UNITS_OF_CALLS.get(main.series.kind, "calls")
    came = _of_kind(trouble, "new_series", main)
    went = _of_kind(trouble, "vanished_series", main)
    if came and went:
        service = went.series.dimensions.get("service", "")
        where = f" in service {label(service, 'unnamed service')}" if service else ""
        return f"{_short(came)} took over from {_short(went)}{where}"
    if event.kind == "new_series":
        return f"{name[:1].upper()}{name[1:]} is new: {amount(event.value, event.measure)} {calls} a minute"
    if main.series.kind == "ingest":
        return f"Nothing from {name} since {_time(event.start)}"
    if event.kind in ("silence", "vanished_series"):
        return f"No {calls} of {name} since {_time(event.start)}, usually {usual} a minute"
    if event.measure == "calls":
        more = "More" if event.direction == "up" else "Fewer"
        return f"{more} {calls} of {name}: {amount(event.value, 'calls')} a minute, usually {usual}"
    return f"{WORDINGS[event.measure].name} of {name}: {amount(event.value, event.measure)}, usually {usual}"


def _summary(trouble: Trouble, main: Opened) -> str:
    event = main.event
    what = {
        "spike": "It has jumped",
        "shift": "It has moved to another level",
        "drift": "It drifts slowly",
        "silence": "Nothing comes any more, though the collector is up",
        "drop": "Fewer come",
        "error_share": "More fail than chance would have it",
        "new_series": "Nobody called it before",
        "vanished_series": "Others of its kind go on",
    }.get(event.kind, "It is not as usual")
    band = (
        ""
        if event.kind == "new_series" or main.series.kind == "ingest"
        else f" Expected at this time is {amount(event.expected, event.measure)} "
        f"({amount(event.low, event.measure)} to {amount(event.high, event.measure)})."
    )
    others = [opened for opened in trouble.events if opened is not main]
    names = "; ".join(
        f"{WORDINGS[opened.event.measure].name.lower()} of {series_name(opened.series)}"
        for opened in others[:_NAMED]
    )
    more = f"; and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    also = f" The same shows in: {names}{more}." if others else ""
    return (
        f"{what}, since {_time(event.start)}{_NOTICED}{_time(event.opened + 1)}: "
        f"{amount(event.value, event.measure)}.{band}{also}"
    )


def _of_kind(trouble: Trouble, kind: str, main: Opened) -> Opened | None:
    """The first event of a kind of series as the main one is, by the same dimensions."""
    names = main.series.dimensions.keys()
    return next(
        (
            opened
            for opened in trouble.events
            if opened.event.kind == kind and opened.series.dimensions.keys() == names
        ),
        None,
    )


def _short(opened: Opened) -> str:
    if opened.series.kind == "call":
        return label(opened.series.dimensions["model"], "unnamed model")
    return series_name(opened.series)


def _time(minute: int) -> str:
    return f"{datetime.fromtimestamp(60 * minute, UTC):%H:%M} UTC"

"""How a backtest is shown: lines for people, JSON and CSV for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from llmtrace_cli.query import output
from llmtrace_cli.query.output import write_rows

if TYPE_CHECKING:
    from llmtrace_analysis.detect.backtest.fired import Fired
    from llmtrace_analysis.detect.backtest.outcome import Outcome

_CSV = (
    "sensitivity",
    "opened",
    "known",
    "ended",
    "minutes",
    "rule",
    "kind",
    "project",
    "series",
    "value",
    "expected_low",
    "expected_high",
    "unit",
    "incident_id",
    "label",
)

_UNKNOWN = (
    "Which of these were false nobody knows but where somebody labelled them: sensitivity counts what chance "
    "alone opens."
)


def lines(outcomes: Sequence[Outcome], tried: Sequence[Outcome], wanted: float | None) -> Iterator[str]:
    """What would have been opened, what that is a week, and how two configurations differ."""
    first = outcomes[0]
    days = (first.until - first.since) / 86_400
    yield f"{_utc(first.since)} – {_utc(first.until)} UTC, {days:.1f} days, {_name(first)}"
    yield ""
    yield from _table(first.fired, first.until)
    yield from _summary(first)
    if len(outcomes) > 1:
        yield ""
        yield from _comparison(first, outcomes[1])
    if wanted is not None:
        yield ""
        yield from _suggestion(tried, wanted)
    if first.fired:
        yield ""
        yield _UNKNOWN


def _name(outcome: Outcome) -> str:
    configuration = outcome.configuration
    labels = {"then": "", "now": ", labels of today", "none": ", without labels"}[configuration.labels]
    return f"sensitivity {configuration.sensitivity:g}{labels}"


def _table(fired: Sequence[Fired], until: float, mark: str = "  ") -> Iterator[str]:
    if not fired:
        yield f"{mark}no incident"
        return
    rows = [
        (
            _utc(item.opened),
            _duration(item.minutes(until)) + ("" if item.ended is not None else "+"),
            item.kind.replace("_", " "),
            item.rule,
            _value(item),
            item.label or ("-" if item.incident_id else ""),
            _series(item),
        )
        for item in fired
    ]
    names = ("opened", "lasted", "kind", "rule", "value (expected)", "label", "series")
    widths = [max(len(row[place]) for row in (names, *rows)) for place in range(len(names))]
    for row in (names, *rows):
        yield mark + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _summary(outcome: Outcome) -> Iterator[str]:
    by_rule = ", ".join(f"{rule} {number}" for rule, number in outcome.by_rule.items())
    yield ""
    yield f"{_count(outcome)}, {outcome.per_week:.1f} a week{': ' if by_rule else ''}{by_rule}"
    if outcome.useful[1] or outcome.noise[1]:
        yield (
            f"Of {outcome.useful[1]} labelled useful {outcome.useful[0]} would have been opened, of "
            f"{outcome.noise[1]} labelled noise {outcome.noise[0]}."
        )


def _count(outcome: Outcome) -> str:
    number = len(outcome.fired)
    return f"{number} incident{'' if number == 1 else 's'}"


def _comparison(first: Outcome, second: Outcome) -> Iterator[str]:
    from llmtrace_analysis.detect.backtest.outcome import difference

    names = [_name(first), _name(second)]
    rows = [("", *names), ("incidents", *(str(len(item.fired)) for item in (first, second)))]
    rows.append(("a week", *(f"{item.per_week:.1f}" for item in (first, second))))
    for rule in sorted(first.by_rule.keys() | second.by_rule.keys()):
        rows.append((rule, *(str(item.by_rule.get(rule, 0)) for item in (first, second))))
    rows.append(("labelled useful", *(f"{item.useful[0]} of {item.useful[1]}" for item in (first, second))))
    rows.append(("labelled noise", *(f"{item.noise[0]} of {item.noise[1]}" for item in (first, second))))
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    for name, *cells in rows:
        yield "  ".join(
            [name.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(cells, widths[1:], strict=True))]
        ).rstrip()
    parts = difference(first, second)
    for name, only, until in (
        (names[0], parts.only_first, first.until),
        (names[1], parts.only_second, second.until),
    ):
        yield ""
        yield f"only with {name}:"
        yield from _table(only, until)


def _suggestion(tried: Sequence[Outcome], wanted: float) -> Iterator[str]:
    from llmtrace_analysis.detect.backtest.outcome import suggested

    yield f"{'sensitivity':>11}  {'incidents':>9}  {'a week':>6}  {'useful':>8}  {'noise':>8}"
    for item in tried:
        yield (
            f"{item.configuration.sensitivity:>11g}  {len(item.fired):>9}  {item.per_week:>6.1f}  "
            f"{_of(item.useful):>8}  {_of(item.noise):>8}"
        )
    best = suggested(tried, wanted)
    if best is None:
        least = min(tried, key=lambda item: item.per_week)
        yield (
            f"All of these have more than {wanted:g} incidents a week on this history, the least "
            f"{least.per_week:.1f}. Many of one series: label those that are noise."
        )
    else:
        yield (
            f"For {wanted:g} incidents a week: sensitivity = {best.configuration.sensitivity:g}, which has "
            f"{best.per_week:.1f} on this history."
        )


def _of(counts: tuple[int, int]) -> str:
    return f"{counts[0]} of {counts[1]}" if counts[1] else ""


def write_json(outcomes: Sequence[Outcome], tried: Sequence[Outcome], wanted: float | None) -> None:
    """One object: the configurations with their incidents, how they differ, and what is suggested."""
    from llmtrace_analysis.detect.backtest.outcome import difference, suggested

    first = outcomes[0]
    body: dict[str, Any] = {
        "since": _iso(first.since),
        "until": _iso(first.until),
        "days": round((first.until - first.since) / 86_400, 3),
        "configurations": [{**_figures(item), "incidents": _incidents(item)} for item in outcomes],
    }
    if len(outcomes) > 1:
        parts = difference(first, outcomes[1])
        body["difference"] = {
            "both": parts.both,
            "only_first": [_incident(item, first.until) for item in parts.only_first],
            "only_second": [_incident(item, first.until) for item in parts.only_second],
        }
    if wanted is not None:
        best = suggested(tried, wanted)
        body["tried"] = [_figures(item) for item in tried]
        body["wanted_per_week"] = wanted
        body["suggested_sensitivity"] = None if best is None else best.configuration.sensitivity
    output.write_json(body, None)


def _figures(outcome: Outcome) -> dict[str, Any]:
    return {
        "sensitivity": outcome.configuration.sensitivity,
        "labels": outcome.configuration.labels,
        "count": len(outcome.fired),
        "per_week": round(outcome.per_week, 3),
        "by_rule": outcome.by_rule,
        "labelled_useful": dict(zip(("opened", "of"), outcome.useful, strict=True)),
        "labelled_noise": dict(zip(("opened", "of"), outcome.noise, strict=True)),
    }


def _incidents(outcome: Outcome) -> list[dict[str, Any]]:
    return [_incident(item, outcome.until) for item in outcome.fired]


def _incident(item: Fired, until: float) -> dict[str, Any]:
    return {
        "opened": _iso(item.opened),
        "known": _iso(item.known),
        "ended": None if item.ended is None else _iso(item.ended),
        "minutes": round(item.minutes(until), 2),
        "rule": item.rule,
        "kind": item.kind,
        "project": item.project,
        "dimensions": dict(item.dimensions),
        "value": item.value,
        "expected_low": item.expected_low,
        "expected_high": item.expected_high,
        "unit": item.unit,
        "incident_id": item.incident_id,
        "label": item.label,
    }


def write_csv(outcomes: Sequence[Outcome]) -> None:
    """A row for each incident of each configuration."""
    rows = []
    for outcome in outcomes:
        for item in outcome.fired:
            values = {
                **_incident(item, outcome.until),
                "sensitivity": outcome.configuration.sensitivity,
                "series": _series(item),
            }
            rows.append([values[name] for name in _CSV])
    write_rows(_CSV, rows, None)


def _series(item: Fired) -> str:
    return " ".join(f"{name}={value}" for name, value in item.dimensions.items() if value) or item.project


def _value(item: Fired) -> str:
    if item.value is None:
        return ""
    low, high = item.expected_low, item.expected_high
    band = "" if high is None else f" ({low:.3g}–{high:.3g})" if low else f" (up to {high:.3g})"
    return f"{item.value:.3g}{' ' if item.unit else ''}{item.unit}{band}"


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.0f} min" if minutes < 180 else f"{minutes / 60:.1f} h"


def _utc(time: float) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M}"


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat()

"""From what is outside to findings with words for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from llmtrace_analysis.detect.incident_lifecycle import Finding
from llmtrace_analysis.rule_settings import AlertRule
from llmtrace_collector.store.search import parse

from .judgement import Outside
from .objectives import Burn

#: Of many groups, those that are named.
_NAMED = 5

_WORDS = {"calls": "calls", "spans": "spans", "traces": "traces"}


def group_finding(rule: AlertRule, outside: Outside, unit: str, now: int) -> Finding:
    """The finding of one group, or of everything together, without example traces."""
    who = f" of {rule.by} {_label(outside.group)}" if rule.by is not None else ""
    if outside.level == "no_data":
        title = f"{rule.name}: nothing came in {_window(rule)}"
        summary = f"No {_WORDS[rule.over]} that fit the rule arrived in {_window(rule)}."
    else:
        value, limit = amount(outside.value, unit), amount(outside.limit, unit)
        title = f"{rule.name}{who}: {metric_name(rule)} {value}, {outside.side} {limit}"
        summary = (
            f"{metric_name(rule)}{who} is {value} over {_window(rule)}, from {outside.count:g} "
            f"{'scores' if rule.score_name else _WORDS[rule.over]}; {_why(rule, outside, unit)}."
        )
    return Finding(
        rule=rule.rule,
        kind="rule",
        project=_project(rule, outside.group),
        dimensions={"name": rule.name} | ({rule.by: outside.group} if rule.by is not None else {}),
        metric=rule.metric,
        severity=_severity(rule, outside.level),
        title=title,
        summary=f"{summary} {_searched(rule)}",
        observed=0.0 if math.isnan(outside.value) else outside.value,
        expected_low=outside.limit if outside.side == "below" else 0.0,
        expected_high=outside.limit if outside.side == "above" else _highest(outside),
        unit=unit,
        seen=(float(now),),
        openings=(float(now),),
    )


def overflow_finding(rule: AlertRule, outside: Sequence[Outside], now: int) -> Finding:
    """How many more groups are outside than have incidents of their own."""
    more = outside[rule.max_groups :]
    names = ", ".join(_label(item.group) for item in more[:_NAMED])
    rest = f" and {len(more) - _NAMED} more" if len(more) > _NAMED else ""
    return Finding(
        rule=rule.rule,
        kind="rule",
        project=_project(rule, ""),
        dimensions={"name": rule.name, "groups": "others"},
        metric=rule.metric,
        severity="critical" if any(_severity(rule, item.level) == "critical" for item in more) else "warning",
        title=f"{rule.name}: {len(more)} more of {rule.by} are outside",
        summary=f"{rule.max_groups} have incidents of their own (max_groups); beyond them: {names}{rest}. "
        f"{_searched(rule)}",
        observed=float(len(outside)),
        expected_low=0.0,
        expected_high=float(rule.max_groups),
        unit="groups",
        seen=(float(now),),
        openings=(float(now),),
    )


def objective_finding(rule: AlertRule, burns: Sequence[Burn], now: int) -> Finding:
    """The finding of an objective whose budget is used up too fast; `burns`: the most urgent first."""
    burn, objective = burns[0], rule.objective or 0.0
    good, span = 1 - burn.counts.bad / burn.counts.total, _span(burn.window.long)
    left = rule.objective_days / burn.rate
    return Finding(
        rule=rule.rule,
        kind="rule",
        project=_project(rule, ""),
        dimensions={"name": rule.name},
        metric="burn_rate",
        severity=_severity(rule, burn.window.level),
        title=f"{rule.name}: {good:.2%} good in {span}, {objective:.2%} is the objective",
        summary=(
            f"{burn.counts.bad:g} of {burn.counts.total:g} {_WORDS[rule.over]} were not good ({rule.good}) "
            f"in {span}: the errors that {rule.objective_days} days allow are used up "
            f"{burn.rate:.1f} times too fast, all of them in {left:.1f} days. {_searched(rule)}"
        ),
        observed=burn.rate,
        expected_low=0.0,
        expected_high=burn.limit,
        unit="burn rate",
        seen=(float(now),),
        openings=(float(now),),
    )


def metric_name(rule: AlertRule) -> str:
    """The metric as people read it."""
    if rule.score_name:
        return f"{rule.statistic} of score {rule.score_name}"
    name = rule.metric.partition(".")[0].replace("_", " ")
    name = {"ttft": "time to first token", "tpot": "time per output token"}.get(name, name)
    if name == "calls":
        name = _WORDS[rule.over]
    return f"{name} {rule.statistic}".strip()


def amount(value: float, unit: str) -> str:
    """A value as people read it."""
    if unit == "USD":
        return f"${value:,.4f}" if abs(value) < 1 else f"${value:,.2f}"
    if unit == "ratio":
        return f"{value:.1%}"
    if unit == "s":
        return f"{value * 1000:.0f} ms" if abs(value) < 1 else f"{value:.2f} s"
    return f"{value:,.3g}" if unit == "score" else f"{value:,.0f}"


def _why(rule: AlertRule, outside: Outside, unit: str) -> str:
    limit = amount(outside.limit, unit)
    if rule.anomaly:
        return f"usual is {amount(outside.compared, unit)}, and {outside.side} {limit} is not"
    if not math.isnan(outside.compared):
        then = {"day": "a day ago", "week": "a week ago"}.get(rule.compared_with, "in the window before")
        return f"it was {amount(outside.compared, unit)} {then}, and {outside.side} {limit} is too much"
    return f"the limit of {'an alert' if outside.level == 'alert' else 'a warning'} is {limit}"


def _severity(rule: AlertRule, level: str) -> Literal["warning", "critical"]:
    return "warning" if level == "warning" else rule.severity


def _highest(outside: Outside) -> float:
    return 0.0 if math.isnan(outside.value) else max(outside.limit, outside.value)


def _window(rule: AlertRule) -> str:
    if rule.calendar:
        return {"day": "this day", "week": "this week", "month": "this month"}[rule.calendar]
    return f"the last {rule.window}"


def _span(seconds: int) -> str:
    hours = seconds // 3600
    if hours >= 48:
        return f"the last {hours // 24} days"
    return "the last hour" if hours == 1 else f"the last {hours} hours"


def _searched(rule: AlertRule) -> str:
    return f"It looks at {rule.search}." if rule.search else ""


def _project(rule: AlertRule, group: str) -> str:
    """The project whose incident it is: the only one that the rule looks at, else nobody's."""
    if rule.by == "project" and group:
        return group
    return parse(rule.search).only_value("project")


def _label(text: str) -> str:
    """A name from a span, made safe to show: printable and short."""
    return "".join(character for character in text if character.isprintable())[:80] or "(none)"

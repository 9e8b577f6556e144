"""Settings of one's own alert rules and objectives: the rows of [[watch.rules]]."""

from __future__ import annotations

import re
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from llmtrace_collector.store.search import SearchError, parse

Over = Literal["calls", "spans", "traces"]
Group = Literal["user", "key", "tag", "model", "provider", "service", "project", "prompt"]
Comparison = Literal["previous", "day", "week"]
Severity = Literal["warning", "critical"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_CALENDAR = ("day", "week", "month")

#: Statistics of a metric that is a distribution.
_STATISTICS = ("mean", "p50", "p95", "p99")
_DISTRIBUTIONS = ("latency", "ttft", "tpot")
_PLAIN = (
    *("calls", "errors", "error_rate", "users", "cost", "cost_per_call", "tokens", "tokens_per_call"),
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
)
#: Every metric but scores, which have names of the user's own: score.NAME.mean, .share or .min.
METRICS: tuple[str, ...] = (
    *_PLAIN,
    *(f"{name}.{statistic}" for name in _DISTRIBUTIONS for statistic in _STATISTICS),
)
_SCORE = re.compile(r"score\.(?P<name>.+)\.(?P<statistic>mean|share|min)")

#: Of traces as a whole these are not known.
_NOT_OF_TRACES = ("tpot.mean", "tpot.p50", "tpot.p95", "tpot.p99", "users")
_GROUPS_OF_SCORES: tuple[Group, ...] = ("user", "service", "project")
_GROUPS_OF_TRACES: tuple[Group, ...] = ("user", "tag", "service", "project", "prompt")


class AlertRule(BaseModel):
    """A number about what a search finds, and from which value on somebody is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=r"^[A-Za-z0-9][\w .:/@+-]{0,79}$", description="What people call it; one name, one rule."
    )
    search: str = Field(
        default="", max_length=2000, description="What is looked at, as in docs/search.md; empty: everything."
    )
    over: Over = Field(
        default="calls",
        description="What is counted: calls of models, spans of any kind, or whole traces.",
    )
    metric: str = Field(
        default="calls",
        description=f"One of {', '.join(METRICS)}, or score.NAME.mean, score.NAME.share (of scores from "
        "score_from on) or score.NAME.min.",
    )
    score_from: float = Field(default=0.5, description="From which value on score.NAME.share counts a score.")
    window: str = Field(
        default="5m",
        description="Time that a value is of: rolling (30s, 5m, 24h, 7d), or day, week, month of the "
        "calendar so far.",
    )
    zone: str = Field(default="UTC", description="Time zone of calendar windows, as in Europe/Berlin.")
    above: float | None = Field(default=None, description="An alert when the value is greater.")
    below: float | None = Field(default=None, description="An alert when the value is less.")
    warn_above: float | None = Field(default=None, description="A warning when the value is greater.")
    warn_below: float | None = Field(default=None, description="A warning when the value is less.")
    rises_by: float | None = Field(
        default=None,
        gt=0,
        description="An alert when the value is this share above what it is compared with: 0.5 is half more.",
    )
    falls_by: float | None = Field(
        default=None, gt=0, le=1, description="An alert when it is this share below."
    )
    compared_with: Comparison = Field(
        default="previous",
        description="What rises_by and falls_by compare with: the window before, or the same of a day or a "
        "week ago.",
    )
    anomaly: bool = Field(
        default=False,
        description="An alert when the value is unusual by those of the last two weeks, in either direction.",
    )
    objective: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Makes it a service level objective: the share that is to be good, 0.995, over the last "
        "objective_days. An alert when errors use the budget up too fast.",
    )
    good: str = Field(
        default="-status:failed",
        max_length=2000,
        description="With objective: what is good, as a search: -status:failed, latency<2s, "
        "score.helpful>=0.5.",
    )
    objective_days: int = Field(default=30, ge=1, le=90, description="Days that the objective is for.")
    by: Group | None = Field(
        default=None,
        description="One incident for each of these that is outside, instead of one for all: user, key, tag, "
        "model, provider, service, project or prompt.",
    )
    max_groups: int = Field(
        default=20,
        ge=1,
        le=200,
        description="Incidents of one rule at most; how many more are outside is said in one of their own.",
    )
    min_calls: int = Field(
        default=1,
        ge=1,
        description="Fewer than so many calls (spans, traces, scores) say nothing.",
    )
    no_data: Literal["ok", "keep", "alert"] = Field(
        default="ok",
        description="Where nothing came in the window: that is fine, leaves an incident as it is, or is an "
        "alert.",
    )
    severity: Severity = Field(default="critical", description="How bad an alert is.")
    enabled: bool = Field(default=True, description="Whether it is evaluated.")

    @field_validator("search", "good")
    @classmethod
    def _is_search(cls, text: str) -> str:
        try:
            search = parse(text)
        except SearchError as error:
            raise ValueError(f"is no search: {error}") from error
        if search.since is not None or search.until is not None:
            raise ValueError("must not name a period (since, until, last): the window is the rule's")
        return text

    @field_validator("metric")
    @classmethod
    def _is_metric(cls, text: str) -> str:
        if text not in METRICS and _SCORE.fullmatch(text) is None:
            raise ValueError(
                f"{text!r} is no metric; use one of {', '.join(METRICS)}, or score.NAME.mean, .share or .min"
            )
        return text

    @field_validator("window")
    @classmethod
    def _is_window(cls, text: str) -> str:
        if text in _CALENDAR:
            return text
        match = re.fullmatch(r"(\d{1,5})([smhd])", text)
        seconds = int(match[1]) * _UNITS[match[2]] if match else 0
        if not 30 <= seconds <= 31 * 86_400 or seconds % 10:
            raise ValueError(
                f"{text!r} is no window: write 30s (tens of seconds), 5m, 24h or 7d (31d at most), or day, "
                "week or month"
            )
        return text

    @field_validator("zone")
    @classmethod
    def _is_zone(cls, text: str) -> str:
        try:
            ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{text!r} is no time zone; write one as in Europe/Berlin") from error
        return text

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        thresholds = [self.above, self.below, self.warn_above, self.warn_below, self.rises_by, self.falls_by]
        has_threshold = any(value is not None for value in thresholds) or self.anomaly
        if self.objective is not None:
            if has_threshold:
                raise ValueError("objective is a condition of its own: leave the thresholds out")
            if self.by is not None:
                raise ValueError("objective has no groups: leave by out, and write a rule for each")
        elif not has_threshold and self.no_data != "alert":
            raise ValueError(
                "needs a condition: above, below, rises_by, falls_by, anomaly, objective, or no_data = "
                '"alert"'
            )
        for alert, warning, greater in (
            (self.above, self.warn_above, True),
            (self.below, self.warn_below, False),
        ):
            if alert is not None and warning is not None and (warning > alert) == greater:
                raise ValueError("a warning comes before its alert: warn_above <= above, warn_below >= below")
        if self.calendar and (self.rises_by is not None or self.falls_by is not None or self.anomaly):
            raise ValueError("rises_by, falls_by and anomaly need windows of one length: a rolling one")
        if self.anomaly and self.by is not None:
            raise ValueError("anomaly learns one series: leave by out")
        self._fits_source()
        return self

    def _fits_source(self) -> None:
        if self.score_name and self.by is not None and self.by not in _GROUPS_OF_SCORES:
            raise ValueError(f"scores can be told apart by {', '.join(_GROUPS_OF_SCORES)}")
        if self.over == "traces":
            if self.metric in _NOT_OF_TRACES:
                raise ValueError(f'{self.metric} is not known of whole traces: use over = "calls"')
            if self.by is not None and self.by not in _GROUPS_OF_TRACES:
                raise ValueError(f"traces can be told apart by {', '.join(_GROUPS_OF_TRACES)}")
        if self.over == "spans" and self.metric in ("cost", "cost_per_call"):
            raise ValueError(f'{self.metric} is of calls or traces: use over = "calls"')

    @property
    def score_name(self) -> str:
        """The score that the metric is of; '' for other metrics."""
        match = _SCORE.fullmatch(self.metric)
        return match["name"] if match else ""

    @property
    def statistic(self) -> str:
        """What of a distribution the metric is: mean, p50, p95, p99, share or min; '' for sums and rates."""
        return self.metric.rpartition(".")[2] if "." in self.metric else ""

    @property
    def calendar(self) -> str:
        """day, week or month; '' for a rolling window."""
        return self.window if self.window in _CALENDAR else ""

    @property
    def window_seconds(self) -> int:
        """Length of a rolling window; the longest of a calendar's."""
        if self.calendar:
            return {"day": 1, "week": 7, "month": 31}[self.window] * 86_400
        return int(self.window[:-1]) * _UNITS[self.window[-1]]

    @property
    def slug(self) -> str:
        """The name in small letters, digits and hyphens: the last part of its incidents' rule."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") or "rule"

    @property
    def rule(self) -> str:
        """What its incidents call their rule."""
        return f"own.{self.slug}"

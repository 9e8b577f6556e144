"""Limits of providers as incidents: nearly reached for a while, refused by, or exceeded in bursts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.cost.headroom.capacity_use import Period
from llmtrace_analysis.cost.headroom.counting import BUCKET
from llmtrace_analysis.cost.headroom.limit_use import LimitUse
from llmtrace_analysis.cost.headroom.limits import headroom_of
from llmtrace_analysis.cost.headroom.quotas import Measure, quotas
from llmtrace_analysis.detect.incident_lifecycle import Finding, QuietPeriod
from llmtrace_analysis.queries.scope import Scope
from llmtrace_collector.store.incident import Incident

from .recent_use import RecentUse

TOKENS_RULE, REQUESTS_RULE, PTU_RULE = "headroom.tokens", "headroom.requests", "headroom.ptu"

#: Measure → the rule of its limits.
RULES: Final[Mapping[Measure, str]] = MappingProxyType(
    {
        "tokens": TOKENS_RULE,
        "input_tokens": TOKENS_RULE,
        "output_tokens": TOKENS_RULE,
        "requests": REQUESTS_RULE,
        "ptu": PTU_RULE,
    }
)
_UNITS: Final[Mapping[Measure, str]] = MappingProxyType(
    {
        "tokens": "tokens",
        "input_tokens": "input tokens",
        "output_tokens": "output tokens",
        "requests": "requests",
        "ptu": "PTUs",
    }
)


@dataclass(frozen=True)
class HeadroomParameters:
    """When limits are an incident, in one table.

    share: of a minute's limit in use, from which on it is nearly reached; a fifth is left to act in.
    sustained: in so many of the last `window` ten-second steps: two of three minutes, so that one large call
    is none. lead_seconds: a limit of which `half` is used and that the trend reaches so soon is one too: a
    steep ramp is at its limit before it has been near it for long. refusals: calls refused by a limit within
    `recent_seconds` while `half` of it was used; one alone is repeated by its client, and those at an idle
    limit are another's. bursts: ten-second windows above their limit within `recent_seconds`, of providers
    that hold those; a single one may be cut at another moment there. quiet_seconds: without any of it, until
    it is over: use that swings about the share is one incident. lookback_seconds: what is read, of which
    the trend is. step_seconds: how often: what must last two minutes need not be known sooner.
    """

    share: float = 0.8
    sustained: int = 12
    window: int = 18
    refusals: int = 3
    half: float = 0.5
    lead_seconds: float = 600.0
    bursts: int = 2
    recent_seconds: int = 300
    quiet_seconds: float = 300.0
    lookback_seconds: int = 900
    step_seconds: float = 30.0


class HeadroomRule:
    """Whose use is near a provider's limit, of those that are configured or reported."""

    def __init__(
        self,
        configured: Callable[[], Sequence[Mapping[str, Any]]],
        parameters: HeadroomParameters | None = None,
    ) -> None:
        """`configured`: what GET /v1/quotas answers now."""
        self._configured = configured
        self._parameters = parameters or HeadroomParameters()
        self._recent = RecentUse()
        self._read_at = -np.inf
        self._findings: list[Finding] = []

    def findings(self, client: Client, incidents: Sequence[Incident], now: float) -> list[Finding]:
        """See `Rule`. Between two steps it says what it said: nothing is over for that."""
        if 0 <= now - self._read_at < self._parameters.step_seconds:
            return self._findings
        until = datetime.fromtimestamp(int(now) // BUCKET * BUCKET, UTC)
        scope = Scope(until - timedelta(seconds=self._parameters.lookback_seconds), until)
        uses, reported, period = self._recent.read(client, scope)
        read = headroom_of(uses, reported, quotas(self._configured()), period)
        self._findings = [
            finding
            for limit in read.limits
            if (finding := headroom_finding(limit, read.period, self._parameters)) is not None
        ]
        self._read_at = now
        return self._findings

    def quiet_periods(self, now: float) -> dict[str, QuietPeriod]:
        """Over when nothing was near the limit for a while."""
        quiet = QuietPeriod(max(0.0, min(now, self._read_at)), self._parameters.quiet_seconds)
        return dict.fromkeys((TOKENS_RULE, REQUESTS_RULE, PTU_RULE), quiet)


def headroom_finding(limit: LimitUse, period: Period, parameters: HeadroomParameters) -> Finding | None:
    """The finding of one limit; None where it has room, and where how much is used is not known."""
    recent = parameters.recent_seconds // BUCKET
    near = np.nan_to_num(limit.share) >= parameters.share
    refused = limit.limited_by_bucket > 0
    bursts = limit.burst_shares > 1 if limit.short_window else np.zeros(period.buckets, dtype=bool)
    used = float(np.nan_to_num(limit.share[-recent:]).max())
    burst = float(limit.burst_shares[-recent:].max())
    refusals = float(limit.limited_by_bucket[-recent:].sum())
    is_refused = refusals >= parameters.refusals and max(used, burst) >= parameters.half
    is_near = int(near[-parameters.window :].sum()) >= parameters.sustained
    is_burst = int(bursts[-recent:].sum()) >= parameters.bursts
    after = limit.seconds_to_limit.after
    is_ahead = after is not None and 0 < after <= parameters.lead_seconds and used >= parameters.half
    steps = near | bursts | (refused & is_refused)
    steps[-1] |= is_ahead
    places = np.flatnonzero(steps)
    seen = tuple(
        float(period.since + (place + 1) * BUCKET) for place in places if place >= period.buckets - recent
    )
    if not seen:
        return None
    severity: Literal["warning", "critical"] = "critical" if is_refused else "warning"
    return Finding(
        rule=RULES[limit.measure],
        kind="budget",
        project=limit.projects[0] if len(limit.projects) == 1 else "",
        dimensions=_dimensions(limit),
        metric="headroom",
        severity=severity,
        title=_title(limit, used, refusals if is_refused else 0.0, is_near),
        summary=_summary(limit, refusals),
        observed=burst if is_burst and not is_near else used,
        expected_low=0.0,
        expected_high=parameters.share,
        unit="ratio",
        seen=seen,
        openings=seen if is_near or is_refused or is_burst or is_ahead else (),
    )


def _dimensions(limit: LimitUse) -> dict[str, str]:
    known = {
        "limit": _printable(limit.name),
        "measure": limit.measure,
        "provider": limit.provider,
        "account": limit.account,
        "region": limit.region,
        "model": limit.model,
    }
    return {name: value for name, value in known.items() if value}


def _title(limit: LimitUse, used: float, refusals: float, is_near: bool) -> str:
    what = f"{_UNITS[limit.measure]} a {'minute' if limit.window == 60 else 'day'}"
    if limit.measure == "ptu":
        what = "provisioned throughput"
    name = _printable(limit.name)
    if refusals:
        return f"{refusals:,.0f} calls refused by the limit of {name}: {used:.0%} of {what} used"
    if not is_near and limit.burst_share is not None and limit.burst_share > 1:
        in_ten = f"{limit.burst:,.0f} requests in ten seconds"
        return f"Bursts of {name}: {in_ten}, the limit is {limit.burst_limit:,.0f}"
    return f"{name} uses {used:.0%} of its {what}"


def _summary(limit: LimitUse, refusals: float) -> str:
    """What is used, by whom, until when it lasts, and what to do."""
    sentences = []
    if limit.limit is not None and limit.used_peak is not None:
        sentences.append(
            f"{limit.used_peak:,.0f} of {limit.limit:,.0f} {_UNITS[limit.measure]} in the busiest minute of "
            f"the last quarter of an hour; the limit is {limit.source}."
        )
    after = limit.seconds_to_limit.after
    if after is not None and after > 0:
        sentences.append(f"At this trend the limit is reached in {_span(after)}.")
    if limit.minute_lasts is not None:
        sentences.append(
            "At the pace of the busiest ten seconds a minute's limit is used after "
            f"{limit.minute_lasts:.0f} s."
        )
    if limit.conflict and limit.reported_limit is not None:
        sentences.append(f"Answers report a limit of {limit.reported_limit:,.0f}: one of the two is not so.")
    if len(limit.members) > 1:
        users = ", ".join(
            f"{_printable(member.label)} {member.used:,.0f}" for member in limit.members[:5] if member.used
        )
        together = "exceed it together" if limit.exceeded_together else "share it"
        sentences.append(f"{len(limit.members)} {together}: {users}.")
    if refusals:
        sentences.append(f"{refusals:,.0f} calls were refused (429) in the last five minutes.")
    sentences.append(
        "Ask for a higher limit, move calls to another deployment, region or hour, or send batches; "
        "`llmtrace cost limits` has all limits."
    )
    return " ".join(sentences)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _printable(text: str) -> str:
    """A name from settings or a span, printable and short."""
    return "".join(character for character in text if character.isprintable())[:80]

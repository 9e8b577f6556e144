"""One limit with what is used of it, and what people and programs read of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from .capacity_use import FloatArray, Period
from .counting import counting
from .exhaustion import Ahead
from .quotas import Caller, Measure
from .reported import ReportedBy

#: From this part on two limits differ.
DIFFER: Final = 0.01


@dataclass(frozen=True, order=True)
class Capacity:
    """What has a limit of its own: a model of an account, in a region where calls name one; on Azure a
    deployment of a resource, whatever key calls."""

    provider: str
    account: str
    region: str
    address: str
    model: str

    @classmethod
    def of(cls, caller: Caller | ReportedBy) -> Capacity:
        """That of a caller."""
        if counting(caller.provider, caller.model).by_address:
            return cls(caller.provider, "", "", caller.address, caller.model)
        return cls(caller.provider, caller.account, caller.region, "", caller.model)


@dataclass(frozen=True)
class Member:
    """One of several that share a limit: what it used in the minute in which all used most, and its own
    limit, as its answers report it."""

    label: str
    used: float | None
    limit: float | None


@dataclass(frozen=True)
class LimitUse:
    """What is used of one limit. Amounts are of `window` seconds, shares are parts of the limit (1 is all of
    it); None and NaN: not known.

    source: configured (what the settings say holds) or reported (in headers). `reported_limit`: what headers
    say where the settings hold, `conflict` where they differ. `share` has the greater of what spans add up to
    and what answers report, by bucket of ten seconds, of the minute up to its end: others may use the quota
    too. `burst`: the busiest ten seconds, with its limit and whether the provider is known to hold it.
    `minute_lasts`: seconds after which a minute's limit is used at the pace of the busiest ten seconds.
    """

    name: str
    source: str
    measure: Measure
    provider: str
    account: str
    region: str
    model: str
    projects: tuple[str, ...]
    limit: float | None
    window: int
    used_now: float | None
    used_peak: float | None
    share_now: float | None
    share_peak: float | None
    reported_limit: float | None
    reported_share: float | None
    conflict: bool
    burst: float | None
    burst_limit: float | None
    burst_share: float | None
    short_window: bool
    minute_lasts: float | None
    limited: float
    untold: float
    seconds_to_limit: Ahead
    days_to_limit: Ahead
    members: tuple[Member, ...]
    reason: str
    share: FloatArray = field(repr=False, compare=False)
    limited_by_bucket: FloatArray = field(repr=False, compare=False)
    burst_shares: FloatArray = field(repr=False, compare=False)

    @property
    def exceeded_together(self) -> bool:
        """Whether several exceed the limit in one minute, none of which does alone."""
        if self.limit is None or self.used_peak is None or len(self.members) < 2:
            return False
        return self.used_peak > self.limit and all((item.used or 0) <= self.limit for item in self.members)

    @property
    def promised(self) -> float | None:
        """The sum of the members' own limits where it is more than this limit; None otherwise, and where not
        all are known."""
        limits = [item.limit for item in self.members]
        if len(limits) < 2 or self.limit is None or any(limit is None for limit in limits):
            return None
        whole = sum(limit for limit in limits if limit is not None)
        return whole if whole > self.limit * (1 + DIFFER) else None


@dataclass(frozen=True)
class Unlimited:
    """Who calls without a limit that anybody knows of, and how often a limit refused all the same."""

    provider: str
    account: str
    region: str
    model: str
    requests: float
    limited: float


@dataclass(frozen=True)
class Headroom:
    """All limits, the tightest first, over a period."""

    period: Period
    limits: list[LimitUse]
    unlimited: list[Unlimited]


def as_json(headroom: Headroom) -> dict[str, Any]:
    """The same as JSON: None where not known; the shares by bucket are left out."""
    return {
        "since": headroom.period.since,
        "until": headroom.period.until,
        "limits": [_limit_json(item) for item in headroom.limits],
        "without_known_limit": [vars(item) for item in headroom.unlimited],
    }


_ARRAYS: Final = ("share", "limited_by_bucket", "burst_shares")


def _limit_json(item: LimitUse) -> dict[str, Any]:
    values = {name: value for name, value in vars(item).items() if name not in _ARRAYS}
    return values | {
        "projects": list(item.projects),
        "members": [vars(member) for member in item.members],
        "exceeded_together": item.exceeded_together,
        "promised": item.promised,
        "seconds_to_limit": item.seconds_to_limit.after,
        "seconds_to_limit_unless": item.seconds_to_limit.why,
        "days_to_limit": item.days_to_limit.after,
        "days_to_limit_unless": item.days_to_limit.why,
    }

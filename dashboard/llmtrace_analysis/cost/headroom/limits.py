"""What is used of each limit, and when that will be all: what the command, the page and the rules read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import BILLED_PURPOSES, Scope

from .capacity_use import FloatArray, Period, Use, read_use, rolling, together, uses_of
from .counting import BUCKET, MINUTE, UnitRate, counting, unit_rate
from .daily_peaks import DailyPeaks, read_daily_peaks
from .exhaustion import UNKNOWN, days_to_limit, seconds_to_limit
from .limit_use import DIFFER, Capacity, Headroom, LimitUse, Member, Unlimited
from .quotas import Caller, Measure, Quota
from .reported import Reported, ReportedBy, read_reported

_STEPS: Final = MINUTE // BUCKET


def read_headroom(client: Client, quotas: Sequence[Quota], scope: Scope, *, growth: bool = True) -> Headroom:
    """What calls used of every limit in a scope, which is of ten seconds at least. All calls but simulated
    ones count, whatever they were for: a provider counts them too. growth: whether to read the days before.
    """
    scope = replace(scope, purposes=BILLED_PURPOSES)
    period = Period.of(scope)
    uses = uses_of(read_use(client, scope), period)
    peaks = read_daily_peaks(client, scope) if growth else None
    return headroom_of(uses, read_reported(client, scope), quotas, period, peaks)


def headroom_of(
    uses: Mapping[Caller, Use],
    by_caller: Mapping[ReportedBy, Sequence[Reported]],
    quotas: Sequence[Quota],
    period: Period,
    peaks: DailyPeaks | None = None,
) -> Headroom:
    """The same of what was read. Without `peaks` nothing is known of growth."""
    reported = _newest(by_caller)
    limits, covered = [], set()
    by_capacity = _grouped(uses)
    for quota in quotas:
        members = {caller: use for caller, use in uses.items() if quota.holds(caller)}
        capacities = {Capacity.of(caller) for caller in members}
        for measure, limit in quota.amounts.items():
            own = reported.get(next(iter(capacities)), []) if len(capacities) == 1 else []
            same = next((item for item in own if (item.measure, item.window) == (measure, MINUTE)), None)
            covered |= {(capacity, measure) for capacity in capacities if len(capacities) == 1}
            limits.append(_configured(quota, measure, limit, members, same, reported, period, peaks))
    for capacity, items in reported.items():
        for item in items:
            if (capacity, item.measure) not in covered or item.window != MINUTE:
                limits.append(_reported(capacity, item, by_capacity.get(capacity, {}), period, peaks))
    for capacity, group in by_capacity.items():
        used = together(list(group.values())).reported("utilization")
        if (capacity, "ptu") not in covered and not np.isnan(used).all():
            limits.append(_utilization(capacity, group, period))
    known = {caller for quota in quotas for caller in uses if quota.holds(caller)}
    known |= {caller for caller in uses if reported.get(Capacity.of(caller))}
    unlimited = [
        Unlimited(c.provider, c.account, c.region, c.model, float(u.column("requests").sum()),
                  float(u.column("limited").sum()))
        for c, u in sorted(uses.items()) if c not in known
    ]  # fmt: skip
    limits.sort(key=lambda item: (-(item.share_peak or 0), item.provider, item.name, item.measure))
    return Headroom(period, limits, _merged(unlimited))


def _newest(reported: Mapping[ReportedBy, Sequence[Reported]]) -> dict[Capacity, list[Reported]]:
    """The newest of each capacity's limits, by measure and window."""
    newest: dict[Capacity, dict[tuple[Measure, int], Reported]] = {}
    for caller, items in reported.items():
        known = newest.setdefault(Capacity.of(caller), {})
        for item in items:
            key = (item.measure, item.window)
            if key not in known or known[key].at < item.at:
                known[key] = item
    return {capacity: list(items.values()) for capacity, items in sorted(newest.items())}


def _grouped(uses: Mapping[Caller, Use]) -> dict[Capacity, dict[Caller, Use]]:
    groups: dict[Capacity, dict[Caller, Use]] = {}
    for caller, use in sorted(uses.items()):
        groups.setdefault(Capacity.of(caller), {})[caller] = use
    return groups


def amounts(caller: Caller, use: Use, measure: Measure, rate: UnitRate | None) -> FloatArray | None:
    """What a caller used by bucket, as its provider counts it. None: units of a model of which nobody says
    what one serves."""
    if measure == "requests":
        return use.column("requests")
    rule = counting(caller.provider, caller.answering or caller.model)
    fresh: FloatArray = use.column("input") - use.column("cached")
    entered = use.column("input") if rule.cached else fresh
    if measure == "ptu":
        rate = rate or unit_rate(caller.answering or caller.model)
        if rate is None:
            return None
        units: FloatArray = (fresh + rate.output_weight * use.column("output")) / rate.tokens_per_minute
        return units
    if measure == "input_tokens":
        return entered
    output: FloatArray = use.column("output")
    return output if measure == "output_tokens" else entered + rule.output_weight * output


def _rate(quota: Quota, members: Iterable[Caller]) -> UnitRate | None:
    """What a unit of the quota serves, where the settings say so; what they leave out is Azure's."""
    if quota.tokens_per_minute_per_ptu is None and quota.ptu_output_weight is None:
        return None
    published = next(
        (rate for caller in members if (rate := unit_rate(caller.answering or caller.model))), None
    )
    per_unit = quota.tokens_per_minute_per_ptu or (published.tokens_per_minute if published else None)
    weight = quota.ptu_output_weight or (published.output_weight if published else None)
    return None if per_unit is None or weight is None else UnitRate(per_unit, weight)


def _configured(
    quota: Quota,
    measure: Measure,
    limit: float,
    members: Mapping[Caller, Use],
    same: Reported | None,
    reported: Mapping[Capacity, list[Reported]],
    period: Period,
    peaks: DailyPeaks | None,
) -> LimitUse:
    own = {Capacity.of(caller): _limit_of(reported, Capacity.of(caller), measure) for caller in members}
    return _limit_use(
        _Basis(quota.label, "configured", measure, quota.provider, quota.account, quota.region,
               quota.deployment or quota.model, limit, MINUTE),
        members, same, period, peaks,
        rate=_rate(quota, members),
        burst_limit=quota.requests_per_10_seconds if measure == "requests" else None,
        own_limits=own,
    )  # fmt: skip


def _limit_of(
    reported: Mapping[Capacity, list[Reported]], capacity: Capacity, measure: Measure
) -> float | None:
    items = reported.get(capacity, [])
    return next((item.limit for item in items if (item.measure, item.window) == (measure, MINUTE)), None)


def _reported(
    capacity: Capacity,
    item: Reported,
    members: Mapping[Caller, Use],
    period: Period,
    peaks: DailyPeaks | None,
) -> LimitUse:
    region = capacity.region or next((caller.region for caller in members if caller.region), "")
    basis = _Basis(_label(capacity, members), "reported", item.measure, capacity.provider, capacity.account,
                   region, capacity.model, item.limit, item.window)  # fmt: skip
    return _limit_use(basis, members, item, period, peaks)


def _utilization(capacity: Capacity, members: Mapping[Caller, Use], period: Period) -> LimitUse:
    """Of provisioned capacity whose size nobody says: the share that answers report."""
    region = next((caller.region for caller in members if caller.region), "")
    basis = _Basis(_label(capacity, members), "reported", "ptu", capacity.provider, capacity.account, region,
                   capacity.model, None, MINUTE)  # fmt: skip
    return _limit_use(basis, members, None, period, None)


@dataclass(frozen=True)
class _Basis:
    """Which limit it is."""

    name: str
    source: str
    measure: Measure
    provider: str
    account: str
    region: str
    model: str
    limit: float | None
    window: int


def _limit_use(
    basis: _Basis,
    members: Mapping[Caller, Use],
    item: Reported | None,
    period: Period,
    peaks: DailyPeaks | None,
    *,
    rate: UnitRate | None = None,
    burst_limit: float | None = None,
    own_limits: Mapping[Capacity, float | None] | None = None,
) -> LimitUse:
    measure, limit = basis.measure, basis.limit
    whole = together(list(members.values())) if members else Use(period.buckets)
    parts = {caller: amounts(caller, use, measure, rate) for caller, use in members.items()}
    values = (
        np.sum([part for part in parts.values() if part is not None], axis=0)
        if parts
        else whole.column("requests")
    )
    countable = (
        limit is not None and basis.window == MINUTE and all(part is not None for part in parts.values())
    )
    used = rolling(values, _STEPS) if countable else np.full(period.buckets, np.nan)
    seen = _reported_shares(whole, measure, item if item and item.window == MINUTE else None)
    share = np.fmax(used / limit if limit is not None else used, seen)
    if basis.window != MINUTE and item is not None and item.share is not None:
        share[max(0, min(period.buckets - 1, (item.at - period.since) // BUCKET))] = item.share
        seen = share
    place = int(np.nanargmax(used)) if countable else 0
    callers = list(members)
    rule = counting(basis.provider, callers[0].answering or callers[0].model if callers else basis.model)
    bursts = values if measure == "requests" and countable else np.zeros(0)
    least = burst_limit or (limit / _STEPS if limit is not None else None)
    top = float(values.max()) if countable else None
    pace = None if top is None or limit is None or top * _STEPS <= limit else MINUTE * limit / (top * _STEPS)
    seconds, days = UNKNOWN, UNKNOWN
    if countable and limit is not None:
        minutes = values[len(values) % _STEPS :].reshape(-1, _STEPS).sum(axis=1)
        seconds = seconds_to_limit(minutes, limit)
        if peaks is not None:
            days = days_to_limit(peaks.of(callers, measure), float(np.nanmax(used)), limit)
    return LimitUse(
        name=basis.name,
        source=basis.source,
        measure=measure,
        provider=basis.provider,
        account=basis.account,
        region=basis.region,
        model=basis.model,
        projects=tuple(sorted({caller.project for caller in callers})),
        limit=limit,
        window=basis.window,
        used_now=float(used[-1]) if countable else None,
        used_peak=float(np.nanmax(used)) if countable else None,
        share_now=_last(share),
        share_peak=_top(share),
        reported_limit=item.limit if item is not None and basis.source == "configured" else None,
        reported_share=item.share if item is not None else _last(seen),
        conflict=item is not None and limit is not None and abs(item.limit - limit) > DIFFER * limit,
        burst=float(bursts.max()) if bursts.size else None,
        burst_limit=least if bursts.size else None,
        burst_share=float(bursts.max()) / least if bursts.size and least else None,
        short_window=bool(burst_limit) or rule.short_window,
        minute_lasts=pace,
        limited=float(whole.column("limited").sum()),
        untold=float(whole.column("untold").sum()) if measure != "requests" else 0.0,
        seconds_to_limit=seconds,
        days_to_limit=days,
        members=_members(parts, members, place, own_limits or {}),
        reason=rule.reason,
        share=share,
        limited_by_bucket=whole.column("limited"),
        burst_shares=bursts / least if bursts.size and least else np.zeros(period.buckets),
    )


def _reported_shares(whole: Use, measure: Measure, item: Reported | None) -> FloatArray:
    """The greatest share that answers of the minute up to each bucket's end reported to be used."""
    if measure == "ptu":
        shares = whole.reported("utilization")
    elif item is None:
        return np.full(whole.buckets, np.nan)
    else:
        shares = np.clip(1 - whole.reported(f"left_{measure}") / item.limit, 0, 1)
    padded = np.concatenate([np.full(_STEPS - 1, np.nan), shares])
    windows = np.lib.stride_tricks.sliding_window_view(padded, _STEPS)
    greatest: FloatArray = np.fmax.reduce(windows, axis=1)
    return greatest


def _members(
    parts: Mapping[Caller, FloatArray | None],
    members: Mapping[Caller, Use],
    place: int,
    own_limits: Mapping[Capacity, float | None],
) -> tuple[Member, ...]:
    """The capacities that share a limit, the greatest first; none where it is one's alone."""
    if len(own_limits) < 2:
        return ()
    used: dict[Capacity, float | None] = dict.fromkeys(own_limits, 0.0)
    for caller, values in parts.items():
        capacity, before = Capacity.of(caller), used[Capacity.of(caller)]
        if values is None or before is None:
            used[capacity] = None
        else:
            used[capacity] = before + float(rolling(values, _STEPS)[place])
    labels = {capacity: _label(capacity, group) for capacity, group in _grouped(members).items()}
    shared = [Member(labels[capacity], used[capacity], limit) for capacity, limit in own_limits.items()]
    return tuple(sorted(shared, key=lambda member: (-(member.used or 0), member.label)))


def _label(capacity: Capacity, members: Iterable[Caller]) -> str:
    region = capacity.region or next((caller.region for caller in members if caller.region), "")
    place = capacity.address.partition(".")[0] if capacity.address else capacity.account
    return " ".join(part for part in (capacity.model, region, place) if part) or capacity.provider


def _last(values: FloatArray) -> float | None:
    return None if np.isnan(values[-1]) else float(values[-1])


def _top(values: FloatArray) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmax(values))


def _merged(items: Iterable[Unlimited]) -> list[Unlimited]:
    """One for each provider, account, region and model, whatever project calls."""
    merged: dict[tuple[str, str, str, str], Unlimited] = {}
    for item in items:
        key = (item.provider, item.account, item.region, item.model)
        known = merged.get(key, Unlimited(*key, 0.0, 0.0))
        merged[key] = replace(
            item, requests=known.requests + item.requests, limited=known.limited + item.limited
        )
    return sorted(merged.values(), key=lambda item: (-item.limited, -item.requests, item.model))

"""Where every sum of cost comes from: usage with its prices, of whole hours where these tell enough, else of
single calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from llmtrace_analysis.queries.scope import SPAN_SCOPE, USAGE_SCOPE, Scope
from llmtrace_collector.pricing.priced_sums import Usage, priced_sums

from .parts import REPORTED_COSTS, REPORTED_COUNTS

#: Name of a dimension → its SQL over usage; hours, days and months are those of the scope's zone. A call with
#: several tags counts under each of them.
DIMENSIONS: Mapping[str, str] = MappingProxyType(
    {
        "project": "Project",
        "provider": "Provider",
        "model": "Model",
        "response_model": "ResponseModel",
        "tier": "ServiceTier",
        "context": "toString(ContextClass)",
        "service": "ServiceName",
        "operation": "Operation",
        "user": "UserId",
        "account": "Account",
        "tag": "arrayJoin(if(empty(Tags), [''], arrayMap(tag -> toString(tag), Tags)))",
        "experiment": "Experiment",
        "run": "RunId",
        "prompt": "PromptName",
        "prompt_version": "PromptVersion",
        "purpose": "Purpose",
        "stated_by": "StatedBy",
        "estimated": "Estimated",
        "hour": "formatDateTime(Time, '%Y-%m-%d %H:00', {zone:String})",
        "day": "toString(toDate(Time, {zone:String}))",
        "month": "formatDateTime(Time, '%Y-%m', {zone:String})",
    }
)

#: Dimensions that only single calls have.
CALL_DIMENSIONS: Mapping[str, str] = MappingProxyType({"session": "SessionId", "trace": "TraceId"})

#: Dimensions under whose values a call may count more than once.
REPEATING = frozenset({"tag"})

_SUMS: Mapping[str, str] = MappingProxyType(
    {
        **REPORTED_COUNTS,
        **REPORTED_COSTS,
        "estimated_cost": "if(Estimated = '', 0, Cost)",
        "cache_savings": "CacheSavings",
        "list_cost": "ListCost",
        "cost": "Cost",
    }
)

#: Select items of everything that is added up over `priced`: calls, tokens, costs in USD.
AMOUNTS = ",\n    ".join(
    (
        "sum(Calls) AS calls",
        "sum(Errors) AS errors",
        "sumIf(Calls, NOT Priced) AS unpriced_calls",
        "sum(UnknownUsage) AS calls_without_tokens",
        "sumIf(Calls, Stated) AS stated_calls",
        "sumIf(Calls, Estimated != '') AS estimated_calls",
        "sumIf(Calls, NOT Priced) + sumIf(UnknownUsage, Priced AND NOT Stated) AS unknown_cost_calls",
        *(f"sum({sql}) AS {name}" for name, sql in _SUMS.items()),
    )
)

#: Those of them that are money.
COSTS = tuple(name for name in _SUMS if name not in REPORTED_COUNTS)

_HOUR = 3600


class UnknownDimension(ValueError):
    """There is no such dimension; the message names those that there are."""


def expressions(by: Sequence[str]) -> dict[str, str]:
    """Dimension → its SQL. Raises UnknownDimension."""
    known = {**DIMENSIONS, **CALL_DIMENSIONS}
    for name in by:
        if name not in known:
            raise UnknownDimension(f"there is no dimension {name!r}; there are {', '.join(known)}")
    return {name: known[name] for name in by}


def usage_of(scope: Scope, by: Sequence[str] = (), step: int = _HOUR, offset: int = 0) -> Usage:
    """What tells the scope's usage by these dimensions, in buckets of `step` seconds that start at midnight
    of a zone `offset` seconds east of UTC: hours, or calls, which are kept for fewer days."""
    edges = (scope.since.timestamp(), scope.until.timestamp(), float(step), float(offset))
    if any(edge % _HOUR for edge in edges) or any(name in CALL_DIMENSIONS for name in by):
        return "call_cost"
    return "usage_hour"


def priced(
    usage: Usage,
    names: Mapping[str, str],
    *,
    where: str = "",
    book: str = "",
    of_price: Sequence[str] = (),
    quantities: bool = False,
) -> str:
    """SELECT of the scope's usage with its cost, as `priced_sums` has it, `where` more holds of it."""
    scope = SPAN_SCOPE if usage == "call_cost" else USAGE_SCOPE
    chosen = f"{scope} AND {where}" if where else scope
    return priced_sums(usage, names, chosen, book, of_price=of_price, quantities=quantities)

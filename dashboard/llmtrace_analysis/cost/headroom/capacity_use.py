"""What calls use, in buckets of ten seconds, by caller: read from spans, for providers count attempts too."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from clickhouse_connect.driver.client import Client
from numpy.typing import NDArray

from llmtrace import semconv
from llmtrace_analysis.queries.scope import SPAN_SCOPE, Scope, rows
from llmtrace_collector.sql_values import literals

from .counting import BUCKET
from .quotas import Caller, Measure, plain_region

FloatArray = NDArray[np.float64]

#: Measure → the words of attributes in which answers report it.
SUBJECTS: Final[dict[Measure, str]] = {
    "requests": "requests",
    "tokens": "tokens",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
}
_UTILIZATION: Final = f"{semconv.RATE_LIMIT}.deployment.utilization"

#: Kinds of errors that say that a limit was reached, where no status does (AWS, gRPC, clients of providers).
_LIMIT_ERRORS: Final = (
    "429",
    "RateLimitError",
    "RESOURCE_EXHAUSTED",
    "ResourceExhausted",
    "ThrottlingException",
    "TooManyRequestsException",
    "rate_limit_error",
    "rate_limit_exceeded",
)
#: The same status for another reason: the account has no money left.
_NO_MONEY: Final = ("insufficient_quota", "billing_hard_limit_reached")


def _attribute(name: str) -> str:
    return f"SpanAttributes['{name}']"


def _remaining(subject: str) -> str:
    value = f"toFloat64OrNull({_attribute(f'{semconv.RATE_LIMIT}.{subject}.remaining')})"
    return f"min({value}) AS left_{subject}"


#: Calls that reach a provider and count there: each attempt, but no batch, whose limits are others, no answer
#: of a cache, and nothing that another span tells of.
REACHES_PROVIDER: Final = """IsLlm
    AND (Uncounted = '' OR (Uncounted IN ('retry', 'sender') AND StatusCode = 'Error'))
    AND ServiceTier NOT IN ('response_cache', 'batch')"""

CALLER_COLUMNS: Final = f"""toString(Project) AS project,
    toString(Provider) AS provider,
    toString(Account) AS account,
    {_attribute(semconv.RESPONSE_REGION)} AS named_region,
    {_attribute(semconv.SERVER_ADDRESS)} AS address,
    toString(Model) AS model"""

_USE = f"""SELECT
    {CALLER_COLUMNS},
    toString(ResponseModel) AS answering,
    intDiv(toUnixTimestamp(Timestamp), {BUCKET}) * {BUCKET} AS bucket,
    sum(Weight) AS requests,
    sum(Weight * ifNull(InputTokens, 0)) AS input,
    sum(Weight * CacheReadTokens) AS cached,
    sum(Weight * ifNull(OutputTokens, 0)) AS output,
    sumIf(Weight, StatusCode != 'Error' AND InputTokens IS NULL AND OutputTokens IS NULL) AS untold,
    sumIf(Weight, ({_attribute(semconv.HTTP_RESPONSE_STATUS_CODE)} = '429'
        OR ErrorType IN ({literals(_LIMIT_ERRORS)})) AND ErrorType NOT IN ({literals(_NO_MONEY)})) AS limited,
    max(toFloat64OrNull({_attribute(_UTILIZATION)})) AS utilization,
    {", ".join(_remaining(subject) for subject in SUBJECTS.values())}
FROM otel_traces
WHERE {SPAN_SCOPE} AND {REACHES_PROVIDER}
GROUP BY project, provider, account, named_region, address, model, answering, bucket"""

# Where an address is a region's, it names that: of AWS, Vertex AI, Azure's regional endpoints.
_REGIONS_IN_ADDRESSES: Final = (
    re.compile(r"(?:^|[.-])((?:us|eu|ap|sa|ca|me|af|il|mx|cn|us-gov)-[a-z]+-\d)(?:\.|$)"),
    re.compile(r"^([a-z]+-[a-z]+\d+)-aiplatform\."),
    re.compile(r"^([a-z]+\d?)\.api\.cognitive\."),
)


def region_of(address: str, named: str = "") -> str:
    """The region that answers at an address: as its header names it, else as the address does, else empty."""
    if named:
        return plain_region(named)
    for pattern in _REGIONS_IN_ADDRESSES:
        if match := pattern.search(address.lower()):
            return match[1]
    return ""


@dataclass
class Use:
    """What one caller, or several together, used in buckets of ten seconds from a common start on.

    `left`: the least that answers reported to be left, `utilization`: the greatest share of provisioned
    capacity that they reported; NaN in buckets without.
    """

    buckets: int
    columns: dict[str, FloatArray] = field(default_factory=dict)
    left: dict[str, FloatArray] = field(default_factory=dict)

    def column(self, name: str) -> FloatArray:
        """requests, input, cached, output, untold or limited, by bucket."""
        return self.columns.get(name, np.zeros(self.buckets))

    def reported(self, name: str) -> FloatArray:
        """What is left of a measure, or utilization, by bucket; NaN where nobody reports."""
        return self.left.get(name, np.full(self.buckets, np.nan))

    def add(self, place: int, row: dict[str, Any]) -> None:
        """Add what one row of the query has to a bucket."""
        for name in _COLUMNS:
            array = self.columns.setdefault(name, np.zeros(self.buckets))
            array[place] += float(row[name])
        for name in _LEFT:
            if row[name] is not None:
                array = self.left.setdefault(name, np.full(self.buckets, np.nan))
                combine = np.fmax if name == "utilization" else np.fmin
                array[place] = combine(array[place], float(row[name]))


_COLUMNS: Final = ("requests", "input", "cached", "output", "untold", "limited")
_LEFT: Final = ("utilization", *(f"left_{subject}" for subject in SUBJECTS.values()))


def together(uses: list[Use]) -> Use:
    """The sum of several; of what they reported, the tightest."""
    whole = Use(uses[0].buckets)
    for name in _COLUMNS:
        whole.columns[name] = np.sum([use.column(name) for use in uses], axis=0)
    for name in _LEFT:
        combine = np.fmax if name == "utilization" else np.fmin
        whole.left[name] = combine.reduce([use.reported(name) for use in uses])
    return whole


@dataclass(frozen=True)
class Period:
    """Whole buckets of ten seconds, from `since` to `until` (Unix seconds, the end not included)."""

    since: int
    until: int

    @classmethod
    def of(cls, scope: Scope) -> Period:
        """The whole buckets of a scope: one that has only begun is none yet."""
        since = -(-int(scope.since.timestamp()) // BUCKET) * BUCKET
        return cls(since, max(since + BUCKET, int(scope.until.timestamp()) // BUCKET * BUCKET))

    @cached_property
    def buckets(self) -> int:
        """How many."""
        return (self.until - self.since) // BUCKET


def read_use(client: Client, scope: Scope) -> list[dict[str, Any]]:
    """What each caller used, a row for each `bucket` (Unix seconds) of it, as `uses_of` takes them. A call is
    in the bucket in which it began, for then it is admitted."""
    return rows(client, _USE, scope.params())


def uses_of(read: list[dict[str, Any]], period: Period) -> dict[Caller, Use]:
    """What each caller used in a period, of rows that `read_use` read; those of other times are left out."""
    regions = _regions(read)
    uses: dict[Caller, Use] = {}
    for row in read:
        place = (int(row["bucket"]) - period.since) // BUCKET
        if 0 <= place < period.buckets:
            uses.setdefault(_caller(row, regions), Use(period.buckets)).add(place, row)
    return _with_answering(uses)


def _caller(row: dict[str, Any], regions: dict[str, str]) -> Caller:
    region = region_of(row["address"], row["named_region"]) or regions.get(row["address"], "")
    return Caller(row["project"], row["provider"], row["account"], region, row["address"], row["model"],
                  row["answering"])  # fmt: skip


def _regions(read: list[dict[str, Any]]) -> dict[str, str]:
    """Address → region: an answer without the header, as a refusal may be, is of where the others are of. An
    address that several regions answer for names none."""
    named: dict[str, set[str]] = {}
    for row in read:
        if row["named_region"]:
            named.setdefault(row["address"], set()).add(plain_region(row["named_region"]))
    return {address: next(iter(regions)) for address, regions in named.items() if len(regions) == 1}


def _with_answering(uses: dict[Caller, Use]) -> dict[Caller, Use]:
    """The same, where calls that nobody answered (429) are of the model that answered the others."""
    answering = {replace(caller, answering=""): caller.answering for caller in uses if caller.answering}
    merged: dict[Caller, list[Use]] = {}
    for caller, use in uses.items():
        if not caller.answering:
            caller = replace(caller, answering=answering.get(caller, ""))
        merged.setdefault(caller, []).append(use)
    return {
        caller: together(list_of) if len(list_of) > 1 else list_of[0] for caller, list_of in merged.items()
    }


def rolling(values: FloatArray, width: int) -> FloatArray:
    """The sum of each value and the `width` - 1 before it; fewer at the beginning."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    result: FloatArray = sums[ends] - sums[np.maximum(0, ends - width)]
    return result

"""Limits as answers report them in headers: the newest of each caller, and over which time they hold."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from llmtrace import semconv
from llmtrace_analysis.queries.scope import SPAN_SCOPE, Scope, rows

from .capacity_use import CALLER_COLUMNS, region_of
from .counting import MINUTE
from .quotas import Measure

DAY: Final = 86_400

# Embedded ClickHouse finds no lambda over a LowCardinality key: the two arrays are filtered by their places.
_REPORTED = f"""SELECT
    {CALLER_COLUMNS},
    substring(key, {len(semconv.RATE_LIMIT) + 2}) AS word,
    argMax(value, Timestamp) AS newest,
    toUnixTimestamp(max(Timestamp)) AS at
FROM otel_traces
ARRAY JOIN mapKeys(SpanAttributes) AS key, mapValues(SpanAttributes) AS value
WHERE {SPAN_SCOPE} AND IsLlm AND startsWith(key, '{semconv.RATE_LIMIT}.')
GROUP BY project, provider, account, named_region, address, model, word"""

#: Words of headers → what they limit; others are no limit of calls in a time (`concurrent`, `unified_5h`).
_MEASURES: Final[Mapping[str, Measure]] = {
    "requests": "requests",
    "tokens": "tokens",
    "bysize": "tokens",  # Mistral
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
}
_WINDOWS: Final[Mapping[str, int]] = {"minute": MINUTE, "hour": 3600, "day": DAY, "month": 30 * DAY}
_DURATION: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?")


@dataclass(frozen=True)
class Reported:
    """A limit as it was reported last: `limit` in `window` seconds, of which `left` was left `at` (Unix
    seconds). `left` is None where no answer said so."""

    measure: Measure
    limit: float
    window: int
    left: float | None
    at: int

    @property
    def share(self) -> float | None:
        """What of it was used when it was reported; None where unknown."""
        return None if self.left is None else min(1.0, max(0.0, 1 - self.left / self.limit))


@dataclass(frozen=True, order=True)
class ReportedBy:
    """Whose answers report it."""

    project: str
    provider: str
    account: str
    region: str
    address: str
    model: str


def read_reported(client: Client, scope: Scope) -> dict[ReportedBy, list[Reported]]:
    """The newest limits of each caller in the scope; those without a number are left out."""
    words: dict[ReportedBy, dict[str, tuple[Any, int]]] = {}
    for row in rows(client, _REPORTED, scope.params()):
        region = region_of(row["address"], row["named_region"])
        caller = ReportedBy(
            row["project"], row["provider"], row["account"], region, row["address"], row["model"]
        )
        known = words.setdefault(caller, {})
        if row["word"] not in known or known[row["word"]][1] < row["at"]:
            known[row["word"]] = (row["newest"], int(row["at"]))
    return {caller: limits for caller, known in words.items() if (limits := limits_in(known))}


def limits_in(words: Mapping[str, tuple[Any, int]]) -> list[Reported]:
    """The limits in `requests.limit`, `tokens_day.remaining` and so on, each with its value and time."""
    limits = []
    for word, (value, at) in words.items():
        subject, _, kind = word.rpartition(".")
        base, window = _window_of(subject)
        limit = _positive(value)
        if kind != "limit" or base not in _MEASURES or limit is None:
            continue
        left = _positive(words.get(f"{subject}.remaining", ("", 0))[0], zero=True)
        reset = words.get(f"{subject}.reset", ("", 0))[0]
        seconds = window or window_of_reset(limit, left, str(reset)) or MINUTE
        limits.append(Reported(_MEASURES[base], limit, seconds, left, at))
    return sorted(limits, key=lambda item: (item.measure, item.window))


def _window_of(subject: str) -> tuple[str, int | None]:
    """`tokens_day` → tokens, 86,400; the window is None where the word has none."""
    for name, seconds in _WINDOWS.items():
        if subject.endswith(f"_{name}"):
            return subject.removesuffix(f"_{name}"), seconds
    return subject, None


def window_of_reset(limit: float, left: float | None, reset: str) -> int | None:
    """The window of a limit, from the time after which all of it is there again.

    A bucket that refills without pause needs that part of its window of which it lacks: 3 min of 14,400
    requests of which 30 are used is a day. None where that cannot be said: Groq's and some of OpenAI's
    limits of requests are those of a day, under the same name as those of a minute.
    """
    seconds = duration(reset)
    if seconds is None or left is None or limit - left < 1:
        return None
    window = seconds * limit / (limit - left)
    return DAY if window > DAY / 4 else MINUTE


def duration(text: str) -> float | None:
    """Seconds of `1d2h`, `6m0s`, `8.64s`, `120ms`; None for what is none (a time of day, an empty text)."""
    match = _DURATION.fullmatch(text.strip())
    if not match or not any(match.groups()):
        return None
    try:
        days, hours, minutes, seconds, millis = (float(part or 0) for part in match.groups())
    except ValueError:
        return None
    return days * DAY + hours * 3600 + minutes * 60 + seconds + millis / 1000


def _positive(value: Any, *, zero: bool = False) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if not number < float("inf"):
        return None
    return number if number > 0 or (zero and number == 0) else None

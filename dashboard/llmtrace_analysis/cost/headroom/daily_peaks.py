"""The busiest minute of each full day, of which growth is read."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import USAGE_SCOPE, Scope, frame

from .quotas import Caller, Measure

#: Days back that growth is read of.
_DAYS = 28

_PEAKS = f"""SELECT
    provider, account, model, day,
    max(requests) AS requests, max(tokens) AS tokens, max(input) AS input_tokens, max(output) AS output_tokens
FROM (
    SELECT
        toString(Provider) AS provider, toString(Account) AS account, toString(Model) AS model,
        toString(toDate(Time, 'UTC')) AS day,
        toStartOfMinute(Time) AS minute,
        sum(Calls) AS requests,
        sum(InputTokens) + sum(OutputTokens) AS tokens,
        sum(InputTokens) AS input,
        sum(OutputTokens) AS output
    FROM usage_10s
    WHERE {USAGE_SCOPE} AND ServiceTier NOT IN ('response_cache', 'batch')
    GROUP BY provider, account, model, day, minute
)
GROUP BY provider, account, model, day
ORDER BY day"""

_COLUMNS: Mapping[Measure, str] = {
    "requests": "requests",
    "tokens": "tokens",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "ptu": "tokens",
}


@dataclass(frozen=True)
class DailyPeaks:
    """What the busiest minute of each full day used, by provider, account and model."""

    data: pd.DataFrame

    def of(self, callers: Iterable[Caller], measure: Measure) -> list[tuple[date, float]]:
        """The days of some callers together, in order: their sum, as if all were busiest at once. Tokens are
        counted whole here, for it is growth in percent that is read of them.
        """
        keys = {(caller.provider, caller.account, caller.model) for caller in callers}
        if self.data.empty or not keys:
            return []
        chosen = [
            key in keys
            for key in zip(self.data["provider"], self.data["account"], self.data["model"], strict=True)
        ]
        by_day = self.data[chosen].groupby("day")[_COLUMNS[measure]].sum()
        return [(date.fromisoformat(str(day)), float(peak)) for day, peak in by_day.items()]


def read_daily_peaks(client: Client, scope: Scope) -> DailyPeaks:
    """The peaks of the full UTC days before the scope's end; today is none yet."""
    end = scope.until.astimezone(UTC)
    midnight = datetime(end.year, end.month, end.day, tzinfo=UTC)
    days = replace(scope, since=midnight - timedelta(days=_DAYS), until=midnight)
    return DailyPeaks(frame(client, _PEAKS, days.params()))

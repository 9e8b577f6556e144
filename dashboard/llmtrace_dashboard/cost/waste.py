"""Money that bought nothing, and money that was saved."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_dashboard.queries.scope import SPAN_SCOPE, Scope, frame

#: Kinds of waste; a call is of the first that fits.
KINDS = ("failed", "abandoned", "duplicate")

# A repeat is a call of the same model with exactly the same prompt, after one that was answered in full.
_WASTE = f"""SELECT
    kind,
    count() AS calls,
    countIf(NOT Priced) AS unpriced_calls,
    sum(InputTokens) AS input_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(Cost) AS cost
FROM (
    SELECT
        multiIf(
            Errors = 1 AND InputTokens + OutputTokens > 0, 'failed',
            Errors = 1, '',
            Abandoned = 1, 'abandoned',
            PromptHash != 0 AND row_number() OVER (
                PARTITION BY Project, PromptHash, Errors, Abandoned ORDER BY Timestamp, SpanId
            ) > 1, 'duplicate',
            ''
        ) AS kind,
        Priced,
        InputTokens,
        OutputTokens,
        Cost
    FROM call_cost
    WHERE {SPAN_SCOPE}
) AS calls
WHERE kind != ''
GROUP BY kind"""

_SAVED = f"""SELECT
    sum(CacheReadTokens) AS tokens,
    sum(CacheSavings) AS saved,
    sumIf(CacheReadTokens, NOT Priced) AS unpriced_tokens
FROM call_cost
WHERE {SPAN_SCOPE}"""


def waste(client: Client, scope: Scope) -> pd.DataFrame:
    """One row per kind: `kind`, `calls`, `unpriced_calls`, `input_tokens`, `output_tokens`, `cost`.

    `failed`: calls that ended in an error although tokens were billed; `abandoned`: streams that the
    application left before their end; `duplicate`: repeats of a prompt that had been answered.
    Read from single calls, so only as far back as these are kept.
    """
    data = frame(client, _WASTE, scope.params()).set_index("kind")
    data["cost"] = pd.to_numeric(data["cost"], errors="coerce")
    full = data.reindex(list(KINDS))
    for column in ("calls", "unpriced_calls", "input_tokens", "output_tokens"):
        full[column] = full[column].fillna(0).astype("int64")
    full.loc[full["calls"] == 0, "cost"] = 0.0
    return full.reset_index()


def savings(client: Client, scope: Scope) -> pd.DataFrame:
    """One row per kind: `kind` (`cache_reads`), `tokens`, `unpriced_tokens`, `saved` in USD against the price
    of fresh input."""
    data = frame(client, _SAVED, scope.params())
    data.insert(0, "kind", "cache_reads")
    data["saved"] = pd.to_numeric(data["saved"], errors="coerce")
    return data

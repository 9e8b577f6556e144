"""Accounts and capacity: who fails how often and costs what, how fast reserved capacity answers."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.cost import report
from llmtrace_analysis.queries.scope import SPAN_SCOPE, Scope, frame
from llmtrace_collector.pricing.premiums import RESERVED_TIERS
from llmtrace_collector.sql_values import literals

_KINDS = literals(sorted(RESERVED_TIERS))

# The answering model: deployments of one model have names of their own.
_LATENCY = f"""SELECT
    toString(Provider) AS provider,
    toString(if(ResponseModel != '', ResponseModel, Model)) AS model,
    multiIf(ServiceTier IN ({_KINDS}) OR startsWith(PriceSource, 'fixed: '), 'reserved',
        ServiceTier = '', 'pay as you go', toString(ServiceTier)) AS capacity,
    sum(Weight) AS calls,
    sum(Weight * Errors) / sum(Weight) AS failure_rate,
    quantileIf(0.5)(Duration / 1e9, Errors = 0) AS p50_seconds,
    quantileIf(0.95)(Duration / 1e9, Errors = 0) AS p95_seconds,
    quantileIf(0.5)(ifNull(TimeToFirstToken, 0), TimeToFirstToken IS NOT NULL) AS first_token_p50_seconds,
    quantileIf(0.95)(ifNull(TimeToFirstToken, 0), TimeToFirstToken IS NOT NULL) AS first_token_p95_seconds,
    sum(Weight * OutputTokens) / sum(Weight * Duration / 1e9) AS output_tokens_per_second,
    sum(Weight * Cost) / sum(Weight) AS cost_per_call
FROM call_cost
WHERE {SPAN_SCOPE} AND Operation NOT IN ('embeddings', 'rerank')
GROUP BY provider, model, capacity
ORDER BY provider, model, capacity"""


def accounts(client: Client, scope: Scope) -> pd.DataFrame:
    """One row per account (the mark of an API key or organisation) and provider, dearest first: `account`,
    `provider`, `calls`, `errors`, `failure_rate`, `unpriced_calls`, tokens and `cost`."""
    data = report.report(client, scope, ["account", "provider"])
    data.insert(4, "failure_rate", data["errors"] / data["calls"].where(data["calls"] > 0))
    columns = ["account", "provider", "calls", "errors", "failure_rate", "unpriced_calls", "input_tokens",
            "output_tokens", "cost"]  # fmt: skip
    return data[columns]


def latency(client: Client, scope: Scope) -> pd.DataFrame:
    """Pay-as-you-go and reserved capacity of each model side by side, as measured: `provider`, `model`,
    `capacity` (reserved, pay as you go, or the tier), `calls`, `failure_rate`, percentiles of the duration
    and of the first token in seconds (of calls that succeeded; NaN where none streamed),
    `output_tokens_per_second` and `cost_per_call`.

    Reserved are calls that the provider answered from reserved capacity, or whose model a fixed line names.
    """
    data = frame(client, _LATENCY, scope.params())
    data["cost_per_call"] = pd.to_numeric(data["cost_per_call"], errors="coerce")
    return data

"""What prompt caches do to the time of the first token, at like lengths of input."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import SPAN_SCOPE, Scope, frame

#: As many calls of either sort a length needs before the two are held against each other.
LEAST_CALLS = 5

# Lengths are alike between one power of two and the next.
_FIRST_TOKENS = f"""SELECT
    toString(Provider) AS provider,
    toString(Model) AS model,
    toUInt64(exp2(floor(log2(InputTokens)))) AS input_from,
    input_from * 2 - 1 AS input_to,
    countIf(CacheReadTokens = 0) AS fresh_calls,
    countIf(CacheReadTokens > 0) AS cached_calls,
    quantileIf(0.5)(ifNull(TimeToFirstToken, 0), CacheReadTokens = 0) AS fresh_ttft,
    quantileIf(0.5)(ifNull(TimeToFirstToken, 0), CacheReadTokens > 0) AS cached_ttft,
    sumIf(Weight * CacheReadTokens, CacheReadTokens > 0)
        / sumIf(Weight * InputTokens, CacheReadTokens > 0) AS cached_share
FROM otel_traces
WHERE {SPAN_SCOPE} AND Counted AND StatusCode != 'Error' AND TimeToFirstToken > 0 AND InputTokens > 0
    AND ServiceTier != 'response_cache'
GROUP BY provider, model, input_from
HAVING fresh_calls >= {LEAST_CALLS} AND cached_calls >= {LEAST_CALLS}
ORDER BY provider, model, input_from"""


def first_tokens(client: Client, scope: Scope) -> pd.DataFrame:
    """Streamed calls without and with cache reads, at like length of input (`input_from` to `input_to`
    tokens, a power of two apart): their number, and the median seconds to the first token (`fresh_ttft`,
    `cached_ttft`); `difference` is how much sooner it came with reads, `cached_share` the part of the input
    that was read. Lengths of fewer than LEAST_CALLS of either sort have no row.
    """
    data = frame(client, _FIRST_TOKENS, scope.params())
    data["difference"] = data["fresh_ttft"].astype("float64") - data["cached_ttft"].astype("float64")
    return data

"""How many answers were less than what was asked for: what stood in for a model, over time."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace.semconv import DEGRADED_KIND
from llmtrace_collector.sql_values import literal

from .scope import SPAN_SCOPE, USAGE_SCOPE, Scope, frame

_BUCKET = "intDiv(toUnixTimestamp({time}), {{step:UInt32}}) * {{step:UInt32}} AS bucket"

DEGRADED_ANSWERS = f"""SELECT
    {_BUCKET.format(time="Timestamp")},
    SpanAttributes[{literal(DEGRADED_KIND)}] AS kind,
    toUInt64(round(sum(Weight))) AS degraded
FROM otel_traces
WHERE {SPAN_SCOPE} AND Operation = 'degraded'
GROUP BY bucket, kind
ORDER BY bucket, kind"""

#: Answers of models, and of caches before them.
MODEL_ANSWERS = f"""SELECT
    {_BUCKET.format(time="Time")},
    sum(Calls) - sum(Errors) AS answered
FROM usage_10s
WHERE {USAGE_SCOPE} AND Operation NOT IN ('embeddings', 'rerank')
GROUP BY bucket
ORDER BY bucket"""


@dataclass(frozen=True)
class DegradedAnswers:
    """Answers of a window. `series` has a row for each bucket and kind that was there: `time` (UTC), `kind`
    (of `semconv.DEGRADATIONS`), `degraded`, `answers` of the bucket, degraded ones among them, and `share`.
    """

    degraded: int
    answers: int
    series: pd.DataFrame

    @property
    def share(self) -> float | None:
        """Degraded answers over all, 0 to 1; None without any."""
        return self.degraded / self.answers if self.answers else None


def degraded_answers(client: Client, scope: Scope) -> DegradedAnswers:
    """What stood in for models in scope, in buckets of its step, against all that was answered.

    Read from single spans, so only as far back as these are kept. No model is known of what stands in for
    one: with a model in the scope there is nothing.
    """
    params = {**scope.params(), "step": scope.step}
    degraded = frame(client, DEGRADED_ANSWERS, params)
    answered = frame(client, MODEL_ANSWERS, params) if len(degraded) else pd.DataFrame()
    if not len(degraded):
        return DegradedAnswers(0, 0, degraded.assign(time=pd.to_datetime([], utc=True), answers=0, share=0.0))
    series = degraded.merge(answered, on="bucket", how="left").fillna({"answered": 0})
    of_bucket = series.groupby("bucket")["degraded"].transform("sum")
    series["answers"] = of_bucket + series["answered"].clip(lower=0)
    series["share"] = series["degraded"] / series["answers"]
    series["time"] = pd.to_datetime(series["bucket"], unit="s", utc=True)
    total = int(degraded["degraded"].sum())
    return DegradedAnswers(total, total + int(answered["answered"].sum()), series.drop(columns="answered"))

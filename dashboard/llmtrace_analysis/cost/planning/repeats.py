"""Requests that are sent again: which they are, who sends them, and what a cache of answers would keep."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import json
from datetime import timedelta

import pandas as pd
from clickhouse_connect.driver.client import Client

from llmtrace_analysis.queries.scope import Scope, frame

from .waste import CACHEABLE, LIFETIME, OF_KINDS, seconds

#: As many requests are listed at most.
MOST_PROMPTS = 200

_LONGEST = 120

_PROMPTS = f"""SELECT
    lower(hex(PromptHash)) AS prompt,
    toString(any(Project)) AS project,
    toString(any(Provider)) AS provider,
    toString(any(Model)) AS model,
    sum(Weight) AS calls,
    uniqExact(UserId) AS users,
    uniqExact(SessionId) AS sessions,
    uniqExact(TraceId) AS traces,
    sumIf(Weight, NOT Priced) AS unpriced_calls,
    sum(Weight * Wasted) AS cost,
    argMax(TraceId, calls.Timestamp) AS last_trace,
    argMax(SpanId, calls.Timestamp) AS last_span
FROM ({OF_KINDS}) AS calls
WHERE kind = {{kind:String}} AND PromptHash != 0
GROUP BY Project, PromptHash
ORDER BY cost DESC NULLS LAST, calls DESC, prompt
LIMIT {MOST_PROMPTS}"""

_TEXTS = """SELECT SpanId AS span, InputMessages AS messages
FROM span_texts
WHERE SpanId IN {spans:Array(String)}
    AND Timestamp >= fromUnixTimestamp64Milli({since:Int64})
    AND Timestamp < fromUnixTimestamp64Milli({until:Int64})
    AND ({project:String} = '' OR Project = {project:String})"""


def prompts(
    client: Client, scope: Scope, kind: str = CACHEABLE, lifetime: timedelta = LIFETIME
) -> pd.DataFrame:
    """The requests that were sent again, dearest first, MOST_PROMPTS at most: `prompt` (a hash in hexadecimal
    digits), `text` (how its last message begins), `project`, `provider`, `model`, the repeats (`calls`,
    without the first), from how many `users`, `sessions` and `traces`, `cost` in USD of those with a price,
    and the last of them (`last_trace`, `last_span`).

    kind: `cacheable`, what a cache that keeps an answer for `lifetime` after it was last asked for would
    have answered, or `duplicate` (waste.KINDS). No call is both, and what a cache answered or a client
    tried again is neither.
    """
    parameters = {**scope.params(), "kind": kind, "lifetime": seconds(lifetime)}
    data = frame(client, _PROMPTS, parameters)
    texts = frame(client, _TEXTS, {**scope.params(), "spans": data["last_span"].to_list()})
    by_span = {str(row["span"]): _beginning(str(row["messages"])) for row in texts.to_dict(orient="records")}
    data.insert(1, "text", [by_span.get(str(span), "") for span in data["last_span"]])
    data["cost"] = pd.to_numeric(data["cost"], errors="coerce")
    for name in ("calls", "unpriced_calls"):
        data[name] = pd.to_numeric(data[name]).round().astype("int64")
    return data


def _beginning(messages: str) -> str:
    """How the text of the last message begins."""
    try:
        parsed = json.loads(messages)
        parts = parsed[-1]["parts"] if isinstance(parsed, list) else []
        text = next(str(part["content"]) for part in parts if part.get("type") == "text")
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration):
        text = messages
    words = " ".join(text.split())
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"

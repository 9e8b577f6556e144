"""From a model that was fine-tuned back to the job that it came of, and so to its file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from llmtrace import semconv
from llmtrace_collector.sql_values import literal

from .scope import rows

#: How providers mark the names of such models: `ft:gpt-4o-mini:acme::abc`, `gpt-4o-mini.ft-abc`.
_MARK = re.compile(r"(^|[^a-z0-9])ft([^a-z0-9]|$)")

_JOB = f"""SELECT
    TraceId AS trace_id,
    SpanId AS span_id,
    SpanAttributes[{literal(semconv.FINE_TUNING_JOB)}] AS job,
    SpanAttributes[{literal(semconv.FINE_TUNING_TRAINING_FILE)}] AS training_file,
    SpanAttributes[{literal(semconv.FINE_TUNING_DATASET_VERSION)}] AS dataset_version
FROM otel_traces
WHERE Operation = 'fine_tuning'
    AND SpanAttributes[{literal(semconv.FINE_TUNING_RESULT_MODEL)}] = {{model:String}}
ORDER BY Timestamp DESC
LIMIT 1"""  # noqa: S608 - names of ours


@dataclass(frozen=True)
class FineTuningJob:
    """The span that counted a job, and what it says of the job; empty where it says nothing."""

    trace_id: str
    span_id: str
    job: str
    training_file: str
    dataset_version: str


def may_be_fine_tuned(model: str) -> bool:
    """Whether a model's name says that it came of a job: of others nobody asks the store."""
    return _MARK.search(model.lower()) is not None


def job_of(client: Client, model: str) -> FineTuningJob | None:
    """The job of which a model came; None where the store has none."""
    if not may_be_fine_tuned(model):
        return None
    jobs = rows(client, _JOB, {"model": model})
    return FineTuningJob(**jobs[0]) if jobs else None

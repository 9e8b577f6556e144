"""Data of a run → what its MLflow run shows: metrics, params, tags and the table of sample calls. Pure."""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from llmtrace import semconv
from llmtrace.common.escaping import markdown_text, visible
from llmtrace_collector.mlflow.message_text import messages_text

from .run_data import RunData, RunKey, Sample

#: Where the sample table lies among a run's artifacts.
SAMPLES_FILE = "llmtrace/samples.json"

RUN_KEY_TAG = "llmtrace.run_key"
RECEIVED_TAG = "llmtrace.last_received_ms"

_PARAM_LENGTH = 500
_TAG_LENGTH = 5000
_TEXT_LENGTH = 2000
_NAME_LENGTH = 200


@dataclass(frozen=True)
class RunContents:
    """What one MLflow run should show. `table` is {columns, data}, the shape of MLflow's JSON tables."""

    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    table: Mapping[str, Any]
    timestamp_ms: int

    @property
    def digest(self) -> str:
        """Equal digests: nothing to log."""
        text = json.dumps([self.metrics, self.params, self.tags, self.table], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def run_key(key: RunKey) -> str:
    """The value of RUN_KEY_TAG: `project/experiment/run`; slashes, percent signs and what is not seen in one
    are escaped.
    """
    parts = (key.project, key.experiment, key.run)
    return shorten("/".join(map(_key_part, parts)), 2000)


def _key_part(text: str) -> str:
    return "".join(quote(char, "") if char in "%/" or visible(char) != char else char for char in text)


def shorten(name: str, length: int) -> str:
    """`name` within `length` characters; a cut name ends in a hash of the whole, so it stays distinct."""
    if len(name) <= length:
        return name
    return f"{name[: length - 17]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def contents(run_data: RunData, trace_url: str) -> RunContents:
    """What the MLflow run of `run_data` should show; `trace_url` has a `{trace_id}` to fill in."""
    metrics = _metrics(run_data)
    params = {
        name: join_values(map(visible, values), _PARAM_LENGTH) for name, values in run_data.parameters.items()
    }
    return RunContents(
        metrics=metrics,
        params=params,
        tags=_tags(run_data, metrics, params, trace_url),
        table=_table(run_data.samples, trace_url),
        timestamp_ms=run_data.ended_ms,
    )


def join_values(values: Iterable[str], length: int) -> str:
    """Values comma-joined in order, ending in `… (+n)` where they do not fit."""
    listed = list(values)
    text = ", ".join(listed)
    if len(text) <= length:
        return text
    fitting: list[str] = []
    for value in listed:
        if len(", ".join([*fitting, value])) > length - 20:
            break
        fitting.append(value)
    head = ", ".join(fitting) if fitting else listed[0][: length - 20]
    return f"{head}… (+{len(listed) - len(fitting)})"


def _metrics(run_data: RunData) -> dict[str, float]:
    metrics: dict[str, float] = {
        "calls": run_data.calls,
        "errors": run_data.errors,
        "error_rate": run_data.errors / run_data.calls,
        "latency/p50_ms": run_data.latency_ms[0],
        "latency/p95_ms": run_data.latency_ms[1],
        "cost/unpriced_calls": run_data.unpriced_calls,
        "tokens/unknown_calls": run_data.unknown_usage,
    }
    if run_data.ttft_ms is not None:
        metrics["ttft/p50_ms"], metrics["ttft/p95_ms"] = run_data.ttft_ms
    if run_data.unknown_usage < run_data.calls:
        metrics["tokens/input"] = run_data.input_tokens
        metrics["tokens/output"] = run_data.output_tokens
        metrics["tokens/cached"] = run_data.cached_tokens
    if run_data.cost_usd is not None:
        metrics["cost/total_usd"] = run_data.cost_usd
    for score in run_data.scores:
        name = _metric_name(score.name, taken=metrics)
        metrics[name] = score.mean
        metrics[f"{name}_count"] = score.count
    return {name: _steady(float(value)) for name, value in metrics.items() if math.isfinite(value)}


def _steady(value: float) -> float:
    """Without the last digits of a sum, which depend on the order in which the engine added."""
    return value if value.is_integer() else float(f"{value:.12g}")


def _metric_name(score: str, taken: Mapping[str, float]) -> str:
    """`scores/<name>` within MLflow's alphabet; a name that had to change carries a hash of the original."""
    safe = re.sub(r"[^\w.\-: /]", "_", score)
    # MLflow refuses names that are not plain relative paths.
    if posixpath.normpath(safe) != safe or safe.startswith(("/", "..")):
        safe = re.sub(r"[/.]", "_", safe)
    safe = shorten(safe.strip() or "_", _NAME_LENGTH)
    name = f"scores/{safe}"
    if safe != score or name in taken or f"{name}_count" in taken:
        name = f"{name}-{hashlib.sha256(score.encode()).hexdigest()[:6]}"
    return name


def _tags(
    run_data: RunData, metrics: Mapping[str, float], params: Mapping[str, str], trace_url: str
) -> dict[str, str]:
    tags = {
        semconv.PROJECT: run_data.key.project,
        semconv.EXPERIMENT: run_data.key.experiment,
        semconv.RUN: run_data.key.run,
        "llmtrace.first_trace": run_data.first_trace,
        "llmtrace.first_trace_url": trace_link(trace_url, run_data.first_trace),
        "llmtrace.last_trace": run_data.last_trace,
        "llmtrace.last_trace_url": trace_link(trace_url, run_data.last_trace),
        RECEIVED_TAG: str(run_data.received_ms),
        "mlflow.loggedArtifacts": json.dumps([{"path": SAMPLES_FILE, "type": "table"}]),
    }
    tags = {name: visible(value) for name, value in tags.items()}
    tags["mlflow.note.content"] = _note(run_data, metrics, params, trace_url)  # which has lines of its own
    return {name: value[:_TAG_LENGTH] for name, value in tags.items()}


def _note(run_data: RunData, metrics: Mapping[str, float], params: Mapping[str, str], trace_url: str) -> str:
    """A short markdown summary; names come from callers, so they are escaped."""

    def link(label: str, trace_id: str) -> str:
        return f"[{label}]({trace_link(trace_url, trace_id)})"

    lines = [
        f"Run **{markdown_text(run_data.key.run[:200])}** of project "
        f"**{markdown_text(run_data.key.project[:200])}**, logged by llmtrace.",
        "",
        f"- {run_data.calls:,} calls, {run_data.errors:,} errors, "
        f"p95 latency {metrics.get('latency/p95_ms', 0.0):,.0f} ms",
    ]
    if params.get("model"):
        lines.append(f"- Model: {markdown_text(params['model'][:300])}")
    if "tokens/input" in metrics:
        lines.append(f"- Tokens: {run_data.input_tokens:,} in, {run_data.output_tokens:,} out")
    if run_data.cost_usd is None:
        lines.append("- Cost: not known (no price for these calls)")
    else:
        missing = f", without {run_data.unpriced_calls:,} unpriced calls" if run_data.unpriced_calls else ""
        lines.append(f"- Cost: {run_data.cost_usd:.6f} USD{missing}")
    traces = [
        link("first", run_data.first_trace),
        link("slowest", run_data.slowest_trace),
        link("last", run_data.last_trace),
    ]
    traces += [link(f"error {number}", trace) for number, trace in enumerate(run_data.error_traces, 1)]
    lines.append(f"- Traces: {', '.join(traces)}")
    return "\n".join(lines)


def _table(samples: Iterable[Sample], trace_url: str) -> dict[str, Any]:
    listed = list(samples)
    names = sorted({name for sample in listed for name in sample.scores})[:20]
    columns = [
        "input",
        "output",
        "model",
        "user",
        "latency_ms",
        "ttft_ms",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "error",
        *(f"score: {name[:_NAME_LENGTH]}" for name in names),
        "trace_id",
        "trace_url",
    ]
    data = [
        [
            cut(messages_text(sample.input, "user"), sample.input_characters),
            cut(messages_text(sample.output, "assistant"), sample.output_characters),
            sample.model,
            sample.user_id,
            round(sample.latency_ms, 3),
            None if sample.ttft_ms is None else round(sample.ttft_ms, 3),
            sample.input_tokens,
            sample.output_tokens,
            sample.cost_usd,
            cut(sample.error),
            *(sample.scores.get(name) for name in names),
            sample.trace_id,
            trace_link(trace_url, sample.trace_id),
        ]
        for sample in listed
    ]
    return {"columns": columns, "data": data}


def cut(text: str, characters: int = 0) -> str:
    """`text` within the table's limit; a cut one says so, with how many characters there were."""
    if len(text) <= _TEXT_LENGTH:
        return text
    return f"{text[:_TEXT_LENGTH]}… [cut: {max(len(text), characters):,} characters in all]"


def trace_link(trace_url: str, trace_id: str) -> str:
    """The address of a trace."""
    return trace_url.replace("{trace_id}", quote(trace_id, safe=""))

"""OpenAI's client under Prompt flow's tracing, which makes its own tracer provider: that gets an exporter."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import openai_calls
from program import run


def switch_on(tracer: str, otlp: str) -> Callable[[], object]:
    """Patch OpenAI's client; what flushes."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    os.environ["PF_DISABLE_TRACING"] = "false"
    importlib.import_module("promptflow.tracing").start_trace(resource_attributes={"service.name": "shop"})
    provider: Any = trace.get_tracer_provider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{otlp}/v1/traces")))
    shutdown: Callable[[], object] = provider.shutdown
    return shutdown


if __name__ == "__main__":
    run(openai_calls.CALLS, switch_on=switch_on)

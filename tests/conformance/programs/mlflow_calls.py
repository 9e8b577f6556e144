"""OpenAI's client under MLflow's autologging, which exports by OTLP where the environment says to where."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import openai_calls
from program import run


def switch_on(tracer: str, otlp: str) -> Callable[[], object]:
    """Patch OpenAI's client; what flushes."""
    os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{otlp}/v1/traces"
    os.environ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"
    os.environ["OTEL_SERVICE_NAME"] = "shop"
    # Nobody answers there; without a tracking server its small distribution falls over at the first span.
    os.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    mlflow: Any = importlib.import_module("mlflow")
    importlib.import_module("mlflow.openai").autolog()
    flush: Callable[[], object] = mlflow.flush_trace_async_logging
    return flush


if __name__ == "__main__":
    run(openai_calls.CALLS, switch_on=switch_on)

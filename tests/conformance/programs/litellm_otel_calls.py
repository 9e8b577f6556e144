"""LiteLLM's functions under its own OpenTelemetry callback: `litellm` (its first form), `litellm-v2`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would ask GitHub for prices while it is imported
if sys.argv[1:2] == ["litellm-v2"]:
    os.environ["LITELLM_OTEL_V2"] = "true"

import litellm
import litellm_calls
from program import run
from tracers import with_contents


def switch_on(tracer: str, otlp: str) -> Callable[[], object]:
    """Set the callback; what waits for LiteLLM's logging and flushes."""
    with_contents(tracer)
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"
    os.environ["OTEL_EXPORTER"] = os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "otlp_http"
    os.environ["OTEL_ENDPOINT"] = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"{otlp}/v1/traces"
    os.environ["OTEL_SERVICE_NAME"] = "shop"
    os.environ["OTEL_BSP_SCHEDULE_DELAY"] = "500"
    litellm.callbacks = ["otel"]

    def flush() -> None:
        time.sleep(
            1.5
        )  # callbacks run in threads that nobody waits for; its exporter flushes as the process ends

    return flush


async def alone(url: str) -> None:
    """The asynchronous call, and time for the tasks that it leaves behind, which end with their loop."""
    await litellm_calls.CALLS["async"](url)
    await asyncio.sleep(1)


async def together(url: str) -> None:
    """Three of them at once."""
    await asyncio.gather(*(litellm_calls.CALLS["async"](url) for _ in range(3)))
    await asyncio.sleep(1)


if __name__ == "__main__":
    calls = {**litellm_calls.CALLS, "async": alone, "batch": together}
    run(calls, switch_on=switch_on)

"""A request to vLLM's server as its tracing tells of it: no server runs here, the span is made by its
documented attributes (`--otlp-traces-endpoint`), with the figures of the answer that the client got.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Any

import openai
from program import run
from questions import CHAT_MODEL, MESSAGES
from tracers import exporting_provider

_LATENCIES = "gen_ai.latency."


def switch_on(tracer: str, otlp: str) -> Callable[[], object]:
    """Set the tracer provider; what flushes."""
    os.environ["OTEL_SERVICE_NAME"] = "vllm"
    shutdown: Callable[[], object] = exporting_provider(otlp).shutdown
    return shutdown


def server_span(started: int, headers: Any, usage: Any, model: str, first: int | None) -> None:
    """The span `llm_request` of one request: below the client's, where that sent its context."""
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    ended = time.time_ns()
    span = trace.get_tracer("vllm.llm_engine").start_span(
        "llm_request",
        context=TraceContextTextMapPropagator().extract(headers),
        kind=trace.SpanKind.SERVER,
        start_time=started,
    )
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    seconds = (ended - started) / 1e9
    span.set_attributes(
        {
            "gen_ai.response.model": model,
            "gen_ai.request.id": f"cmpl-{random.randrange(1 << 32):08x}",
            "gen_ai.request.temperature": 1.0,
            "gen_ai.request.top_p": 1.0,
            "gen_ai.request.max_tokens": 256,
            "gen_ai.request.n": 1,
            "gen_ai.usage.num_sequences": 1,
            "gen_ai.usage.prompt_tokens": usage.prompt_tokens,
            "gen_ai.usage.completion_tokens": usage.completion_tokens,
            "gen_ai.usage.cached_tokens": cached or 0,
            f"{_LATENCIES}time_in_queue": 0.001,
            f"{_LATENCIES}time_to_first_token": ((first or ended) - started) / 1e9,
            f"{_LATENCIES}e2e": seconds,
            f"{_LATENCIES}time_in_model_prefill": seconds / 4,
            f"{_LATENCIES}time_in_model_decode": seconds / 2,
            f"{_LATENCIES}time_in_model_inference": seconds * 3 / 4,
        }
    )
    span.end(ended)


def client(url: str, sent: dict[str, str]) -> Any:
    """A client that keeps the headers that it sent."""
    import httpx

    hooks = {"request": [lambda request: sent.update(request.headers)]}
    http: Any = httpx.Client(event_hooks=hooks)
    return openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, http_client=http)


def plain(url: str) -> None:
    sent: dict[str, str] = {}
    started = time.time_ns()
    answer = client(url, sent).chat.completions.create(model=CHAT_MODEL, messages=MESSAGES)
    server_span(started, sent, answer.usage, answer.model, None)


def stream(url: str) -> None:
    sent: dict[str, str] = {}
    started, first, usage, model = time.time_ns(), None, None, ""
    for chunk in client(url, sent).chat.completions.create(
        model=CHAT_MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    ):
        if first is None and chunk.choices and chunk.choices[0].delta.content:
            first = time.time_ns()
        usage, model = chunk.usage or usage, chunk.model
    server_span(started, sent, usage, model, first)


if __name__ == "__main__":
    run({"plain": plain, "stream": stream, "cached": plain}, switch_on=switch_on)

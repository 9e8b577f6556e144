"""Make calls with a real emitter switched on, and with llmtrace where asked for.

python emit.py EMITTER API_URL OTLP_URL [after|before] < requests.json

`after` starts llmtrace when the emitter is set up, `before` earlier. Prints what the application got.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

EMITTER, API, OTLP = sys.argv[1:4]
ORDER = sys.argv[4] if len(sys.argv) > 4 else "alone"
FAMILY, KIND = EMITTER.split()[0], "anthropic" if "anthropic" in EMITTER else "openai"
INSTRUMENTORS = {
    "openllmetry": ("opentelemetry.instrumentation", "OpenAIInstrumentor"),
    "openinference": ("openinference.instrumentation", "OpenAIInstrumentor"),
    "otel": ("opentelemetry.instrumentation.genai", "OpenAIInstrumentor"),
}


def environment() -> None:
    """What the emitters read when they are imported."""
    os.environ["TRACELOOP_TRACE_CONTENT"] = "true"
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"
    os.environ["ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE"] = "content"
    if EMITTER != "anthropic native":
        os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"
    os.environ["LANGFUSE_HOST"] = os.environ["LANGFUSE_BASE_URL"] = OTLP
    os.environ["LANGFUSE_PUBLIC_KEY"] = os.environ["LANGFUSE_SECRET_KEY"] = "k"


def set_up() -> tuple[Any, Callable[[], object]]:
    """The provider's module with the emitter on it, and what sends the emitter's spans."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    processor = SimpleSpanProcessor(OTLPSpanExporter(f"{OTLP}/v1/traces"))
    provider: Any = TracerProvider()
    provider.add_span_processor(processor)
    if FAMILY == "logfire":
        logfire: Any = importlib.import_module("logfire")
        logfire.configure(
            send_to_logfire=False,
            console=False,
            additional_span_processors=[processor],
            inspect_arguments=False,
        )
        getattr(logfire, f"instrument_{KIND}")()
        return importlib.import_module(KIND), logfire.shutdown
    if FAMILY == "langfuse":
        module = importlib.import_module("langfuse.openai")
        return module, lambda: importlib.import_module("langfuse").get_client().flush()
    if FAMILY == "sentry":
        sentry: Any = importlib.import_module("sentry_sdk")
        sentry.init(dsn=f"{OTLP.replace('http://', 'http://k@')}/1", traces_sample_rate=1.0)
        return importlib.import_module(KIND), lambda: sentry.flush(5)
    if ORDER != "before":  # then there is one already, which exports
        trace.set_tracer_provider(provider)
    if FAMILY in INSTRUMENTORS:
        package, name = INSTRUMENTORS[FAMILY]
        name = name if KIND == "openai" else "AnthropicInstrumentor"
        getattr(importlib.import_module(f"{package}.{KIND}"), name)().instrument()
    return importlib.import_module(KIND), provider.shutdown


def call(module: Any, request: dict[str, Any]) -> list[Any]:
    """Make one call and read it to its end; what came, as the client gives it."""
    if KIND == "openai":
        client = module.OpenAI(api_key="k", base_url=f"{API}/v1", max_retries=0)
        answer = client.chat.completions.create(**request)
    else:
        client = module.Anthropic(api_key="k", base_url=API, max_retries=0)
        answer = client.messages.create(**request)
    return [part.to_dict() for part in (answer if request.get("stream") else [answer])]


def main() -> None:
    """Configure the emitter, make the calls and export the spans."""
    environment()
    if ORDER == "before":
        importlib.import_module("llmtrace").init(endpoint=OTLP)
    module, send = set_up()
    if ORDER == "after":
        importlib.import_module("llmtrace").init(endpoint=OTLP)
    answers = []
    for request in json.load(sys.stdin):
        if FAMILY == "sentry":
            with importlib.import_module("sentry_sdk").start_transaction(name="app"):
                answers.append(call(module, request))
        else:
            answers.append(call(module, request))
    if ORDER != "alone":
        importlib.import_module("llmtrace").flush()
    send()
    print(json.dumps(answers))


if __name__ == "__main__":
    main()

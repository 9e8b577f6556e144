"""Make one call with a real emitter switched on; runs in a virtual environment of its own.

python emit.py EMITTER API_URL OTLP_URL < request.json
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


def main() -> None:
    """Configure the emitter, make the call, read it to its end and export the spans."""
    emitter, api, otlp = sys.argv[1:4]
    request = json.load(sys.stdin)
    os.environ["TRACELOOP_TRACE_CONTENT"] = "true"
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"
    os.environ["ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE"] = "content"
    if emitter != "anthropic native":
        os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"
    os.environ["LANGFUSE_HOST"] = os.environ["LANGFUSE_BASE_URL"] = otlp
    os.environ["LANGFUSE_PUBLIC_KEY"] = os.environ["LANGFUSE_SECRET_KEY"] = "k"

    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    processor = SimpleSpanProcessor(OTLPSpanExporter(f"{otlp}/v1/traces"))
    kind = "anthropic" if "anthropic" in emitter else "openai"
    provider: Any = TracerProvider()
    provider.add_span_processor(processor)
    module = importlib.import_module(kind)
    if emitter.startswith("logfire"):
        logfire: Any = importlib.import_module("logfire")
        logfire.configure(
            send_to_logfire=False,
            console=False,
            additional_span_processors=[processor],
            inspect_arguments=False,
        )
        getattr(logfire, f"instrument_{kind}")()
        provider = None
    elif emitter.startswith("langfuse"):
        module = importlib.import_module("langfuse.openai")
    else:
        trace.set_tracer_provider(provider)
    instrumentors = {
        "openllmetry": ("opentelemetry.instrumentation", "OpenAIInstrumentor"),
        "openinference": ("openinference.instrumentation", "OpenAIInstrumentor"),
        "otel": ("opentelemetry.instrumentation.genai", "OpenAIInstrumentor"),
    }
    family = emitter.split()[0]
    if family in instrumentors:
        package, name = instrumentors[family]
        name = name if kind == "openai" else "AnthropicInstrumentor"
        getattr(importlib.import_module(f"{package}.{kind}"), name)().instrument(tracer_provider=provider)
    if kind == "openai":
        client = module.OpenAI(api_key="k", base_url=f"{api}/v1", max_retries=0)
        answer = client.chat.completions.create(**request)
    else:
        client = module.Anthropic(api_key="k", base_url=api, max_retries=0)
        answer = client.messages.create(**request)
    if request.get("stream"):
        for _ in answer:
            pass
    if family == "langfuse":
        importlib.import_module("langfuse").get_client().flush()
    if provider is not None:
        provider.shutdown()
    else:
        logfire.shutdown()


if __name__ == "__main__":
    main()

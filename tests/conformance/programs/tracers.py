"""Tracers of clients and frameworks, switched on by name: each exports what it tells by OTLP."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any

#: Name → module and class of the instrumentor.
TRACERS = {
    "openllmetry-openai": ("opentelemetry.instrumentation.openai", "OpenAIInstrumentor"),
    "openllmetry-anthropic": ("opentelemetry.instrumentation.anthropic", "AnthropicInstrumentor"),
    "openllmetry-langchain": ("opentelemetry.instrumentation.langchain", "LangchainInstrumentor"),
    "openllmetry-llamaindex": ("opentelemetry.instrumentation.llamaindex", "LlamaIndexInstrumentor"),
    "openllmetry-bedrock": ("opentelemetry.instrumentation.bedrock", "BedrockInstrumentor"),
    "openllmetry-cohere": ("opentelemetry.instrumentation.cohere", "CohereInstrumentor"),
    "openinference-openai": ("openinference.instrumentation.openai", "OpenAIInstrumentor"),
    "openinference-anthropic": ("openinference.instrumentation.anthropic", "AnthropicInstrumentor"),
    "openinference-langchain": ("openinference.instrumentation.langchain", "LangChainInstrumentor"),
    "openinference-llama-index": ("openinference.instrumentation.llama_index", "LlamaIndexInstrumentor"),
    "openinference-litellm": ("openinference.instrumentation.litellm", "LiteLLMInstrumentor"),
    "openinference-dspy": ("openinference.instrumentation.dspy", "DSPyInstrumentor"),
    "openinference-smolagents": ("openinference.instrumentation.smolagents", "SmolagentsInstrumentor"),
    "openinference-autogen": (
        "openinference.instrumentation.autogen_agentchat",
        "AutogenAgentChatInstrumentor",
    ),
    "openinference-crewai": ("openinference.instrumentation.crewai", "CrewAIInstrumentor"),
    "contrib-openai": ("opentelemetry.instrumentation.genai.openai", "OpenAIInstrumentor"),
    "contrib-anthropic": ("opentelemetry.instrumentation.genai.anthropic", "AnthropicInstrumentor"),
    "contrib-google-genai": ("opentelemetry.instrumentation.google_genai", "GoogleGenAiSdkInstrumentor"),
    "contrib-openai-v2": ("opentelemetry.instrumentation.openai_v2", "OpenAIInstrumentor"),
}


def exporting_provider(otlp: str) -> Any:
    """A tracer provider, the global one from now on, that exports to an endpoint; logs go there too."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": "shop", "service.instance.id": str(os.getpid())})
    provider: Any = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{otlp}/v1/traces")))
    trace.set_tracer_provider(provider)
    _export_logs(otlp, resource)
    return provider


def _export_logs(otlp: str, resource: Any) -> None:
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

    logs: Any = LoggerProvider(resource=resource)
    logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{otlp}/v1/logs")))
    set_logger_provider(logs)
    if importlib.util.find_spec("opentelemetry._events") is not None:  # before events were log records
        events: Any = importlib.import_module("opentelemetry.sdk._events")
        importlib.import_module("opentelemetry._events").set_event_logger_provider(
            events.EventLoggerProvider(logs)
        )


def with_contents(tracer: str) -> None:
    """What the tracers read when they are imported: that messages are wanted, and that Anthropic's client
    tells of its calls itself only where that is what is asked for.
    """
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "true" if tracer == "anthropic-itself" else "false"
    os.environ["ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE"] = "content"
    os.environ["TRACELOOP_TRACE_CONTENT"] = "true"
    # Before they shared a library, OpenTelemetry's instrumentations told messages in log records alone.
    shares_library = importlib.util.find_spec("opentelemetry.util.genai") is not None
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = (
        "SPAN_ONLY" if shares_library else "true"
    )
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"


def switch_on(tracer: str, otlp: str) -> Callable[[], object]:
    """Switch tracers on, names with commas between; what flushes them."""
    with_contents(tracer)
    if tracer.startswith("logfire-"):
        return _logfire(tracer.removeprefix("logfire-"), otlp)
    provider = exporting_provider(otlp)
    for name in () if tracer == "anthropic-itself" else tracer.split(","):
        module, instrumentor = TRACERS[name]
        getattr(importlib.import_module(module), instrumentor)().instrument(tracer_provider=provider)
    shutdown: Callable[[], object] = provider.shutdown
    return shutdown


def _logfire(client: str, otlp: str) -> Callable[[], object]:
    """Logfire's own set-up, with an exporter beside the one to its maker, which is off."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    logfire: Any = importlib.import_module("logfire")
    processor = BatchSpanProcessor(OTLPSpanExporter(f"{otlp}/v1/traces"))
    logfire.configure(
        send_to_logfire=False,
        console=False,
        additional_span_processors=[processor],
        inspect_arguments=False,
        service_name="shop",
    )
    getattr(logfire, f"instrument_{client}")()
    shutdown: Callable[[], object] = logfire.shutdown
    return shutdown

"""One SDK in a process of its own: `python peer_process.py NAME`, driven by lines on standard input.

Prints "ready", then for each line "plain N" or "stream N" the CPU seconds per call: of the process (with
whatever threads the SDK has, after a flush) and of the calling thread. Imports nothing of this project but
the client. Spans are serialized and compressed as for OTLP over HTTP, and go nowhere.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import fake_openai  # type: ignore[import-not-found]  # beside this file: it runs as a script

Flush = Callable[[], Any]


class _Sink:
    """An exporter that serializes as OTLP and keeps nothing."""

    def __init__(self) -> None:
        self._encode = importlib.import_module(
            "opentelemetry.exporter.otlp.proto.common.trace_encoder"
        ).encode_spans
        self._success = importlib.import_module("opentelemetry.sdk.trace.export").SpanExportResult.SUCCESS
        self._gzip = importlib.import_module("gzip").compress

    def export(self, spans: Any) -> Any:
        self._gzip(self._encode(spans).SerializeToString(), 1)
        return self._success

    def shutdown(self) -> None:
        """Nothing to release."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


def _provider() -> tuple[Any, Flush]:
    trace = importlib.import_module("opentelemetry.sdk.trace")
    export = importlib.import_module("opentelemetry.sdk.trace.export")
    provider = trace.TracerProvider()
    provider.add_span_processor(export.BatchSpanProcessor(_Sink()))
    return provider, provider.force_flush


def _openllmetry() -> Flush:
    provider, flush = _provider()
    instrumentor = importlib.import_module("opentelemetry.instrumentation.openai").OpenAIInstrumentor
    instrumentor().instrument(tracer_provider=provider)
    return flush


def _openinference() -> Flush:
    provider, flush = _provider()
    instrumentor = importlib.import_module("openinference.instrumentation.openai").OpenAIInstrumentor
    instrumentor().instrument(tracer_provider=provider)
    return flush


def _langfuse() -> Flush:
    langfuse = importlib.import_module("langfuse")
    provider = importlib.import_module("opentelemetry.sdk.trace").TracerProvider()
    client = langfuse.Langfuse(
        public_key="pk",
        secret_key="sk",
        host="http://127.0.0.1:9",
        tracer_provider=provider,
        span_exporter=_Sink(),  # its own processor exports to it
    )
    importlib.import_module("langfuse.openai")
    flush: Flush = client.flush
    return flush


def _logfire() -> Flush:
    logfire = importlib.import_module("logfire")
    export = importlib.import_module("opentelemetry.sdk.trace.export")
    logfire.configure(
        send_to_logfire=False,
        console=False,
        additional_span_processors=[export.BatchSpanProcessor(_Sink())],
    )
    logfire.instrument_openai()
    flush: Flush = logfire.force_flush
    return flush


def _openlit() -> Flush:
    provider, flush = _provider()
    importlib.import_module("opentelemetry.trace").set_tracer_provider(
        provider
    )  # it takes the one that is there
    with tempfile.NamedTemporaryFile("w", suffix=".json") as prices:
        prices.write("{}")  # else it asks the network for its list of prices
        prices.flush()
        # Its metrics and events have no like among the others.
        importlib.import_module("openlit").init(
            disable_metrics=True, disable_events=True, pricing_json=prices.name
        )
    return flush


PEERS: dict[str, Callable[[], Flush]] = {
    "bare": lambda: lambda: None,
    "openllmetry": _openllmetry,
    "openinference": _openinference,
    "langfuse": _langfuse,
    "logfire": _logfire,
    "openlit": _openlit,
}


def main() -> None:
    """Serve until standard input ends."""
    os.environ.setdefault("TRACELOOP_TRACE_CONTENT", "true")
    flush = PEERS[sys.argv[1]]()
    client = fake_openai.client()
    calls = {"plain": fake_openai.plain, "stream": fake_openai.stream}
    print("ready", flush=True)
    for line in sys.stdin:
        name, count = line.split()
        gc.collect()
        total, caller = time.process_time(), time.thread_time()
        for _ in range(int(count)):
            calls[name](client)
        caller = time.thread_time() - caller
        flush()
        total = time.process_time() - total
        print(total / int(count), caller / int(count), flush=True)


if __name__ == "__main__":
    main()

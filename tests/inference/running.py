"""A served application for tests: real uvicorn on a free loopback port, spans kept in memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import uvicorn
from fastapi import FastAPI
from openai import OpenAI
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from llmtrace_inference.app import create_app, load_engine
from llmtrace_inference.engine.interface import Engine
from llmtrace_inference.serving.model_registry import LoadEngine
from llmtrace_inference.settings import InferenceSettings
from llmtrace_inference.telemetry.request_record import RequestRecord
from llmtrace_inference.telemetry.spans import request_spans


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Poll until the condition holds; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Running:
    """A running service. `opened` are the spans that were started and have not ended."""

    url: str
    app: FastAPI
    exporter: InMemorySpanExporter
    opened: set[int]
    loop: asyncio.AbstractEventLoop

    @property
    def client(self) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0)

    def engine(self, name: str) -> Engine:
        engine = self.app.state.engines[name]
        assert engine is not None
        return engine  # type: ignore[no-any-return]

    def request_spans(self, response_id: str) -> list[ReadableSpan]:
        """All spans of one request's trace, once its SERVER span has ended."""

        def trace_spans() -> list[ReadableSpan]:
            spans = self.exporter.get_finished_spans()
            servers = [s for s in spans if (s.attributes or {}).get("gen_ai.response.id") == response_id]
            ids = {s.context.span_id for s in servers}
            return servers + [s for s in spans if s.parent is not None and s.parent.span_id in ids]

        wait_until(lambda: bool(trace_spans()))
        return trace_spans()


class _Opened(SpanProcessor):
    """Keeps the ids of spans that are under way."""

    def __init__(self, opened: set[int]) -> None:
        self._opened = opened

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._opened.add(span.get_span_context().span_id)

    def on_end(self, span: ReadableSpan) -> None:
        self._opened.discard(span.context.span_id)


@dataclass(frozen=True)
class InMemoryPipeline:
    """Keeps spans the moment that they end."""

    settings: InferenceSettings
    provider: TracerProvider
    exporter: InMemorySpanExporter

    def start(self) -> None: ...

    def put(self, record: RequestRecord) -> None:
        resource, capture_content = self.provider.resource, self.settings.records_content
        self.exporter.export(request_spans(record, resource, capture_content=capture_content))

    def flush(self, timeout_seconds: float) -> bool:
        return True

    def close(self, timeout_seconds: float) -> None: ...


@contextlib.contextmanager
def serving(
    settings: InferenceSettings, load: LoadEngine = load_engine, *, ready: bool = True, export: bool = False
) -> Iterator[Running]:
    """Serve until the block ends. With `export`, spans and metrics go to the settings' collector instead."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    opened: set[int] = set()
    provider.add_span_processor(_Opened(opened))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    pipeline = None if export else InMemoryPipeline(settings, provider, exporter)
    app = create_app(settings, load=load, pipeline=pipeline)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, access_log=False)
    )
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve(sockets=[listener])

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    try:
        path = "/health/ready" if ready else "/health/live"
        wait_until(lambda: _answers(url + path), 180)
        yield Running(url, app, exporter, opened, loops[0])
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        assert not thread.is_alive(), "the service did not stop"


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False

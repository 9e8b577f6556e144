"""Whether the store takes rows at all: what decides who is at fault when it refuses a segment and what it
says may be meant of either.

A request without rows goes through the store's own tables and views, which shows that all of them are there;
rows go through a copy of the whole schema beside them, which is dropped again: nobody ever counts them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from llmtrace import semconv

from .engine import StoreEngine
from .errors import StoreError, StoreUnavailable
from .schema.description import SchemaSettings, describe
from .schema.home import Home
from .schema.scratch import scratch

#: An envelope that holds nothing, with its length: see schema/sql/otlp.proto.
_NOTHING = b"\0"

#: The tag of an envelope's request.
_REQUEST = b"\x1a"


def demand_takes_rows(
    engine: StoreEngine,
    description: SchemaSettings,
    inlets: Sequence[str],
    message: str,
    schema: str,
    settings: Mapping[str, str],
) -> None:
    """Insert rows of our own by way of `inlets`, whose `message` is in `schema`. Raises StoreUnavailable,
    which says what the store has against them.
    """
    try:
        for inlet in inlets:
            with _file(_NOTHING) as path:
                engine.insert_messages(inlet, path, schema, message, settings)
        home = Home(engine)
        with (
            scratch(home, describe(description, embedded=home.embedded)) as copy,
            _file(_envelope(message)) as path,
        ):
            for inlet in inlets:
                engine.insert_messages(f"{copy.database}.{inlet}", path, schema, message, settings)
    except (StoreError, OSError) as error:
        code = error.code if isinstance(error, StoreError) else 0
        raise StoreUnavailable(f"the store does not take rows of our own either: {error}", code) from error


@contextmanager
def _file(data: bytes) -> Iterator[Path]:
    """A file in memory."""
    descriptor = os.memfd_create("llmtrace-probe", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _envelope(message: str) -> bytes:
    """A small request in its envelope, with the length in front."""
    body = _REQUESTS[message]().SerializeToString()
    request = _REQUEST + bytes([len(body)]) + body
    return bytes([len(request)]) + request


def _span() -> Message:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = os.urandom(16), os.urandom(8), "probe"
    span.start_time_unix_nano = span.end_time_unix_nano = time.time_ns()
    span.attributes.add(key=semconv.OPERATION_NAME).value.string_value = "chat"
    return request


def _log_record() -> Message:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add().time_unix_nano = time.time_ns()
    return request


def _data_point() -> Message:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add()
    metric.name = "probe"
    point = metric.gauge.data_points.add()
    point.time_unix_nano, point.as_int = time.time_ns(), 1
    return request


_REQUESTS = {"TracesEnvelope": _span, "LogsEnvelope": _log_record, "MetricsEnvelope": _data_point}

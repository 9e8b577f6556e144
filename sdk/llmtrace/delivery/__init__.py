"""From finished spans to an acknowledged request: queue, encoder, sender, spool on disk. A public API.

A service that has spans of its own to send, beside or without `llmtrace.init`:

    from llmtrace.delivery import DeliverySettings, DeliveryWorker, OtlpHttpExporter, Spool, TlsFiles

    settings = DeliverySettings.for_collector(
        "https://collector:4318",
        tls=TlsFiles(certificate=Path("authority.pem")),
        headers={"authorization": "Bearer …"},
        spool_dir="/var/lib/shop/spool",
    )
    worker = DeliveryWorker(
        settings, lambda: OtlpHttpExporter(settings, resource, scope), spool=Spool(settings)
    )
    worker.submit_span(span)            # an ended ReadableSpan; costs an append
    worker.submit_call(finished)        # a FinishedCall, whose spans are built on the worker's thread
    worker.submit_log(LogRecord(…))
    worker.stats()                      # generated = sent + spooled + dropped + sampled_out + pending
    worker.shutdown(timeout=5)

A program that makes its batches itself packs them by an exporter and sends each by `Sender.deliver`, whose
result says what became of it. Capture, the API and `llmtrace.testing` import this; the inference service and
the command line may too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmtrace.common.tls import TlsFiles

from .bounded_queue import FinishedCall
from .exporter import Batch, Exporter, ExportResult, LogRecord, Transport
from .queue import DeliveryWorker, PeriodicReport
from .sender import Sender
from .settings import DeliverySettings, Endpoint, tls_files
from .spool import Spool
from .stats import DeliveryCounters, Stats

if TYPE_CHECKING:
    from .http_post import HttpPoster, failed_result
    from .otlp_encoder import encode_logs, encode_spans, fill_attributes, fill_resource, fill_scope
    from .otlp_http import OtlpHttpExporter, packed

__all__ = [
    "Batch",
    "DeliveryCounters",
    "DeliverySettings",
    "DeliveryWorker",
    "Endpoint",
    "ExportResult",
    "Exporter",
    "FinishedCall",
    "HttpPoster",
    "LogRecord",
    "OtlpHttpExporter",
    "PeriodicReport",
    "Sender",
    "Spool",
    "Stats",
    "TlsFiles",
    "Transport",
    "encode_logs",
    "encode_spans",
    "failed_result",
    "fill_attributes",
    "fill_resource",
    "fill_scope",
    "packed",
    "tls_files",
]


def __getattr__(name: str) -> Any:
    """What needs protobuf and requests, loaded when first asked for: `import llmtrace` must not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import http_post, otlp_encoder, otlp_http

    module = next(module for module in (http_post, otlp_http, otlp_encoder) if hasattr(module, name))
    return getattr(module, name)

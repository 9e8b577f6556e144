"""What is imported late, on the delivery thread, because it is slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtrace.common.import_lock import import_lock

if TYPE_CHECKING:
    from .otlp_http import OtlpHttpExporter


def otlp_exporter() -> type[OtlpHttpExporter]:
    """The exporter's class, imported on the first call."""
    with import_lock:
        from .otlp_http import OtlpHttpExporter

        return OtlpHttpExporter

"""What lies in a spool, and what came in besides the SDK's reports of itself."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from llmtrace import semconv
from llmtrace.delivery.spool import waiting_in
from llmtrace.delivery.spool_format import Frame, frames
from llmtrace.testing import Received


def spool_files(root: Path) -> list[Path]:
    """The files below a folder in which batches wait."""
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    return sorted(path for folder in folders for path, _ in waiting_in(folder))


def spooled_items(root: Path) -> int:
    """How many spans and records wait there."""
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    return sum(items for folder in folders for _, items in waiting_in(folder))


def spooled_payloads(root: Path) -> list[bytes]:
    """What waits there, as it lies there, oldest first."""
    return [
        piece.payload
        for path in spool_files(root)
        for piece in frames(path.read_bytes())
        if isinstance(piece, Frame) and not piece.is_settled
    ]


def without_reports(requests: Sequence[Received]) -> list[Received]:
    """The requests that are not the SDK's counters."""
    return [request for request in requests if not reports([request])]


def reports(requests: Sequence[Received]) -> list[dict[str, int | str | bool]]:
    """What the SDK's counters said, request by request."""
    counters = []
    for request in requests:
        if request.path != "/v1/logs":
            continue
        (resource,) = ExportLogsServiceRequest.FromString(gzip.decompress(request.body)).resource_logs
        for record in resource.scope_logs[0].log_records:
            if record.event_name == semconv.STATS_EVENT:
                counters.append(
                    {
                        attribute.key.removeprefix(semconv.STATS_PREFIX): getattr(
                            attribute.value, attribute.value.WhichOneof("value") or ""
                        )
                        for attribute in record.attributes
                    }
                )
    return counters

"""What is told of a process that could not tell it: its counters as it left them, in its own report's words.

Loaded when first needed: it needs protobuf.
"""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Sequence

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from llmtrace import semconv

from .exporter import Batch
from .otlp_http import packed


def report_of_dead(counters: Sequence[int], report: bytes) -> Batch:
    """The report of a dead process, from one that it made while it lived. Raises ValueError.

    counters: as `ProcessFile.read` has them. Where it did not end as it should, what was in its memory stays
    `pending`, and the report says that it was killed.
    """
    generated, sent, dropped, spooled, sampled_out, replayed, ended = counters
    values = {
        "generated": generated,
        "sent": sent,
        "dropped": dropped,
        "pending": max(generated - sent - dropped - spooled - sampled_out, 0),
        "spooled": spooled,
        "sampled_out": sampled_out,
        "replayed": replayed,
    }
    try:
        request = ExportLogsServiceRequest.FromString(gzip.decompress(report))
        record = request.resource_logs[0].scope_logs[0].log_records[0]
    except (DecodeError, OSError, EOFError, IndexError, zlib.error) as error:
        raise ValueError(f"the report is damaged ({type(error).__name__})") from error
    record.time_unix_nano = record.observed_time_unix_nano = time.time_ns()
    for attribute in record.attributes:
        name = attribute.key.removeprefix(semconv.STATS_PREFIX)
        if name in values:
            attribute.value.int_value = values[name]
    record.attributes.add(key=semconv.STATS_KILLED).value.bool_value = not ended
    return packed("logs", 1, request.SerializeToString())

"""Runs `programs/emit_calls.py` in an environment of its own and gives what its tracers sent, with the
truth."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from llmtrace.testing import Answer, ReplayServer
from tests.sdk.naive import Recording

from .replay import RecordedProvider

_SDK = Path(__file__).parents[2] / "sdk"
PROGRAM = Path(__file__).parent / "programs" / "emit_calls.py"
_ID = re.compile(r"chatcmpl-call(\d+)x")


@dataclass(frozen=True)
class EmittedCalls:
    """What the tracers of one program sent: requests of OTLP, and when each call was made (call → start,
    end in Unix nanoseconds).
    """

    name: str
    requests: list[ExportTraceServiceRequest]
    windows: dict[int, tuple[int, int]]
    errors: dict[int, str]

    def call_of(self, span: Span) -> int | None:
        """The call that a span tells of: by the id that the replay gave its answer, else by the time, where
        only one call was under way.
        """
        match = _ID.search(span.SerializeToString().decode(errors="replace"))
        if match is not None:
            return int(match[1])
        slack = 2_000_000
        around = [
            call
            for call, (start, end) in self.windows.items()
            if start - slack <= span.start_time_unix_nano and span.end_time_unix_nano <= end + slack
        ]
        return around[0] if len(around) == 1 else None

    def truth(self) -> dict[str, int | None]:
        """Span id → call."""
        return {
            span.span_id.hex(): self.call_of(span)
            for request in self.requests
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        }


def emit(
    python: Path,
    recordings: Sequence[Recording],
    framework: str,
    tracers: str,
    groups: Sequence[Sequence[dict[str, Any]]],
    *,
    providers: str = "one",
) -> EmittedCalls:
    """Make the calls with the tracers on; see `programs/emit_calls.py`."""
    collector = ReplayServer(Answer(headers={"content-type": "application/x-protobuf"}))
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "PYTHON", "LLMTRACE_"))
    }
    if "llmtrace" in tracers.split(","):
        environment |= {"PYTHONPATH": str(_SDK), "LLMTRACE_STRICT": "1", "LLMTRACE_SPOOL_DIR": "off"}
    with RecordedProvider(recordings) as provider, collector:
        ended = subprocess.run(
            [str(python), str(PROGRAM), framework, tracers, provider.url, collector.url, providers],
            input=json.dumps(groups),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env=environment,
        )
        if ended.returncode:
            raise RuntimeError(ended.stderr[-4000:])
        bodies = [
            gzip.decompress(sent.body) if sent.headers.get("content-encoding") == "gzip" else sent.body
            for sent in collector.requests
        ]
    times = json.loads(ended.stdout.splitlines()[-1])
    return EmittedCalls(
        f"{framework}: {tracers} ({providers})",
        [ExportTraceServiceRequest.FromString(body) for body in bodies],
        {call: (start, end) for call, start, end, _ in times},
        {call: error for call, _, _, error in times if error},
    )


def without_ids(request: ExportTraceServiceRequest) -> ExportTraceServiceRequest:
    """The same spans as tracers tell that do not know the answer's id."""
    bare = ExportTraceServiceRequest()
    bare.CopyFrom(request)
    for of_resource in bare.resource_spans:
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                for item in span.attributes:
                    if item.value.HasField("string_value"):
                        item.value.string_value = _ID.sub("", item.value.string_value)
    return bare

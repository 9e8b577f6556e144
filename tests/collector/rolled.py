"""A store for tests of the rollups: spans go in by segments, passes are run by hand."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.rollups.settings import RollupSettings
from llmtrace_collector.store.store import Store, open_store

from .otlp import traces
from .prefilled import prefill

#: What usage is told apart by, and what of it is added up.
KEYS = (
    "Project, ServiceName, Provider, Model, ResponseModel, ServiceTier, ContextClass, Operation, UserId, "
    "Experiment, RunId, PromptName, PromptVersion, Purpose, Account, StatedBy, Estimated, Tags"
)
SUMS = (
    "Calls",
    "Errors",
    "UnknownUsage",
    # Microdollars.
    "1e6 * if(StatedBy = '', 0, StatedCost)",
    "InputTokens",
    "OutputTokens",
    "CacheReadTokens",
)


class Rolled:
    """A store and a folder for its segments."""

    def __init__(self, folder: Path, rollups: RollupSettings | None = None) -> None:
        self.folder = folder
        self.store: Store = open_store(
            f"chdb://{prefill(folder / 'store')}", rollups=rollups or RollupSettings()
        )

    def send(
        self,
        *spans: Span,
        project: str,
        resource: Mapping[str, object] | None = None,
        scope_name: str = "tests",
    ) -> None:
        """Store spans of one instrumentation as one segment."""
        path = self.folder / f"{uuid.uuid4().hex}.seg"
        attributes = {"service.name": "shop", "llmtrace.project": project, **(resource or {})}
        request = traces(spans, attributes, scope_name)
        path.write_bytes(b"".join(encode(Frame("", time.time_ns(), request.SerializeToString()))))
        self.store.insert_segment("traces", path, path.stem)

    def steps(self, project: str) -> list[dict[str, Any]]:
        """The steps of a project, without their times and digests."""
        return self.store.rows(
            "SELECT StepKind, StepName, Agent, AgentVersion, Status, sum(Steps) AS Steps FROM steps "
            "WHERE Project = {project:String} GROUP BY ALL ORDER BY ALL",
            {"project": project},
        )

    def traces(self, project: str) -> list[dict[str, Any]]:
        """The traces of a project by their starts."""
        return self.store.rows(
            "SELECT * FROM traces WHERE Project = {project:String} ORDER BY Start, TraceId",
            {"project": project},
        )

    def usage(self) -> bytes:
        """What the hours of usage say."""
        sums = ", ".join(f"toUInt64(round(sum({name})))" for name in SUMS)
        return self.store.read(
            f"SELECT toUnixTimestamp(Time) AS Hour, {KEYS}, {sums} FROM usage_hour GROUP BY ALL ORDER BY ALL"
        )

    def counted(self) -> bytes:
        """The same, added up from the spans."""
        sums = ", ".join(f"toUInt64(round(sum(Weight * {name})))" for name in SUMS)
        return self.store.read(
            f"""SELECT toUnixTimestamp(toStartOfHour(toDateTime(Timestamp, 'UTC'))) AS Hour, {KEYS}, {sums}
            FROM (SELECT * REPLACE arraySort(Tags) AS Tags FROM call_cost)
            GROUP BY ALL ORDER BY ALL"""
        )

    def count(self, table: str) -> int:
        """The rows of a table."""
        return int(self.store.read(f"SELECT count() FROM {table}"))

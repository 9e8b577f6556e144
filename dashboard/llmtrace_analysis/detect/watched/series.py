"""What one watched series is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Kind = Literal["call", "trace", "step", "agent", "user", "key", "prompt", "score", "ingest"]


@dataclass(frozen=True)
class WatchedSeries:
    """A series of minutes: calls of a model, whole traces of a root, a tool, a user, …"""

    kind: Kind
    project: str
    dimensions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Those of its incidents: what is empty in the store is left out, but for provider and model."""

    def __hash__(self) -> int:
        return hash((self.kind, self.project, *self.dimensions.items()))

"""What is known of a batch, in a directory of its own and written so that no crash loses it."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from llmtrace.common.durable_files import sync_directory, write_durably
from llmtrace_inference.protocol.errors import ApiError

logger = logging.getLogger(__name__)

Status = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
ENDED: frozenset[Status] = frozenset({"failed", "completed", "expired", "cancelled"})
WINDOW_SECONDS = 24 * 3600


class Usage(BaseModel):
    """Tokens of a batch's answers; cached ones are part of the input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    def plus(self, usage: dict[str, Any]) -> Usage:
        """With those of one more answer, whose `usage` this is."""
        details = usage.get("prompt_tokens_details") or {}
        return Usage(
            input_tokens=self.input_tokens + usage.get("prompt_tokens", 0),
            output_tokens=self.output_tokens + usage.get("completion_tokens", 0),
            cached_tokens=self.cached_tokens + details.get("cached_tokens", 0),
        )

    def body(self) -> dict[str, Any]:
        """The usage as OpenAI's API shows it."""
        return {
            "input_tokens": self.input_tokens,
            "input_tokens_details": {"cached_tokens": self.cached_tokens},
            "output_tokens": self.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.input_tokens + self.output_tokens,
        }


class BatchState(BaseModel):
    """One batch. Times in seconds since 1970; None: has not happened."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    owner: str
    endpoint: str
    input_file_id: str
    metadata: dict[str, str] | None = None
    output_file_id: str
    """Known from the beginning, so that writing it twice after a crash gives one file."""
    error_file_id: str
    output_seconds: int | None = None
    """How long the files it leaves are kept; None: as the settings say."""
    traceparent: str = ""
    """The trace of its spans: the creating request's, or the one its first run began."""
    status: Status = "validating"
    created_at: int
    expires_at: int
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    errors: tuple[dict[str, Any], ...] = ()
    model: str | None = None
    """The model of all lines; None where they differ."""
    total: int = 0
    completed: int = 0
    failed: int = 0
    usage: Usage = Usage()
    has_output: bool = False
    has_errors: bool = False

    @property
    def is_over(self) -> bool:
        return self.status in ENDED

    def body(self) -> dict[str, Any]:
        """The batch as OpenAI's API shows it."""
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model,
            "errors": {"object": "list", "data": list(self.errors)} if self.errors else None,
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output_file_id if self.has_output else None,
            "error_file_id": self.error_file_id if self.has_errors else None,
            "created_at": self.created_at,
            "in_progress_at": self.in_progress_at,
            "expires_at": self.expires_at,
            "finalizing_at": self.finalizing_at,
            "completed_at": self.completed_at,
            "failed_at": self.failed_at,
            "expired_at": self.expired_at,
            "cancelling_at": self.cancelling_at,
            "cancelled_at": self.cancelled_at,
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "usage": self.usage.body(),
            "metadata": self.metadata,
        }


def new_batch_id() -> str:
    return f"batch_{secrets.token_hex(16)}"


class BatchStore:
    """A directory per batch: `batch.json`, and the journal of its answers while it runs."""

    def __init__(self, directory: Path, *, days: int, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._seconds = days * 24 * 3600
        self._clock = clock
        self._states: dict[str, BatchState] = {}
        self._lock = threading.Lock()

    def open(self) -> None:
        """Read what is there; removes what a crash left half-made, and batches that ended long ago."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for directory in self._directory.glob("batch_*"):
            if not (directory / "batch.json").exists():
                shutil.rmtree(directory)
        for path in sorted(self._directory.glob("batch_*/batch.json")):
            try:
                state = BatchState.model_validate_json(path.read_bytes())
            except ValidationError as error:
                logger.error("%s is damaged and left alone: %s", path, error)  # noqa: TRY400
                continue
            self._states[state.id] = state
        self.drop_old()

    def get(self, batch_id: str, owner: str) -> BatchState:
        """One batch of this owner. Raises ApiError 404."""
        state = self._states.get(batch_id)
        if state is None or state.owner != owner:
            raise ApiError(404, f"there is no batch {batch_id!r}", code="batch_not_found", param="batch_id")
        return state

    def current(self, batch_id: str) -> BatchState:
        """A batch's state as it is now."""
        return self._states[batch_id]

    def list(self, owner: str | None = None) -> list[BatchState]:
        """An owner's batches, or all, oldest first."""
        states = [s for s in self._states.values() if owner is None or s.owner == owner]
        return sorted(states, key=lambda s: s.created_at)

    def add(self, state: BatchState, input_file: Path) -> None:
        """Keep a new batch with its input. On disk when this returns."""
        path = self.directory(state.id)
        path.mkdir()
        # The same bytes under a second name: the upload may be deleted while the batch runs.
        os.link(input_file, path / "input.jsonl")
        sync_directory(self._directory)
        self._write(state)
        self._states[state.id] = state

    def change(self, batch_id: str, **changes: Any) -> BatchState:
        """Change a batch's state, in memory; `save` puts it on disk. The event loop's thread only."""
        state = self._states[batch_id] = self._states[batch_id].model_copy(update=changes)
        return state

    def save(self, batch_id: str) -> None:
        """Put a batch's state on disk; blocks meanwhile, some milliseconds. From any thread."""
        with self._lock:  # whoever is last writes what holds then
            self._write(self._states[batch_id])

    def _write(self, state: BatchState) -> None:
        write_durably(self.directory(state.id) / "batch.json", state.model_dump_json().encode())

    def directory(self, batch_id: str) -> Path:
        """Where a batch keeps what it works with."""
        return self._directory / batch_id

    def drop_old(self) -> None:
        """Forget batches that were made longer ago than files are kept, and have ended."""
        limit = self._clock() - self._seconds
        for state in [s for s in self._states.values() if s.is_over and s.created_at < limit]:
            del self._states[state.id]
            shutil.rmtree(self.directory(state.id), ignore_errors=True)

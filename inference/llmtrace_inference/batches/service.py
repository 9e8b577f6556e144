"""Files and batches of all callers: what may be made, what is under way, and taking it up after a restart."""

from __future__ import annotations

import asyncio
import dataclasses
import fcntl
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from llmtrace_inference.access.auth import Caller, caller_of
from llmtrace_inference.engine.interface import Engine
from llmtrace_inference.protocol.errors import ApiError
from llmtrace_inference.serving.service import CompletionService
from llmtrace_inference.serving.steps import OPERATIONS, Arrival
from llmtrace_inference.settings import InferenceSettings
from llmtrace_inference.telemetry.metrics import Metrics
from llmtrace_inference.telemetry.request_record import BatchItem
from llmtrace_inference.telemetry.spans import RequestTracer

from .batch_store import WINDOW_SECONDS, BatchState, BatchStore, new_batch_id
from .file_store import FileStore, StoredFile, new_file_id
from .runner import BatchContext, BatchRun

logger = logging.getLogger(__name__)

_BEHIND_ALL = 1000
"""Added to the priority of a batch's lines: more than requests and keys can ask for."""


class ExpiresAfter(BaseModel):
    """How long a file is kept, from when it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3600, le=2_592_000)]


class BatchRequest(BaseModel):
    """Body of POST /v1/batches."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    input_file_id: Annotated[str, Field(min_length=1, max_length=64)]
    endpoint: Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]
    completion_window: Literal["24h"]
    metadata: (
        Annotated[
            dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
            Field(max_length=16),
        ]
        | None
    ) = None
    output_expires_after: ExpiresAfter | None = None


class BatchService:
    """Everything behind /v1/files and /v1/batches. One process at a time works on a data directory."""

    def __init__(
        self,
        settings: InferenceSettings,
        engines: Mapping[str, Engine | None],
        completions: CompletionService,
        tracer: RequestTracer,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._completions = completions
        self.files = FileStore(
            settings.data_dir / "files", days=settings.file_days, bytes_per_owner=settings.max_stored_bytes
        )
        self._batches = BatchStore(settings.data_dir / "batches", days=settings.file_days)
        self._context = BatchContext(
            batches=self._batches,
            files=self.files,
            engines=engines,
            slots=asyncio.Semaphore(settings.batch_concurrency),
            tracer=lambda: tracer.tracer,
            count=lambda result: metrics.batch_lines.labels(result).inc(),
            max_lines=settings.max_batch_lines,
            max_body_bytes=settings.max_request_bytes,
        )
        self._runs: dict[str, tuple[BatchRun, asyncio.Task[None]]] = {}
        self._lock_file: IO[bytes] | None = None
        self._open_lock = asyncio.Lock()
        self._closed = False

    # --- life -------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Take up batches that a restart interrupted, where there are any."""
        if not (self._settings.data_dir / "batches").is_dir():
            return
        try:
            await self.open()
        except ApiError as error:
            logger.warning("files and batches are off: %s", error.message)

    async def open(self) -> None:
        """Read what is there, once. Raises ApiError 503 where another process works on it."""
        async with self._open_lock:
            if self._closed:
                raise ApiError(503, "the service is shutting down", code="engine_unavailable")
            if self._lock_file is not None:
                return
            lock = self._settings.data_dir / "batches.lock"
            self._lock_file = await asyncio.to_thread(_locked, lock)
            await asyncio.to_thread(self.files.open)
            await asyncio.to_thread(self._batches.open)
            for state in self._batches.list():
                if not state.is_over:
                    logger.info("batch %s: taken up again (%s)", state.id, state.status)
                    self._start(state)

    async def close(self) -> None:
        """Stop working. What is not answered is taken up by the next process."""
        self._closed = True
        tasks = [task for _, task in self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._lock_file is not None:
            self._lock_file.close()

    # --- files ------------------------------------------------------------------------------------------

    async def add_file(
        self, caller: Caller, filename: str, content: IO[bytes], size: int, expires_in: int | None
    ) -> StoredFile:
        """Keep an upload. On disk when this returns. Raises ApiError 413."""
        return await asyncio.to_thread(self.files.add, caller.owner, filename, content, size, expires_in)

    async def remove_file(self, file: StoredFile) -> None:
        """Delete a file. Batches that read it have a copy of their own."""
        await asyncio.to_thread(self.files.remove, file)

    # --- batches ----------------------------------------------------------------------------------------

    async def create(self, caller: Caller, wanted: BatchRequest, traceparent: str) -> BatchState:
        """Begin a batch. On disk when this returns. Raises ApiError 400 and 429."""
        try:
            file = self.files.get(wanted.input_file_id, caller.owner)
        except ApiError as error:
            raise ApiError(400, error.message, code="file_not_found", param="input_file_id") from error
        if file.purpose != "batch":
            raise ApiError(
                400,
                f"file {file.id} has purpose {file.purpose}: upload one with purpose batch",
                code="invalid_value",
                param="input_file_id",
            )
        open_count = sum(not state.is_over for state in self._batches.list(caller.owner))
        if open_count >= self._settings.max_open_batches:
            raise ApiError(
                429,
                f"this key has {open_count} batches under way already: wait for one to end, or cancel it",
                code="too_many_batches",
                retry_after_seconds=60,
            )
        await asyncio.to_thread(self._batches.drop_old)
        now, after = int(time.time()), wanted.output_expires_after
        state = BatchState(
            id=new_batch_id(),
            owner=caller.owner,
            endpoint=wanted.endpoint,
            input_file_id=file.id,
            metadata=wanted.metadata,
            output_file_id=new_file_id(),
            error_file_id=new_file_id(),
            output_seconds=after.seconds if after is not None else None,
            traceparent=traceparent,
            created_at=now,
            expires_at=now + WINDOW_SECONDS,
        )
        await asyncio.to_thread(self._batches.add, state, self.files.path(file))
        self._start(state)
        return state

    def get(self, caller: Caller, batch_id: str) -> BatchState:
        """One batch of this caller. Raises ApiError 404."""
        return self._batches.get(batch_id, caller.owner)

    def list(self, caller: Caller) -> list[BatchState]:
        """This caller's batches, oldest first."""
        return self._batches.list(caller.owner)

    async def cancel(self, caller: Caller, batch_id: str) -> BatchState:
        """End a batch early; it keeps what is answered. Raises ApiError 404, and 409 where it is too late."""
        state = self.get(caller, batch_id)
        if state.status == "cancelling":
            return state
        if state.is_over or state.status == "finalizing":
            raise ApiError(409, f"batch {batch_id} is {state.status} already", code="batch_over")
        self._batches.change(batch_id, status="cancelling", cancelling_at=int(time.time()))
        await asyncio.to_thread(self._batches.save, batch_id)
        if batch_id in self._runs:
            self._runs[batch_id][0].stop()
        return self._batches.current(batch_id)

    # --- work -------------------------------------------------------------------------------------------

    def _start(self, state: BatchState) -> None:
        async def answer(path: str, body: bytes, item: BatchItem) -> Response:
            return await self._answer(state.owner, path, body, item)

        run = BatchRun(self._context, state.id, answer)
        task = asyncio.get_running_loop().create_task(run.run())
        self._runs[state.id] = (run, task)
        task.add_done_callback(lambda _: self._runs.pop(state.id, None))

    async def _answer(self, owner: str, path: str, body: bytes, item: BatchItem) -> Response:
        """What the service answers to such a request, with its quotas, checks, caches and spans."""
        caller = caller_of(owner, self._settings)
        if caller is None:
            error = ApiError(
                401, "the key that made this batch is no longer accepted", code="invalid_api_key"
            )
            return error.response()
        caller = dataclasses.replace(caller, priority=caller.priority + _BEHIND_ALL)
        arrival = Arrival(OPERATIONS[path], path, caller, batch_item=item)
        return await self._completions.answer_batch_line(arrival, body)


def _locked(path: Path) -> IO[bytes]:
    """An open file that no other process can have; the system lets go of it when this one ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ApiError(
            503,
            f"another service works on the files and batches of {path.parent}: "
            "give this one a data_dir of its own",
            code="batches_unavailable",
        ) from error
    return file

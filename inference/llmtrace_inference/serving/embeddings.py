"""Embeddings: requests that come within a few milliseconds of each other share a forward pass."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmtrace.semconv import INFERENCE
from llmtrace_inference.engine.interface import Engine, EngineUnavailable
from llmtrace_inference.protocol.requests import EmbeddingRequest
from llmtrace_inference.telemetry.request_record import RequestRecord


@dataclass(slots=True)
class Embedded:
    """One sequence's vector, and the forward pass that made it. Times are perf_counter_ns."""

    vector: list[float]
    batch_size: int
    start_ns: int
    end_ns: int


@dataclass(slots=True)
class _QueuedSequence:
    token_ids: list[int]
    done: asyncio.Future[Embedded]


class MicroBatcher:
    """Collects sequences for at most `window_seconds`, or until `max_batch` of them are there."""

    def __init__(self, engine: Engine, window_seconds: float, max_batch: int) -> None:
        self.engine = engine
        self._window = window_seconds
        self._max_batch = max_batch
        self._queue: list[_QueuedSequence] = []
        self._task: asyncio.Task[None] | None = None

    async def embed(self, sequences: Sequence[list[int]]) -> list[Embedded]:
        """One result per sequence, in order. Raises what the forward pass raises, as EngineUnavailable."""
        loop = asyncio.get_running_loop()
        queued = [_QueuedSequence(ids, loop.create_future()) for ids in sequences]
        self._queue.extend(queued)
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run())
        try:
            return list(await asyncio.gather(*(sequence.done for sequence in queued)))
        finally:
            gone = {id(sequence) for sequence in queued}
            self._queue = [sequence for sequence in self._queue if id(sequence) not in gone]

    async def _run(self) -> None:
        while self._queue:
            if len(self._queue) < self._max_batch:
                await asyncio.sleep(self._window)
            batch, self._queue = self._queue[: self._max_batch], self._queue[self._max_batch :]
            if not batch:
                return
            start = time.perf_counter_ns()
            try:
                vectors = await self.engine.embed([sequence.token_ids for sequence in batch])
            except Exception as error:  # noqa: BLE001 - each of the waiting requests gets it
                for sequence in batch:
                    if not sequence.done.done():
                        sequence.done.set_exception(EngineUnavailable(f"the embedding failed: {error}"))
                continue
            end = time.perf_counter_ns()
            for sequence, vector in zip(batch, vectors, strict=True):
                if not sequence.done.done():  # else its client has gone
                    sequence.done.set_result(Embedded(vector, len(batch), start, end))


def note(record: RequestRecord, queued_ns: int, embedded: Sequence[Embedded]) -> None:
    """Put the waiting and the forward passes on the request's record."""
    first, last = min(e.start_ns for e in embedded), max(e.end_ns for e in embedded)
    record.further_phases += [("queue", queued_ns, first), ("embed", first, last)]
    record.further_phases.append(("respond", time.perf_counter_ns(), 0))
    record.extra["gen_ai.usage.input_tokens"] = record.input_tokens or 0
    record.extra[INFERENCE + "batch_size.max"] = max(e.batch_size for e in embedded)
    if record.info is not None:
        record.extra["gen_ai.response.model"] = record.info.name


def body(request: EmbeddingRequest, embedded: Sequence[Embedded], tokens: int) -> dict[str, Any]:
    """The answer as OpenAI's API writes it."""
    data = [
        {"object": "embedding", "index": i, "embedding": _encoded(embedding.vector, request.encoding_format)}
        for i, embedding in enumerate(embedded)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": request.model, "usage": usage}


def _encoded(vector: list[float], encoding: str | None) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
    return vector

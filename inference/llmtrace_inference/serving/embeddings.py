"""Embeddings: requests that come within a few milliseconds of each other share a forward pass."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llmtrace import semconv
from llmtrace_inference.engine.interface import Engine, EngineUnavailable
from llmtrace_inference.protocol.requests import EmbeddingRequest
from llmtrace_inference.telemetry.request_record import Attributes, RequestRecord

from .endings import Ending
from .generation import refused
from .request import Arrival, InferenceRequest, State


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


class EmbeddingRun(InferenceRequest[EmbeddingRequest, Embedded]):
    """One request for embeddings. `batcher_of`: (model, engine) → the batcher that its requests share."""

    def __init__(
        self,
        arrival: Arrival,
        finished: Callable[[RequestRecord], None],
        batcher_of: Callable[[str, Engine], MicroBatcher],
    ) -> None:
        super().__init__(arrival, EmbeddingRequest.model_validate_json, finished)
        self._batcher_of = batcher_of
        self._embedded: list[Embedded] = []
        self._queued_ns = 0
        self._ready_ns = 0

    @property
    def is_complete(self) -> bool:
        return bool(self._embedded)

    async def run(self) -> AsyncGenerator[Embedded, None]:
        """The vector of each text, in order."""
        body, tokenizer, info = self.body, self.engine.tokenizer, self.engine.info
        self._tokenize_from_ns = time.perf_counter_ns()
        sequences = [tokenizer.encode(text) if isinstance(text, str) else text for text in body.inputs]
        self._tokenize_to_ns = time.perf_counter_ns()
        self.input_tokens = sum(map(len, sequences))
        for ids in sequences:
            if not ids or len(ids) > info.context_length or max(ids) >= info.vocab_size:
                raise refused("input", f"each text needs 1 to {info.context_length} tokens of the vocabulary")
        self._advance(State.CHECKED)
        self.reservation.reserve(self.input_tokens)
        self._queued_ns = time.perf_counter_ns()
        self._advance(State.SUBMITTED)
        self._embedded = await self._batcher_of(body.model, self.engine).embed(sequences)
        self._ready_ns = time.perf_counter_ns()
        for embedded in self._embedded:
            yield embedded

    def whole(self) -> dict[str, Any]:
        """The answer as OpenAI's API writes it."""
        encoding, tokens = self.body.encoding_format, self.input_tokens
        data = [
            {"object": "embedding", "index": i, "embedding": _encoded(embedded.vector, encoding)}
            for i, embedded in enumerate(self._embedded)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": self.body.model, "usage": usage}

    @property
    def _used_tokens(self) -> int:
        return self.input_tokens or 0 if self._embedded else 0

    def _record(self, ending: Ending) -> RequestRecord:
        record = super()._record(ending)
        if not self._embedded:
            return record
        first, last = min(e.start_ns for e in self._embedded), max(e.end_ns for e in self._embedded)
        phases = (("queue", self._queued_ns, first), ("embed", first, last), ("respond", self._ready_ns, 0))
        return replace(record, further_phases=phases)

    def _attributes(self) -> Attributes:
        attributes = super()._attributes()
        if self._body is not None and self._body.user is not None:
            attributes[semconv.USER_ID] = self._body.user
        if self._embedded:
            attributes[semconv.USAGE_INPUT_TOKENS] = self.input_tokens or 0
            attributes[semconv.INFERENCE_BATCH_SIZE_MAX] = max(e.batch_size for e in self._embedded)
            attributes[semconv.RESPONSE_MODEL] = self.engine.info.name
        return attributes


def _encoded(vector: list[float], encoding: str | None) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
    return vector

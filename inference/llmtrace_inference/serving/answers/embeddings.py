"""Embeddings: requests that come within a few milliseconds of each other share a forward pass."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmtrace import semconv
from llmtrace_inference.access.quotas import QuotaReservation
from llmtrace_inference.engine.interface import (
    Engine,
    EngineError,
    EngineFull,
    EngineUnavailable,
    RequestTimeout,
)
from llmtrace_inference.protocol.errors import invalid_value
from llmtrace_inference.protocol.requests import EmbeddingRequest
from llmtrace_inference.telemetry.request_record import Attributes

from .answer import EngineAnswer, Measured
from .events import Embedded
from .prompt_size import LONG_PROMPT_CHARACTERS, check_prompt_sizes

logger = logging.getLogger(__name__)

_PADDED_TOKENS = 8192
"""Of one pass, each sequence as long as the longest: attention's mask takes the square of that."""


@dataclass(slots=True)
class _QueuedSequence:
    token_ids: list[int]
    done: asyncio.Future[Embedded]


class MicroBatcher:
    """Collects sequences for at most `window_seconds`, or until `max_batch` of them are there.

    Those that wait may have `max_queue_tokens` tokens; a single request may always wait.
    """

    def __init__(self, engine: Engine, window_seconds: float, max_batch: int, max_queue_tokens: int) -> None:
        self.engine = engine
        self._window = window_seconds
        self._max_batch = max_batch
        self._max_queue_tokens = max_queue_tokens
        self._queue: list[_QueuedSequence] = []
        self._task: asyncio.Task[None] | None = None

    async def embed(self, sequences: Sequence[list[int]]) -> list[Embedded]:
        """One result per sequence, in order. Raises what the forward pass raises, as EngineUnavailable, and
        EngineFull."""
        loop = asyncio.get_running_loop()
        waiting = sum(len(sequence.token_ids) for sequence in self._queue)
        if waiting and waiting + sum(map(len, sequences)) > self._max_queue_tokens:
            raise EngineFull(f"embeddings of {waiting} tokens are waiting already: try again shortly")
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
            size = self._size_of_pass()
            batch, self._queue = self._queue[:size], self._queue[size:]
            if not batch:
                return
            start = time.perf_counter_ns()
            try:
                vectors = await self.engine.embed([sequence.token_ids for sequence in batch])
            except Exception as error:
                known = isinstance(error, EngineError)
                if not known:
                    logger.exception("an embedding failed")
                # Of other errors no word: their texts are the libraries', for who reads the log.
                message = str(error) if known else "the embedding failed: the service's log has the details"
                for sequence in batch:
                    if not sequence.done.done():
                        sequence.done.set_exception(EngineUnavailable(message))
                continue
            end = time.perf_counter_ns()
            for sequence, vector in zip(batch, vectors, strict=True):
                if not sequence.done.done():  # else its client has gone
                    sequence.done.set_result(Embedded(vector, len(batch), start, end))

    def _size_of_pass(self) -> int:
        """How many of those that wait the next pass takes: all are as long as its longest to it."""
        longest = 0
        for size, sequence in enumerate(self._queue[: self._max_batch]):
            longest = max(longest, len(sequence.token_ids))
            if size and (size + 1) * longest > _PADDED_TOKENS:
                return size
        return self._max_batch


class MicroBatchers:
    """A batcher for each model that is asked for embeddings."""

    def __init__(self, window_seconds: float, max_batch: int, max_queue_tokens: int) -> None:
        self._window = window_seconds
        self._max_batch = max_batch
        self._max_queue_tokens = max_queue_tokens
        self._batchers: dict[str, MicroBatcher] = {}

    def of(self, model: str, engine: Engine) -> MicroBatcher:
        """The one that all requests to this engine share."""
        batcher = self._batchers.get(model)
        if batcher is None or batcher.engine is not engine:
            batcher = self._batchers[model] = MicroBatcher(
                engine, self._window, self._max_batch, self._max_queue_tokens
            )
        return batcher


class EmbeddingAnswer(EngineAnswer):
    """The vectors of a request's texts."""

    def __init__(
        self,
        batchers: MicroBatchers,
        timeout_seconds: float,
        body: EmbeddingRequest,
        engine: Engine,
        _id: str,
        _priority: int,
    ) -> None:
        self._batchers = batchers
        self._timeout_seconds = timeout_seconds
        self._body = body
        self._engine = engine
        self._sequences: list[list[int]] = []
        self._embedded: list[Embedded] = []
        self._tokenize_from_ns = 0
        self._tokenize_to_ns = 0
        self._queued_ns = 0
        self._ready_ns = 0

    @property
    def is_complete(self) -> bool:
        return bool(self._embedded)

    async def submit(self, reservation: QuotaReservation) -> None:
        """Tokenise; the engine has them when the first event is asked for."""
        tokenizer, info, parts = self._engine.tokenizer, self._engine.info, self._body.prompt_parts
        check_prompt_sizes([[part] for part in parts], self._engine, "input")
        self._tokenize_from_ns = time.perf_counter_ns()

        def encode() -> list[list[int]]:
            return [tokenizer.encode(text) if isinstance(text, str) else text for text in parts]

        long = sum(map(len, parts)) > LONG_PROMPT_CHARACTERS
        sequences = await asyncio.to_thread(encode) if long else encode()
        self._tokenize_to_ns = time.perf_counter_ns()
        self.input_tokens = sum(map(len, sequences))
        for ids in sequences:
            if not ids or len(ids) > info.context_length or max(ids) >= info.vocab_size:
                raise invalid_value(
                    "input", f"each text needs 1 to {info.context_length} tokens of the vocabulary"
                )
        reservation.reserve(self.input_tokens)
        self._sequences = sequences
        self._queued_ns = time.perf_counter_ns()

    async def events(self) -> AsyncGenerator[Embedded, None]:
        """The vector of each text, in order."""
        batcher = self._batchers.of(self._body.model, self._engine)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                self._embedded = await batcher.embed(self._sequences)
        except TimeoutError:
            raise RequestTimeout(f"the request took longer than {self._timeout_seconds:g} s") from None
        self._ready_ns = time.perf_counter_ns()
        for embedded in self._embedded:
            yield embedded

    def whole(self) -> dict[str, Any]:
        """The answer as OpenAI's API writes it."""
        encoding, tokens = self._body.encoding_format, self.input_tokens
        data = [
            {"object": "embedding", "index": i, "embedding": _encoded(embedded.vector, encoding)}
            for i, embedded in enumerate(self._embedded)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": self._body.model, "usage": usage}

    def close(self, stop_reason: str | None) -> Measured:
        attributes: Attributes = {}
        phases: tuple[tuple[str, int, int], ...] = ()
        if self._embedded:
            first, last = min(e.start_ns for e in self._embedded), max(e.end_ns for e in self._embedded)
            phases = (
                ("queue", self._queued_ns, first),
                ("embed", first, last),
                ("respond", self._ready_ns, 0),
            )
            attributes[semconv.USAGE_INPUT_TOKENS] = self.input_tokens or 0
            attributes[semconv.INFERENCE_BATCH_SIZE_MAX] = max(e.batch_size for e in self._embedded)
            attributes[semconv.RESPONSE_MODEL] = self._engine.info.name
        return Measured(
            used_tokens=self.input_tokens or 0 if self._embedded else 0,
            input_tokens=self.input_tokens,
            tokenize_from_ns=self._tokenize_from_ns,
            tokenize_to_ns=self._tokenize_to_ns,
            further_phases=phases,
            attributes=attributes,
        )


def _encoded(vector: list[float], encoding: str | None) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
    return vector

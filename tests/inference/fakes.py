"""An engine without a model: it says what a test wants, as fast or as slowly as the test wants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.trace import Tracer

from llmtrace_inference.engine.interface import (
    Delta,
    EngineError,
    EngineStats,
    Generation,
    Matcher,
    ModelInfo,
    Submission,
    TokenDecoder,
)


class Characters:
    """One token per character."""

    speaks_tools = True
    longest_token = 1

    def encode_chat(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None
    ) -> list[int]:
        return [ord(c) for m in messages for c in m["content"]]

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]

    def token_bytes(self, token_id: int) -> bytes:
        return chr(token_id).encode()

    def knows_grammar(self, grammar: str) -> bool:
        return False

    def matcher(self, grammar: str) -> Matcher:
        raise RuntimeError("constrained answers need llguidance: pip install 'llmtrace[inference]'")

    def decoder(self) -> TokenDecoder:
        return self

    def feed(self, token_ids: tuple[int, ...]) -> str:
        return "".join(map(chr, token_ids))


@dataclass
class FakeEngine:
    """Answers every request with `says`, one character every `pause` seconds."""

    says: str = "hello"
    pause: float = 0.0
    refuse: EngineError | None = None
    fail_after: int | None = None
    failure: Exception | None = None
    cancelled: list[str] = field(default_factory=list)
    info: ModelInfo = field(
        default_factory=lambda: ModelInfo("fake", "fake", "none", "none", "none", 0, 0x110000, 1000)
    )
    tokenizer: Characters = field(default_factory=Characters)

    async def start(self) -> None: ...

    def submit(self, generation: Generation) -> Submission:
        if self.refuse is not None:
            raise self.refuse
        submission = Submission(generation)
        submission.progress.submitted_ns = submission.progress.scheduled_ns = time.perf_counter_ns()
        return submission

    async def stream(self, submission: Submission) -> AsyncIterator[Delta]:
        for at, character in enumerate(self.says):
            if at == self.fail_after and self.failure is not None:
                raise self.failure
            await asyncio.sleep(self.pause)
            now = time.perf_counter_ns()
            submission.progress.first_token_ns = submission.progress.first_token_ns or now
            submission.progress.last_token_ns = now
            yield Delta((ord(character),), "stop" if at == len(self.says) - 1 else None)

    def cancel(self, submission: Submission) -> None:
        self.cancelled.append(submission.generation.request_id)

    async def embed(self, sequences: list[list[int]]) -> list[list[float]]:
        return [[float(len(ids))] for ids in sequences]

    def stats(self) -> EngineStats:
        return EngineStats(0, 0, 0, 0, 0, True)

    def trace_steps(self, tracer: Tracer, every: int) -> None: ...

    async def close(self) -> None: ...

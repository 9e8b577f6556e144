"""One answer of a completion while it is generated: from the engine's tokens to text that may be sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from llmtrace_inference.engine.interface import (
    Delta,
    Engine,
    Progress,
    RequestTimeout,
    Submission,
    TokenLogprob,
)
from llmtrace_inference.protocol.tool_calls import ToolCall, ToolCallParser
from llmtrace_inference.telemetry.request_record import ChoiceRecord

from .events import TextDelta
from .stop_strings import StopMatcher


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a request has taken too long, in seconds of `time.monotonic()`, and how long that is."""

    at: float
    seconds: float


@dataclass(slots=True)
class Choice:
    """An answer as far as it is there; only its own methods change it."""

    index: int
    progress: Progress
    stops: StopMatcher | None = None
    tools: ToolCallParser | None = None
    output_tokens: int = 0
    text: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: str | None = None
    stop_reason: str | None = None
    recalled: str = ""
    """Why a content check withdrew it; "" where none did."""
    _detokenize_from_ns: int = 0
    _detokenize_to_ns: int = 0
    _detokenize_ns: int = 0

    async def generate(
        self, engine: Engine, submission: Submission, deadline: Deadline
    ) -> AsyncGenerator[TextDelta, None]:
        """Its deltas as the engine makes them. Raises EngineError; closing it early cancels."""
        decoder = engine.tokenizer.decoder()
        token_deltas = engine.stream(submission)
        try:
            while self.finish_reason is None:  # a content check that recalls the answer sets it
                try:
                    # Not wait_for: it would make a task for each token.
                    async with asyncio.timeout(max(deadline.at - time.monotonic(), 0.001)):
                        token_delta = await anext(token_deltas)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise RequestTimeout(f"the request took longer than {deadline.seconds:g} s") from None
                self._detokenize_from_ns = time.perf_counter_ns()
                delta = self._take(token_delta, decoder.feed(token_delta.token_ids))
                self._detokenize_to_ns = time.perf_counter_ns()
                self._detokenize_ns += self._detokenize_to_ns - self._detokenize_from_ns
                if delta is not None:
                    yield delta
        finally:
            engine.cancel(submission)

    def _take(self, token_delta: Delta, decoded: str) -> TextDelta | None:
        """What new tokens add, past stop strings and tool calls; None where that is nothing yet."""
        if self.recalled:
            return None
        self.output_tokens += len(token_delta.token_ids)
        text, stopped = decoded, False
        if self.stops is not None:
            text = self.stops.feed(decoded)
            stopped = self.stops.matched is not None
            if token_delta.finish is not None and not stopped:
                text += self.stops.flush()
        last = token_delta.finish is not None or stopped
        calls: list[ToolCall] = []
        if self.tools is not None:
            text, calls = self.tools.feed(text)
            if last:
                text += self.tools.flush()
        self.text += text
        self.tool_calls.extend(calls)
        logprobs = token_delta.logprobs[:-1] if token_delta.eos else token_delta.logprobs
        self.logprobs.extend(logprobs)
        if stopped:
            self.finish_reason, self.stop_reason = "stop", "stop_string"
        elif token_delta.finish is not None:
            self.finish_reason = token_delta.finish
            self.stop_reason = "eos" if token_delta.eos else "length"
        if self.finish_reason == "stop" and self.tool_calls:
            self.finish_reason = "tool_calls"
        if text or calls or logprobs or last:
            return TextDelta(self.index, text, tuple(calls), logprobs, self.finish_reason)
        return None

    def recall(self, refusal: str) -> TextDelta:
        """Withdraw it for a content check; the delta says so to the client."""
        self.recalled = refusal
        self.text = ""
        self.tool_calls.clear()
        self.logprobs.clear()
        self.finish_reason = self.stop_reason = "content_filter"
        return TextDelta(self.index, finish="content_filter", recall=refusal)

    def record(self, stop_reason: str | None) -> ChoiceRecord:
        """What was measured of it; `stop_reason`: why its request was ended, where it was."""
        cut_short = stop_reason is not None and (self.finish_reason is None or stop_reason == "error")
        return ChoiceRecord(
            self.progress,
            self.output_tokens,
            self.text,
            tuple(self.tool_calls),
            self.finish_reason,
            stop_reason if cut_short else self.stop_reason,
            self._detokenize_from_ns,
            self._detokenize_to_ns,
            self._detokenize_ns,
        )

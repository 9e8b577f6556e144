"""What was measured of one request, made once when it is over. No reading is computed from others."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from opentelemetry.trace import SpanContext

from llmtrace import semconv
from llmtrace_inference.engine.interface import ModelInfo, Progress
from llmtrace_inference.protocol.requests import ChatRequest, CompletionRequest, EmbeddingRequest
from llmtrace_inference.protocol.tool_calls import ToolCall

AttributeValue = str | bool | int | float | Sequence[str]
Attributes = dict[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class ChoiceRecord:
    """One answer of a request."""

    progress: Progress
    output_tokens: int = 0
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    stop_reason: str | None = None
    """Why generation ended: eos, length, stop_string, cancelled, content_filter, cache or error."""
    detokenize_from_ns: int = 0
    """When the last delta was taken up, and when its text was ready."""
    detokenize_to_ns: int = 0
    detokenize_ns: int = 0
    """Time spent on turning tokens to text, all deltas together."""


@dataclass(frozen=True, slots=True)
class BatchItem:
    """Where a request that no client sent comes from: a line of a batch."""

    batch_id: str
    custom_id: str
    span: SpanContext | None = None
    """The batch's span, which the request's own span links to."""

    @property
    def attributes(self) -> Attributes:
        """Attributes of the line's SERVER span."""
        return {
            semconv.INFERENCE_BATCH_ID: self.batch_id,
            semconv.INFERENCE_BATCH_CUSTOM_ID: self.custom_id,
            semconv.OPENAI_RESPONSE_SERVICE_TIER: "batch",
        }


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """A look-up in the answer cache. Times are perf_counter_ns; `result` None and an end of 0: cut short."""

    start_ns: int
    end_ns: int = 0
    result: Literal["exact", "semantic", "miss"] | None = None
    score: float = 0.0
    saved_tokens: int = 0
    """Tokens that did not have to be computed again."""

    @property
    def is_hit(self) -> bool:
        return self.result in ("exact", "semantic")

    @property
    def word(self) -> str:
        """What the answer's header says of it: hit, semantic or miss; empty where it was cut short."""
        return semconv.CACHE_HIT if self.result == "exact" else self.result or ""

    @property
    def attributes(self) -> Attributes:
        """Attributes of the SERVER span."""
        if self.result is None:
            return {}
        out: Attributes = {
            semconv.INFERENCE_CACHE_RESULT: self.result,
            semconv.CACHE_NAME: semconv.PROVIDER_LLMTRACE,
            semconv.CACHE_RESULT: self.word,
        }
        if self.is_hit:
            out[semconv.RESPONSE_CACHE_HIT] = True
            out[semconv.INFERENCE_CACHE_SCORE] = self.score
            out[semconv.INFERENCE_CACHE_SAVED_TOKENS] = self.saved_tokens
        return out


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """What is known of one request that is over. Times are perf_counter_ns; 0: not reached."""

    headers: Mapping[str, str]
    server: tuple[str, int] | None = None
    """Address and port that the request came in on."""
    operation: str = "chat"
    path: str = ""
    model: str = ""
    arrived_ns: int = field(default_factory=time.perf_counter_ns)
    arrived_wall_ns: int = field(default_factory=time.time_ns)
    request: ChatRequest | CompletionRequest | EmbeddingRequest | None = None
    response_id: str = ""
    max_tokens: int = 0
    info: ModelInfo | None = None
    cache: CacheLookup | None = None
    tokenize_from_ns: int = 0
    tokenize_to_ns: int = 0
    input_tokens: int | None = None
    cached_tokens: int = 0
    """Prompt tokens read from shared KV blocks: each prompt once, by the first of its choices."""
    choices: tuple[ChoiceRecord, ...] = ()
    further_phases: tuple[tuple[str, int, int], ...] = ()
    """Phases of other operations: name, start and end; an end of 0 is the request's."""
    status: int | None = None
    error_type: str | None = None
    error_message: str = ""
    links: tuple[SpanContext, ...] = ()
    """Spans beside the sampled steps' that the SERVER span links to."""
    extra: Attributes = field(default_factory=dict)
    """Further attributes of the SERVER span, from the parts that make them."""
    first_byte_ns: int = 0
    """When the body of a streamed answer began to go out."""
    ended_ns: int = 0

    @property
    def span_count(self) -> int:
        """About how many spans it leaves."""
        return 5 + sum(3 + len(choice.progress.prefill_chunks) for choice in self.choices)

    @property
    def is_cached(self) -> bool:
        """A stored answer was given in place of the engine's."""
        return self.cache is not None and self.cache.is_hit

    @property
    def output_tokens(self) -> int:
        return sum(choice.output_tokens for choice in self.choices)

    @property
    def is_complete(self) -> bool:
        """Every choice has ended by itself."""
        return bool(self.choices) and all(choice.finish_reason is not None for choice in self.choices)

    @property
    def first_token_seconds(self) -> float | None:
        """Arrival to the first token of any choice."""
        firsts = [c.progress.first_token_ns for c in self.choices if c.progress.first_token_ns]
        return (min(firsts) - self.arrived_ns) / 1e9 if firsts else None

    @property
    def last_token_seconds(self) -> float | None:
        """Arrival to the last token of all choices."""
        lasts = [c.progress.last_token_ns for c in self.choices if c.progress.last_token_ns]
        return (max(lasts) - self.arrived_ns) / 1e9 if lasts else None

    @property
    def first_byte_seconds(self) -> float | None:
        """Arrival to the first byte of the answer: a whole one goes out when the request is over."""
        if self.status != 200:  # what goes out is an error
            return None
        sent_ns = self.first_byte_ns or (0 if self.is_streamed else self.ended_ns)
        return (sent_ns - self.arrived_ns) / 1e9 if sent_ns else None

    @property
    def is_streamed(self) -> bool:
        """Its client asked for the answer bit by bit."""
        return self.request is not None and self.request.stream

    @property
    def output_token_seconds(self) -> float | None:
        """Mean time per token after the first, over all choices; None where no choice has two tokens."""
        spent, tokens = 0, 0
        for choice in self.choices:
            if choice.output_tokens > 1 and choice.progress.first_token_ns:
                spent += choice.progress.last_token_ns - choice.progress.first_token_ns
                tokens += choice.output_tokens - 1
        return spent / 1e9 / tokens if tokens else None

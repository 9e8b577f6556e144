"""What is measured of one request, filled in on its way; nothing here is computed from other readings."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from opentelemetry.trace import SpanContext

from llmtrace.semconv import INFERENCE
from llmtrace_inference.engine.interface import ModelInfo, Progress, TokenLogprob
from llmtrace_inference.protocol.requests import ChatRequest, CompletionRequest
from llmtrace_inference.protocol.tool_calls import ToolCall

AttributeValue = str | bool | int | float | Sequence[str]
Attributes = dict[str, AttributeValue]


@dataclass(slots=True)
class ChoiceRecord:
    """One answer of a request."""

    progress: Progress
    output_tokens: int = 0
    text: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: str | None = None
    stop_reason: str | None = None
    """Why generation ended: eos, length, stop_string, cancelled, content_filter, cache or error."""
    recalled: str = ""
    """Why a content check withdrew it; "" where none did."""
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
            INFERENCE + "batch.id": self.batch_id,
            INFERENCE + "batch.custom_id": self.custom_id,
            "openai.response.service_tier": "batch",
        }


@dataclass(slots=True)
class RequestRecord:
    """What is known of one request, filled in on its way. Times are perf_counter_ns; 0: not reached."""

    headers: Mapping[str, str]
    server: tuple[str, int] | None = None
    """Address and port that the request came in on."""
    operation: str = "chat"
    path: str = ""
    model: str = ""
    arrived_ns: int = field(default_factory=time.perf_counter_ns)
    arrived_wall_ns: int = field(default_factory=time.time_ns)
    request: ChatRequest | CompletionRequest | None = None
    response_id: str = ""
    max_tokens: int = 0
    info: ModelInfo | None = None
    cache_from_ns: int = 0
    cache_to_ns: int = 0
    cache_hit: bool = False
    tokenize_from_ns: int = 0
    tokenize_to_ns: int = 0
    input_tokens: int | None = None
    choices: list[ChoiceRecord] = field(default_factory=list)
    further_phases: list[tuple[str, int, int]] = field(default_factory=list)
    """Phases of other operations: name, start and end; an end of 0 is the request's."""
    status: int | None = None
    error_type: str | None = None
    error_message: str = ""
    links: list[SpanContext] = field(default_factory=list)
    """Spans beside the sampled steps' that the SERVER span links to."""
    extra: Attributes = field(default_factory=dict)
    """Further attributes of the SERVER span, from the parts that make them."""
    ended_ns: int = 0

    @property
    def span_count(self) -> int:
        """About how many spans it leaves."""
        return 5 + sum(3 + len(choice.progress.prefill_chunks) for choice in self.choices)

    @property
    def output_tokens(self) -> int:
        return sum(choice.output_tokens for choice in self.choices)

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens read from shared KV blocks: each prompt once, by the first of its choices."""
        per_prompt = self.request.choices if self.request is not None else 1
        return sum(choice.progress.cached_tokens for choice in self.choices[::per_prompt])

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
    def output_token_seconds(self) -> float | None:
        """Mean time per token after the first, over all choices; None where no choice has two tokens."""
        spent, tokens = 0, 0
        for choice in self.choices:
            if choice.output_tokens > 1 and choice.progress.first_token_ns:
                spent += choice.progress.last_token_ns - choice.progress.first_token_ns
                tokens += choice.output_tokens - 1
        return spent / 1e9 / tokens if tokens else None

    def set_stop_reason(self, reason: str) -> None:
        """Note why choices that have not ended by themselves were ended."""
        for choice in self.choices:
            if choice.finish_reason is None or reason == "error":
                choice.stop_reason = reason

"""What an engine is: the interface between HTTP and the thing that generates tokens, and its errors.

The HTTP layer knows only this module; `local/continuous_batching.py` implements it with transformers'
continuous batching.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from opentelemetry.trace import SpanContext, Tracer

from .circuit_breaker import State

FinishReason = Literal["stop", "length"]


class EngineError(Exception):
    """A request the engine did not finish, with its HTTP status and OpenAI error code."""

    status = 500
    code = "engine_error"
    retry_after_seconds: int | None = None


class RequestTooLarge(EngineError):
    """Prompt and max_tokens can never fit the model's context or the KV cache."""

    status = 400
    code = "context_length_exceeded"


class EngineFull(EngineError):
    """As many requests as allowed are waiting already."""

    status = 503
    code = "engine_full"
    retry_after_seconds = 1


class EngineUnavailable(EngineError):
    """The engine is loading, being rebuilt after a fault, or closed."""

    status = 503
    code = "engine_unavailable"
    retry_after_seconds = 2


class CircuitOpen(EngineError):
    """The engine failed several times in a row, and is left alone for a while."""

    status = 503
    code = "circuit_open"

    def __init__(self, message: str, seconds_left: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = int(seconds_left) + 1


class QueueTimeout(EngineError):
    """The request waited too long to be scheduled."""

    status = 503
    code = "queue_timeout"
    retry_after_seconds = 5


class RequestTimeout(EngineError):
    """The request took longer than the service allows."""

    status = 504
    code = "request_timeout"


class ConstraintFailed(EngineError):
    """The grammar of a constrained answer came to a state that allows no token."""

    code = "constraint_failed"


class Matcher(Protocol):
    """A grammar's state along one answer (llguidance's LLMatcher). It never raises, it turns to an error."""

    def consume_token(self, token: int, /) -> bool: ...
    def compute_bitmask(self) -> bytes:
        """One bit per token of the vocabulary, lowest bit first: which may come next."""
        ...

    def is_error(self) -> bool: ...
    def get_error(self) -> str: ...
    def deep_copy(self) -> Matcher: ...


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token's natural log-probability under the model, and the likeliest tokens in its place.

    Taken from the model's own distribution: before temperature, penalties and constraints.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Facts of a loaded model, for limits and for spans."""

    name: str
    engine: str
    dtype: str
    device: str
    attention: str
    parameters: int
    vocab_size: int
    context_length: int
    """Most tokens, prompt and answer together, that one request may have."""
    version: str = ""
    """The model's own version, or the name of its directory."""
    weights_hash: str = ""
    """`sha256:` and the first 16 hexadecimal digits of the hash of the weight files."""
    quantisation: str = "none"


@dataclass(frozen=True, slots=True)
class Generation:
    """One request to an engine, already valid in itself; only its size is judged at submit.

    `temperature` 0 (and next to 0) means greedy. `top_k` None means the whole vocabulary. With `every_token`
    the engine delivers each token as it comes (streams, stop strings), else all at the end. With `ignore_eos`
    the answer always has `max_tokens` tokens.
    """

    request_id: str
    prompt_ids: tuple[int, ...]
    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None
    seed: int | None = None
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logprobs: int | None = None
    """Alternatives to report with each token's log-probability; None: report nothing."""
    matcher: Matcher | None = None
    """The grammar that the answer keeps to. It belongs to this request alone."""
    every_token: bool = True
    ignore_eos: bool = False
    priority: int = 0
    """Lower goes first among those that wait."""

    @property
    def total_tokens(self) -> int:
        """The most tokens it may come to: prompt and `max_tokens`."""
        return len(self.prompt_ids) + self.max_tokens


@dataclass(slots=True)
class Chunk:
    """One forward pass that took in a part of a prompt. Times are `time.perf_counter_ns()`."""

    start_ns: int
    tokens: int
    batch_size: int
    end_ns: int = 0


@dataclass(slots=True)
class Progress:
    """One request's measurements. Times are `time.perf_counter_ns()`; 0 means "has not happened".

    Written by the engine's thread with plain assignments, read after the request is over.
    """

    submitted_ns: int = 0
    scheduled_ns: int = 0
    first_token_ns: int = 0
    last_token_ns: int = 0
    token_seconds: list[float] = field(default_factory=list)
    """When each token came, in seconds of `time.perf_counter()`; empty where the engine does not say."""
    queue_depth: int = 0
    """Requests that waited ahead of this one when it arrived."""
    steps: int = 0
    sampled_steps: list[SpanContext] = field(default_factory=list)
    """Spans of the sampled engine steps that this request was in."""
    share_ns: int = 0
    """The request's share of the engine's time: each of its steps divided by the step's batch size."""
    batch_size_sum: int = 0
    batch_size_max: int = 0
    prefill_chunks: list[Chunk] = field(default_factory=list)
    prefilled: bool = False
    cached_tokens: int = 0
    kv_blocks_request: int = 0
    kv_blocks_used_max: int = 0
    kv_blocks_total: int = 0
    preemptions: int = 0

    @property
    def batch_size_mean(self) -> float:
        """Mean number of requests in this request's forward passes."""
        return self.batch_size_sum / self.steps if self.steps else 0.0


@dataclass(frozen=True, slots=True)
class Delta:
    """New tokens of one request; `finish` is set on the last one. The end-of-sequence token is included."""

    token_ids: tuple[int, ...]
    finish: FinishReason | None = None
    eos: bool = False
    logprobs: tuple[TokenLogprob, ...] = ()
    """One per token where the request asked for them."""

    def joined(self, following: Delta) -> Delta:
        """This delta and the next one as one."""
        return Delta(
            self.token_ids + following.token_ids,
            following.finish,
            following.eos,
            self.logprobs + following.logprobs,
        )


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A reading of the engine's load."""

    running: int
    waiting: int
    kv_blocks_used: int
    kv_blocks_total: int
    restarts: int
    healthy: bool
    waiting_tokens: int = 0
    circuit: State = "closed"


@dataclass(slots=True)
class Submission:
    """An accepted request: what was asked and how far it is. Engines subclass it for their own state."""

    generation: Generation
    progress: Progress = field(default_factory=Progress)


class Tokenizer(Protocol):
    """Text in, token ids out, and back again."""

    @property
    def speaks_tools(self) -> bool:
        """The chat template takes tools, and asks for calls in a form that can be parsed."""
        ...

    @property
    def longest_token(self) -> int:
        """Most bytes, and so most characters, that one token of the vocabulary stands for."""
        ...

    def encode_chat(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None
    ) -> list[int]:
        """Render the chat template and tokenise it. ValueError where the template refuses."""
        ...

    def encode(self, text: str) -> list[int]:
        """Tokenise plain text as it is, without a template."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """What one token stands for; maybe a part of a character."""
        ...

    def knows_grammar(self, grammar: str) -> bool:
        """This grammar is known to compile, or not to, within bounds."""
        ...

    def matcher(self, grammar: str) -> Matcher:
        """Compile a grammar of `output_grammar`. ValueError if invalid, RuntimeError without llguidance."""
        ...

    def decoder(self) -> TokenDecoder:
        """A fresh incremental decoder."""
        ...


class TokenDecoder(Protocol):
    """Turns one answer's tokens to text as they come."""

    def feed(self, token_ids: tuple[int, ...]) -> str:
        """The text these tokens complete; "" while a character is still incomplete."""
        ...


class Engine(Protocol):
    """Generates tokens for one model. All methods are called from the event loop's thread."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    async def start(self) -> None:
        """Make the engine ready to take requests."""
        ...

    def submit(self, generation: Generation) -> Submission:
        """Accept a request or raise RequestTooLarge, EngineFull or EngineUnavailable. Never blocks."""
        ...

    def stream(self, submission: Submission) -> AsyncIterator[Delta]:
        """Deltas until the finish. Raises QueueTimeout or EngineUnavailable. Closing it early cancels."""
        ...

    def cancel(self, submission: Submission) -> None:
        """Stop working on a request; harmless when it is over already."""
        ...

    async def embed(self, sequences: list[list[int]]) -> list[list[float]]:
        """One vector of length 1 per sequence of token ids. EngineUnavailable while not ready."""
        ...

    def stats(self) -> EngineStats: ...

    def trace_steps(self, tracer: Tracer, every: int) -> None:
        """From now on make a span of every `every`-th forward pass, for its requests to link to."""
        ...

    async def close(self) -> None:
        """Stop within two seconds; requests in flight get EngineUnavailable."""
        ...

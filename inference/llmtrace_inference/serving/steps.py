"""What a request begins with: where it comes from, and the steps it goes through."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Generic, Literal, TypeVar

from llmtrace_inference.access.auth import Caller
from llmtrace_inference.engine.interface import Engine
from llmtrace_inference.protocol.requests import ChatRequest, CompletionRequest, EmbeddingRequest
from llmtrace_inference.telemetry.request_record import Attributes, BatchItem, RequestRecord

from .answer_cache import CacheHit, CacheKey, StoredAnswer
from .answers.answer import EngineAnswer
from .content_checks import CheckStep

Operation = Literal["chat", "text_completion", "embeddings"]
OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        "/v1/chat/completions": "chat",
        "/v1/completions": "text_completion",
        "/v1/embeddings": "embeddings",
    }
)
"""What each path that models answer does."""
Body = TypeVar("Body", bound=ChatRequest | CompletionRequest | EmbeddingRequest)


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of a request before its body is read. Times are perf_counter_ns and time_ns."""

    operation: Operation
    path: str
    caller: Caller
    headers: Mapping[str, str] = field(default_factory=dict)
    server: tuple[str, int] | None = None
    """Address and port that it came in on."""
    batch_item: BatchItem | None = None
    arrived_ns: int = field(default_factory=time.perf_counter_ns)
    arrived_wall_ns: int = field(default_factory=time.time_ns)


@dataclass(frozen=True, slots=True)
class Steps(Generic[Body]):
    """What a request goes through; each step returns what it found. None: it is left out."""

    validate: Callable[[bytes], Body]
    """Raises pydantic's ValidationError."""
    refuse_user: Callable[[str | None], None]
    """Raises ApiError for a user who is blocked."""
    engine_of: Callable[[str], Engine]
    """The engine of a model. Raises ApiError where there is none."""
    answer: Callable[[Body, Engine, str, int], EngineAnswer]
    """(body, engine, the response's id, the caller's priority) → the answer that the engine is to make."""
    finished: Callable[[RequestRecord], None]
    """Gets the record, once, however the request ends."""
    check_prompt: CheckStep | None = None
    check_answer: CheckStep | None = None
    lookup: Callable[[CacheKey], Awaitable[CacheHit | None]] | None = None
    store: Callable[[CacheKey, StoredAnswer], None] | None = None
    gpu: Callable[[int, int, float], Attributes] | None = None
    """(start, end, seconds of the engine) → attributes of the GPU in that time."""

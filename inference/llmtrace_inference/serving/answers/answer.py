"""What an answer is while it is made, whoever makes it: the engine, from prompts or texts, or the cache."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from llmtrace_inference.access.quotas import QuotaReservation
from llmtrace_inference.telemetry.request_record import Attributes, ChoiceRecord

from .choice import Choice
from .events import Event, TextDelta


@dataclass(frozen=True, slots=True)
class Measured:
    """What an answer came to. Times are perf_counter_ns; 0: not reached."""

    used_tokens: int = 0
    """Tokens that were computed, of those that are reserved."""
    input_tokens: int | None = None
    max_tokens: int = 0
    cached_tokens: int = 0
    tokenize_from_ns: int = 0
    tokenize_to_ns: int = 0
    choices: tuple[ChoiceRecord, ...] = ()
    further_phases: tuple[tuple[str, int, int], ...] = ()
    attributes: Attributes = field(default_factory=dict)


class ModelAnswer(ABC):
    """One request's answer. `choices` are as far as they are there, and empty where there is no text."""

    choices: Sequence[Choice] = ()
    input_tokens: int | None = None

    @abstractmethod
    def events(self) -> AsyncGenerator[Event, None]:
        """It, as it comes. Raises EngineError."""

    @property
    def is_complete(self) -> bool:
        """All of it is there."""
        return bool(self.choices) and all(choice.finish_reason is not None for choice in self.choices)

    @property
    def output_tokens(self) -> int:
        return sum(choice.output_tokens for choice in self.choices)

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens read from shared KV blocks."""
        return 0

    def recall(self, index: int, refusal: str) -> TextDelta:
        """Withdraw a choice for a content check, and work no more on it."""
        return self.choices[index].recall(refusal)

    @abstractmethod
    def close(self, stop_reason: str | None) -> Measured:
        """Let go of the engine; harmless when all is there. `stop_reason`: why it was ended before."""


class EngineAnswer(ModelAnswer):
    """An answer that the engine makes."""

    @abstractmethod
    async def submit(self, reservation: QuotaReservation) -> None:
        """Hand the work to the engine, once it is reserved. Raises ApiError and EngineError."""

"""Caches of whole answers: exactly the same request, or one that means nearly the same. Both are opt-in.

Entries belong to the caller that made them: no key ever sees another key's answers. One event loop's thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np

from llmtrace_inference.engine.interface import ModelInfo, Progress, TokenLogprob
from llmtrace_inference.protocol.requests import ChatRequest, CompletionRequest
from llmtrace_inference.protocol.tool_calls import ToolCall
from llmtrace_inference.settings import InferenceSettings

from .answers.answer import Measured, ModelAnswer
from .answers.choice import Choice
from .answers.events import TextDelta
from .callables import load_callable

Embed = Callable[[str], Sequence[float]]
Eviction = Literal["lru", "lfu", "fifo"]
Vector = np.ndarray[tuple[int], np.dtype[np.float32]]

_UNIMPORTANT = {"stream", "stream_options", "user", "safety_identifier", "metadata", "priority", "store"}
"""Fields that do not change the answer."""
_DIMENSIONS = 512


@dataclass(frozen=True, slots=True)
class StoredChoice:
    """One answer as it was."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    logprobs: tuple[TokenLogprob, ...]
    finish_reason: str
    output_tokens: int


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A request's answers."""

    input_tokens: int
    choices: tuple[StoredChoice, ...]

    @property
    def tokens(self) -> int:
        """Tokens that need not be computed again."""
        return self.input_tokens + sum(choice.output_tokens for choice in self.choices)


@dataclass(frozen=True, slots=True)
class CacheHit:
    """An answer found; `score` is 1 for exactly the same request, else the cosine similarity."""

    answer: StoredAnswer
    kind: Literal["exact", "semantic"]
    score: float


@dataclass(slots=True)
class _Entry:
    answer: StoredAnswer
    expires: float
    vector: Vector | None
    context: str
    uses: int = 0


@dataclass(slots=True)
class CacheKey:
    """A request as the caches see it."""

    digest: str
    context: str
    """Everything but the last user message; "" where only an exact match will do."""
    text: str
    vector: Vector | None = field(default=None, repr=False)


class AnswerCache:
    """Bounded by entries and by age. `embed` None: exact matches only."""

    def __init__(
        self,
        *,
        entries: int,
        ttl_seconds: float,
        eviction: Eviction,
        threshold: float,
        embed: Embed | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = entries
        self._ttl = ttl_seconds
        self._eviction = eviction
        self._threshold = threshold
        self._embed = embed
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def find(self, key: CacheKey) -> CacheHit | None:
        """The answer to this request, or to one that is similar enough. Notes its embedding for `put`."""
        self._drop_expired()
        entry = self._entries.get(key.digest)
        if entry is not None:
            return self._hit(key.digest, entry, "exact", 1.0)
        if self._embed is None or not key.context:
            return None
        embedding = await asyncio.to_thread(self._embed, key.text)
        key.vector = _unit(np.asarray(embedding, dtype=np.float32))
        candidates = [
            (float(entry.vector @ key.vector), digest)
            for digest, entry in self._entries.items()
            if entry.vector is not None
            and entry.context == key.context
            and entry.vector.shape == key.vector.shape
        ]
        if not candidates:
            return None
        score, digest = max(candidates)
        if score < self._threshold:
            return None
        return self._hit(digest, self._entries[digest], "semantic", score)

    def put(self, key: CacheKey, answer: StoredAnswer) -> None:
        """Keep an answer; what the eviction rule picks makes room for it."""
        self._entries.pop(key.digest, None)
        while len(self._entries) >= self._limit:
            # LRU and FIFO both take the first: a hit moves an entry to the end under LRU only.
            digest = next(iter(self._entries))
            if self._eviction == "lfu":
                digest = min(self._entries, key=lambda d: self._entries[d].uses)
            del self._entries[digest]
        self._entries[key.digest] = _Entry(answer, self._clock() + self._ttl, key.vector, key.context)

    def _hit(self, digest: str, entry: _Entry, kind: Literal["exact", "semantic"], score: float) -> CacheHit:
        entry.uses += 1
        if self._eviction == "lru":
            self._entries.move_to_end(digest)
        return CacheHit(entry.answer, kind, score)

    def _drop_expired(self) -> None:
        now = self._clock()
        for digest in [digest for digest, entry in self._entries.items() if entry.expires <= now]:
            del self._entries[digest]


def cache_key_of(request: ChatRequest | CompletionRequest, caller: str, info: ModelInfo) -> CacheKey:
    """What identifies a request: model and version, caller, parameters and messages."""
    body = request.model_dump(mode="json", exclude=_UNIMPORTANT, exclude_none=True, by_alias=True)
    scope = [caller, info.name, info.version, info.weights_hash, type(request).__name__]
    context, text = "", ""
    if isinstance(request, ChatRequest) and request.messages[-1].role == "user":
        text = request.messages[-1].text
        rest = {**body, "messages": body["messages"][:-1]}
        context = _digest([*scope, rest])
    return CacheKey(_digest([*scope, body]), context, text)


def answer_of(input_tokens: int, choices: Sequence[Choice]) -> StoredAnswer | None:
    """What a request leaves for others; None where an answer is not whole."""
    stored = [
        StoredChoice(
            choice.text,
            tuple(choice.tool_calls),
            tuple(choice.logprobs),
            choice.finish_reason,
            choice.output_tokens,
        )
        for choice in choices
        if choice.finish_reason in ("stop", "length", "tool_calls")
    ]
    return StoredAnswer(input_tokens, tuple(stored)) if stored and len(stored) == len(choices) else None


class ReplayedAnswer(ModelAnswer):
    """A stored answer in place of the engine's."""

    def __init__(self, stored: StoredAnswer) -> None:
        self.input_tokens = stored.input_tokens
        self.choices = [
            Choice(
                index,
                Progress(),
                output_tokens=choice.output_tokens,
                text=choice.text,
                tool_calls=list(choice.tool_calls),
                logprobs=list(choice.logprobs),
                finish_reason=choice.finish_reason,
                stop_reason="cache",
            )
            for index, choice in enumerate(stored.choices)
        ]
        self._stored = stored

    async def events(self) -> AsyncGenerator[TextDelta, None]:
        for index, choice in enumerate(self._stored.choices):
            yield TextDelta(index, choice.text, choice.tool_calls, choice.logprobs, choice.finish_reason)

    def close(self, stop_reason: str | None) -> Measured:
        records = tuple(choice.record(stop_reason) for choice in self.choices)
        return Measured(input_tokens=self.input_tokens, choices=records)


def embed_by_character_ngrams(text: str) -> list[float]:
    """The embedding where none is set: hashed character trigrams. Sees spelling, not meaning."""
    vector = np.zeros(_DIMENSIONS, dtype=np.float32)
    padded = f"  {' '.join(text.lower().split())}  "
    for at in range(len(padded) - 2):
        number = int.from_bytes(hashlib.blake2s(padded[at : at + 3].encode(), digest_size=4).digest())
        vector[number % _DIMENSIONS] += 1 if number & 0x8000_0000 else -1
    return [float(value) for value in vector]


def open_cache(settings: InferenceSettings) -> AnswerCache | None:
    """The cache that the settings ask for; None: off. RuntimeError for an embedder that cannot be loaded."""
    if settings.response_cache == "off":
        return None
    embed: Embed | None = None
    if settings.response_cache == "semantic":
        embed = embed_by_character_ngrams
        if settings.semantic_embedder is not None:
            embed = cast(Embed, load_callable(settings.semantic_embedder, "semantic_embedder"))
    return AnswerCache(
        entries=settings.cache_entries,
        ttl_seconds=settings.cache_ttl_seconds,
        eviction=settings.cache_eviction,
        threshold=settings.semantic_threshold,
        embed=embed,
    )


def _unit(vector: Vector) -> Vector:
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

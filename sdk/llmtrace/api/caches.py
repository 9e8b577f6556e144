"""Caches of the application's own: what was looked up, what was answered from them, and what that saved.

A hit is a record at $0 with what it stands for; a look-up and what is stored afterwards are steps of their
own. What a hit saved is told here where it is known, else the collector has it from the calls that the entry
was made of.
"""

from __future__ import annotations

import hashlib
from types import TracebackType
from typing import Any, Final, Self

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from llmtrace import clock, semconv
from llmtrace.internal_errors import swallow
from llmtrace.spans import cache_fills, context_attributes, retries

from . import lifecycle
from .span import SpanBlock
from .span_shapes import SpanShape

_LOOKING: Final = swallow("recording a look-up in a cache")
_HIT: Final = swallow("recording an answer out of a cache")
_STORING: Final = swallow("recording what a cache keeps")


class cache_lookup:  # read as a noun: `with llmtrace.cache_lookup("answers", question) as lookup`
    """Record a look-up in a cache of answers; a hit where its `hit` is called, else a miss.

        with llmtrace.cache_lookup("answers", question) as lookup:
            answer = cache.get(question)
            if answer is not None:
                lookup.hit(model="gpt-4o-mini", input_tokens=812, output_tokens=96, seconds=1.9)
        if answer is None:
            answer = ask(question)
            cache.set(question, answer)
            llmtrace.cache_store("answers", question)

    Embeddings that are made within count as the cache's cost. LLM calls between a miss and the `cache_store`
    of the same key, in this context, are what later hits save. Entering and leaving never raise.

    cache: its name in reports. key: what the answer is kept under; it is sent as a digest alone.
    """

    def __init__(self, cache: str, key: object = None) -> None:
        self._cache = str(cache)
        self._key = key
        self._is_hit = False
        self._started_at: int | None = None
        self._block: SpanBlock | None = None

    def __enter__(self) -> Self:
        with _LOOKING:
            self._is_hit = False
            attributes = {semconv.CACHE_NAME: self._cache, semconv.CACHE_STEP: semconv.CACHE_LOOKUP}
            inherited = {semconv.CACHE_NAME: self._cache}
            shape = SpanShape(f"cache_lookup {self._cache}", attributes=attributes, inherited=inherited)
            self._started_at = clock.time_ns()
            block = SpanBlock(shape)
            block.__enter__()
            self._block = block
        return self

    def hit(self, **saved: Any) -> None:
        """It had an answer; the arguments are those of `cache_hit`. `key` where another entry answered."""
        self._is_hit = True
        with _HIT:
            _record_hit(self._cache, start=self._started_at, **{"key": self._key, **saved})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        block, self._block = self._block, None
        if block is not None:
            block.__exit__(kind, error, trace)
        with _LOOKING:
            if not self._is_hit and error is None and lifecycle.current() is not None:
                cache_fills.begin(self._cache, _digest(self._cache, self._key))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def cache_hit(
    cache: str,
    key: object = None,
    *,
    model: str | None = None,
    provider: str | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    seconds: float | None = None,
    calls: int | None = None,
    semantic: bool = False,
    score: float | None = None,
    operation: str = "chat",
) -> None:
    """Record that a cache answered and no model was asked: a call that costs nothing. Never raises.

    Without the look-up around it (`cache_lookup`) there is no hit rate. What is not given is taken from the
    calls that the entry was made of (`cache_store` with the same key); else it stays unknown.

    cache: its name in reports. key: what the answer is kept under.
    model, provider, input_tokens, output_tokens: whose answer it is, and what it took to make it.
    seconds, calls: how long that took, and in how many calls.
    semantic, score: an answer to another request that means nearly the same, and how near it is.
    """
    with _HIT:
        _record_hit(
            str(cache),
            key=key,
            model=model,
            provider=provider,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            seconds=seconds,
            calls=calls,
            semantic=semantic,
            score=score,
            operation=operation,
        )


def cache_store(cache: str, key: object = None) -> None:
    """Record that an answer was put into a cache, and by which calls it was made: those since the look-up of
    this key missed in this context, else the last one. Never raises."""
    with _STORING:
        runtime = lifecycle.current()
        if runtime is None:
            return
        name = str(cache)
        entry = _digest(name, key)
        sources = cache_fills.end(name, entry)
        last = retries.last.get()
        if not sources and last is not None:
            sources = [f"{last.context.span_id:016x}"]
        attributes: dict[str, AttributeValue] = {
            semconv.CACHE_NAME: name,
            semconv.CACHE_STEP: semconv.CACHE_STORE,
        }
        if entry:
            attributes[semconv.CACHE_ENTRY] = entry
        if sources:
            attributes[semconv.CACHE_SOURCES] = sources
        here = context_attributes.here()
        runtime.tracer.start_span(f"cache_store {name}", here, attributes=attributes).end()


def _record_hit(
    cache: str,
    *,
    start: int | None = None,
    key: object = None,
    model: object = None,
    provider: object = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    seconds: float | None = None,
    calls: int | None = None,
    semantic: bool = False,
    score: float | None = None,
    operation: str = "chat",
) -> None:
    runtime = lifecycle.current()
    if runtime is None:
        return
    optional: dict[str, AttributeValue | None] = {
        semconv.PROVIDER_NAME: None if provider is None else str(provider),
        semconv.REQUEST_MODEL: None if model is None else str(model),
        semconv.USAGE_INPUT_TOKENS: None if input_tokens is None else int(input_tokens),
        semconv.USAGE_OUTPUT_TOKENS: None if output_tokens is None else int(output_tokens),
        semconv.CACHE_ENTRY: _digest(cache, key) or None,
        semconv.CACHE_SAVED_SECONDS: None if seconds is None else float(seconds),
        semconv.CACHE_SAVED_CALLS: None if calls is None else int(calls),
        semconv.CACHE_SCORE: None if score is None else float(score),
    }
    attributes: dict[str, AttributeValue] = {
        semconv.OPERATION_NAME: operation,
        semconv.RESPONSE_CACHE_HIT: True,
        semconv.CACHE_NAME: cache,
        semconv.CACHE_RESULT: semconv.CACHE_SEMANTIC if semantic else semconv.CACHE_HIT,
        **{name: value for name, value in optional.items() if value is not None},
    }
    name = f"{operation} {model}" if model is not None else operation
    runtime.tracer.start_span(
        name, context_attributes.here(), kind=SpanKind.CLIENT, attributes=attributes, start_time=start
    ).end()


def _digest(cache: str, key: object) -> str:
    """16 hexadecimal digits that stand for an entry; nothing for no key."""
    if key is None:
        return ""
    text = key if isinstance(key, str) else repr(key)
    return hashlib.blake2b(f"{cache}\0{text}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

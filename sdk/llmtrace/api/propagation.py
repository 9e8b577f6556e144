"""Contexts that go to another process: with a function, or as texts for a message's headers."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, ParamSpec, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.internal_errors import swallow
from llmtrace.spans import capture_level, context_attributes, generator_blocks
from llmtrace.spans.thread_context import OpenBlock

P = ParamSpec("P")
R = TypeVar("R")

_INJECTING: Final = swallow("writing a context into a carrier")
_EXTRACTING: Final = swallow("reading a context from a carrier")
_ATTRIBUTES: Final = "llmtrace-context"
_CAPTURE: Final = "capture"
_TRACE: Final = TraceContextTextMapPropagator()
CARRIER_KEYS: Final = ("traceparent", "tracestate", _ATTRIBUTES)
"""What `inject` may write."""
#: A message may come from anybody: nothing else is taken from it.
_TEXTS: Final = frozenset(
    {
        semconv.USER_ID,
        semconv.SESSION_ID,
        semconv.EXPERIMENT,
        semconv.RUN,
        semconv.PROMPT_NAME,
        semconv.PROMPT_VERSION,
        semconv.AGENT_NAME,
    }
)


def inject() -> dict[str, str]:
    """The trace, user, session, tags and the rest of `llmtrace.context` as texts, for a message's headers.

    `traceparent` is as W3C has it, the others are JSON under `llmtrace-context`. Empty where there is nothing
    to say. Never raises. `extract` reads it on the other side.
    """
    with _INJECTING:
        return _carrier(context_attributes.here())
    return {}


class extract(context_attributes.context):  # read as a verb: `with llmtrace.extract(headers)`
    """Put what happens within the block, on this task or thread, where `inject` was called.

    Works with `with` and `async with`. Spans within lie in that trace, below the span that was active there;
    below the active one here, where that is in the same trace. What cannot be read is left out, and an empty
    carrier changes nothing. Entering and leaving never raise.

    carrier: what `inject` gave, or a mapping that has it among others; None is an empty one.
    """

    def __init__(self, carrier: Mapping[str, Any] | None) -> None:
        self._carrier: Mapping[str, str] = {}
        values: Mapping[str, Any] = {}
        with _EXTRACTING:
            self._carrier = {key: value for key, value in (carrier or {}).items() if isinstance(value, str)}
            values = _decoded(self._carrier.get(_ATTRIBUTES))
        tags = values.get(semconv.TAGS)
        super().__init__(
            tags=[tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else None,
            purpose=values.get(semconv.PURPOSE),
            capture=capture_level.chosen(values.get(_CAPTURE), "llmtrace.extract"),
        )
        self._attributes.update(
            {key: value for key, value in values.items() if key in _TEXTS and isinstance(value, str)}
        )

    def applied(self, base: Context, block: OpenBlock) -> Context:
        context = context_attributes.settled(base)
        active = trace.get_current_span(context).get_span_context()
        extracted = _TRACE.extract(self._carrier, context)
        sent = trace.get_current_span(extracted).get_span_context()
        is_below = active.is_valid and active.trace_id == sent.trace_id
        return super().applied(context if is_below else extracted, block)


def propagate(function: Callable[P, R]) -> Callable[P, R]:
    """The function, to be run in the present trace, with the present user, session and tags, anywhere.

        with ProcessPoolExecutor() as pool:
            results = list(pool.map(llmtrace.propagate(summarise), texts))

    What it returns can be pickled where the function can, so it passes through process pools and queues of
    other processes (which call `llmtrace.init` themselves, unless they are forked); and in this process it
    keeps its context for good, also on a thread whose span has ended. Works for coroutine functions.
    """
    context = Context()
    with _INJECTING:
        context = generator_blocks.taken_over(context_attributes.here())
    return cast(
        "Callable[P, R]", _PropagatedFunction(function, functools.partial(_attached, context), context)
    )


class _PropagatedFunction:
    """A function and the context to call it in."""

    def __init__(
        self,
        function: Callable[..., Any],
        block: Callable[[], AbstractContextManager[object]],
        carrier: Context | Mapping[str, str],
    ) -> None:
        """carrier: the context that `block` attaches, or what was made of it."""
        functools.update_wrapper(self, function, updated=())
        self._function = function
        self._block = block
        self._carrier = carrier

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._block():
            result = self._function(*args, **kwargs)
        return self._awaited(result) if inspect.iscoroutine(result) else result

    async def _awaited(self, result: Awaitable[Any]) -> Any:
        with self._block():
            return await result

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        carrier = self._carrier
        # Pools pickle on a thread of theirs, long after.
        return _unpickled, (self._function, _carrier(carrier) if isinstance(carrier, Context) else carrier)


def _unpickled(function: Callable[..., Any], carrier: Mapping[str, str]) -> _PropagatedFunction:
    return _PropagatedFunction(function, functools.partial(extract, carrier), carrier)


@contextmanager
def _attached(context: Context) -> Iterator[None]:
    token = otel_context.attach(context)
    try:
        yield
    finally:
        otel_context.detach(token)


def _carrier(context: Context) -> dict[str, str]:
    context = context_attributes.settled(context)
    carrier: dict[str, str] = {}
    _TRACE.inject(carrier, context)
    known = _TEXTS | {semconv.TAGS, semconv.PURPOSE}
    values: dict[str, AttributeValue] = {
        key: value for key, value in context_attributes.attributes(context).items() if key in known
    }
    capture = context_attributes.capture_of(context)
    if capture is not None:
        values[_CAPTURE] = capture
    if values:
        carrier[_ATTRIBUTES] = json.dumps(values)
    return carrier


def _decoded(text: str | None) -> Mapping[str, Any]:
    values = json.loads(text) if text else {}
    return values if isinstance(values, dict) else {}

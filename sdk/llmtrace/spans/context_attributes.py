"""Who and what a span belongs to: user, session, tags, experiment, run, prompt, purpose.

The values travel in the OpenTelemetry context, so they follow whatever carries it (tasks, copied contexts,
an explicit `context=`), and the span processor writes them on every span started within.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Token
from types import TracebackType
from typing import Final, Self, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.util.types import AttributeValue

from llmtrace import internal_errors, semconv
from llmtrace.internal_errors import swallow

from . import capture_level
from .capture_level import Capture

_KEY: Final = otel_context.create_key("llmtrace-attributes")
_CAPTURE: Final = otel_context.create_key("llmtrace-capture")
_ENTERING: Final = swallow("entering a context")
_NONE: Final[Mapping[str, AttributeValue]] = {}


class context:  # read as a verb: `with llmtrace.context(...)`
    """Put attributes on every span started within the block, on this task or thread.

    Works with `with` and `async with`. Nested blocks merge: inner values win, tags add up. A value of None
    leaves the outer one. Values are converted to str. Entering and leaving never raise.

    purpose: what the calls within are for, one of `semconv.PURPOSES`; another word is left out with a
        warning, for a misspelt one would put them aside unseen.
    capture: how much content is recorded of what happens within, whatever `init` was called with: "all",
        "messages" or "none", as for `init`; another word is "none", with a warning.
    capture_content: the former form of it: True is "messages", False is "none".
    """

    def __init__(
        self,
        *,
        user_id: object = None,
        session_id: object = None,
        tags: Iterable[str] | str | None = None,
        experiment: object = None,
        run: object = None,
        prompt_name: object = None,
        prompt_version: object = None,
        purpose: str | None = None,
        capture: Capture | None = None,
        capture_content: bool | None = None,
    ) -> None:
        named = {
            semconv.USER_ID: user_id,
            semconv.SESSION_ID: session_id,
            semconv.EXPERIMENT: experiment,
            semconv.RUN: run,
            semconv.PROMPT_NAME: prompt_name,
            semconv.PROMPT_VERSION: prompt_version,
        }
        with _ENTERING:
            named[semconv.PURPOSE] = _checked_purpose(purpose)
        self._attributes: dict[str, AttributeValue] = {
            key: str(value) for key, value in named.items() if value is not None
        }
        if tags is not None:
            self._attributes[semconv.TAGS] = tuple(map(str, (tags,) if isinstance(tags, str) else tags))
        self._capture: Capture | None = None
        with _ENTERING:
            self._capture = capture_level.chosen(capture, "llmtrace.context")
            if self._capture is None and capture_content is not None:
                self._capture = capture_level.of_flag(capture_content)
        self._tokens: list[Token[Context] | None] = []

    def __enter__(self) -> Self:
        token: Token[Context] | None = None
        with _ENTERING:
            merged = _merged(attributes(), self._attributes)
            entered = otel_context.set_value(_KEY, merged)
            if self._capture is not None:
                entered = otel_context.set_value(_CAPTURE, self._capture, entered)
            token = otel_context.attach(entered)
        self._tokens.append(token)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        token = self._tokens.pop()
        if token is not None:
            otel_context.detach(token)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def prompt(name: str, version: object = None) -> context:
    """Say which prompt template the LLM calls within use: `with llmtrace.prompt("greeting", 3): …`."""
    return context(prompt_name=name, prompt_version=version)


def attributes(within: Context | None = None) -> Mapping[str, AttributeValue]:
    """The attributes of the enclosing `llmtrace.context` blocks."""
    return cast("Mapping[str, AttributeValue]", otel_context.get_value(_KEY, within) or _NONE)


def within(added: Mapping[str, AttributeValue], base: Context) -> Context:
    """`base` with further attributes for the spans started in it."""
    return otel_context.set_value(_KEY, _merged(attributes(base), added), base)


@contextmanager
def of_cache(name: str) -> Iterator[None]:
    """Say on the spans within that they are what a look-up in this cache needs."""
    token = otel_context.attach(within({semconv.CACHE_NAME: name}, otel_context.get_current()))
    try:
        yield
    finally:
        otel_context.detach(token)


def capture(default: Capture) -> Capture:
    """How much content is recorded here: what the innermost block says, else `default`."""
    return cast("Capture | None", otel_context.get_value(_CAPTURE)) or default


def _checked_purpose(purpose: object) -> object:
    if purpose is None or purpose in semconv.PURPOSES:
        return purpose
    internal_errors.warn_once(
        "purpose of a context",
        "llmtrace.context(purpose=%r) is left out; use %s.",
        purpose,
        ", ".join(semconv.PURPOSES),
    )
    return None


def _merged(
    outer: Mapping[str, AttributeValue], inner: Mapping[str, AttributeValue]
) -> Mapping[str, AttributeValue]:
    merged = {**outer, **inner}
    before, added = outer.get(semconv.TAGS), inner.get(semconv.TAGS)
    if before and added:
        both = (*cast("tuple[str, ...]", before), *cast("tuple[str, ...]", added))
        merged[semconv.TAGS] = tuple(dict.fromkeys(both))
    return merged

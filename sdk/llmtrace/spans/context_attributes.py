"""Who and what a span belongs to: user, session, tags, experiment, run, prompt, purpose.

The values travel in the OpenTelemetry context, so they follow whatever carries it (tasks, copied contexts,
an explicit `context=`), and the span processor writes them on every span started within.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.util.types import AttributeValue

from llmtrace import internal_errors, semconv
from llmtrace.internal_errors import swallow

from . import generator_blocks

_KEY: Final = otel_context.create_key("llmtrace-attributes")
_CONTENT: Final = otel_context.create_key("llmtrace-capture-content")
_ENTERING: Final = swallow("entering a context")
_LEAVING: Final = swallow("leaving a context")
_NONE: Final[Mapping[str, AttributeValue]] = {}


class context:  # read as a verb: `with llmtrace.context(...)`
    """Put attributes on every span started within the block, on this task or thread.

    Works with `with` and `async with`. Nested blocks merge: inner values win, tags add up. A value of None
    leaves the outer one. Values are converted to str. Entering and leaving never raise.

    Around a `yield` it holds while that generator runs, in whichever context, and in the tasks and threads
    that it starts; its consumer never sees it.

    purpose: what the calls within are for, one of `semconv.PURPOSES`; another word is left out with a
        warning, for a misspelt one would put them aside unseen.
    capture_content: record messages, tool definitions, arguments and results of what happens within, or
        not, whatever `init` was called with.
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
        self._capture_content = capture_content
        self._entries: list[generator_blocks.Entry | None] = []

    def __enter__(self) -> Self:
        entry: generator_blocks.Entry | None = None
        with _ENTERING:
            entry = generator_blocks.enter(self, sys._getframe(1))
        self._entries.append(entry)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entries = self._entries
        entry = entries.pop() if len(entries) == 1 else self._entered_here()
        if entry is not None:
            entry.leave()

    def _entered_here(self) -> generator_blocks.Entry | None:
        """What was entered here: other tasks, threads and generators may be within the same block."""
        entries = self._entries
        left = entries[-1]
        with _LEAVING:
            left = next((entry for entry in entries[::-1] if entry and entry.is_here()), left)
        entries.remove(left)
        return left

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def applied(self, base: Context) -> Context:
        """See `generator_blocks.Change`."""
        changes: dict[str, object] = {_KEY: _merged(attributes(base), self._attributes)}
        if self._capture_content is not None:
            changes[_CONTENT] = self._capture_content
        return Context(base, **changes)

    def withheld(self, base: Context) -> Context:
        """See `generator_blocks.Change`. What must not be recorded within is not recorded."""
        outer = attributes(base)
        changes: dict[str, object] = {_KEY: {key: outer[key] for key in outer if key not in self._attributes}}
        if self._capture_content is False:
            changes[_CONTENT] = False
        return Context(base, **changes)


def prompt(name: str, version: object = None) -> context:
    """Say which prompt template the LLM calls within use: `with llmtrace.prompt("greeting", 3): …`."""
    return context(prompt_name=name, prompt_version=version)


def attributes(within: Context | None = None) -> Mapping[str, AttributeValue]:
    """The attributes of the enclosing `llmtrace.context` blocks."""
    here = generator_blocks.current() if within is None else within
    values: Mapping[str, AttributeValue] = here.get(_KEY, _NONE)  # type: ignore[assignment]
    return values


def within(added: Mapping[str, AttributeValue], base: Context) -> Context:
    """`base` with further attributes for the spans started in it."""
    return otel_context.set_value(_KEY, _merged(attributes(base), added), base)


@contextmanager
def of_cache(name: str) -> Iterator[None]:
    """Say on the spans within that they are what a look-up in this cache needs."""
    attached = generator_blocks.attach(within({semconv.CACHE_NAME: name}, generator_blocks.current()))
    try:
        yield
    finally:
        attached.leave()


def captures_content(default: bool, here: Context | None = None) -> bool:
    """Whether messages are recorded here: what the innermost block says, else `default`."""
    setting = (generator_blocks.current() if here is None else here).get(_CONTENT)
    return default if setting is None else bool(setting)


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
    if not outer:
        return inner
    merged = {**outer, **inner}
    before, added = outer.get(semconv.TAGS), inner.get(semconv.TAGS)
    if before and added:
        both = (*cast("tuple[str, ...]", before), *cast("tuple[str, ...]", added))
        merged[semconv.TAGS] = tuple(dict.fromkeys(both))
    return merged

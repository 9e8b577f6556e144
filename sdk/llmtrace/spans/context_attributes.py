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
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.util.types import AttributeValue

from llmtrace import internal_errors, semconv
from llmtrace.internal_errors import swallow

from . import capture_level, generator_blocks, thread_context
from .capture_level import Capture
from .thread_context import STARTED_IN, OpenBlock, StartedIn, ThreadContext

_KEY: Final = otel_context.create_key("llmtrace-attributes")
_CAPTURE: Final = otel_context.create_key("llmtrace-capture")
_BLOCK: Final = otel_context.create_key("llmtrace-block")
_ENTERING: Final = swallow("entering a context")
_LEAVING: Final = swallow("leaving a context")
_NOT_HANDED_ON: Final = frozenset({_KEY, _BLOCK, _SPAN_KEY})
_NONE: Final[Mapping[str, AttributeValue]] = {}


class context:  # read as a verb: `with llmtrace.context(...)`
    """Put attributes on every span started within the block, on this task or thread.

    Works with `with` and `async with`. Nested blocks merge: inner values win, tags add up. A value of None
    leaves the outer one. Values are converted to str. Entering and leaving never raise.

    Around a `yield` it holds while that generator runs, in whichever context, and in the tasks and threads
    that it starts; its consumer never sees it.

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
        # One after the other: most blocks have one or two, and this runs for each request of a program.
        self._attributes: dict[str, AttributeValue] = {}
        if user_id is not None:
            self._attributes[semconv.USER_ID] = str(user_id)
        if session_id is not None:
            self._attributes[semconv.SESSION_ID] = str(session_id)
        if experiment is not None:
            self._attributes[semconv.EXPERIMENT] = str(experiment)
        if run is not None:
            self._attributes[semconv.RUN] = str(run)
        if prompt_name is not None:
            self._attributes[semconv.PROMPT_NAME] = str(prompt_name)
        if prompt_version is not None:
            self._attributes[semconv.PROMPT_VERSION] = str(prompt_version)
        if purpose is not None:
            with _ENTERING:
                self._add_purpose(purpose)
        if tags is not None:
            self._attributes[semconv.TAGS] = tuple(map(str, (tags,) if isinstance(tags, str) else tags))
        self._capture: Capture | None = None
        if capture is not None or capture_content is not None:
            with _ENTERING:
                self._capture = capture_level.chosen(capture, "llmtrace.context")
                if self._capture is None and capture_content is not None:
                    self._capture = capture_level.of_flag(capture_content)
        self._entered: list[_Entered] = []

    def __enter__(self) -> Self:
        entered = _Entered(self)
        with _ENTERING:
            entered.entry = generator_blocks.enter(entered, sys._getframe(1))
        self._entered.append(entered)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entries = self._entered
        entered = entries.pop() if len(entries) == 1 else self._entered_here()
        entered.block.is_open = False
        if entered.entry is not None:
            entered.entry.leave()

    def _add_purpose(self, purpose: str) -> None:
        if purpose in semconv.PURPOSES:
            self._attributes[semconv.PURPOSE] = purpose
            return
        internal_errors.warn_once(
            "purpose of a context",
            "llmtrace.context(purpose=%r) is left out; use %s.",
            purpose,
            ", ".join(semconv.PURPOSES),
        )

    def _entered_here(self) -> _Entered:
        """What was entered here: other tasks, threads and generators may be within the same block."""
        entries = self._entered
        left = entries[-1]
        with _LEAVING:
            here = (entered for entered in entries[::-1] if entered.entry and entered.entry.is_here())
            left = next(here, left)
        entries.remove(left)
        return left

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def applied(self, base: Context, block: OpenBlock) -> Context:
        """`base` within the block, of one entering of it."""
        # Of a thread, what it was started under stays apart: it ends when that does.
        changes: dict[str, object] = {_KEY: _merged(_own(base), self._attributes), _BLOCK: block}
        if self._capture is not None:
            changes[_CAPTURE] = self._capture
        return Context(base, **changes)

    def withheld(self, base: Context) -> Context:
        """`base` without what the block says otherwise. What must not be recorded within is not recorded."""
        outer = attributes(base)
        changes: dict[str, object] = {_KEY: {key: outer[key] for key in outer if key not in self._attributes}}
        if self._capture == "none":
            changes[_CAPTURE] = "none"
        return Context(base, **changes)


class _Entered:
    """One entering of a block: see `generator_blocks.Change`."""

    __slots__ = ("_context", "block", "entry")

    def __init__(self, context: context) -> None:
        self._context = context
        self.block = OpenBlock()
        self.entry: generator_blocks.Entry | None = None

    def applied(self, base: Context) -> Context:
        return self._context.applied(base, self.block)

    def withheld(self, base: Context) -> Context:
        return self._context.withheld(base)


def prompt(name: str, version: object = None) -> context:
    """Say which prompt template the LLM calls within use: `with llmtrace.prompt("greeting", 3): …`."""
    return context(prompt_name=name, prompt_version=version)


def attributes(within: Context | None = None) -> Mapping[str, AttributeValue]:
    """The attributes of the enclosing `llmtrace.context` blocks."""
    here = generator_blocks.current() if within is None else within
    started_in = here.get(STARTED_IN)
    own = _own(here)
    return _merged(started_in.attributes(), own) if isinstance(started_in, StartedIn) else own


def within(added: Mapping[str, AttributeValue], base: Context) -> Context:
    """`base` with further attributes for the spans started in it."""
    return otel_context.set_value(_KEY, _merged(_own(base), added), base)


def for_thread(context: Context) -> Context | None:
    """The context for a thread that is started in `context`: see `thread_context`. None for an empty one."""
    started_in = context.get(STARTED_IN)
    outer = started_in.blocks if isinstance(started_in, StartedIn) else ()
    context = settled(context)
    span = thread_context.active_span(context)
    block = context.get(_BLOCK)
    # One that was left already is that of a task that outlived it: then the task's own span decides.
    blocks = [entry for entry in (*outer, block) if isinstance(entry, OpenBlock) and entry.is_open]
    if span is None and not blocks:
        return None
    values = {key: value for key, value in context.items() if key not in _NOT_HANDED_ON}
    # Content that was not to be recorded is not recorded when the block is over, either.
    lasting = {_CAPTURE: "none"} if context.get(_CAPTURE) == "none" else {}
    return ThreadContext(StartedIn(span, blocks, _own(context), values, lasting))


def here() -> Context:
    """What holds for who asks, as a context that stays: of the generators that run him, and of his thread."""
    return settled(generator_blocks.current())


def settled(context: Context) -> Context:
    """What holds of a thread's context at this moment, as one that stays. Any other is returned itself."""
    started_in = context.get(STARTED_IN)
    if not isinstance(started_in, StartedIn):
        return Context(context.copy()) if isinstance(context, ThreadContext) else context
    if not started_in.is_open():
        return Context(started_in.without(context))
    values = context.copy()
    del values[STARTED_IN]
    values[_KEY] = attributes(context)
    return Context(values)


@contextmanager
def of_cache(name: str) -> Iterator[None]:
    """Say on the spans within that they are what a look-up in this cache needs."""
    attached = generator_blocks.attach(within({semconv.CACHE_NAME: name}, generator_blocks.current()))
    try:
        yield
    finally:
        attached.leave()


def capture(default: Capture, here: Context | None = None) -> Capture:
    """How much content is recorded here: what the innermost block says, else `default`."""
    return capture_of(generator_blocks.current() if here is None else here) or default


def capture_of(context: Context) -> Capture | None:
    """What the innermost block says on content, if any says something."""
    return cast("Capture | None", context.get(_CAPTURE))


def _own(context: Context) -> Mapping[str, AttributeValue]:
    """Those of blocks that were entered in this thread."""
    values: Mapping[str, AttributeValue] = context.get(_KEY, _NONE)  # type: ignore[assignment]
    return values


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

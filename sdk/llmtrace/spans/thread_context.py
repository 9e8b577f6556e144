"""The context of a thread: that of the moment it was started, while what it was started under is open.

Threads outlive what starts them. One that serves a single request and one that a library starts lazily, to
serve everybody from then on, look the same when they start; so whether the context still holds is decided
anew each time it is read, in the thread.
"""

from __future__ import annotations

import weakref
from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.util.types import AttributeValue

STARTED_IN: Final = otel_context.create_key("llmtrace-started-in")
_ABSENT: Final = object()
_NO_ATTRIBUTES: Final[Mapping[str, AttributeValue]] = {}


class OpenBlock:
    """Whether a block that was entered has been left."""

    __slots__ = ("is_open",)

    def __init__(self) -> None:
        self.is_open = True


class StartedIn:
    """What a thread was started under, and what it has from there.

    span: the active one, or None. Only a weak reference is held: of a span that does not record, nobody knows
        more than whether somebody still has it.
    blocks: those blocks of `llmtrace.context` that have to be open, too.
    attributes: what spans within are given.
    values: everything else in that context.
    lasting: what holds in the thread whatever ended.
    """

    __slots__ = ("_attributes", "_blocks", "_is_recorded", "_span", "lasting", "values")

    def __init__(
        self,
        span: Span | None,
        blocks: Sequence[OpenBlock],
        attributes: Mapping[str, AttributeValue],
        values: Mapping[str, object],
        lasting: Mapping[str, object],
    ) -> None:
        self._span = None if span is None else weakref.ref(span)
        self._is_recorded = span is not None and span.is_recording()
        self._blocks = blocks
        self._attributes = attributes
        self.values = values
        self.lasting = lasting

    @property
    def blocks(self) -> Sequence[OpenBlock]:
        return self._blocks

    def span(self) -> Span | None:
        """The span, while it is open."""
        span = None if self._span is None else self._span()
        return span if span is not None and (span.is_recording() or not self._is_recorded) else None

    def is_open(self) -> bool:
        """Whether the span is open; where there was none, whether the blocks are."""
        if self._span is not None:
            return self.span() is not None
        return all(block.is_open for block in self._blocks)

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the spans that begin now are given."""
        holds = self.is_open() and all(block.is_open for block in self._blocks)
        return self._attributes if holds else _NO_ATTRIBUTES

    def without(self, context: Context) -> dict[str, object]:
        """What the thread itself put into a context that was derived from this one."""
        values = self.values
        own = {key: value for key, value in context.items() if values.get(key, _ABSENT) is not value}
        own.pop(STARTED_IN, None)
        active = own.get(_SPAN_KEY)
        if active is not None and self._span is not None and active is self._span():
            del own[_SPAN_KEY]
        return {**self.lasting, **own}


class ThreadContext(Context):
    """A context that reads as empty, but for what lasts, once what the thread was started under ended."""

    __slots__ = ("_started_in",)

    def __init__(self, started_in: StartedIn) -> None:
        super().__init__(started_in.lasting)
        self._started_in = started_in

    def copy(self) -> dict[str, Any]:
        started_in = self._started_in
        if not started_in.is_open():
            return dict(started_in.lasting)
        values = {**started_in.values, STARTED_IN: started_in}
        span = started_in.span()
        if span is not None:
            values[_SPAN_KEY] = span
        return values

    def get(self, key: str, default: Any = None) -> Any:
        started_in = self._started_in
        if key == _SPAN_KEY:
            return started_in.span() or default
        if not started_in.is_open():
            return started_in.lasting.get(key, default)
        return started_in if key == STARTED_IN else started_in.values.get(key, default)

    def __getitem__(self, key: str) -> Any:
        return self.copy()[key]

    def __contains__(self, key: object) -> bool:
        return key in self.copy()

    def __iter__(self) -> Iterator[str]:
        return iter(self.copy())

    def __len__(self) -> int:
        return len(self.copy())

    def __eq__(self, other: object) -> bool:
        return self.copy() == other

    __hash__ = None  # type: ignore[assignment]  # as every dict

    def keys(self) -> KeysView[str]:  # type: ignore[override]  # a view of what holds now
        return self.copy().keys()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        return self.copy().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        return self.copy().items()

    def __repr__(self) -> str:
        return repr(self.copy())


def active_span(context: Context) -> Span | None:
    """The active span of a context that is still open, or of which that cannot be known."""
    span = trace.get_current_span(context)
    if not span.get_span_context().is_valid:
        return None
    has_ended = getattr(span, "end_time", None) is not None
    return None if has_ended else span

"""Events that are one trouble: whatever shows the same deviation in another way is told with it.

A slow model slows the traces that call it, and its users' prompts; a service that stops stops all it called.
Two events are of one trouble where they are of one project, of measures that move together, in the same
direction, and of series one of which may be part of the other: no dimension that both have differs. Series of
one kind are no parts of each other, except that one which takes another's place belongs to the one that
vanishes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from llmtrace_analysis.detect.streaming.detector_bank import Direction, Event, EventMeasure

from .kind_bank import Closed, Opened
from .series import WatchedSeries

#: Measures that move together.
_FAMILIES: Mapping[str, str] = MappingProxyType(
    {
        "calls": "traffic",
        "latency": "time",
        "ttft": "time",
        "tpot": "time",
        "errors": "failures",
        "retries": "failures",
        "refusals": "answers",
        "truncated": "answers",
        "score": "scores",
    }
)
_OTHER_FAMILY = "usage"

#: What shows itself so many minutes after a trouble opened is another one.
_SAME_MINUTES = 360

#: A newcomer is spoken of for so long, and so is what took another's place, minutes.
_NEWS_MINUTES = 60

_CHANGES = frozenset(("new_series", "vanished_series"))


@dataclass
class Trouble:
    """Events of one trouble, the first of which it is named after."""

    number: int
    events: list[Opened]
    going_on: set[tuple[WatchedSeries, EventMeasure, Direction]] = field(default_factory=set)
    closed: int | None = None
    """Minute at whose end it was over."""

    @property
    def opened(self) -> int:
        """The minute whose end made it known."""
        return self.events[0].event.opened

    @property
    def start(self) -> int:
        """The minute in which it began, as far as can be told."""
        return self.events[0].event.start


class Troubles:
    """The troubles that are open."""

    def __init__(self) -> None:
        self.open: list[Trouble] = []
        self._number = 0

    def add(self, changes: Sequence[Opened | Closed], minute: int) -> list[Trouble]:
        """Add what changed in a minute; the troubles that are over with it."""
        for change in changes:
            if isinstance(change, Closed):
                for trouble in self.open:
                    trouble.going_on.discard((change.series, change.measure, change.direction))
            else:
                self._open(change)
        over = [trouble for trouble in self.open if _is_over(trouble, minute)]
        for trouble in over:
            trouble.closed = minute
            self.open.remove(trouble)
        return over

    def _open(self, opened: Opened) -> None:
        trouble = next((item for item in self.open if _is_same(item, opened)), None)
        if trouble is None:
            self._number += 1
            trouble = Trouble(self._number, [])
            self.open.append(trouble)
        trouble.events.append(opened)
        if opened.event.kind not in _CHANGES:
            trouble.going_on.add((opened.series, opened.event.measure, opened.event.direction))


def _is_over(trouble: Trouble, minute: int) -> bool:
    is_news = any(opened.event.kind in _CHANGES for opened in trouble.events)
    newest = max(opened.event.opened for opened in trouble.events)
    return not trouble.going_on and not (is_news and minute - newest < _NEWS_MINUTES)


def _is_same(trouble: Trouble, opened: Opened) -> bool:
    if opened.event.opened - trouble.opened > _SAME_MINUTES:
        return False
    return any(_belong(other, opened) for other in trouble.events)


def _belong(first: Opened, second: Opened) -> bool:
    series, other = first.series, second.series
    if series.project != other.project or _family(first.event) != _family(second.event):
        return False
    is_same_kind = series.kind == other.kind and series.dimensions.keys() == other.dimensions.keys()
    is_change = {first.event.kind, second.event.kind} & _CHANGES
    if is_change and is_same_kind:
        return first.group == second.group
    if first.event.direction != second.event.direction and not is_change:
        return False
    return series == other or (not is_same_kind and _may_be_part(series, other))


def _may_be_part(first: WatchedSeries, second: WatchedSeries) -> bool:
    return all(second.dimensions.get(name, value) == value for name, value in first.dimensions.items())


def _family(event: Event) -> str:
    return _FAMILIES.get(event.measure, _OTHER_FAMILY)

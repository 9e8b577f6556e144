"""What waits for one receiver, derived from the store, and what is tried next: no threads, no clock."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from llmtrace_analysis.settings import WebhookEvent
from llmtrace_collector.store.incident import Incident

from .channels.base import Outcome
from .messages import EVENTS, delivery_id_of, events_of

#: However much longer a receiver asks to be left in peace.
LONGEST_RETRY_AFTER_SECONDS = 3600.0

Recorded = Mapping[str, tuple[bool, int]]
"""Delivery id → (delivered or given up, attempts), as the store has it."""


@dataclass(frozen=True)
class RetryPolicy:
    """How long a receiver, or a message that it refuses, is left in peace."""

    attempts: int
    """Refusals in a row after which a message rests."""
    backoff_seconds: float
    """First pause; it doubles each time, with jitter."""
    backoff_max_seconds: float
    """Longest pause."""
    rest_seconds: float
    """Rest of a message that was refused so often, and of a receiver that may not be connected to."""

    def pause(self, failures: int) -> float:
        """Seconds after so many failures in a row (at least 1)."""
        longest = min(self.backoff_max_seconds, self.backoff_seconds * 2.0 ** min(failures - 1, 30))
        return random.uniform(longest / 2, longest)  # noqa: S311, jitter is no secret


@dataclass(frozen=True)
class Bounds:
    """What a backlog holds at most."""

    messages: int
    seconds: float
    """Age after which an event of an incident that is over is given up."""


@dataclass(frozen=True)
class Waiting:
    """An event of an incident that a receiver has not got."""

    incident: Incident
    event: WebhookEvent
    at: float
    delivery_id: str
    attempts: int
    """Those before."""
    since: float
    """When it began to wait here, by the monotonic clock."""


@dataclass(frozen=True)
class GivenUp:
    """An event that will not be sent, and why: `superseded`, `age` or `count`, and in words."""

    waiting: Waiting
    reason: str
    text: str


@dataclass
class _Lane:
    """The events of one incident that wait, in order: only the first is tried, so none overtakes another."""

    events: list[Waiting]
    is_tried: bool = False
    refusals: int = 0
    not_before: float = 0.0


@dataclass
class Backlog:
    """One receiver's. Times named `now` are of the monotonic clock, but for `refresh`."""

    url: str
    wanted: Collection[str]
    """The events that the receiver wants."""
    retry: RetryPolicy
    bounds: Bounds
    failures: int = 0
    """Of the receiver, in a row."""
    error: str = ""
    """Why the last attempt failed; empty when it did not."""
    _lanes: dict[str, _Lane] = field(default_factory=dict)
    _settled: set[str] = field(default_factory=set)
    _attempts: dict[str, int] = field(default_factory=dict)
    _paused_until: float = 0.0
    """Messages that were tried before wait until then: the receiver failed."""
    _closed_until: float = 0.0
    """All do: the receiver asked for it."""
    _trying: str = ""

    def __len__(self) -> int:
        return sum(len(lane.events) for lane in self._lanes.values())

    def oldest_seconds(self, now: float) -> float:
        """How long the oldest event has waited here; 0 when none waits."""
        return max((now - item.since for item in self._all()), default=0.0)

    def refresh(
        self, incidents: Sequence[Incident], recorded: Recorded, now: float, monotonic: float
    ) -> list[GivenUp]:
        """Take over what the store says (`now`: Unix seconds); what is given up by that.

        A `resolved` supersedes what was not delivered before it: it says when the incident was opened as
        well, a pager closes what it may have opened, and opens nothing for what is over.
        """
        before = {item.delivery_id: item for item in self._all()}
        lanes: dict[str, _Lane] = {}
        given_up: list[GivenUp] = []
        known: set[str] = set()
        for incident in incidents:
            events = []
            for item in self._events(incident, recorded, monotonic, before):
                known.add(item.delivery_id)
                events.append(item)
            unsettled, dropped = self._unsettled(events, recorded, now, before)
            given_up += dropped
            if unsettled:
                lane = self._lanes.get(incident.incident_id) or _Lane([])
                lanes[incident.incident_id] = replace(lane, events=unsettled)
        # Those that waited keep their places, which move when an attempt fails; the others come after them.
        order = [name for name in self._lanes if name in lanes]
        self._lanes = {name: lanes[name] for name in (*order, *(name for name in lanes if name not in order))}
        given_up += self._over_bound()
        self._settled &= known
        self._settled |= {dropped.waiting.delivery_id for dropped in given_up}
        self._attempts = {name: count for name, count in self._attempts.items() if name in known}
        return given_up

    def has_settled_opening(self, incident: Incident, recorded: Recorded) -> bool:
        """Whether the receiver knows of an incident, as far as it can be known."""
        delivery_id = delivery_id_of(incident.incident_id, "incident.opened", self.url)
        return delivery_id in self._settled or recorded.get(delivery_id, (False, 0))[0]

    def ids_from(self, waiting: Waiting) -> list[str]:
        """The delivery ids of an event and of those that may come after it: once any is settled, it is."""
        later = EVENTS[EVENTS.index(waiting.event) :]
        return [delivery_id_of(waiting.incident.incident_id, event, self.url) for event in later]

    def next_event(self, now: float) -> tuple[Waiting | None, float]:
        """What to try now, or None and how many seconds to wait for it, a minute at most."""
        pause = 60.0
        for lane in self._lanes.values():
            due = max(lane.not_before, self._closed_until, self._paused_until if lane.is_tried else 0.0)
            if due <= now:
                first = lane.events[0]
                attempts = max(first.attempts, self._attempts.get(first.delivery_id, 0))
                self._trying = first.delivery_id
                return replace(first, attempts=attempts), 0.0
            pause = min(pause, due - now)
        return None, pause

    def note(self, tried: Waiting, outcome: Outcome, now: float) -> None:
        """What became of an attempt at it."""
        self._trying = ""
        self._attempts[tried.delivery_id] = tried.attempts + 1
        self.error = "" if outcome.ok else outcome.error
        incident_id = tried.incident.incident_id
        lane = self._lanes.get(incident_id)
        if outcome.ok:
            self._settled.add(tried.delivery_id)
        if outcome.ok or outcome.is_refusal:
            # It answers: what waited for its return goes now.
            self.failures, self._paused_until = 0, 0.0
        else:
            self.failures += 1
            pause = self.retry.rest_seconds if outcome.final else self.retry.pause(self.failures)
            self._paused_until = now + pause
        if outcome.retry_after is not None and not outcome.ok:
            self._closed_until = now + min(outcome.retry_after, LONGEST_RETRY_AFTER_SECONDS)
        if outcome.ok:
            self._remove(tried)
            return
        if lane is None:
            return
        lane.is_tried = True
        if outcome.is_refusal:
            lane.refusals += 1
            rests = lane.refusals % self.retry.attempts == 0
            lane.not_before = now + (
                self.retry.rest_seconds if rests else self.retry.pause(lane.refusals % self.retry.attempts)
            )
        self._lanes[incident_id] = self._lanes.pop(incident_id)  # the others first

    def settle(self, waiting: Waiting) -> None:
        """Somebody else has delivered it, or what comes after it."""
        self._trying = ""
        self._settled.add(waiting.delivery_id)
        self._remove(waiting)

    def clear(self) -> None:
        """Nothing waits: the receiver wants no more."""
        self._lanes.clear()

    def _remove(self, waiting: Waiting) -> None:
        incident_id = waiting.incident.incident_id
        lane = self._lanes.get(incident_id)
        if lane is None:
            return
        events = [item for item in lane.events if item.delivery_id != waiting.delivery_id]
        if events:
            self._lanes[incident_id] = _Lane(events)
        else:
            del self._lanes[incident_id]

    def _all(self) -> Iterator[Waiting]:
        for lane in self._lanes.values():
            yield from lane.events

    def _events(
        self, incident: Incident, recorded: Recorded, monotonic: float, before: Mapping[str, Waiting]
    ) -> Iterator[Waiting]:
        """Every event of the incident that the receiver wants, in order."""
        for event, at in events_of(incident):
            if event not in self.wanted:
                continue
            delivery_id = delivery_id_of(incident.incident_id, event, self.url)
            earlier = before.get(delivery_id)
            yield Waiting(
                incident=incident,
                event=event,
                at=at,
                delivery_id=delivery_id,
                attempts=recorded.get(delivery_id, (False, 0))[1],
                since=monotonic if earlier is None else earlier.since,
            )

    def _unsettled(
        self, events: Sequence[Waiting], recorded: Recorded, now: float, before: Mapping[str, Waiting]
    ) -> tuple[list[Waiting], list[GivenUp]]:
        """Of one incident's events those to send, and those that are given up."""
        is_over = bool(events) and events[-1].incident.state == "resolved"
        last = events[-1] if events and events[-1].event == "incident.resolved" else None
        unsettled, given_up = [], []
        for item in events:
            settled = item.delivery_id in self._settled or recorded.get(item.delivery_id, (False, 0))[0]
            if settled:
                continue
            # What is being sent at this moment may yet arrive: it goes first, whatever comes after it.
            if item.delivery_id == self._trying:
                unsettled.append(item)
            elif last is not None and item is not last:
                if item.delivery_id in before or item.attempts:
                    text = "not sent: the incident was over before; incident.resolved says both"
                    given_up.append(GivenUp(item, "superseded", text))
            elif is_over and item.at < now - self.bounds.seconds:
                if item.delivery_id in before or item.attempts:
                    text = f"given up after {self.bounds.seconds / 60:g} minutes"
                    given_up.append(GivenUp(item, "age", text))
            else:
                unsettled.append(item)
        return unsettled, given_up

    def _over_bound(self) -> list[GivenUp]:
        """What is above the bound: of incidents that are over first, the oldest first."""
        excess = len(self) - self.bounds.messages
        given_up: list[GivenUp] = []
        lanes = sorted(
            self._lanes.items(),
            key=lambda lane: (lane[1].events[0].incident.state != "resolved", lane[1].events[0].at),
        )
        for name, lane in lanes:
            if excess <= 0:
                break
            if any(item.delivery_id == self._trying for item in lane.events):
                continue
            text = f"given up: more than {self.bounds.messages} messages wait for this receiver"
            given_up += [GivenUp(item, "count", text) for item in lane.events]
            excess -= len(lane.events)
            del self._lanes[name]
        return given_up

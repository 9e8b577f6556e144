"""What waits for a receiver and in which order it goes, over outages, restarts and bounds: no network."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtrace_analysis.alerts.backlog import (
    LONGEST_RETRY_AFTER_SECONDS,
    Backlog,
    Bounds,
    RetryPolicy,
    Waiting,
)
from llmtrace_analysis.alerts.channels.base import Outcome
from llmtrace_collector.store.incident import Incident

from .test_alerts import NOW, OPEN, RESOLVED

EVENTS = ("incident.opened", "incident.acknowledged", "incident.resolved")
RETRY = RetryPolicy(attempts=3, backoff_seconds=2, backoff_max_seconds=60, rest_seconds=300)
OK = Outcome(ok=True, status=200)
DOWN = Outcome(ok=False, error="ConnectError: refused")
REFUSED = Outcome(ok=False, status=422, error="answered 422", is_refusal=True)


def backlog(messages: int = 100, seconds: float = 3600, wanted: tuple[str, ...] = EVENTS) -> Backlog:
    return Backlog("http://r", wanted, RETRY, Bounds(messages, seconds))


def taken(box: Backlog, now: float) -> Waiting:
    waiting, _ = box.next_event(now)
    assert waiting is not None
    return waiting


def numbered(incident: Incident, number: int) -> Incident:
    return replace(incident, incident_id=f"i{number}", opened_at=incident.opened_at + number)


def test_nothing_of_an_incident_overtakes_what_came_before() -> None:
    box = backlog()
    box.refresh([replace(OPEN, acknowledged_at=NOW)], {}, NOW, 0.0)
    for clock in (0.0, 100.0, 200.0):
        opened = taken(box, clock)
        assert opened.event == "incident.opened"
        box.note(opened, DOWN, clock)
    box.note(taken(box, 300.0), OK, 300.0)
    assert taken(box, 300.0).event == "incident.acknowledged"


def test_a_resolution_takes_the_place_of_what_was_not_delivered() -> None:
    box = backlog()
    box.refresh([OPEN], {}, NOW, 0.0)
    box.note(taken(box, 0.0), DOWN, 0.0)
    (given_up,) = box.refresh([RESOLVED], {}, NOW, 1.0)
    assert (given_up.waiting.event, given_up.reason) == ("incident.opened", "superseded")
    assert taken(box, 100.0).event == "incident.resolved"
    assert not box.refresh([RESOLVED], {}, NOW, 2.0), "it is said once"
    # A receiver that does not want resolutions is still sent what it wants.
    box = backlog(wanted=("incident.opened",))
    assert not box.refresh([RESOLVED], {}, NOW, 0.0)
    assert taken(box, 0.0).event == "incident.opened"


def test_what_is_being_sent_goes_first_even_when_the_incident_is_over_meanwhile() -> None:
    box = backlog()
    box.refresh([OPEN], {}, NOW, 0.0)
    opened = taken(box, 0.0)
    assert not box.refresh([RESOLVED], {}, NOW, 1.0), "it may arrive yet"
    box.note(opened, OK, 2.0)
    assert taken(box, 2.0).event == "incident.resolved"


def test_a_receiver_that_is_down_is_tried_with_growing_pauses_and_new_incidents_at_once() -> None:
    box = backlog()
    incidents = [numbered(OPEN, 0), numbered(OPEN, 1)]
    box.refresh(incidents, {}, NOW, 0.0)
    clock, pauses = 0.0, []
    for _ in range(2):
        box.note(taken(box, clock), DOWN, clock)
    for _ in range(8):
        waiting, pause = box.next_event(clock)
        assert waiting is None
        pauses.append(pause)
        clock += pause
        box.note(taken(box, clock), DOWN, clock)
    assert all(
        longest / 2 <= pause <= longest for pause, longest in zip(pauses, (4, 8, 16, 32), strict=False)
    )
    assert all(30 <= pause <= 60 for pause in pauses[5:]), "bounded"
    box.refresh([*incidents, numbered(OPEN, 2)], {}, NOW, clock)
    assert taken(box, clock).incident.incident_id == "i2", "no page waits for a pause that others caused"
    box.note(taken(box, clock), OK, clock)
    # It is back: the rest goes at once.
    box.note(taken(box, clock), OK, clock)
    box.note(taken(box, clock), OK, clock)
    assert len(box) == 0


def test_a_message_that_is_refused_rests_and_holds_up_no_other() -> None:
    box = backlog()
    box.refresh([numbered(OPEN, 0), numbered(OPEN, 1)], {}, NOW, 0.0)
    box.note(taken(box, 0.0), REFUSED, 0.0)
    assert taken(box, 0.0).incident.incident_id == "i1"
    box.note(taken(box, 0.0), OK, 0.0)
    clock = 0.0
    for _ in range(2):
        _, pause = box.next_event(clock)
        clock += pause
        box.note(taken(box, clock), REFUSED, clock)
    assert box.next_event(clock + 299)[0] is None, "three refusals in a row: it rests"
    assert taken(box, clock + 300).attempts == 3


def test_retry_after_stops_everything_for_an_hour_at_most() -> None:
    box = backlog()
    box.refresh([numbered(OPEN, 0)], {}, NOW, 0.0)
    box.note(taken(box, 0.0), replace(DOWN, status=503, retry_after=1e9), 0.0)
    box.refresh([numbered(OPEN, 0), numbered(OPEN, 1)], {}, NOW, 1.0)
    assert box.next_event(LONGEST_RETRY_AFTER_SECONDS - 1)[0] is None
    assert taken(box, LONGEST_RETRY_AFTER_SECONDS)


def test_the_backlog_is_bounded_and_gives_up_what_is_over_first() -> None:
    box = backlog(messages=2)
    incidents = [numbered(OPEN, 0), *(numbered(RESOLVED, number) for number in (1, 2)), numbered(OPEN, 3)]
    given_up = box.refresh(incidents, {}, NOW, 0.0)
    assert [(item.waiting.incident.incident_id, item.reason) for item in given_up] == [
        ("i1", "count"),
        ("i2", "count"),
    ]
    assert len(box) == 2
    assert not box.refresh(incidents, {}, NOW, 1.0), "and gives each up once"
    recorded = {item.waiting.delivery_id: (True, 0) for item in given_up}
    assert not backlog(messages=2).refresh(incidents, recorded, NOW, 0.0), "over a restart too"


def test_age_gives_up_what_is_over_never_what_is_open() -> None:
    box = backlog(seconds=60, wanted=("incident.opened", "incident.resolved"))
    box.refresh([OPEN, numbered(RESOLVED, 1)], {}, NOW, 0.0)
    given_up = box.refresh([OPEN, numbered(RESOLVED, 1)], {}, NOW + 61, 61.0)
    assert [(item.waiting.incident.incident_id, item.waiting.event, item.reason) for item in given_up] == [
        ("i1", "incident.resolved", "age")
    ]
    assert taken(box, 61.0).incident is OPEN
    assert box.oldest_seconds(61.0) == 61.0
    # Somebody who was never owed it is not said to have lost it.
    assert not backlog(seconds=60).refresh([numbered(RESOLVED, 1)], {}, NOW + 61, 0.0)


@dataclass
class World:
    """Incidents in a store, one receiver's memory, and what the store has recorded of deliveries."""

    incidents: dict[str, Incident] = field(default_factory=dict)
    received: list[tuple[str, str]] = field(default_factory=list)
    recorded: dict[str, tuple[bool, int]] = field(default_factory=dict)
    is_up: bool = True
    clock: float = 0.0

    def step(self, box: Backlog, forgets_record: bool, answer_is_lost: bool) -> None:
        """One attempt, if one is due; then `forgets_record`: the process dies before it is recorded."""
        waiting, _ = box.next_event(self.clock)
        if waiting is None:
            return
        if self.is_up:
            self.received.append((waiting.incident.incident_id, waiting.event))
        outcome = OK if self.is_up and not answer_is_lost else DOWN
        box.note(waiting, outcome, self.clock)
        if not forgets_record:
            done, _ = self.recorded.get(waiting.delivery_id, (False, 0))
            self.recorded[waiting.delivery_id] = (done or outcome.ok, waiting.attempts + 1)

    def refresh(self, box: Backlog) -> None:
        for given_up in box.refresh(list(self.incidents.values()), self.recorded, NOW, self.clock):
            self.recorded[given_up.waiting.delivery_id] = (True, 0)


@given(
    st.lists(
        st.sampled_from(["open", "ack", "over", "down", "up", "try", "lost", "kill", "sync"]), max_size=60
    ),
    st.integers(0, 1000),
)
def test_whatever_fails_a_receiver_ends_with_what_is_true(actions: list[str], seed: int) -> None:
    choose = random.Random(seed)
    world, box = World(), backlog()
    for action in [*actions, "up", *["sync", *["try"] * 40] * 2]:
        world.clock += choose.choice((0.1, 3.0, 70.0)) if action != "up" else 70.0
        names = list(world.incidents)
        match action:
            case "open":
                incident = numbered(OPEN, len(names))
                world.incidents[incident.incident_id] = incident
            case "ack" | "over" if names:
                name = choose.choice(names)
                if action == "over":
                    change = replace(world.incidents[name], state="resolved", resolved_at=NOW)
                else:
                    change = replace(world.incidents[name], acknowledged_at=NOW - 1)
                world.incidents[name] = change
            case "down" | "up":
                world.is_up = action == "up"
            case "try" | "lost":
                world.step(box, forgets_record=False, answer_is_lost=action == "lost")
            case "kill":
                world.step(box, forgets_record=True, answer_is_lost=False)
                box = backlog()
                world.refresh(box)
            case "sync":
                world.refresh(box)
    for name, incident in world.incidents.items():
        events = [event for receiver_of, event in world.received if receiver_of == name]
        assert events, "every incident is heard of"
        firsts = list(dict.fromkeys(events))
        assert firsts == sorted(firsts, key=EVENTS.index), "a receiver that drops repeats sees them in order"
        if incident.state == "resolved":
            assert events[-1] == "incident.resolved", "and one that does not ends with the truth as well"
        else:
            assert "incident.opened" in events
            assert "incident.resolved" not in events


@pytest.mark.parametrize("failures", [1, 5, 1000, 10**9])
def test_pauses_are_spread_and_bounded(failures: int) -> None:
    pauses = {RETRY.pause(failures) for _ in range(50)}
    assert len(pauses) > 10
    assert max(pauses) <= min(60.0, 2.0 * 2 ** (failures - 1) if failures < 10 else 60.0)

"""Watches that are killed, and two at once: nothing is lost, nothing has a second id, all is in order."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector.running import Served, settings

from .test_alerts import SECRET, Receiver, verified

IN_ORDER = ["incident.opened", "incident.resolved"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    collector = Served(settings(tmp_path_factory.mktemp("dying")))
    yield collector
    collector.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


def run(served: Served, receiver: Receiver, mode: str, *steps: int) -> list[dict[str, object]]:
    """The program's lines."""
    command = [sys.executable, "-m", "tests.dashboard.dying_watch", served.url, receiver.url, SECRET, mode]
    command += map(str, steps)
    environment = {**os.environ, "LLMTRACE_ADMIN_KEY": served.admin_key}
    folder = Path(__file__).parents[2]
    answer = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder, timeout=300, check=False
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    return [json.loads(line) for line in answer.stdout.splitlines()]


def received(receiver: Receiver) -> dict[str, list[tuple[str, str]]]:
    """Title of the incident → the messages as they came: event and id."""
    messages: dict[str, list[tuple[str, str]]] = defaultdict(list)
    while True:
        try:
            request = receiver.got.get_nowait()
        except queue.Empty:
            return messages
        if len(request.body) < int(request.headers["Content-Length"]):
            continue  # its sender died in the middle of it
        event = verified(request)
        title = event["data"]["incident"]["title"]
        messages[title].append((event["type"], request.headers["webhook-id"]))


def test_a_kill_before_any_step_loses_nothing_and_makes_no_second_id(
    served: Served, receiver: Receiver
) -> None:
    """Every twelfth step of some 70; `dying_watch` goes through all of them."""
    lines = run(served, receiver, "kills", 5, 12)
    died = [line["name"] for line in lines if line["died"]]
    assert len(died) >= 5, "each delivery alone connects, sends, receives and is recorded"
    messages = received(receiver)
    assert set(messages) == {line["name"] for line in lines}, "every incident is heard of"
    repeated = 0
    for name, sent in messages.items():
        assert list(dict.fromkeys(event for event, _ in sent)) == IN_ORDER, name
        assert sent[-1][0] == "incident.resolved", name
        assert len({identity for _, identity in sent}) == 2, f"{name}: a second id"
        repeated += len(sent) - 2
    assert repeated <= len(died), "a message whose record was cut off goes again, under its id"
    rows = served.rows(
        "SELECT IncidentId, uniqExactIf(Event, Ok) AS delivered FROM webhook_deliveries "
        "WHERE Project = 'dying' GROUP BY IncidentId"
    )
    assert {int(row["delivered"]) for row in rows} == {2}
    assert len(rows) == len(lines)


def test_two_watches_send_the_same_ids_and_end_with_the_truth(served: Served, receiver: Receiver) -> None:
    run(served, receiver, "pair")
    # A receiver that is new hears of what is over as well: of the incidents of before.
    sent = received(receiver)["pair"]
    assert list(dict.fromkeys(event for event, _ in sent)) == IN_ORDER
    assert sent[-1][0] == "incident.resolved"
    assert len({identity for _, identity in sent}) == 2
    assert len(sent) <= 4

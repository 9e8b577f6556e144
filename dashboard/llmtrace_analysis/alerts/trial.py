"""Messages that say that they are a test, as an incident of its own that opens and ends."""

from __future__ import annotations

import uuid

from llmtrace_collector.store.incident import Incident

from .channels.base import Channel, Outcome
from .messages import AlertMessage, to_message

_LASTED_SECONDS = 60.0
TRIAL_RULE = "test"


def trial_messages(dashboard_url: str, now: float) -> list[AlertMessage]:
    """Opened, then resolved, so that nothing stays open at a pager; `now` in Unix seconds."""
    opened_at = now - _LASTED_SECONDS
    incident = Incident(
        incident_id=str(uuid.uuid4()),
        fingerprint=uuid.uuid4().hex,
        kind="anomaly",
        rule=TRIAL_RULE,
        severity="warning",
        state="resolved",
        title="Test message of llmtrace: nothing is wrong",
        summary="Somebody tests this channel. There is no such incident, and nothing has to be done.",
        opened_at=opened_at,
        last_seen_at=now,
        updated_at=now,
        resolved_at=now,
    )
    return [
        to_message(incident, "incident.opened", opened_at, dashboard_url),
        to_message(incident, "incident.resolved", now, dashboard_url),
    ]


def try_channel(channel: Channel, dashboard_url: str, now: float) -> list[tuple[str, Outcome]]:
    """(event, what became of it) of a test; the end is not sent where the beginning was not taken."""
    outcomes: list[tuple[str, Outcome]] = []
    for message in trial_messages(dashboard_url, now):
        outcome = channel.send(message)
        outcomes.append((message.event, outcome))
        if not outcome.ok:
            break
    return outcomes

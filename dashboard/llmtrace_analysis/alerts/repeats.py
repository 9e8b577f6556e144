"""What a receiver forgets unless it is sent again: which incidents last, and when the next time is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmtrace_collector.store.incident import Incident

from .channels.base import Channel, Outcome, RepeatingChannel
from .messages import to_message

#: After one that failed, at most.
_RETRY_SECONDS = 15.0
_NEVER = float("inf")


@dataclass
class Repeats:
    """Of one receiver. Times are of the monotonic clock; no threads."""

    channel: Channel
    dashboard_url: str
    lasting: Sequence[Incident] = ()
    """Open ones whose opening was delivered."""
    _due: float = 0.0

    def seconds_to(self, now: float) -> float:
        """Seconds until the next time; infinite where nothing lasts, or nothing is forgotten."""
        if not self.lasting or not isinstance(self.channel, RepeatingChannel):
            return _NEVER
        return max(0.0, self._due - now)

    def postpone(self, now: float) -> None:
        """Something was just sent, or nothing lasted until now."""
        if isinstance(self.channel, RepeatingChannel):
            self._due = now + self.channel.repeat_seconds

    def send(self, now: float) -> Outcome:
        """Send all that lasts again, and set the next time."""
        if not isinstance(self.channel, RepeatingChannel):
            return Outcome(ok=True)
        messages = [
            to_message(incident, "incident.opened", incident.opened_at, self.dashboard_url)
            for incident in self.lasting
        ]
        outcome = self.channel.repeat(messages)
        self._due = now + (
            self.channel.repeat_seconds if outcome.ok else min(_RETRY_SECONDS, self.channel.repeat_seconds)
        )
        return outcome

"""What a channel is: it sends one message, once, and says what became of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from llmtrace_analysis.alerts.messages import AlertMessage


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt."""

    ok: bool
    status: int = 0
    error: str = ""
    retry_after: float | None = None
    """Seconds that the receiver asks to be left in peace."""
    is_refusal: bool = False
    """Whether it answers and takes messages, but not this one."""
    final: bool = False
    """Whether trying again soon is pointless, whatever the message."""
    duration_ms: float = 0.0


class Channel(Protocol):
    """A way to reach one receiver. Used by one thread; queueing and retries are not its affair."""

    @property
    def url(self) -> str:
        """What tells this receiver from others: the name of its channel, or a webhook's address, which may
        hold a secret.
        """

    @property
    def redacted_url(self) -> str:
        """What people see of it, without what may be a secret."""

    @property
    def events(self) -> Collection[str]:
        """The events that the receiver wants."""

    @property
    def timeout_seconds(self) -> float:
        """The longest that an attempt takes."""

    @property
    def gone(self) -> bool:
        """Whether the receiver has said that it wants no more."""

    def send(self, message: AlertMessage) -> Outcome:
        """One attempt, within a time that is bounded however slow the receiver or the network is. Never
        raises for what they do.
        """


@runtime_checkable
class RepeatingChannel(Protocol):
    """A channel whose receiver forgets what it is not sent again while it lasts."""

    @property
    def repeat_seconds(self) -> float:
        """How often."""

    def repeat(self, messages: Sequence[AlertMessage]) -> Outcome:
        """Send what lasts again. Like `send`."""

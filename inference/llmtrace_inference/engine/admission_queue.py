"""The bounded queue in front of an engine: by priority, then in the order of arrival."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from typing import Generic, TypeVar

from .interface import Submission

TicketType = TypeVar("TicketType", bound=Submission)


class AdmissionQueue(Generic[TicketType]):
    """Tickets that wait, lowest priority number first. Small enough to keep sorted in a list."""

    def __init__(self) -> None:
        self._line: list[tuple[int, int, TicketType]] = []
        self._arrivals = 0
        self.tokens = 0
        """Tokens that the waiting requests may come to: prompts and max_tokens."""

    def __len__(self) -> int:
        return len(self._line)

    def __iter__(self) -> Iterator[TicketType]:
        return iter([ticket for _, _, ticket in self._line])

    def add(self, ticket: TicketType) -> int:
        """Put a ticket in its place; returns how many are ahead of it."""
        self._arrivals += 1
        entry = (ticket.generation.priority, self._arrivals, ticket)
        insort(self._line, entry, key=lambda e: e[:2])
        self.tokens += ticket.generation.total_tokens
        return self._line.index(entry)

    @property
    def first(self) -> TicketType:
        return self._line[0][2]

    def remove(self, ticket: TicketType) -> None:
        """Take a ticket out; harmless when it is not there."""
        for at, (_, _, one) in enumerate(self._line):
            if one is ticket:
                del self._line[at]
                self.tokens -= ticket.generation.total_tokens
                return

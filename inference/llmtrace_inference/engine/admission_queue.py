"""The bounded queue in front of an engine: by priority, then in the order of arrival."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from typing import Generic, TypeVar

from .interface import Submission

SubmissionType = TypeVar("SubmissionType", bound=Submission)


class AdmissionQueue(Generic[SubmissionType]):
    """Submissions that wait, lowest priority number first. Small enough to keep sorted in a list."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, int, SubmissionType]] = []
        self._arrivals = 0
        self.tokens = 0
        """Tokens that the waiting requests may come to: prompts and max_tokens."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[SubmissionType]:
        return iter([submission for _, _, submission in self._entries])

    def add(self, submission: SubmissionType) -> int:
        """Put a submission in its place; returns how many are ahead of it."""
        self._arrivals += 1
        entry = (submission.generation.priority, self._arrivals, submission)
        insort(self._entries, entry, key=lambda e: e[:2])
        self.tokens += submission.generation.total_tokens
        return self._entries.index(entry)

    @property
    def first(self) -> SubmissionType:
        return self._entries[0][2]

    def remove(self, submission: SubmissionType) -> None:
        """Take a submission out; harmless when it is not there."""
        for at, (_, _, queued) in enumerate(self._entries):
            if queued is submission:
                del self._entries[at]
                self.tokens -= submission.generation.total_tokens
                return

"""An answer that refuses."""

from __future__ import annotations


class Refusal(Exception):
    """A request that is answered with an error: HTTP status, what is wrong and how to mend it, and when to
    try again (seconds; None: nothing is said of it).
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

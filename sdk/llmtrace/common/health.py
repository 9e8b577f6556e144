"""What a part of ours says of itself to those who ask whether it is well."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class HealthReason:
    """Why a process is not well. `code` is kebab-case and listed in docs/operations.md; `text` says what
    happened and how to mend it.
    """

    code: str
    text: str


#: What readiness asks each part for: its reasons now, none where it is well. It answers at once and raises
#: nothing.
HealthCheck = Callable[[], Iterable[HealthReason]]

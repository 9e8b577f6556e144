"""What one check found."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Result:
    """What one check found. `remedy` is empty unless something should be done."""

    name: str
    status: Status
    detail: str
    remedy: str = ""

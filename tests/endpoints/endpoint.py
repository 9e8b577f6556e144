"""What one row of the table is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Price = Literal["listed", "stated", "unpriced", "none"]
"""By a list of prices, by the answer itself, by nothing that is known; none where nothing is billed."""

PRICES: Final[Mapping[str, str]] = {
    "listed": "yes",
    "stated": "as stated",
    "unpriced": "unpriced",
    "none": "–",
}


@dataclass(frozen=True)
class Endpoint:
    """One family of endpoints of one provider.

    send: calls it once, against a server of its own on the loopback interface; None where it is not covered.
        With True the answer is streamed, which is asked for where `streams`.
    spans: `gen_ai.operation.name` of the spans of one call, sorted, one for each.
    usage: what the store counts of it in all, by columns; a column that is not named has to be 0.
    source: where the shape of the answer is from.
    remark: what else the page says; of what is not covered, why.
    """

    family: str
    provider: str
    send: Callable[[bool], None] | None = None
    spans: tuple[str, ...] = ()
    usage: Mapping[str, int | float] = field(default_factory=dict)
    price: Price = "none"
    streams: bool = False
    source: Literal["recorded", "documented", "client"] = "documented"
    remark: str = ""

    @property
    def name(self) -> str:
        """For people, and for the session that its spans are in."""
        return f"{self.family} · {self.provider}"

"""What one row of the table is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from tests.sdk.naive import FOLDER

Price = Literal["listed", "stated", "reserved", "unpriced", "none"]
"""By a list of prices, by the answer itself, by capacity that is paid anyway, by nothing that is known; none
where nothing is billed."""

PRICES: Final[Mapping[str, str]] = {
    "listed": "yes",
    "stated": "as stated",
    "reserved": "0 by the call",
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
    source: where the shape of the answer is from; of a recording, it is played.
    recording: its name. Where there are no recordings, the row is not run.
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
    recording: str = ""

    @property
    def name(self) -> str:
        """For people, and for the session that its spans are in."""
        return f"{self.family} · {self.provider}"

    @property
    def missing(self) -> str:
        """Why it cannot be run here; empty where it can."""
        has_recording = not self.recording or FOLDER.is_dir()
        return "" if has_recording else f"no recorded traffic at {FOLDER}"

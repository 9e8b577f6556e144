"""Moments that a search names: so long ago, or a date and time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

_AGO = re.compile(r"(\d{1,6})(s|min|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MONTH = re.compile(r"\d{4}-\d{2}")

#: How a moment is written, for messages.
EXAMPLES = "2h, 7d, 2026-11-01 or 2026-11-01T14:00"


@dataclass(frozen=True)
class Ago:
    """So many seconds before the search is asked."""

    seconds: int

    def resolved(self, now: datetime, zone: tzinfo) -> datetime:
        """The moment in UTC; `now` is aware."""
        try:
            return now.astimezone(UTC) - timedelta(seconds=self.seconds)
        except OverflowError:
            return datetime(1970, 1, 1, tzinfo=UTC)

    def __str__(self) -> str:
        for unit in ("w", "d", "h", "m"):
            if self.seconds and self.seconds % _SECONDS[unit] == 0:
                return f"{self.seconds // _SECONDS[unit]}{unit}"
        return f"{self.seconds}s"


@dataclass(frozen=True)
class At:
    """A date and time; without a time zone of its own it is one of whoever asks."""

    time: datetime

    def resolved(self, now: datetime, zone: tzinfo) -> datetime:
        """The moment in UTC; `zone` is that of whoever asks."""
        return (self.time if self.time.tzinfo else self.time.replace(tzinfo=zone)).astimezone(UTC)

    def __str__(self) -> str:
        if self.time.tzinfo is None and self.time.time() == datetime.min.time():
            return self.time.date().isoformat()
        return self.time.isoformat()


Moment = Ago | At


@dataclass(frozen=True)
class Period:
    """From `since` on and before `until`, aware datetimes; None where it has no such end."""

    since: datetime | None = None
    until: datetime | None = None

    def params(self, prefix: str) -> dict[str, int]:
        """The ends as query parameters, in milliseconds since 1970: `PREFIX_since`, `PREFIX_until`."""
        ends = {"since": self.since, "until": self.until}
        return {
            f"{prefix}_{name}": int(moment.timestamp() * 1000)
            for name, moment in ends.items()
            if moment is not None
        }


#: No end in either direction.
ALWAYS = Period()


def read_moment(text: str) -> Moment | None:
    """The moment that `text` names; None where it names none."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return Ago(int(ago[1]) * _SECONDS[ago[2]])
    try:
        time = datetime.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else text)
    except ValueError:
        return None
    # The engine's times begin in 1970 and end before 2300; a day's room is left for time zones.
    return At(time) if 1970 < time.year < 2250 else None

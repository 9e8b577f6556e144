"""Days and months of a time zone: where they begin, and which of them a moment is in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

#: The zone of days where nobody asks for another.
UTC_ZONE: Final = "UTC"


class UnknownZone(ValueError):
    """There is no such time zone; the message says what to write."""


def time_zone(name: str) -> ZoneInfo:
    """A zone by its name in the IANA database. Raises UnknownZone."""
    try:
        # The name goes into file names of the database, and into the engine.
        if not name or name.startswith((".", "/")) or not name.replace("/", "").replace("_", "").isascii():
            raise UnknownZone(_MESSAGE.format(name))
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownZone(_MESSAGE.format(name)) from error


_MESSAGE = "{!r} is no time zone; write a name such as UTC, Europe/Berlin or Asia/Shanghai"


@dataclass(frozen=True)
class Day:
    """A day of a zone: from `start` until `end`, aware UTC datetimes, which may lie 23 or 25 hours apart."""

    date: date
    start: datetime
    end: datetime


def day_of(moment: datetime, zone: str = UTC_ZONE) -> date:
    """The day of a zone in which an aware moment is."""
    return moment.astimezone(time_zone(zone)).date()


def start_of(day: date, zone: str = UTC_ZONE) -> datetime:
    """When a day of a zone begins, as an aware UTC datetime."""
    return datetime.combine(day, time(), time_zone(zone)).astimezone(UTC)


def days_between(since: datetime, until: datetime, zone: str = UTC_ZONE) -> Iterator[Day]:
    """The days of a zone that touch a span of time, the first and the last cut to it."""
    day = day_of(since, zone)
    while since < until:
        after = start_of(day + timedelta(days=1), zone)
        yield Day(day, since, min(after, until))
        since, day = after, day + timedelta(days=1)


def month_of(day: date, zone: str = UTC_ZONE) -> tuple[datetime, datetime]:
    """When the month of a day of a zone begins and ends, as aware UTC datetimes."""
    first = day.replace(day=1)
    return start_of(first, zone), start_of((first + timedelta(days=32)).replace(day=1), zone)

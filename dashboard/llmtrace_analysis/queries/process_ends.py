"""Processes of SDKs that ended without goodbye, when they reported last, and what of theirs is missing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from clickhouse_connect.driver.client import Client

from .scope import Scope, frame

_MOST: Final = 50

ENDED_WITHOUT_GOODBYE: Final = """SELECT
    ServiceName AS service,
    ProcessId AS pid,
    Host AS host,
    toUnixTimestamp(LastReport) AS last_report,
    Generated AS generated,
    Lost AS lost,
    State AS state
FROM sdk_processes
WHERE State IN ('killed', 'silent')
    AND LastHeard >= fromUnixTimestamp64Milli({since:Int64})
    AND LastHeard < fromUnixTimestamp64Milli({until:Int64})
    AND ({project:String} = '' OR Project = {project:String})
    AND ({service:String} = '' OR ServiceName = {service:String})
ORDER BY LastHeard DESC, Instance
LIMIT {most:UInt32}"""


@dataclass(frozen=True)
class ProcessEnd:
    """A process that said no goodbye. `killed`: another found it dead; `silent`: nobody has, yet."""

    service: str
    pid: str
    host: str
    last_report: datetime | None
    """UTC; None where it never reported by itself."""
    generated: int
    lost: int
    """Spans that were in its memory; 0 of a silent one, of which that is not known."""
    state: Literal["killed", "silent"]


def ended_without_goodbye(client: Client, scope: Scope) -> list[ProcessEnd]:
    """Those that were heard of last in scope, the latest first, 50 at most."""
    rows = frame(client, ENDED_WITHOUT_GOODBYE, {**scope.params(), "most": _MOST}).to_dict("records")
    return [
        ProcessEnd(
            row["service"],
            row["pid"],
            row["host"],
            datetime.fromtimestamp(row["last_report"], UTC) if row["last_report"] else None,
            int(row["generated"]),
            int(row["lost"]),
            row["state"],
        )
        for row in rows
    ]

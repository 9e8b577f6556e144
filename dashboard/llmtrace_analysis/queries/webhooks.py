"""Webhooks that do not arrive: what waits for each receiver, and what was given up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from clickhouse_connect.driver.client import Client

from .scope import rows, utc

# Attempts come at least once an hour while a message waits: a receiver that is no longer tried is nobody's.
UNDELIVERED = """SELECT
    url,
    countIf(waits) AS waiting,
    toUnixTimestamp64Milli(minIf(first_at, waits)) / 1000 AS since,
    argMaxIf(error, last_at, waits) AS error,
    countIf(given_up) AS dropped
FROM (
    SELECT
        any(Url) AS url,
        min(At) AS first_at,
        max(At) AS last_at,
        argMax(Error, At) AS error,
        NOT max(Ok) AND min(Attempt) > 0 AND last_at > now64(3) - INTERVAL 2 HOUR AS waits,
        NOT max(Ok) AND startsWith(argMin(Error, Attempt), 'given up') AS given_up
    FROM webhook_deliveries
    WHERE ({project:String} = '' OR Project = {project:String}) AND At > now64(3) - INTERVAL 1 DAY
    GROUP BY DeliveryId
)
GROUP BY url
HAVING waiting > 0 OR dropped > 0
ORDER BY url"""


@dataclass(frozen=True)
class Undelivered:
    """What a receiver has not got, of the last day's attempts."""

    url: str
    waiting: int
    """Messages that are still tried."""
    since: datetime | None
    """The first attempt of the oldest of them."""
    error: str
    """Why the last attempt failed."""
    dropped: int
    """Messages that were given up."""


def undelivered(client: Client, project: str) -> list[Undelivered]:
    """Of a project ('' for all), by receiver; empty when all is well."""
    return [
        Undelivered(
            url=row["url"],
            waiting=int(row["waiting"]),
            since=utc(row["since"]) if row["waiting"] else None,
            error=row["error"] if row["waiting"] else "",
            dropped=int(row["dropped"]),
        )
        for row in rows(client, UNDELIVERED, {"project": project})
    ]

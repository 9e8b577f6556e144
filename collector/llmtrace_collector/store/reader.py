"""How other processes read: ClickHouse over HTTP, through the collector's endpoint /clickhouse."""

from __future__ import annotations

from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client


def open_reader(url: str, key: str | None = None) -> Client:
    """A clickhouse-connect client on the collector at `url` (`http://127.0.0.1:4318`).

    `key` is a read key, needed where the collector demands keys. Raises clickhouse-connect's
    `OperationalError` when the collector does not answer.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    return clickhouse_connect.get_client(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or (443 if secure else 80),
        secure=secure,
        proxy_path=parts.path.rstrip("/") + "/clickhouse",
        username="llmtrace",
        password=key or "",
        autogenerate_session_id=False,
    )

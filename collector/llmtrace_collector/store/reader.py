"""How other processes read: ClickHouse over HTTP, through the collector's endpoint /clickhouse."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.httputil import get_pool_manager
from urllib3 import PoolManager

from llmtrace.common.tls import TlsFiles


def open_reader(
    url: str,
    key: str | None = None,
    tls: TlsFiles | None = None,
    headers: Mapping[str, str] | None = None,
) -> Client:
    """A clickhouse-connect client on the collector at `url` (`http://127.0.0.1:4318`).

    `key` is a read key, needed where the collector demands keys; `tls` what to trust and present over https,
    `headers` what to send besides. Raises clickhouse-connect's `OperationalError` when the collector does not
    answer, ValueError when a file of `tls` cannot be used.
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
        pool_mgr=_pool(tls) if secure and tls is not None else None,
        headers=dict(headers or {}),
    )


@lru_cache(maxsize=8)
def _pool(tls: TlsFiles) -> PoolManager:
    """Connections that all readers with the same files share, as those without files share one pool."""
    pool: PoolManager = get_pool_manager(ssl_context=tls.context())
    return pool

"""clickhouse-connect against a collector: settings, parameters, metadata, a wrong key, an insert."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from llmtrace_collector.store.catalogue import READABLE
from tests.collector.otlp import llm, traces
from tests.collector.running import Served, settings


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector whose readers need a key, with three calls."""
    collector = Served(settings(tmp_path_factory.mktemp("clients"), read_key="read me"))
    sent = collector.post(traces([llm({"user.id": f"u{number}"}) for number in range(3)]))
    assert sent.status_code == 200
    collector.stored()
    yield collector
    collector.close()


def connect(served: Served, key: str = "read me", **options: Any) -> Client:
    """A client as its users make it; at the root of the collector, since it can do without a path there."""
    port = served.collector.settings.port
    options = {"proxy_path": "/clickhouse", "database": "llmtrace", **options}
    return clickhouse_connect.get_client(
        host="127.0.0.1", port=port, username="anybody", password=key, **options
    )


@pytest.mark.parametrize("path", ["/clickhouse", ""])
def test_it_reads_with_limits_and_parameters(served: Served, path: str) -> None:
    client = connect(
        served, proxy_path=path, compress=True, settings={"max_execution_time": 5, "max_result_rows": 10}
    )
    try:
        assert client.server_version
        text = "SELECT UserId, count() AS calls FROM otel_traces WHERE UserId IN {users:Array(String)} "
        result = client.query(f"{text} GROUP BY ALL ORDER BY UserId", parameters={"users": ["u0", "u2"]})
        assert result.result_rows == [("u0", 1), ("u2", 1)]
        assert client.query_df("SELECT * FROM otel_traces")["SpanName"].tolist() == ["chat gpt-4o-mini"] * 3
        assert client.command("SELECT 1") == 1
        assert client.query_arrow("SELECT number FROM numbers(3)").num_rows == 3
        assert client.ping()
    finally:
        client.close()


def test_it_sees_what_may_be_read(served: Served) -> None:
    client = connect(served)
    try:
        assert [row[0] for row in client.query("SHOW TABLES FROM llmtrace").result_rows] == sorted(READABLE)
        described = client.query("DESCRIBE TABLE llmtrace.otel_traces").result_rows
        assert ("UserId", "String") in {(row[0], row[1]) for row in described}
        assert client.command("EXISTS TABLE llmtrace.api_keys") == 0
        assert client.command("SELECT currentDatabase()") == "llmtrace"
        assert client.query("SELECT sum(rows) FROM system.parts").result_rows == [(0,)]
    finally:
        client.close()


def test_it_is_refused_what_it_may_not(served: Served) -> None:
    client = connect(served)
    try:
        for refused in (
            lambda: client.insert("scores", [["x"]], column_names=["Name"]),
            lambda: client.command("TRUNCATE TABLE scores"),
            lambda: client.query("SELECT * FROM api_keys"),
        ):
            with pytest.raises(DatabaseError):
                refused()
    finally:
        client.close()


def test_a_wrong_key_is_told_as_one(served: Served) -> None:
    with pytest.raises(ClickHouseError, match="read key"):
        connect(served, "wrong")

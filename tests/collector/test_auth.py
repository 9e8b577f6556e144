"""Endpoints with keys and limits, and which addresses may do without."""

from __future__ import annotations

import base64
import gzip
import http.client
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from llmtrace.common.loopback import is_loopback
from llmtrace_collector.access.auth import (
    ConfiguredKeys,
    UnsafeBind,
    _presented_keys,
    admin_key,
    load_keys,
)
from llmtrace_collector.settings import CollectorSettings
from tests.synced_files import SyncedFiles

from .otlp import DAY, span, traces
from .running import CLIENT, PROTOBUF, Served, settings
from .test_otlp_http import status_of


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector with keys, small limits and a long retention."""
    directory = tmp_path_factory.mktemp("keyed")
    fields = {"ingest_key": "in-key", "read_key": "read-key", "max_body_bytes": 64 << 10}
    collector = Served(settings(directory, retention_days=400, **fields))
    yield collector
    collector.close()


def test_keys_are_demanded(keyed: Served) -> None:
    body = traces([span()]).SerializeToString()
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer read-key"}):
        answer = keyed.post(body, headers=headers)
        assert answer.status_code == 401
        assert status_of(answer).code == 16
    for headers in (
        {"authorization": "Bearer in-key"},
        {"x-api-key": "in-key"},
        {"authorization": f"Bearer {keyed.admin_key}"},
    ):
        assert keyed.post(body, headers=headers).status_code == 200


def test_large_bodies_are_refused(keyed: Served) -> None:
    headers = {"authorization": "Bearer in-key"}
    large = traces([span({"text": "x" * (80 << 10)})]).SerializeToString()
    packed = gzip.compress(large)
    assert len(packed) < 64 << 10 < len(large)
    assert keyed.post(large, headers=headers).status_code == 413
    answer = keyed.post(packed, headers={**headers, "content-encoding": "gzip"})
    assert answer.status_code == 413
    assert "decompressed" in status_of(answer).message


def test_a_body_beyond_the_limit_is_not_read_to_its_end(keyed: Served) -> None:
    connection = http.client.HTTPConnection(keyed.url.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/v1/traces")
    for name, value in {**PROTOBUF, "authorization": "Bearer in-key"}.items():
        connection.putheader(name, value)
    connection.putheader("content-length", str(1 << 30))
    connection.endheaders()
    connection.send(bytes(1 << 20))
    assert connection.getresponse().status == 413
    connection.close()


def test_a_request_of_more_days_than_a_block_takes_is_stored(keyed: Served) -> None:
    now = time.time_ns()
    sent = [span(start=now - day * DAY) for day in range(110)]
    assert keyed.post(traces(sent), headers={"authorization": "Bearer in-key"}).status_code == 200
    keyed.stored()
    answer = CLIENT.post(
        f"{keyed.url}/clickhouse/",
        content=b"SELECT uniqExact(SpanId), count() FROM otel_traces WHERE SpanName = 'work'",
        headers={"x-clickhouse-key": "read-key"},
    )
    assert answer.text.split() == ["111", "111"]


def test_reading_demands_the_read_key(keyed: Served) -> None:
    url = f"{keyed.url}/clickhouse/"
    basic = base64.b64encode(b"anyone:read-key").decode()
    cases: tuple[tuple[dict[str, Any], int], ...] = (
        ({}, 401),
        ({"x-clickhouse-key": "in-key"}, 401),
        ({"authorization": "Basic ???"}, 401),
        ({"authorization": b"Basic \xe9\xe9"}, 401),
        ({"authorization": "Basic /w=="}, 401),
        ({"authorization": f"Basic {basic}"}, 200),
        ({"x-clickhouse-key": "read-key"}, 200),
        ({"authorization": f"Bearer {keyed.admin_key}"}, 200),
    )
    for headers, status in cases:
        answer = CLIENT.post(url, content=b"SELECT 1", headers=headers)
        assert answer.status_code == status
        if status == 401:
            assert answer.headers["x-clickhouse-exception-code"] == "516"
    client = keyed.reader("read-key")
    assert client.query("SELECT 1").result_rows == [(1,)]
    client.close()


def test_keys_may_hold_any_text(keyed: Served) -> None:
    connection = http.client.HTTPConnection(keyed.url.removeprefix("http://"), timeout=10)
    connection.request("POST", "/clickhouse/", b"SELECT 1", {"x-clickhouse-key": b"\xff\xfe"})
    assert connection.getresponse().status == 401
    connection.close()


def test_other_names_for_loopback_are_refused(keyed: Served) -> None:
    for path in ("/v1/traces", "/clickhouse/?query=SELECT+1", "/metrics"):
        answer = CLIENT.get(f"{keyed.url}{path}", headers={"host": "evil.example"})
        assert answer.status_code == 421
        assert "allowed_hosts" in answer.text
    assert CLIENT.get(f"{keyed.url}/health/live", headers={"host": "localhost:1"}).status_code == 200


def test_the_admin_key_is_its_owners_alone(keyed: Served) -> None:
    path = keyed.collector.settings.data_dir / "admin.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().strip() == keyed.admin_key
    assert len(keyed.admin_key) >= 32


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "collector.internal"])
def test_other_addresses_need_keys(tmp_path: Path, host: str) -> None:
    assert not is_loopback(host)
    for keys in ({}, {"ingest_key": "a"}, {"read_key": "b"}, {"ingest_key": "", "read_key": ""}):
        configured = CollectorSettings.model_validate({"host": host, "data_dir": tmp_path, **keys})
        with pytest.raises(UnsafeBind, match=r"set collector\.ingest_key and collector\.read_key"):
            load_keys(configured)
    safe = {"host": host, "data_dir": tmp_path, "ingest_key": "a", "read_key": "b"}
    assert load_keys(CollectorSettings.model_validate(safe)).ingest == "a"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_none(tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMTRACE_ADMIN_KEY", raising=False)
    configured = CollectorSettings(host=host, data_dir=tmp_path)
    first = load_keys(configured)
    assert (first.ingest, first.read) == (None, None)
    assert load_keys(configured).admin == first.admin
    monkeypatch.setenv("LLMTRACE_ADMIN_KEY", "from-the-environment")
    assert load_keys(configured).admin == "from-the-environment"


_MAKE_KEY = """
import sys, time
from pathlib import Path
from llmtrace_collector.access.auth import admin_key
time.sleep(max(0, float(sys.argv[2]) - time.time()))
print(admin_key(Path(sys.argv[1])))
"""


def test_processes_that_start_at_once_have_one_admin_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLMTRACE_ADMIN_KEY", raising=False)
    command = [sys.executable, "-c", _MAKE_KEY, str(tmp_path / "data"), str(time.time() + 4)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    keys = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert keys == {(tmp_path / "data" / "admin.key").read_text().strip()}
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["admin.key"]


def test_a_new_admin_key_is_on_disk_whole_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLMTRACE_ADMIN_KEY", raising=False)
    synced = SyncedFiles(monkeypatch)
    assert len(admin_key(tmp_path)) >= 32
    assert tmp_path / "admin.key" in synced


@pytest.mark.parametrize("file", ["admin.key", "dashboard.key"])
@pytest.mark.parametrize(
    ("text", "message"), [("\n", "is empty"), ("", "is empty"), ("Q7f_\n", "a key of 4 char")]
)
def test_an_empty_or_short_key_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str, message: str
) -> None:
    for name in ("LLMTRACE_ADMIN_KEY", "LLMTRACE_DASHBOARD_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / file).write_text(text)  # as a full disk or a power cut leaves it
    with pytest.raises(ValueError, match=rf"{file} .*{message}.*remove it: the next start makes a new one"):
        load_keys(CollectorSettings(data_dir=tmp_path))


def test_an_empty_key_is_nobodys() -> None:
    keys = ConfiguredKeys("", "", "", "", "")
    assert all(keys.role_of("", (role,)) is None for role in ("ingest", "read", "service", "admin"))
    for headers in ({"authorization": "Bearer "}, {"x-api-key": ""}, {"authorization": "Basic Og=="}):
        assert _presented_keys(Headers(headers)) == []

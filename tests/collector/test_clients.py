"""What answers ClickHouse's clients: statements, metadata, settings, compressed frames, the first block."""

from __future__ import annotations

import struct

import httpx
import lz4.block
import pytest
from clickhouse_cityhash.cityhash import CityHash128

from llmtrace_collector.store.catalogue import BY_NAME, READABLE
from llmtrace_collector.store.clients.client_settings import ClientRefused, judge
from llmtrace_collector.store.clients.frames import compressed, hello
from llmtrace_collector.store.clients.metadata import STAND_INS, stand_ins
from llmtrace_collector.store.clients.statements import translate

from .running import CLIENT, Served


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SHOW DATABASES;", "SELECT name FROM system.databases WHERE 1 ORDER BY name"),
        (
            "show tables from `llmtrace` not like 'a%' limit 3",
            "SELECT name FROM system.tables WHERE database = 'llmtrace' AND name NOT LIKE 'a%' ORDER BY name "
            "LIMIT 3",
        ),
        (
            'EXISTS TABLE "default"."scores"',
            "SELECT toUInt8(count()) AS result FROM system.tables WHERE database = 'llmtrace' "
            "AND name = 'scores'",
        ),
        ("USE default", ""),
        ("SET readonly = 1, max_threads = 4", ""),
    ],
)
def test_statements_become_selects(text: str, expected: str) -> None:
    assert translate(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "SHOW USERS",
        "SHOW TABLES LIKE 'a' OR 1",
        "SHOW TABLES; SELECT 1",
        "SHOW TABLES LIKE (SELECT 1)",
        "SHOW TABLES LIKE 'a' || 'b'",
        "SHOW CREATE TABLE api_keys",
        "DESCRIBE file('/etc/passwd')",
        "DESCRIBE TABLE api_keys",
        "DESC (SELECT 1)",
        "DESC `a'b`",
        "EXISTS",
        "USE system",
        "SET log_comment",
        "SET max_threads = 1, format_schema = 'x'",
        f"SHOW TABLES LIKE '{'x' * 2000}'",
    ],
)
def test_other_statements_are_refused(text: str) -> None:
    with pytest.raises(ClientRefused):
        translate(text)


def test_settings_are_dropped_or_refused_by_what_they_do() -> None:
    for name, value in (("max_execution_time", "0"), ("readonly", "0"), ("extremes", "0")):
        judge(name, value)
    for name, value in (("extremes", "1"), ("limit", "5"), ("role", "x"), ("additional_table_filters", "{}")):
        with pytest.raises(ClientRefused, match=name):
            judge(name, value)


def test_metadata_names_what_may_be_read_and_nothing_else(served: Served) -> None:
    texts = stand_ins(served.collector.store.engine)
    assert texts.keys() == STAND_INS
    hidden = BY_NAME.keys() - READABLE.keys()
    for name, text in texts.items():
        assert not [other for other in hidden if f'"{other}"' in text], name
        served.collector.store.read(f"SELECT * FROM ({text})")
    assert served.rows("SELECT name FROM system.tables ORDER BY name") == [
        {"name": name} for name in sorted(READABLE)
    ]
    assert served.value("SELECT count(), sum(total_rows), max(create_table_query) FROM system.tables") == (
        f"{len(READABLE)}\t\\N\t"
    )
    assert served.value(
        "SELECT DISTINCT database, table = 'scores' FROM system.columns WHERE table = 'scores'"
    ) == ("llmtrace\t1")
    # As clickhouse-jdbc writes it: a column by its table's name, beside the table's alias.
    joined = "SELECT count() FROM system.tables t JOIN system.databases d ON system.tables.database = d.name"
    assert served.value(joined) == str(len(READABLE))
    statement = served.value("SHOW CREATE TABLE scores")
    assert statement.startswith("CREATE TABLE llmtrace.scores (`")
    assert statement.endswith(") ENGINE = MergeTree")


def _ask(served: Served, text: str, **params: str) -> httpx.Response:
    return CLIENT.post(f"{served.url}/clickhouse/", content=text.encode(), params=params)


def test_compressed_answers_are_frames_with_their_checksum(served: Served) -> None:
    plain = _ask(served, "SELECT number FROM numbers(300000)").content
    data = _ask(served, "SELECT number FROM numbers(300000)", compress="1").content
    whole = b""
    while data:
        high, low, kind, size, length = struct.unpack("<QQBII", data[:25])
        frame, data = data[16 : 16 + size], data[16 + size :]
        assert kind == 0x82
        assert (high << 64) + low == CityHash128(frame)
        whole += lz4.block.decompress(frame[9:], uncompressed_size=length)
    assert whole == plain
    assert compressed(b"") == b""
    # An error is told in plain text: those who asked for frames read both.
    assert b"DB::Exception" in _ask(served, "SELECT 1 FROM api_keys", compress="1").content


def test_clickhouse_go_reads_its_first_block(served: Served) -> None:
    text = "SELECT displayName(), version(), revision(), timezone()"
    block = _ask(served, text, default_format="Native", client_protocol_version="54483").content
    version, zone = served.value("SELECT version(), timezone()").split("\t")
    assert block == hello(version, zone, 54483)
    assert block[:8] == b"\x01\x00\x02\xff\xff\xff\xff\x00"
    assert block[8:10] == b"\x04\x01"
    assert b"\x0drevision()"[1:] in block
    # Later blocks are read as revision() says, which is 0: as the engine writes them here.
    assert served.value(text) == f"llmtrace\t{version}\t0\t{zone}"
    assert _ask(served, "SELECT 1", default_format="Native").content == b"\x01\x01\x011\x05UInt8\x01"

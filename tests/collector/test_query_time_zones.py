"""Names of time zones in texts of others: the engine opens the file in `file:/path`, and may not."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from llmtrace_collector.sql_values import EncodedText
from llmtrace_collector.store.engine import StoreError
from llmtrace_collector.store.query_guard.guard import make_safe
from llmtrace_collector.store.query_guard.refusal import QueryRefused
from llmtrace_collector.store.store import Store, open_store

from .prefilled import prefill

_TIME = "toDateTime(0)"

#: Arguments with a zone, which `{zone}` stands for, in the shapes that functions have.
_SHAPES = (
    "{zone}",
    f"{_TIME}, {{zone}}",
    f"{_TIME}, 1, {{zone}}",
    "0, {zone}",
    "'2020-01-01 00:00:00', {zone}",
    "'2020-01-01 00:00:00', 3, {zone}",
    f"'day', {_TIME}, {{zone}}",
    f"'day', {_TIME}, {_TIME}, {{zone}}",
    f"{_TIME}, INTERVAL 1 HOUR, {{zone}}",
    "'2020', '%Y', {zone}",
    f"{_TIME}, INTERVAL 1 HOUR, {_TIME}, {{zone}}",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{prefill(tmp_path_factory.mktemp('zones') / 'store')}")
    yield opened
    opened.close()


def _functions() -> dict[str, list[str]]:
    text = (resources.files("llmtrace_collector.store") / "functions.txt").read_text()
    lines = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {kind: words.split() for kind, _, words in lines if kind not in ("types", "tables")}


def test_no_function_opens_a_file_as_a_zone(store: Store, tmp_path: Path) -> None:
    """The engine says of each path that it tried."""
    zone = f"'file:{tmp_path}/zone'"
    opened = set()
    for kind, names in _functions().items():
        shapes = _SHAPES if kind in ("time", "casts") else _SHAPES[:2]
        for text in (f"SELECT {name}({shape.format(zone=zone)})" for name in names for shape in shapes):
            try:
                store.read(text)
            except StoreError as error:
                if "Cannot load time zone" not in str(error):
                    continue
            else:
                continue
            opened.add(text)
            with pytest.raises(QueryRefused):
                make_safe(text)
    assert len(opened) > 60


@pytest.mark.parametrize(
    "text",
    [
        r"SELECT toTimeZone(now(), '\x66ile:/x')",
        "SELECT toTimeZone(now(), concat('fi', 'le:/x'))",
        "SELECT toTimeZone(now(), 'fi' || 'le:/x')",
        "SELECT toTimeZone(now(), lower('FILE:/x'))",
        "SELECT toTimeZone(now(), ['file:/x'][1])",
        "SELECT toTimeZone(now(), ('file:/x', 1).1)",
        "SELECT toTimeZone(now(), {a:Array(String)}[1])",
        "SELECT toTimeZone(now(), z), 'file:/x' AS z",
        "WITH concat('file', ':/x') AS z SELECT toHour(now(), z)",
        "WITH (SELECT any(SpanName) FROM otel_traces) AS z SELECT toTimeZone(now(), z)",
        "SELECT toTimeZone(now(), concat((SELECT any(SpanName) FROM otel_traces), ''))",
        "SELECT toTimeZone(now(), (SELECT 'file:/x'))",
        "SELECT toTimeZone(now(), CAST('file:/x' AS String))",
        "SELECT toTimeZone(now(), 'file:/x'::String)",
        "SELECT toTimeZone(now(), CASE WHEN 1 THEN 'file:/x' END)",
        "SELECT toTimeZone(now(), if(1, 'file:/x', ''))",
        "SELECT toTimeZone(untuple((now(), 'file:/x')))",
        "SELECT now('file:/x')",
        "SELECT CAST('a' AS DateTime('file:/x'))",
        "SELECT CAST('a', 'DateTime64(3, ''file:/x'')')",
        "SELECT {p:DateTime('file:/x')}",
        "SELECT JSONExtract('{}', 'a', 'DateTime(\\'file:/x\\')')",
        "SELECT * FROM values('a DateTime(''file:/x'')', 'x')",
        # The type would be the parameter's.
        "SELECT * FROM values({p:String}, 'x')",
        "SELECT * FROM values(concat('a Dat', 'eTime'), 'x')",
    ],
)
def test_whatever_a_constant_is_made_of(text: str) -> None:
    with pytest.raises(QueryRefused):
        make_safe(text)


@pytest.mark.parametrize(
    "zone", ["file:{path}", "file:file:{path}", r"f\ile:{path}", r"\x66ile:{path}", r"file\:{path}"]
)
def test_a_parameter_names_no_file(store: Store, tmp_path: Path, zone: str) -> None:
    text = make_safe("SELECT toTimeZone(toDateTime(0), {tz:String})").sql
    with pytest.raises(StoreError, match="Cannot load time zone") as failure:
        store.read(text, {"tz": EncodedText(zone.format(path=tmp_path / "zone"))})
    assert "time zone file:" not in str(failure.value)


def test_a_parameter_names_a_zone(store: Store) -> None:
    text = make_safe("SELECT toTimeZone(toDateTime(0), {tz:String})").sql
    assert store.read(text, {"tz": EncodedText("Asia/Tokyo")}) == b"1970-01-01 09:00:00\n"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT toStartOfInterval(Timestamp, toIntervalSecond(60), 'Asia/Tokyo') FROM otel_traces",
        "SELECT dateDiff('second', min(Timestamp), max(Timestamp)) FROM otel_traces",
        "SELECT dateDiff('second', Timestamp, coalesce(At, now64())) FROM (SELECT now64() AS Timestamp, "
        "now64() AS At)",
        "SELECT dateDiff('second', toDateTime(0), toDateTime((SELECT max(Timestamp) FROM otel_traces)))",
        "WITH (SELECT max(Timestamp) FROM otel_traces) AS m SELECT dateDiff('day', Timestamp, m) "
        "FROM otel_traces",
        "SELECT date_trunc('hour', (SELECT max(Timestamp) FROM otel_traces))",
        "SELECT formatDateTime(now(), concat('%Y', '-%m'))",
        "SELECT formatDateTime(now(), '%Y-%m-%d %H:%i:%s', 'Etc/GMT+5'), addDays(now(), 2 * 3)",
        "SELECT addDays(now(), count()), addDays(now(), row_number() OVER ()) FROM numbers(2)",
        "SELECT CAST('2020-01-01 00:00:00' AS DateTime64(3, 'America/Argentina/Buenos_Aires'))",
        "SELECT * FROM values(-1, 2)",
    ],
)
def test_honest_uses(store: Store, text: str) -> None:
    store.read(make_safe(text).sql)

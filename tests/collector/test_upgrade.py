"""Stores of before become what a fresh one is, also where the process ended at any statement on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmtrace_cli.main import cli
from llmtrace_collector.store.catalogue import CATALOGUE
from llmtrace_collector.store.engine import EmbeddedEngine, StoreError, StoreMismatch
from llmtrace_collector.store.schema import description as described
from llmtrace_collector.store.schema import reconcile, upgrade, versions
from llmtrace_collector.store.schema.copies import Copy, copy_of_shard, other_shards
from llmtrace_collector.store.schema.description import Description, Statement
from llmtrace_collector.store.schema.home import Home
from llmtrace_collector.store.schema.scratch import Scratch
from llmtrace_collector.store.schema.state import Column, State
from llmtrace_collector.store.store import Store, open_store

from .clickhouse import clickhouse_server
from .running import free_port
from .stores import make
from .stores.opening import DAYS, Killed, columns, insert, killed_at, opened, statements, unpack

_OLD_ROWS = "SELECT * EXCEPT(Simulated) FROM default.otel_traces ORDER BY SpanId FORMAT JSONEachRow"
_ROWS = "SELECT {names} FROM otel_traces WHERE SpanId <= '{last}' ORDER BY SpanId FORMAT JSONEachRow"

#: What is read of spans that were inserted after the upgrade.
_READS = (
    "SELECT * EXCEPT(StoredAt) FROM otel_traces WHERE SpanId > '{last}' ORDER BY SpanId",
    "SELECT Purpose, PromptHash, TimePerOutputToken FROM otel_traces WHERE SpanId > '{last}' ORDER BY SpanId",
    "SELECT Time, Model, Purpose, Tags, sum(Calls), sum(Errors), sum(InputTokens) FROM usage_10s "
    "WHERE Time > '{time}' GROUP BY ALL ORDER BY ALL",
    "SELECT * FROM call_cost WHERE SpanId > '{last}' ORDER BY SpanId",
    "SELECT * FROM span_cost WHERE SpanId > '{last}' ORDER BY SpanId",
    "SELECT * FROM trace_times WHERE Start > '{time}' ORDER BY TraceId, Start",
    "SELECT * FROM incidents",
    "SELECT * FROM scores",
)
_LAST = f"{11:016x}"
_TIME = "2035-01-01 10:01:40"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a fresh store is, and what it gives back."""
    folder = tmp_path_factory.mktemp("fresh")
    store = opened(folder / "store")
    try:
        schema = {"statements": statements(store), "columns": columns(store)}
        make.fill(store, folder)
        insert(store, folder, 20)
        return {**schema, "reads": reads(store)}
    finally:
        store.close()


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture, unpacked once; tests copy it."""
    return unpack(tmp_path_factory.mktemp("before"))


@pytest.fixture
def old(before: Path, tmp_path: Path) -> Path:
    """A store of before of a test's own."""
    return Path(shutil.copytree(before, tmp_path / "store", symlinks=True))


def reads(store: Store) -> list[str]:
    return [store.read(query.format(last=_LAST, time=_TIME), fmt="JSONEachRow").decode() for query in _READS]


def demand_equal(store: Store, fresh: dict[str, Any]) -> None:
    """The store is what a fresh one is."""
    assert statements(store) == fresh["statements"]
    assert columns(store) == fresh["columns"]


def old_rows(folder: Path) -> list[dict[str, Any]]:
    """The spans as the release before reads them."""
    engine = EmbeddedEngine(folder)
    try:
        return [json.loads(line) for line in engine.execute(_OLD_ROWS).splitlines()]
    finally:
        engine.close()


def test_an_upgraded_store_equals_a_fresh_one(old: Path, fresh: dict[str, Any], tmp_path: Path) -> None:
    stored = old_rows(old)
    store = opened(old)
    try:
        demand_equal(store, fresh)
        names = ", ".join(f"`{name}`" for name in stored[0])
        spans = store.engine.execute(_ROWS.format(names=names, last=_LAST)).splitlines()
        assert [json.loads(line) for line in spans] == stored
        assert len(stored) == 10
        purposes = "SELECT Purpose, sum(Calls), sum(InputTokens) FROM {table} GROUP BY ALL ORDER BY ALL"
        for table in ("usage_10s", "usage_hour"):
            assert store.read(purposes.format(table=table)) == b"product\t4\t321\nsimulated\t4\t321\n", table
        # Hours of before keep what usage_10s did not know.
        closed = "SELECT sum(Calls) FROM usage_hour_closed WHERE Tags = ['a', 'b']"
        assert store.engine.execute(closed) == b"4\n"
        until = "SELECT max(Until) > now() - INTERVAL 2 HOUR FROM rollup_passes WHERE Name = 'usage_hour'"
        assert store.engine.execute(until) == b"1\n"
        insert(store, tmp_path, 20)
        assert reads(store) == fresh["reads"]
        for table, rows in make.ROWS.items():
            least = 1 if table == "incident_versions" else len(rows)  # of which a merge leaves the newest
            assert int(store.engine.execute(f"SELECT count() FROM {table}")) >= least, table
    finally:
        store.close()


def test_a_store_that_did_not_change_is_left_alone(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(old).close()
    # It would end before the first statement that changes anything.
    assert not killed_at(monkeypatch, old, lambda sql, number: True)


@pytest.mark.parametrize(
    "stride",
    [
        pytest.param(17, id="some"),
        pytest.param(1, id="every", marks=(pytest.mark.long, pytest.mark.timeout(1200))),
    ],
)
def test_an_upgrade_that_ends_anywhere_goes_on(
    old: Path, fresh: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    """The process ends again and again, each time after some statements more that none before came to."""
    keep_scratch(monkeypatch)
    executed: set[str] = set()
    runs = 0

    def further(sql: str, number: int) -> bool:
        if sql not in executed and len(executed) == (runs + 1) * stride:
            return True
        executed.add(sql)
        return False

    while killed_at(monkeypatch, old, further):
        runs += 1
        assert runs < 400
    assert runs > 100 / stride
    monkeypatch.undo()
    store = opened(old)
    try:
        store.engine.execute(f"DROP DATABASE IF EXISTS {_KEPT}")
        demand_equal(store, fresh)
        insert(store, tmp_path, 20)
        assert reads(store) == fresh["reads"]
    finally:
        store.close()


_KEPT = "llmtrace_scratch_0"


def keep_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the description in the engine once for many starts, and try nothing: that is what an upgrade takes
    longest for, and it changes nothing of the store.
    """

    @contextmanager
    def kept(home: Home, description: Description) -> Iterator[Scratch]:
        if home.engine.execute(f"SELECT count() FROM system.databases WHERE name = '{_KEPT}'") == b"0\n":
            home.run(f"CREATE DATABASE {_KEPT}")
            for statement in [*description.functions, *(s.create(_KEPT) for s in description.statements)]:
                home.run(statement)
        yield Scratch(home, _KEPT)

    monkeypatch.setattr(upgrade, "scratch", kept)
    monkeypatch.setattr(Scratch, "attempt", lambda self, plans: None)


def test_an_upgrade_that_is_killed_goes_on(old: Path, fresh: dict[str, Any]) -> None:
    program = f"from tests.collector.stores.opening import opened, Path; opened(Path({str(old)!r})).close()"
    for seconds in (1.5, 2.5, 3.5, 4.5):
        process = subprocess.Popen([sys.executable, "-c", program])
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    store = opened(old)
    try:
        demand_equal(store, fresh)
        assert store.read("SELECT count() FROM otel_traces") == b"10\n"
        assert store.read("SELECT sum(Calls) FROM usage_10s") == b"8\n"
    finally:
        store.close()


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(
    old: Path, fresh: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = old_rows(old)
    with monkeypatch.context() as patched:
        describe_with(patched, "span_cost", "price.Currency AS", "noSuchFunction(price.Currency) AS")
        with pytest.raises(StoreError, match="noSuchFunction"):
            opened(old)
    assert old_rows(old) == stored
    with pytest.raises(Killed):  # a disk that is full while tables are made anew
        opened_killed_in(monkeypatch, old, "INSERT INTO llmtrace.usage_10s_next")
    engine = EmbeddedEngine(old)
    assert engine.execute("SELECT max(Version) FROM default.schema_versions") == b"60\n"
    assert engine.execute("SELECT count() FROM default.usage_cost") != b"0\n"
    engine.close()
    store = opened(old)
    demand_equal(store, fresh)
    store.close()


def opened_killed_in(monkeypatch: pytest.MonkeyPatch, folder: Path, begin: str) -> None:
    if killed_at(monkeypatch, folder, lambda sql, number: sql.startswith(begin)):
        raise Killed(begin)


def describe_with(monkeypatch: pytest.MonkeyPatch, name: str, text: str, other: str) -> None:
    """Let the description of one entry be another."""
    describe = described.describe

    def changed(*arguments: Any, **named: Any) -> Description:
        whole = describe(*arguments, **named)
        assert any(text in item.sql for item in whole.statements if item.entry.name == name)
        return Description(
            whole.functions,
            tuple(
                Statement(item.entry, item.sql.replace(text, other)) if item.entry.name == name else item
                for item in whole.statements
            ),
        )

    monkeypatch.setattr(reconcile, "describe", changed)


def test_a_column_that_is_added_is_in_fresh_and_upgraded_stores(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    column = "    Shade LowCardinality(String) DEFAULT upper(SpanName) COMMENT 'A test''s',\n"
    describe_with(monkeypatch, "otel_traces", "    EndBeforeStart", f"{column}    EndBeforeStart")
    store = opened(old)
    upgraded = statements(store)
    assert store.read("SELECT uniqExact(Shade), min(Shade) FROM otel_traces") == b"2\tCHAT\n"
    store.close()
    store = opened(tmp_path / "new")
    assert statements(store) == upgraded
    store.close()


def test_what_a_column_means_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(tmp_path / "store").close()
    with monkeypatch.context() as patched:
        describe_with(patched, "incident_versions", "The greatest of an incident holds", "Another sentence")
        store = opened(tmp_path / "store")
        assert "Another sentence" in statements(store)["llmtrace.incident_versions"]
        store.close()
    describe_with(
        monkeypatch, "trace_rows", "IsDeleted UInt8 COMMENT '", "IsDeleted UInt8 COMMENT 'Another. "
    )
    store = opened(tmp_path / "store")
    assert "COMMENT 'Another. " in statements(store)["llmtrace.trace_rows"]
    store.close()


def test_what_the_engine_computed_is_computed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path / "store")
    store.insert_rows("price_book", [{"Book": "b", "Model": "m", "InputPrice": 2e-6, "OutputPrice": 4e-6}])
    assert store.read("SELECT Rates[1], Rates[2] FROM price_book WHERE Book = 'b'") == b"0.000002\t0.000002\n"
    store.close()
    # A bucket that takes the first place.
    describe_with(monkeypatch, "price_book", "[coalesce(InputPrice, 0), ", "[0.5, coalesce(InputPrice, 0), ")
    store = opened(tmp_path / "store")
    assert store.read("SELECT Rates[1], Rates[2] FROM price_book WHERE Book = 'b'") == b"0.5\t0.000002\n"
    store.close()


def test_another_sorting_key_makes_the_table_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "store"
    whole = "SELECT * FROM scores ORDER BY ALL FORMAT JSONEachRow"
    store = opened(folder)
    for month in ("2035-02-01", "2035-03-01", "2035-04-01"):
        store.insert_rows("scores", [{"Project": "p", "Name": "n", "Timestamp": f"{month} 00:00:00"}])
    # A column and a setting that others gave the table stay.
    store.engine.execute("ALTER TABLE scores ADD COLUMN TheirOwn String DEFAULT 'theirs'")
    store.engine.execute("ALTER TABLE scores MODIFY SETTING parts_to_delay_insert = 500")
    rows = store.engine.execute(whole)
    store.close()
    describe_with(monkeypatch, "scores", "ORDER BY (Project, Name, Timestamp)", "ORDER BY (Name, Timestamp)")
    for begin in (
        "INSERT INTO llmtrace.store_copies",
        "EXCHANGE",
        "DROP TABLE IF EXISTS llmtrace.scores_next",
    ):
        copied = [0]

        def second(sql: str, number: int, begin: str = begin, copied: list[int] = copied) -> bool:
            copied[0] += sql.startswith(begin)
            return copied[0] == (2 if "copies" in begin else 1)

        assert killed_at(monkeypatch, folder, second), begin
    store = opened(folder)
    try:
        assert store.engine.execute(whole) == rows
        assert rows.count(b"theirs") == 3
        (text,) = (text for name, text in statements(store).items() if name.endswith(".scores"))
        assert "ORDER BY (Name, Timestamp)" in text
        assert "parts_to_delay_insert = 500" in text
        assert not [name for name in statements(store) if "_next" in name or "copies" in name]
    finally:
        store.close()


def test_another_partition_key_begins_anew_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "store"
    store = opened(folder)
    for day in range(1, 6):
        store.insert_rows("scores", [{"Project": "p", "Name": "n", "Timestamp": f"2035-0{day}-02 00:00:00"}])
    rows = store.engine.execute("SELECT * FROM scores ORDER BY ALL")
    store.close()
    describe_with(monkeypatch, "scores", "PARTITION BY toYYYYMM(Timestamp)", "PARTITION BY toYear(Timestamp)")
    number = [0]

    def third(sql: str, _: int) -> bool:
        number[0] += sql.startswith("INSERT INTO llmtrace.scores_next")
        return number[0] == 3

    assert killed_at(monkeypatch, folder, third)
    store = opened(folder)
    assert store.engine.execute("SELECT * FROM scores ORDER BY ALL") == rows
    store.close()


def test_other_shards_are_asked_in_words_that_the_engine_takes(tmp_path: Path) -> None:
    source = State("d_shard", "t", "MergeTree", columns=(Column("a", "Int32", "", "", "", ""),))
    copy = Copy(source, source)
    statement = copy_of_shard(copy, "h:9000", "u", "it's")
    assert (
        "d_shard', 't_next', 'u', 'it\\'s') (`a`) SELECT `a` FROM remote('h:9000', 'd_shard', 't',"
        in statement
    )
    engine = EmbeddedEngine(tmp_path / "store")
    try:
        assert engine.execute(f"EXPLAIN AST {statement}")
        assert engine.execute(other_shards("fleet")) == b""
    finally:
        engine.close()


def test_what_is_not_ours_stays(old: Path) -> None:
    engine = EmbeddedEngine(old)
    engine.execute("CREATE TABLE default.theirs (a Int32) ENGINE = MergeTree ORDER BY a")
    engine.execute("INSERT INTO default.theirs VALUES (1)")
    engine.execute("ALTER TABLE default.otel_traces ADD COLUMN TheirOwn String DEFAULT 'x' AFTER TraceId")
    engine.close()
    store = opened(old)
    try:
        assert store.engine.execute("SELECT a FROM default.theirs") == b"1\n"
        assert store.read("SELECT DISTINCT TheirOwn FROM otel_traces") == b"x\n"
    finally:
        store.close()


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    store = opened(tmp_path / "store")
    number = versions.SCHEMA_NUMBER + 1
    store.engine.execute(
        f"INSERT INTO store_versions (Number, Release, At) VALUES ({number}, '9.1', now64(6) + 1)"
    )
    tables = statements(store)
    store.close()
    sentence = (
        rf"written by llmtrace 9\.1 \(schema {number}\), and this is llmtrace [\d.]+ \(schema {number - 1}\)"
    )
    with pytest.raises(StoreMismatch, match=sentence):
        opened(tmp_path / "store")
    # Whoever starts the collector reads the sentence alone.
    file = tmp_path / "llmtrace.toml"
    file.write_text(f'[collector]\nport = {free_port()}\ndata_dir = "{tmp_path}"\n')
    answer = CliRunner().invoke(cli, ["--config", str(file), "collector"])
    assert answer.exit_code == 1
    assert answer.output.startswith("Error: this store was written by llmtrace 9.1")
    assert len(answer.output.splitlines()) == 1
    engine = EmbeddedEngine(tmp_path / "store")
    assert set(tables) == set(
        engine.execute(
            "SELECT concat(database, '.', name) FROM system.tables WHERE database IN ('default', 'llmtrace')"
        )
        .decode()
        .split()
    )
    engine.close()


def test_a_store_that_is_too_old_is_refused(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = old_rows(old)
    monkeypatch.setattr(versions, "OLDEST_NUMBER", 61)
    monkeypatch.setattr(versions, "OLDEST_RELEASE", "0.7.0")
    with pytest.raises(
        StoreMismatch, match=r"has schema 60, which is too old .* start llmtrace 0\.7\.0 on it"
    ):
        opened(old)
    assert old_rows(old) == stored


@pytest.mark.parametrize("upgraded", [True, False])
def test_the_release_before_stops_at_an_upgraded_store(old: Path, tmp_path: Path, upgraded: bool) -> None:
    folder = old if upgraded else tmp_path / "new"
    opened(folder).close()
    engine = EmbeddedEngine(folder)
    try:
        # What it does first.
        engine.execute(
            "CREATE TABLE IF NOT EXISTS default.schema_versions (Version UInt32, AppliedAt DateTime)\n"
            "ENGINE = MergeTree\nORDER BY Version"
        )
        with pytest.raises(StoreError, match=r"was written by llmtrace .*, and this program is older"):
            engine.execute("SELECT Version FROM default.schema_versions")
    finally:
        engine.close()


def test_the_former_code_stops_at_an_upgraded_store(old: Path) -> None:
    base = os.environ.get("LLMTRACE_FORMER_CODE", "")
    if not base:
        pytest.skip("LLMTRACE_FORMER_CODE names no checkout of the code of before")
    opened(old).close()
    program = f"from llmtrace_collector.store.store import open_store; open_store('chdb://{old}')"
    path = os.pathsep.join(f"{base}/{part}" for part in ("sdk", "collector"))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "and this program is older: start that release or a later one" in done.stderr


def test_a_servers_store_stays_in_its_database(old: Path, fresh: dict[str, Any]) -> None:
    with clickhouse_server(old) as address:
        dsn = f"clickhouse://default:@{address}/default"
        store = open_store(dsn, DAYS)
        try:
            ours = dict(statements(store))
            for name, text in fresh["statements"].items():
                here = name.replace("llmtrace.", "default.")
                text_here, theirs = ours.pop(here), text.replace("default.", "llmtrace.")
                assert text_here.replace("default.", "llmtrace.") == theirs, here
            # Where others write.
            assert {name.removeprefix("default.") for name in ours} == {
                entry.name for entry in CATALOGUE if entry.server_only
            }
            assert store.read("SELECT Purpose, sum(Calls) FROM usage_10s GROUP BY 1 ORDER BY 1") == (
                b"product\t4\nsimulated\t4\n"
            )
            # A table of others by a name that we need.
            store.engine.execute("DROP VIEW steps")
            store.engine.execute("CREATE TABLE steps (a Int32) ENGINE = MergeTree ORDER BY a")
            with pytest.raises(StoreMismatch, match=r"default\.steps is in the way"):
                open_store(dsn, DAYS)
            assert store.engine.execute("SELECT count() FROM steps") == b"0\n"
        finally:
            store.close()

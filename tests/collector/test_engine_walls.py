"""The embedded engine's own access control: what a project's handle sees with no parser before it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store import access_control, handles, row_policies
from llmtrace_collector.store.catalogue import BY_NAME, CATALOGUE, Kind
from llmtrace_collector.store.engine import EmbeddedEngine, StoreError
from llmtrace_collector.store.rollups.partitions import empty_copy
from llmtrace_collector.store.schema.description import SchemaSettings, describe
from llmtrace_collector.store.schema.home import Home
from llmtrace_collector.store.schema.scratch import scratch
from llmtrace_collector.store.store import Store, open_store

from .prefilled import prefill

#: What every text of a project's rows is: `a` reads, and may learn of nothing that `b` has.
OWN, SECRET, ABSENT = "mine-of-a", "secret-of-b", "nobody-has-it"

#: Tables that tell nothing of any project.
COMMON = {"rollup_passes", "books_in_effect", "watch_reports"}

STORED = sorted(entry.name for entry in CATALOGUE if entry.stores and entry.name != "store_versions")


def marked(engine: EmbeddedEngine, table: str, project: str, mark: str) -> str:
    """The INSERT of one row whose texts are all `mark`."""
    lines = engine.execute(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
        "AND default_kind NOT IN ('ALIAS', 'EPHEMERAL', 'MATERIALIZED') ORDER BY position FORMAT TSVRaw",
        {"table": table},
    )
    values = {}
    for line in lines.decode().splitlines():
        name, _, kind = line.partition("\t")
        if name == "Project":
            values[name] = literal(project)
        elif re.fullmatch(r"(LowCardinality\()?(Nullable\()?String\)*", kind):
            values[name] = literal(mark)
        elif "String" in kind and kind.startswith(("Array(", "Map(")):
            pair = f"({literal(mark)}, {literal(mark)})"
            values[name] = f"map{pair}" if "Map(" in kind else pair if "Tuple(" in kind else literal(mark)
            values[name] = f"[{values[name]}]" if kind.startswith("Array(") else values[name]
        elif kind.startswith(("DateTime", "Nullable(DateTime")):
            values[name] = "now()"
        elif name == "RetentionDays":
            values[name] = "30"
    names = ", ".join(f"`{name}`" for name in values)
    return f"INSERT INTO {table} ({names}) SETTINGS async_insert = 0 VALUES ({', '.join(values.values())})"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store in every table of which both projects have a row that is marked in each text."""
    opened = open_store(f"chdb://{prefill(tmp_path_factory.mktemp('walls') / 'store')}")
    assert isinstance(opened.engine, EmbeddedEngine)
    for table in STORED:
        for project, mark in (("a", OWN), ("b", SECRET)):
            opened.engine.execute(marked(opened.engine, table, project, mark))
    yield opened
    opened.close()


def ask(store: Store, sql: str, project: str = "a", fmt: str = "TabSeparated") -> str:
    """What a project's handle answers, or the engine's whole error."""
    try:
        return store.read(sql, None, fmt, project).decode(errors="replace")
    except StoreError as error:
        return f"error: {error}"


def count(store: Store, table: str, where: str = "1") -> int:
    return int(store.engine.execute(f"SELECT count() FROM {table} WHERE {where}"))


def everything(store: Store) -> list[str]:
    """Every table and view of the store's database."""
    rows = store.rows("SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name")
    return [row["name"] for row in rows]


def test_every_table_and_view_has_a_filter() -> None:
    """What the description makes is either named or falls under the filter of the whole database."""
    own = access_control.filters()["llmtrace"]
    assert own[""] == "getSetting('log_comment') = ''"
    unnamed = {entry.name for entry in CATALOGUE} - own.keys()
    assert unnamed == {
        entry.name for entry in CATALOGUE if entry.inlet or entry.kind is Kind.MATERIALIZED_VIEW
    } | {"store_versions", "usage_stale", "ledger_passes", "row_adjustments", "api_keys"}, (
        "a table or view is new: say in catalogue.py whose its rows are, or that no reader sees any"
    )
    # A table of many projects is known by its project; what is not has been thought of here.
    odd = {name for name, rows in access_control.filtered().items() if rows != "Project = {project}"}
    assert odd == COMMON | {
        "price_book",
        "price_now",
        "prices",
        "own_prices",
        "price_books",
        "security_events",
    }


def test_what_is_in_the_engine_is_what_was_marked(store: Store) -> None:
    """Were a table without rows, nothing of it could get out below."""
    for table in STORED:
        assert count(store, table) >= 1, table
    answer = "\n".join(store.engine.execute(f"SELECT * FROM {name}").decode() for name in STORED)
    assert answer.count(SECRET) > 200


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: str(entry.name))
def test_a_project_sees_its_own_rows_of_everything(store: Store, entry: object) -> None:
    name = entry.name  # type: ignore[attr-defined]
    if name not in everything(store):
        assert BY_NAME[name].server_only
        return
    answer = ask(store, f"SELECT * FROM {name}")
    assert not answer.startswith("error")
    if name in COMMON:
        return
    assert SECRET not in answer
    rows = access_control.filtered().get(name)
    own = 0 if rows is None else count(store, name, rows.replace("{project}", "'a'"))
    assert int(ask(store, f"SELECT count() FROM {name}")) == own
    assert (
        ask(store, f"SELECT * FROM {name} WHERE Project = 'b'" if rows == "Project = {project}" else "") == ""
    )
    # No project's handle, and one whose name only looks like something of ours.
    for other in ("c", "*", "p:a", "a' OR 1", "p:"):
        assert int(ask(store, f"SELECT count() FROM {name}", other)) == 0
    # Keys of every project see them all, but nothing of what is the collector's.
    assert int(ask(store, f"SELECT count() FROM {name}", "")) == (0 if rows is None else count(store, name))


#: Each asks for more than the project has, in a way of its own.
HOSTILE = """
SELECT * FROM merge('llmtrace', '.*')
SELECT _table, count() FROM merge(REGEXP('.*'), '.*') GROUP BY _table
SELECT * FROM merge('system', '^(tables|parts)$')
SELECT * FROM mergeTreeIndex('llmtrace', 'otel_traces')
SELECT * FROM mergeTreeIndex(llmtrace, api_keys, with_marks = true)
SELECT * FROM mergeTreeAnalyzeIndexes(llmtrace, otel_traces)
SELECT * FROM mergeTreeTextIndex(llmtrace, otel_traces, idx_input_messages)
SELECT toInt64(InputMessages) FROM otel_traces
SELECT * FROM otel_traces WHERE toInt64(InputMessages) = 1
SELECT * FROM otel_traces PREWHERE toInt64(InputMessages) = 1
SELECT * FROM span_texts WHERE toDate(InputMessages) = today()
SELECT CAST(groupArray(Hash) AS Array(Int8)) FROM api_keys
SELECT throwIf(Hash != '') FROM api_keys
SELECT * FROM api_keys PREWHERE throwIf(Hash != '')
SELECT (SELECT groupArray(tuple(*)) FROM api_keys)
SELECT sum(cityHash64(*)) FROM api_keys HAVING count() > 0
SELECT COLUMNS('.*') FROM api_keys
SELECT * FROM api_keys UNION ALL SELECT * FROM api_keys
WITH api AS (SELECT * FROM api_keys) SELECT * FROM api
WITH RECURSIVE x AS (SELECT * FROM api_keys UNION ALL SELECT * FROM x WHERE 0) SELECT * FROM x
SELECT * FROM view(SELECT * FROM otel_traces)
SELECT * FROM viewIfPermitted(SELECT Hash FROM api_keys ELSE null('Hash String'))
SELECT * FROM loop(llmtrace.api_keys) LIMIT 1
SELECT * FROM remote('127.0.0.1:9000', llmtrace, api_keys)
SELECT * FROM clusterAllReplicas(default, llmtrace.api_keys)
SELECT * FROM otel_traces AS x RIGHT JOIN otel_traces AS y ON 1 = 1
SELECT groupUniqArray(Project) AS projects FROM otel_traces HAVING length(projects) > 1
SELECT lowCardinalityKeys(Project) AS key FROM otel_traces WHERE key NOT IN ('', 'a')
SELECT * FROM `.inner.otel_traces`
SELECT * FROM system.parts
SELECT * FROM system.parts_columns
SELECT * FROM system.tables
SELECT * FROM system.columns
SELECT * FROM system.databases
SELECT * FROM system.processes
SELECT * FROM system.query_log
SELECT * FROM system.text_log
SELECT * FROM system.part_log
SELECT * FROM system.mutations
SELECT * FROM system.merges
SELECT * FROM system.errors
SELECT * FROM system.events
SELECT * FROM system.metrics
SELECT * FROM system.asynchronous_metrics
SELECT * FROM system.functions
SELECT * FROM system.disks
SELECT * FROM system.users
SELECT * FROM system.grants
SELECT * FROM system.row_policies
SELECT * FROM system.server_settings
SELECT * FROM system.detached_parts
SELECT * FROM system.data_skipping_indices
SELECT * FROM system.query_condition_cache
SELECT * FROM system.stack_trace
SELECT * FROM information_schema.tables
SELECT * FROM INFORMATION_SCHEMA.columns
SHOW TABLES
SHOW DATABASES
SHOW PROCESSLIST
SHOW FUNCTIONS
SHOW INDEX FROM otel_traces
KILL QUERY WHERE 1
SELECT * FROM default.`/etc/passwd`
SELECT * FROM file('/etc/passwd', 'LineAsString')
SELECT * FROM url('http://127.0.0.1:9/', 'LineAsString')
SELECT * FROM s3('http://127.0.0.1:9/bucket/x', 'LineAsString')
SELECT * FROM executable('cat /etc/passwd', 'LineAsString', 'line String')
SELECT * FROM sqlite('/etc/passwd', 'x')
SELECT * FROM Python(secrets)
SELECT dictGet('x', 'y', 1)
SELECT joinGet('llmtrace.models_used', 'Model', 'x')
""".strip().splitlines()


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_others_gets_out(store: Store, text: str) -> None:
    secrets = [SECRET]  # what a table function over this process's objects would find
    answer = ask(store, text)
    assert secrets[0] not in answer
    assert "root:" not in answer
    assert answer == "" or answer.startswith("error") or OWN in answer or answer.strip() in ("[]", "\\N"), (
        answer
    )


#: Each says something else where a row with MARK is among those that are read.
ORACLES = """
SELECT intDiv(1, countIf(InputMessages = 'MARK')) FROM otel_traces
SELECT count() FROM otel_traces WHERE intDiv(1, InputMessages != 'MARK') = 1
SELECT count() FROM otel_traces PREWHERE intDiv(1, InputMessages != 'MARK') = 1
SELECT count() FROM otel_traces WHERE throwIf(InputMessages = 'MARK')
SELECT count() FROM span_texts WHERE hasToken(InputMessages, splitByChar('-', 'MARK')[1])
SELECT count() FROM otel_traces WHERE TraceId = 'MARK'
SELECT 'MARK' IN (SELECT Model FROM models_used)
SELECT 'MARK' IN (SELECT Model FROM price_book)
SELECT InputMessages = 'MARK' AS same, count() FROM otel_traces GROUP BY same WITH TOTALS
SELECT Model FROM usage_10s WHERE Model = 'MARK' LIMIT 1
SELECT Model FROM cost_hour WHERE Model = 'MARK' AND Cost = 0
""".strip().splitlines()

#: These do so for the collector alone.
OWNERS_ORACLES = """
SELECT count() FROM api_keys WHERE throwIf(Name = 'MARK')
SELECT count() FROM merge('llmtrace', '^otel_traces$') WHERE TraceId = 'MARK'
SELECT count() FROM price_books WHERE Actor = 'MARK'
SELECT count() FROM security_events WHERE Address = 'MARK'
SELECT count() FROM usage_stale WHERE Reason = 'MARK'
""".strip().splitlines()


def answers(store: Store, text: str, project: str, fmt: str = "JSON") -> tuple[str, str]:
    """What is said where the row is, and where none is, without the words that were asked for."""
    answers = [
        ask(store, text.replace("MARK", mark), project, fmt).replace(mark, "") for mark in (SECRET, ABSENT)
    ]
    return answers[0], answers[1]


@pytest.mark.parametrize("text", ORACLES)
def test_whether_another_has_a_row_cannot_be_told(store: Store, text: str) -> None:
    there, absent = answers(store, text, "b")
    assert there != absent
    there, absent = answers(store, text, "a")
    assert there == absent


@pytest.mark.parametrize("text", OWNERS_ORACLES)
def test_what_the_collector_has_cannot_be_told(store: Store, text: str) -> None:
    def owners(mark: str) -> str:
        try:
            return store.engine.execute(text.replace("MARK", mark)).decode()
        except StoreError:
            return "an error"

    assert owners(SECRET) != owners(ABSENT)
    for project in ("a", "b"):
        there, absent = answers(store, text, project)
        assert there == absent


def test_answers_do_not_say_what_was_read(store: Store) -> None:
    for fmt in ("JSON", "JSONCompact", "JSONStrings", "XML"):
        answer = ask(store, "SELECT Project FROM otel_traces ORDER BY Project LIMIT 1", "a", fmt)
        assert "rows_read" not in answer
        assert re.search(r"rows_before_limit_at_least\D+1\b", answer)


#: Each would take the confinement back, or write.
TAKEN_BACK = """
SET log_comment = ''
SET readonly = 0
SET max_execution_time = 0
SET output_format_write_statistics = 1
SELECT * FROM api_keys SETTINGS log_comment = ''
SELECT * FROM api_keys SETTINGS readonly = 0
SELECT * FROM (SELECT * FROM api_keys SETTINGS log_comment = '')
SELECT * FROM api_keys SETTINGS additional_table_filters = {'llmtrace.api_keys': '1'}
SET ROLE NONE
EXECUTE AS default SELECT * FROM api_keys
CREATE USER x
CREATE ROW POLICY x ON api_keys USING 1 TO ALL
ALTER USER default SETTINGS readonly = 0
GRANT ALL ON *.* TO default
CREATE VIEW x AS SELECT * FROM api_keys
CREATE TABLE x (a Int8) ENGINE = Memory
CREATE TEMPORARY TABLE x AS SELECT * FROM api_keys
CREATE FUNCTION f AS () -> 1
CREATE DATABASE x
CREATE DICTIONARY d (a String) PRIMARY KEY a SOURCE(CLICKHOUSE(TABLE 'api_keys')) LAYOUT(FLAT()) LIFETIME(1)
INSERT INTO otel_traces (Project) VALUES ('a')
INSERT INTO FUNCTION file('OUT') SELECT 1
ALTER TABLE otel_traces DELETE WHERE 1
DELETE FROM otel_traces WHERE 1
TRUNCATE TABLE api_keys
DROP TABLE api_keys
RENAME TABLE api_keys TO otel_spans
EXCHANGE TABLES api_keys AND scores
DETACH TABLE api_keys
OPTIMIZE TABLE otel_traces FINAL
BACKUP TABLE api_keys TO File('OUT')
SYSTEM SHUTDOWN
SYSTEM STOP MERGES llmtrace.otel_traces
SYSTEM RELOAD USERS
SYSTEM DROP QUERY CONDITION CACHE
""".strip().splitlines()


@pytest.mark.parametrize("text", TAKEN_BACK)
def test_a_handle_stays_what_it_is(store: Store, tmp_path: Path, text: str) -> None:
    before = everything(store)
    answer = ask(store, text.replace("OUT", str(tmp_path / "out")))
    assert answer == "" or answer.startswith("error")
    assert SECRET not in answer
    assert everything(store) == before
    assert not (tmp_path / "out").exists()
    assert ask(store, "SELECT groupUniqArray(Project), count() FROM otel_traces") == "['a']\t1\n"
    assert ask(store, "SELECT getSetting('log_comment'), getSetting('readonly')") == "p:a\t1\n"


def test_working_tables_are_nobodys(store: Store) -> None:
    engine = store.engine
    with empty_copy(engine, "usage_10s") as copy:
        engine.execute(f"INSERT INTO {copy} SELECT * FROM usage_10s")
        for table in ("erasure_0123456789ab", "audit_log_loaded", "otel_traces_next"):
            engine.execute(f"CREATE TABLE {table} AS usage_10s")
            engine.execute(f"INSERT INTO {table} SELECT * FROM usage_10s")
        try:
            for table in (copy, "erasure_0123456789ab", "audit_log_loaded", "otel_traces_next"):
                assert count(store, table) == 2
                for project in ("a", "b", ""):
                    assert ask(store, f"SELECT count() FROM {table}", project) == "0\n"
        finally:
            for table in ("erasure_0123456789ab", "audit_log_loaded", "otel_traces_next"):
                engine.execute(f"DROP TABLE {table} SYNC")


def test_trials_of_an_upgrade_hold_no_rows(store: Store) -> None:
    """Filters cannot be written for databases whose names are made up; in these nothing is stored."""
    with scratch(Home(store.engine), describe(SchemaSettings(), embedded=True)) as trials:
        for name in STORED:
            assert count(store, f"{trials.database}.{name}") == 0


def test_a_filter_costs_the_owner_nothing_and_uses_the_key(store: Store) -> None:
    plan = "EXPLAIN indexes = 1 SELECT count() FROM otel_traces WHERE SpanName = 'x'"
    owner = store.engine.execute(plan).decode()
    assert "Project in" not in owner
    assert re.search(r"Row level filter column:\s+1\b", owner) or "Row level filter" not in owner
    confined = ask(store, plan)
    assert re.search(r"PrimaryKey.*Project", confined, re.DOTALL)
    assert "Project in [\\'a\\', \\'a\\']" in confined
    assert "getSetting" not in confined


#: Names that a project may have, of which none may mean more than itself.
NAMES = ["it's", "a\\", "a\\' OR 1 = 1 --", "'", "é", "p:a", "*", " a", "a\tb\nc", "-", "{x:String}", "名"]


@pytest.mark.parametrize("project", NAMES)
def test_a_projects_name_is_a_value(store: Store, project: str) -> None:
    store.insert_rows("scores", [{"Project": project, "Name": "odd"}])
    try:
        answer = store.read("SELECT Project, Name FROM scores", None, "JSONCompactEachRow", project)
        assert json.loads(answer) == [project, "odd"]
    finally:
        store.mutate("ALTER TABLE scores DELETE WHERE Name = 'odd'")


def test_a_failed_query_leaves_nothing_for_the_next_one(store: Store) -> None:
    text = "SELECT if(number < 100000, 'early', toString(throwIf(number = 100000))) FROM numbers(200000)"
    for _ in range(3):
        assert "error" in ask(store, f"{text} SETTINGS max_block_size = 100") + ask(store, text)
        assert ask(store, "SELECT 1") == "1\n"


def test_handles_are_few_and_each_is_one_readers(store: Store) -> None:
    """More readers than handles, from threads of which each asks for every project in turn."""
    wrong: list[str] = []

    def read(start: int) -> None:
        for number in range(40):
            project = f"p{(start * 13 + number) % 80}" if number % 3 else "a"
            expected = f"{'1' if project == 'a' else '0'}\tp:{project}\n"
            text = "SELECT count(), getSetting('log_comment') FROM otel_traces"
            if (answer := ask(store, text, project)) != expected:
                wrong.append(answer)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert isinstance(store.engine, EmbeddedEngine)
    assert store.engine.open_handles <= handles.MOST_OPEN


def test_who_waits_for_a_handle_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for two, of many that ask at once each is answered and none gets another's."""
    monkeypatch.setattr(handles, "MOST_OPEN", 3)
    opened: list[Handle] = []

    class Handle:
        def __init__(self) -> None:
            self.session: handles.Session | None = None
            self.users = 0
            self.open = True
            opened.append(self)

        def close(self) -> None:
            assert self.users == 0
            self.open = False

    def prepare(handle: Handle, session: handles.Session) -> None:
        handle.session = session

    pool = handles.Handles(Handle, prepare)
    most: list[int] = []

    def use(number: int) -> None:
        session = handles.Session(f"p:{number % 5}", reads=True)
        for _ in range(50):
            with pool.use(session) as handle:
                handle.users += 1
                assert handle.users == 1
                assert handle.open
                assert handle.session == session
                most.append(sum(other.open for other in opened))
                handle.users -= 1

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(most) == 8 * 50
    assert max(most) <= 3
    with pytest.raises(KeyError), pool.use(handles.Session("x", reads=True)) as failed:
        raise KeyError
    assert not failed.open
    pool.close()
    assert not any(handle.open for handle in opened)


def test_a_servers_policies_say_the_same() -> None:
    """Each filter of users.xml is a policy with the same condition, and the other way round."""
    root = ElementTree.fromstring(access_control.users_xml())
    (database,) = root.findall("./users/default/databases/database[@name='llmtrace']")
    embedded = {
        table.get("name", ""): table.findtext("filter", "").partition(" OR ")[2]
        for table in database
        if table.get("name") and BY_NAME[table.get("name", "")].kind is Kind.TABLE
    }
    asked = "getSetting('SQL_llmtrace_project')"
    server = {}
    for statement in row_policies.statements("llmtrace", "reader", "s3cret"):
        policy = re.match(r"CREATE ROW POLICY .* ON llmtrace\.(\w+) FOR SELECT USING (.*) TO ", statement)
        if policy:
            rows = policy[2].replace(asked, "substring(getSetting('log_comment'), 3)")
            server[policy[1]] = re.sub(r"\bllmtrace\.(?=\w)", "", rows)
    assert server == embedded
    assert len(server) > 20

"""The endpoint /clickhouse: ways out are refused, ordinary questions are answered."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtrace_collector.store.engine import StoreError
from llmtrace_collector.store.query_guard import guard
from llmtrace_collector.store.query_guard.functions import FUNCTIONS
from llmtrace_collector.store.query_guard.guard import make_safe
from llmtrace_collector.store.query_guard.refusal import QueryRefused

from .otlp import llm, logs, score, traces
from .running import CLIENT, Served

WAYS_OUT = {
    "statements": [
        "DROP TABLE otel_traces",
        "INSERT INTO scores (Name) VALUES ('x')",
        "INSERT INTO FUNCTION file('{out}', 'CSV', 'a Int') SELECT 1",
        "SELECT 1; DROP TABLE otel_traces",
        "SELECT 1;SELECT 2",
        "ALTER TABLE otel_traces DELETE WHERE 1",
        "TRUNCATE TABLE otel_traces",
        "CREATE TABLE x (a Int8) ENGINE = File(CSV, '{out}')",
        "CREATE VIEW v AS SELECT 1",
        "OPTIMIZE TABLE otel_traces",
        "SYSTEM SHUTDOWN",
        "SYSTEM STOP MERGES",
        "KILL QUERY WHERE 1 SYNC",
        "USE system",
        "EXPLAIN SELECT 1",
        "EXPLAIN AST SELECT 1 INTO OUTFILE '{out}'",
        "ATTACH TABLE x",
        "DETACH TABLE otel_traces",
        "RENAME TABLE otel_traces TO x",
        "BACKUP TABLE otel_traces TO File('{out}')",
        "GRANT ALL ON *.* TO x",
        "CHECK TABLE otel_traces",
        "WITH 1 AS x INSERT INTO scores (Name) SELECT 'x'",
        "SELECT 1 INTO OUTFILE '{out}'",
        "SELECT 1 INTO OUTFILE '{out}' FORMAT CSV",
        "SELECT 1 FORMAT CSV INTO OUTFILE '{out}'",
        "(SELECT 1 INTO OUTFILE '{out}')",
        "FROM otel_traces INSERT INTO scores",
        "VALUES (1)",
        "SELECT * FROM (SELECT 1 SETTINGS readonly = 0)",
        "SELECT * FROM (SELECT 1 FORMAT CSV)",
        "SELECT 1 FORMAT Template",
        "SELECT 1 FORMAT Protobuf",
        "SELECT 1 PARALLEL WITH SELECT 2",
    ],
    "tables": [
        "SELECT * FROM `system.tables`",
        "SELECT * FROM usage_10s_mv",
        "SELECT * FROM otlp_traces_in",
        "SELECT * FROM otlp_traces_mv",
        "SELECT * FROM incident_versions",
        "SELECT * FROM delivery_log",
        "SELECT * FROM schema_versions",
        "SELECT * FROM default.schema_versions",
        "SELECT * FROM `.inner.usage_10s`",
        "SELECT * FROM system.query_log",
        "SELECT * FROM system . grants",
        "SELECT * FROM `system`.`users`",
        'SELECT * FROM "system"."numbers"',
        "SELECT * FROM otel_traces, system.zookeeper",
        "SELECT 1 WHERE 1 IN (SELECT name FROM system.disks)",
        "WITH x AS (SELECT * FROM system.errors) SELECT * FROM x",
        "SELECT * FROM a.system.tables",
        "SELECT 1 IN system.numbers",
        "SELECT 1 IN schema_versions",
        "SELECT 1 NOT IN schema_versions",
        "SELECT 1 GLOBAL IN schema_versions",
        "SELECT in(1, schema_versions)",
        "SELECT notIn(1, `schema_versions`)",
        "SELECT globalIn(1, schema_versions)",
        "SELECT nullIn(1, schema_versions)",
        "WITH schema_versions AS (SELECT 1) SELECT * FROM schema_versions",
        "WITH otel_traces AS (SELECT 1) SELECT * FROM otel_traces",
        "SELECT * FROM (WITH x AS (SELECT 1) SELECT * FROM x) AS y, x",
        "SELECT * FROM schema_versions AS otel_traces",
        "SELECT * FROM OTEL_TRACES",
        "SELECT * FROM {t:Identifier}",
        "SELECT 1 IN {t:Identifier}",
        "WITH schema_v AS (SELECT * FROM schema_v) SELECT * FROM schema_v",
        "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a",
        "SELECT * FROM a WHERE 1 IN (WITH a AS (SELECT 1) SELECT * FROM a)",
        "SELECT * FROM {CLICKHOUSE_DATABASE:Identifier}.otel_traces",
    ],
    "table functions": [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM `file`('/etc/passwd', 'LineAsString')",
        "SELECT * FROM \"file\"('/etc/passwd', LineAsString)",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
        "SELECT * FROM urlCluster('a', 'http://127.0.0.1:1/', 'CSV', 'a String')",
        "SELECT * FROM remote('127.0.0.1', system, tables)",
        "SELECT * FROM remoteSecure('127.0.0.1', system, tables)",
        "SELECT * FROM s3('http://127.0.0.1:1/b/c', 'CSV')",
        "SELECT * FROM gcs('http://127.0.0.1:1/b/c')",
        "SELECT * FROM hdfs('hdfs://a/b', 'CSV', 'a String')",
        "SELECT * FROM azureBlobStorage('a', 'b', 'c')",
        "SELECT * FROM iceberg('http://127.0.0.1:1/')",
        "SELECT * FROM deltaLake('http://127.0.0.1:1/')",
        "SELECT * FROM executable('id', 'CSV', 'a String')",
        "SELECT * FROM mysql('127.0.0.1', 'a', 'b', 'c', 'd')",
        "SELECT * FROM postgresql('127.0.0.1', 'a', 'b', 'c', 'd')",
        "SELECT * FROM mongodb('127.0.0.1', 'a', 'b', 'c', 'd', 'e Int')",
        "SELECT * FROM redis('127.0.0.1', 'k', 'k String')",
        "SELECT * FROM sqlite('/x', 't')",
        "SELECT * FROM odbc('a', 'b', 'c')",
        "SELECT * FROM jdbc('a', 'b')",
        "SELECT * FROM input('a String') FORMAT CSV",
        "SELECT * FROM merge('default', '.*')",
        "SELECT * FROM merge(currentDatabase(), '^schema')",
        "SELECT * FROM mergeTreeIndex('default', 'otel_traces')",
        "SELECT * FROM mergeTreeProjection('default', 'otel_traces', 'p')",
        "SELECT * FROM cluster('default', system, tables)",
        "SELECT * FROM clusterAllReplicas('default', system.tables)",
        "SELECT * FROM view(SELECT 1)",
        "SELECT * FROM viewIfPermitted(SELECT 1 ELSE null('x Int'))",
        "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT 1))",
        "SELECT * FROM dictionary('x')",
        "SELECT * FROM loop(system.tables)",
        "SELECT * FROM generateRandom('a Int')",
        "SELECT * FROM zeros(10)",
        "SELECT * FROM generate_series(1, 10)",
        "SELECT * FROM null('a Int')",
        "SELECT * FROM format(LineAsString, 'x')",
        "SELECT * FROM python('x')",
        "SELECT * FROM Python(x)",
        "SELECT * FROM fuzzJSON('a', 'b')",
        "SELECT * FROM timeSeriesData('default', 'x')",
        "SELECT * FROM otel_traces AS t, file('/etc/passwd', LineAsString)",
        "SELECT * FROM otel_traces ARRAY JOIN [file('/etc/passwd')] AS x",
        "FROM file('/etc/passwd', LineAsString) SELECT *",
        "SELECT 1 IN file('/etc/passwd', LineAsString)",
    ],
    "functions": [
        "SELECT file('/proc/self/environ')",
        "SELECT FILE('/etc/passwd')",
        "SELECT `file`('/etc/passwd')",
        "SELECT \"file\"('/etc/passwd')",
        "SELECT file /* a */ ('/etc/passwd')",
        "SELECT file\n('/etc/passwd')",
        "SELECT f\\ile('/etc/passwd')",
        "SELECT /**/file('/etc/passwd')",
        "SELECT fil\u0435('/etc/passwd')",
        "SELECT arrayMap(x -> file(x), ['/etc/passwd'])",
        "SELECT arrayMap(file, ['/etc/passwd'])",
        "SELECT * APPLY(file) FROM (SELECT '/etc/passwd' AS a)",
        "SELECT * APPLY file FROM (SELECT '/etc/passwd' AS a)",
        "SELECT COLUMNS('a') APPLY(file) FROM (SELECT '/etc/passwd' AS a)",
        "SELECT a.* APPLY(file) FROM (SELECT '/etc/passwd' AS a) AS a",
        "SELECT * APPLY(x -> file(x)) FROM (SELECT '/etc/passwd' AS a)",
        "SELECT * REPLACE (file('/etc/passwd') AS a) FROM (SELECT 1 AS a)",
        "SELECT dictGet('a', 'b', 1)",
        "SELECT dictHas('a', 1)",
        "SELECT joinGet('a', 'b', 1)",
        "SELECT hasColumnInTable('default', 'otel_traces', 'TraceId')",
        "SELECT getSetting('max_threads')",
        "SELECT getServerPort('tcp_port')",
        "SELECT getMacro('x')",
        "SELECT hostName()",
        "SELECT FQDN()",
        "SELECT uptime()",
        "SELECT sleep(3)",
        "SELECT sleepEachRow(1) FROM numbers(3)",
        "SELECT throwIf(1)",
        "SELECT getOSKernelVersion()",
        "SELECT filesystemAvailable()",
        "SELECT addressToLine(1)",
        "SELECT addressToSymbol(1)",
        "SELECT demangle('x')",
        "SELECT trap('x')",
        "SELECT catboostEvaluate('/x', 1)",
        "SELECT evalMLMethod('a', 1)",
        "SELECT arrayMap((file), ['/etc/passwd'])",
        "SELECT arrayMap((file AS f), ['/etc/passwd'])",
        "SELECT arrayMap(`file`, ['/etc/passwd'])",
        "SELECT arrayFilter(file, ['/etc/passwd'])",
        "SELECT arraySort(file, ['/etc/passwd'])",
        "SELECT mapApply(file, map('a', 'b'))",
        "SELECT arrayFold(file, ['/etc/passwd'], 'a')",
        "SELECT file AS f, arrayMap(f, ['/etc/passwd'])",
        "SELECT (SELECT 1 AS file), arrayMap(file, ['/etc/passwd'])",
        "WITH file AS f SELECT arrayMap(f, ['/etc/passwd'])",
        "WITH (x -> file(x)) AS f SELECT arrayMap(f, ['/etc/passwd'])",
        "SELECT arrayMap({f:Identifier}, ['/etc/passwd'])",
        "SELECT CAST('x', 'AggregateFunction(groupArray, String)')",
        "SELECT accurateCast('x', concat('Aggregate', 'Function(groupArray, String)'))",
        "WITH 'Aggregate' || 'Function(sum, Int8)' AS t SELECT JSONExtract('1', t)",
        "SELECT {p:AggregateFunction(groupArray, String)}",
        "SELECT accurateCast('x', 'Array(AggregateFunction(groupArray, String))')",
        "SELECT JSONExtract('{{}}', 'AggregateFunction(groupArray, String)')",
        "SELECT initializeAggregation('sum', 1)",
        "SELECT structureToProtobufSchema('a Int')",
        "SELECT buildId()",
        "SELECT serverUUID()",
        "SELECT tcpPort()",
        "SELECT connectionId()",
        "SELECT queryID()",
        "SELECT shardNum()",
        "SELECT partitionId(1)",
        "SELECT transactionID()",
        "SELECT @@version",
        "SELECT regionToName(1)",
        "SELECT encrypt('aes-128-ecb', 'a', 'b')",
        "SELECT randomString(1000000000)",
        "SELECT randomPrintableASCII(1000000000)",
        "SELECT fuzzBits('x', 0.5)",
        "SELECT blockSerializedSize(1)",
        "SELECT formatRow('CSV', 1)",
        "SELECT normalizedQueryHash('x')",
        "SELECT currentProfiles()",
        "SELECT showCertificate()",
        "SELECT lemmatize('en', 'x')",
        "SELECT reverseDNSQuery('127.0.0.1')",
        "SELECT aiGenerate('x', 'y')",
        "SELECT CAST(1 AS AggregateFunction(sum, Int64))",
        "SELECT 1::AggregateFunction(groupArray, String)",
        "SELECT finalizeAggregation(CAST('x' AS AggregateFunction(groupArray, String)))",
        "SELECT {f:Identifier}('/etc/passwd')",
        "SELECT String('x')",
        "SELECT arrayReduce({f:String}, ['/etc/passwd'])",
        "SELECT arrayReduce('groupConcat', ['/etc/passwd'])",
        "SELECT arrayMap(x -> \"file\"(x), ['/etc/passwd'])",
        "SELECT * APPLY(upper) FROM (SELECT 'a' AS a)",
        "SELECT accurateCast('x', 'AggregateFunction (groupArray, String)')",
        "SELECT accurateCast('x', 'aggregatefunction(groupArray, String)')",
        "SELECT accurateCast('x', 'Array( Aggregate/**/Function(groupArray, String))')",
        "SELECT accurateCast('x', {f:String})",
        "SELECT CAST('x', 'Tuple(a SimpleAggregateFunction(sum, Int8))')",
        "SELECT * FROM values('a AggregateFunction(groupArray, String)', ('x'))",
        "SELECT '{{}}'::Object('json')",
        "SELECT 1::Variant(String, Int8)",
    ],
    # White space and quotes of the engine that are none of the parser's, and what else reads in two ways.
    "odd characters": [
        "SELECT file\u200b('/etc/passwd')",
        "SELECT\u2060file('/etc/passwd')",
        "SELECT Hash\u200bFROM\u200bapi_keys",
        "SELECT a\ufeffFROM\u180eapi_keys",
        "SELECT 1 ORDER BY 1\u200bINTO\u200bOUTFILE\u200b‘{out}’",
        "SELECT ‘a’",
        "SELECT “file”('/etc/passwd')",
        "SELECT `file\u200b`('/etc/passwd')",
        'SELECT "é" FROM otel_traces',
        "SELECT 1 /* é */",
        "SELECT 1 -- \u2028 x",
        "SELECT\u00a01",
        "SELECT\u30001",
        "SELECT\x0b1",
        "SELECT\x0c1",
        "SELECT 'a\x00b'",
        "SELECT 1\x00",
        "SELECT 1 /* a /* b */ c */",
        "SELECT 1 /* a",
        "SELECT 1 # x",
        "SELECT 1 #! x",
        "SELECT $a$file('/etc/passwd')$a$",
        "SELECT $$a$$",
        "SELECT x'41'",
        "SELECT b'01'",
        "SELECT N'a'",
        "SELECT `a\\x60` FROM otel_traces",
        "SELECT `a``b` FROM otel_traces",
        'SELECT "a""b" FROM otel_traces',
        "SELECT 'a",
        "SELECT 'a\\'",
        'SELECT "a',
        "SELECT `` FROM otel_traces",
        "SELECT @a",
        "SELECT 1a",
        "SELECT 1 ^ 2",
        "SELECT 1\\G",
    ],
    "names in two senses": [
        "WITH 1 AS usage_10s_rebuild SELECT * FROM usage_10s_rebuild",
        "WITH 1 AS store_versions SELECT * FROM store_versions",
        "WITH (SELECT 1) AS usage_10s_rebuild SELECT * FROM usage_10s_rebuild",
        "WITH x -> x AS usage_10s_rebuild SELECT * FROM usage_10s_rebuild",
        "SELECT 1 AS usage_10s_rebuild FROM usage_10s_rebuild",
        "WITH usage_10s_rebuild AS (SELECT 1) SELECT * FROM llmtrace.usage_10s_rebuild",
        "SELECT 1 IN (schema_versions)",
        "SELECT 1 IN ((schema_versions))",
        "SELECT 1 IN (llmtrace.schema_versions)",
        "SELECT 1 IN (schema_versions AS x)",
        "SELECT 1 NOT IN (`schema_versions`)",
        "SELECT 1 GLOBAL NOT IN (schema_versions)",
        "SELECT arrayExists(x -> 1 IN (schema_versions), [1])",
        "SELECT 1 IN (*) FROM otel_traces",
        "SELECT user",
        "SELECT currentUser",
        "SELECT `currentDatabase`",
        "SELECT CURRENT_USER",
        "SELECT _part FROM usage_10s",
        "SELECT t._part_offset FROM usage_10s AS t",
        "SELECT `_block_number` FROM usage_10s",
        "SELECT 1 FROM usage_10s JOIN scores USING (_partition_id)",
        "SELECT _table FROM otel_traces UNION ALL SELECT 'x' AS _table",
        "SELECT rowNumberInBlock() FROM otel_traces",
    ],
}


@pytest.mark.parametrize("text", [text for texts in WAYS_OUT.values() for text in texts])
def test_ways_out_are_refused(served: Served, tmp_path: Path, text: str) -> None:
    out = tmp_path / "out"
    names = {"t": "schema_versions", "f": "file", "CLICKHOUSE_DATABASE": "default"}
    answer = served.sql(text.replace("{out}", str(out)), **names)
    assert 400 <= answer.status_code < 500, answer.text[:300]
    # What the engine itself refuses may not depend on its mood: the parser refuses, or no name is found.
    assert answer.headers["x-clickhouse-exception-code"] in ("62", "47", "60"), answer.text[:300]
    assert "root:" not in answer.text
    assert not out.exists()


def _nested(opening: str, closing: str, number: int, inner: str = "1") -> str:
    return f"SELECT {opening * number}{inner}{closing * number}"


#: Texts that are refused before anything parses them: too long, too deep, too many of a kind.
BOUNDED = {
    "long": "SELECT '" + "x" * 32_000 + "'",
    "long in bytes": "SELECT '" + "é" * 10_000 + "'",
    "parentheses": _nested("(", ")", 33),
    "calls": _nested("upper(", ")", 33),
    "arrays": _nested("[", "]", 33),
    "maps": _nested("{'a': ", "}", 33),
    "subqueries": _nested("(SELECT ", ")", 33),
    "cases": _nested("CASE WHEN ", " THEN 1 END", 33),
    "lambdas": "SELECT arrayMap(" + "x -> " * 33 + "1, [1])",
    "ternaries": _nested("1 ? ", " : 1", 33),
    "brackets of all kinds": _nested("arrayMap(x -> [(", ")], [1])", 11),
    "tuple types": f"SELECT CAST(1 AS {'Tuple(' * 7}Int8{')' * 7})",
    "thirty tuple types": f"SELECT CAST(1 AS {'Tuple(' * 30}Int8{')' * 30})",
    "tuples": _nested("tuple(", ")", 7),
    "limits": _nested("(SELECT 1 LIMIT (", "))", 7),
    "dots": "SELECT " + "a." * 9 + "a",
    "casts": "SELECT 1" + "::Int8" * 9,
    "casts in all": "SELECT " + ", ".join(["1::Int8"] * 257),
    "signs": "SELECT " + "- " * 9 + "1",
    "nots": "SELECT " + "NOT " * 9 + "1",
    "indexes": "SELECT a" + "[1]" * 10,
    "unions": "SELECT 1" + " UNION ALL SELECT 1" * 65,
    "joins": "SELECT 1 FROM scores" + " JOIN scores USING (Project)" * 33,
    "not closed": "SELECT (1",
    "not opened": "SELECT 1)",
    "crossed": "SELECT ([1)]",
    "names of names": (
        "WITH a0 AS (SELECT 1), "
        + ", ".join(f"a{n} AS (SELECT * FROM a{n - 1}, a{n - 1})" for n in range(1, 9))
        + " SELECT * FROM a8"
    ),
}


@pytest.mark.parametrize("text", BOUNDED.values(), ids=BOUNDED.keys())
def test_texts_that_would_wear_the_parser_out_are_refused(text: str) -> None:
    began = time.process_time()
    with pytest.raises(QueryRefused):
        make_safe(text)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "text",
    [
        _nested("(", ")", 30),
        _nested("upper(", ")", 30, "'a'"),
        _nested("CASE WHEN ", " THEN 1 END", 30),
        _nested("(SELECT ", ")", 30),
        "SELECT 1" + "::Int8" * 8,
        "SELECT " + " OR ".join("NOT (1 = - 1)" for _ in range(100)),
        "SELECT 1" + " UNION ALL SELECT 1" * 64,
        "SELECT " + ", ".join(f"{n} ? 1 : 2" for n in range(100)),
        "SELECT 1 IN (" + ", ".join("'0123456789abcdef'" for _ in range(900)) + ")",
        "SELECT 1 AS case, 2 AS end",
    ],
)
def test_what_a_query_needs_is_within_the_bounds(text: str) -> None:
    assert make_safe(text).sql


def test_what_the_parser_stumbles_over_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (RecursionError(), MemoryError(), KeyError("x"), AttributeError("x")):
        monkeypatch.setattr(guard, "parse", _raising(error))
        with pytest.raises(QueryRefused, match="read"):
            make_safe("SELECT 1")


def _raising(error: Exception) -> Callable[[str], object]:
    def parse(text: str) -> object:
        raise error

    return parse


def test_every_name_is_in_quotes() -> None:
    text = (
        "WITH w AS (SELECT Model AS m FROM otel_traces AS t) SELECT x.m, arrayMap(y -> upper(y), [m]) AS n "
        "FROM w AS x LEFT JOIN scores USING (Project) ARRAY JOIN [1] AS k WHERE m IN ('a') "
        "WINDOW v AS (PARTITION BY m ORDER BY m)"
    )
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", "", make_safe(text).sql)
    assert {word for word in re.findall(r"[A-Za-z]\w*", bare) if not word.isupper()} == {"arrayMap", "upper"}


@pytest.mark.parametrize(
    ("text", "sql", "fmt", "settings"),
    [
        ("SELECT 1 FORMAT CSV", "SELECT 1", "CSV", ()),
        ("SELECT 1 format CSV;", "SELECT 1", "CSV", ()),
        ("SELECT 1 SETTINGS a = 1, b = 'x' FORMAT CSV", "SELECT 1", "CSV", (("a", "1"), ("b", "x"))),
        ("SELECT 1 FORMAT CSV SETTINGS a = -1", "SELECT 1", "CSV", (("a", "-1"),)),
        ("SELECT n FROM numbers(1) GROUP BY ALL FORMAT JSON", None, "JSON", ()),
        ("SELECT 1 GROUP BY 1 WITH TOTALS FORMAT JSON", "SELECT 1 GROUP BY 1 WITH TOTALS", "JSON", ()),
        ("SELECT 1 AS format", 'SELECT 1 AS "format"', None, ()),
        ("SELECT 1 /* x */ -- y\n", "SELECT 1", None, ()),
        ("SELECT 'a -- b', '/*', '‘x’'", "SELECT 'a -- b', '/*', '‘x’'", None, ()),
    ],
)
def test_the_end_of_a_text_is_no_part_of_the_query(
    text: str, sql: str | None, fmt: str | None, settings: tuple[tuple[str, str], ...]
) -> None:
    query = make_safe(text)
    assert (query.format, query.settings) == (fmt, settings)
    assert sql is None or query.sql == sql


def test_functions_that_take_functions_by_name_are_known(filled: Served) -> None:
    """The engine takes a name for a function's in these alone, so that names are made columns' in these."""
    engine = filled.collector.store.engine
    # As arguments of one SELECT each would hide the others' errors.
    for name in sorted(name for name in FUNCTIONS if not name.startswith(("array", "map"))):
        with pytest.raises(StoreError) as raised:
            engine.execute(f"EXPLAIN QUERY TREE SELECT {name}(upper, ['a'])")
        assert "__function_ref" not in str(raised.value)


@pytest.mark.parametrize(
    "name",
    "database_x http_response_headers role "
    "additional_table_filters format_schema output_format_schema".split(),
)
def test_settings_in_the_address_are_refused(served: Served, name: str) -> None:
    answer = CLIENT.get(f"{served.url}/clickhouse/", params={"query": "SELECT 1", name: "1"})
    assert answer.status_code == 400
    assert name in answer.text


@pytest.fixture(scope="module")
def filled(served: Served) -> Served:
    """The collector with a few calls and a score."""
    calls = [
        llm({"user.id": f"u{n % 3}", "llmtrace.tags": ["a", "b"], "llmtrace.run": "r", "n": n})
        for n in range(6)
    ]
    calls.append(
        llm(
            {
                "gen_ai.request.model": "other",
                "gen_ai.response.model": "other-1",
                "gen_ai.usage.input_tokens": None,
            }
        )
    )
    assert served.post(traces(calls, {"service.name": "guarded"})).status_code == 200
    assert served.post(logs([score({"gen_ai.evaluation.name": "q"})]), "logs").status_code == 200
    served.stored()
    return served


QUESTIONS = [
    ("SELECT 1 + 1", "2"),
    ("SELECT count() FROM otel_traces", "7"),
    ("SELECT count() FROM default.otel_traces WHERE TraceId != ''", "7"),
    (
        "SELECT count(default.otel_traces.SpanId) FROM default.otel_traces "
        "WHERE llmtrace.otel_traces.TraceId != ''",
        "7",
    ),
    ("SELECT count() FROM llmtrace.otel_traces", "7"),
    (
        "SELECT SpanAttributes['n'] FROM otel_traces ORDER BY 1 DESC LIMIT 1",
        "5",
    ),
    ("SELECT Model, sum(Calls) FROM usage_10s GROUP BY Model ORDER BY Model", "gpt-4o-mini\t6\nother\t1"),
    (
        "SELECT round(quantilesTDigestMerge(0.5, 0.95, 0.99)(LatencyDigest)[2], 3) FROM usage_10s",
        "0.5",
    ),
    ("SELECT sumIf(Calls, NOT Priced) > 0, sum(Cost) > 0 FROM usage_cost", "1\t1"),
    ("WITH x AS (SELECT Model, count() AS c FROM otel_traces GROUP BY Model) SELECT max(c) FROM x", "6"),
    ("WITH a AS (SELECT 1 AS n), b AS (SELECT n + 1 AS n FROM a) SELECT n FROM b", "2"),
    ("WITH x AS (SELECT 1 AS n) SELECT n FROM x UNION ALL SELECT n FROM x", "1\n1"),
    (
        "SELECT t.Model, c.Cost > 0 FROM otel_traces AS t JOIN span_cost AS c USING (TraceId, SpanId) "
        "WHERE UserId = 'u0' LIMIT 1",
        "gpt-4o-mini\t1",
    ),
    ("SELECT tag, count() FROM otel_traces ARRAY JOIN Tags AS tag GROUP BY tag ORDER BY tag", "a\t6\nb\t6"),
    ("SELECT arrayJoin(Tags) AS tag FROM otel_traces GROUP BY tag ORDER BY tag", "a\nb"),
    (
        "SELECT max(r) FROM (SELECT row_number() OVER (PARTITION BY Model ORDER BY Timestamp) AS r "
        "FROM otel_traces)",
        "6",
    ),
    ("SELECT arrayMap(x -> x * 2, [1, 2])", "[2,4]"),
    ("SELECT arraySum(xs) FROM (SELECT groupArray(InputTokens) AS xs FROM otel_traces)", "720"),
    ("SELECT arrayFilter(x -> x != 'a', Tags) FROM otel_traces WHERE UserId = 'u1' LIMIT 1", "['b']"),
    ("SELECT mapContains(SpanAttributes, 'n') FROM otel_traces WHERE UserId = 'u1' LIMIT 1", "1"),
    ("SELECT uniqExact(UserId), any(Provider) FROM otel_traces WHERE UserId IN ('u0', 'u1')", "2\topenai"),
    (
        "SELECT count() FROM otel_traces WHERE UserId IN (SELECT UserId FROM otel_traces WHERE RunId = 'r')",
        "6",
    ),
    (
        "SELECT count(), countIf(InputTokens IS NULL) FROM otel_traces WHERE Timestamp > yesterday()",
        "7\t1",
    ),
    ("SELECT sum(number) FROM numbers(10)", "45"),
    ("SELECT toStartOfInterval(toDateTime('2026-01-02 03:04:05'), INTERVAL 1 HOUR)", "2026-01-02 03:00:00"),
    ("SELECT CASE WHEN 1 = 1 THEN 'yes' ELSE 'no' END", "yes"),
    (
        "SELECT JSONExtractString('{\"a\": \"b\"}', 'a'), 'it''s', '\\'', -- a comment\n 1",
        "b\tit\\'s\t\\'\t1",
    ),
    ("SELECT JSONExtract('{\"a\": [1, 2]}', 'a', 'Array(UInt8)'), accurateCast('3', 'UInt8')", "[1,2]\t3"),
    ("SELECT Name, count() FROM scores GROUP BY Name HAVING count() > 0", "q\t1"),
    ("SELECT * EXCEPT (Currency) REPLACE (1 AS Priced) FROM span_cost LIMIT 0", ""),
    ("SELECT count() FROM incidents", "0"),
    ("SELECT Time FROM usage_10s GROUP BY Time ORDER BY Time WITH FILL STEP 10 LIMIT 0", ""),
    (
        "SELECT Model, count() FROM otel_traces GROUP BY ALL ORDER BY ALL FORMAT TSV",
        "gpt-4o-mini\t6\nother\t1",
    ),
    ("SELECT count() FROM otel_traces GROUP BY Counted WITH TOTALS FORMAT CSV", "7\n\n7"),
    ("SELECT dateAdd(DAY, 1, toDate('2026-01-01')), date_diff('day', today(), today() + 3)", "2026-01-02\t3"),
    ("SELECT 1 > 2 ? 'a' : 'b', inf > 1, if(1, 'x', 'y'), 0x1F", "b\t1\tx\t31"),
    ("SELECT CAST('1', 'UInt8'), '1'::Int8, CAST(('a', 1) AS Tuple(x String, y Int8)).x", "1\t1\ta"),
    ("SELECT * FROM values('a String, b Int8', ('x', 1), ('y', 2))", "x\t1\ny\t2"),
    ("SELECT UserId AS user FROM otel_traces WHERE user != '' GROUP BY user ORDER BY user", "u0\nu1\nu2"),
    ("SELECT arrayReduce('sum', [1, 2]), sumOrNullIf(InputTokens, 0) IS NULL FROM otel_traces", "3\t1"),
    (
        "SELECT trim(' a '), trim(BOTH 'x' FROM 'xax'), substring('abc', 2), position('abc', 'c')",
        "a\ta\tbc\t3",
    ),
    ("SELECT countIf(Model IN ['other']), has(['a'], 'a') FROM otel_traces", "1\t1"),
    ("SELECT Model FROM otel_traces PREWHERE Counted ORDER BY Model LIMIT 1 BY Model", "gpt-4o-mini\nother"),
]


@pytest.mark.parametrize(("text", "expected"), QUESTIONS)
def test_ordinary_questions_are_answered(filled: Served, text: str, expected: str) -> None:
    if "Cost" in text:
        filled.collector.tasks[0]._work()  # prices are looked up every few seconds: now is one
    assert filled.value(text) == expected


def test_parameters_are_values(filled: Served) -> None:
    text = "SELECT {a:String} || '!', {n:UInt64} + 1, {xs:Array(String)}"
    assert filled.value(text, a="it's", n=41, xs=["x"]) == "it\\'s!\t42\t['x']"


@pytest.mark.parametrize(
    "fmt", ["JSON", "JSONEachRow", "CSVWithNames", "TSV", "Parquet", "Arrow", "Native", "Values"]
)
def test_formats(filled: Served, fmt: str) -> None:
    for answer in (
        filled.sql(f"SELECT 1 AS one FORMAT {fmt}"),
        CLIENT.get(f"{filled.url}/clickhouse?query=SELECT+1+AS+one&default_format={fmt}"),
        CLIENT.post(
            f"{filled.url}/clickhouse/", content=b"SELECT 1 AS one", headers={"x-clickhouse-format": fmt}
        ),
    ):
        assert answer.status_code == 200
        assert answer.headers["x-clickhouse-format"] == fmt
        assert answer.content


def test_clickhouse_connect_reads_every_way(filled: Served) -> None:
    client = filled.reader()
    try:
        text = "SELECT Model, InputTokens, Timestamp FROM otel_traces WHERE RunId = {run:String}"
        parameters = {"run": "r"}
        assert len(client.query(text, parameters=parameters).result_rows) == 6
        frame = client.query_df(text, parameters=parameters)
        assert frame["InputTokens"].sum() == 720
        assert client.query_np("SELECT number FROM numbers(3)").tolist() == [[0], [1], [2]]
        assert client.raw_query("SELECT 1", fmt="CSV") == b"1\n"
        with client.query_rows_stream("SELECT number FROM numbers(5)") as stream:
            assert sum(row[0] for row in stream) == 10
    finally:
        client.close()


def test_costly_questions_end_in_an_error(filled: Served) -> None:
    started = time.monotonic()
    for text in (
        "SELECT number FROM numbers(100000000)",
        "SELECT repeat('x', 1000000000) || repeat('y', 1000000000) || repeat('z', 1000000000)",
        "SELECT groupArray(number) FROM numbers(1000000000)",
    ):
        answer = filled.sql(text)
        assert answer.status_code == 400, text  # nothing that another try would mend
        assert re.search(r"Code: \d+", answer.text)
    assert time.monotonic() - started < 60
    assert filled.value("SELECT 1") == "1"

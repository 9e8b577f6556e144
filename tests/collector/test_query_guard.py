"""The endpoint /clickhouse: ways out are refused, ordinary questions are answered."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

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


def _long(number: int) -> str:
    return f"SELECT {'(' * number}1{')' * number}"


@pytest.mark.parametrize(
    "text", [_long(20_000), "SELECT " + "1," * 60_000 + "1", "SELECT '" + "x" * 200_000 + "'"]
)
def test_texts_that_wear_the_parser_out_are_refused(text: str) -> None:
    with pytest.raises(QueryRefused):
        make_safe(text)


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
        assert answer.status_code in (400, 503), text
        assert re.search(r"Code: \d+", answer.text)
    assert time.monotonic() - started < 60
    assert filled.value("SELECT 1") == "1"

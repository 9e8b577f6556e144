"""Keys of a project: made once, hashed at rest, confined to the project on every endpoint."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

from llmtrace_collector.sql_values import encode
from llmtrace_collector.store.catalogue import READABLE

from .otlp import llm, logs, score, span, traces
from .running import CLIENT, PROTOBUF, Served, free_port, settings
from .test_incidents import report
from .test_metrics import point, request
from .test_query_guard import QUESTIONS, WAYS_OUT

Keys = dict[tuple[str, str], str]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector on which keys are about to be made."""
    collector = Served(settings(tmp_path_factory.mktemp("projects"), grpc_port=free_port()))
    yield collector
    collector.close()


def make(served: Served, **fields: Any) -> dict[str, Any]:
    answer = served.write("POST", "/v1/keys", fields)
    assert answer.status_code == 200, answer.text
    created: dict[str, Any] = answer.json()
    return created


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def ask(served: Served, key: str, text: str, **params: str) -> httpx.Response:
    values = {f"param_{name}": encode(value) for name, value in params.items()}
    return CLIENT.post(
        f"{served.url}/clickhouse/", content=text.encode(), params=values, headers=bearer(key), timeout=60
    )


def send(served: Served, key: str, body: Any, signal: str = "traces") -> httpx.Response:
    return CLIENT.post(
        f"{served.url}/v1/{signal}", content=body.SerializeToString(), headers={**PROTOBUF, **bearer(key)}
    )


@pytest.fixture(scope="module")
def keys(served: Served) -> Keys:
    """Keys of two projects, each of which holds what the guard's questions are about; B holds more."""
    created = {
        (project, role): make(served, project=project, role=role, name=f"{project} {role}")["key"]
        for project in ("A", "B")
        for role in ("ingest", "read", "admin")
    }
    for project, count in (("A", 6), ("B", 60)):
        calls = [
            llm(
                {
                    "user.id": f"u{n % 3}" if project == "A" else "secret",
                    "llmtrace.tags": ["a", "b"],
                    "llmtrace.run": "r",
                    "n": n,
                    "gen_ai.request.model": "gpt-4o-mini" if project == "A" else "secret-model",
                }
            )
            for n in range(count)
        ]
        other = {"gen_ai.request.model": "other", "gen_ai.response.model": "other-1"}
        calls.append(llm({**other, "gen_ai.usage.input_tokens": None}))
        # What the sender says of its project does not matter: the key decides.
        resource = {"service.name": "guarded", "llmtrace.project": "B"}
        assert send(served, created[project, "ingest"], traces(calls, resource)).status_code == 200
        record = score({"gen_ai.evaluation.name": "q" if project == "A" else "secret"})
        assert send(served, created[project, "ingest"], logs([record]), "logs").status_code == 200
    secret = request()
    secret.resource_metrics[0].scope_metrics[0].metrics.add(name="secret").gauge.data_points.append(
        point(1, time.time_ns())
    )
    assert send(served, created["B", "ingest"], secret, "metrics").status_code == 200
    headers = bearer(created["B", "admin"])
    url = f"{served.url}/v1/incidents/of-b"
    assert CLIENT.put(url, json=report(project="B", title="secret"), headers=headers).status_code == 200
    served.stored()
    served.collector.tasks[0]._work()  # prices
    return created


def test_keys_are_shown_once_and_hashed_at_rest(served: Served, keys: Keys) -> None:
    created = make(served, project="A", role="read", name="once")
    assert re.fullmatch(r"llmt_read_[\w-]{43}", created["key"])
    listed = served.write("GET", "/v1/keys", None)
    assert created["key"] not in listed.text
    assert {"key_id": created["key_id"], "name": "once"}.items() <= listed.json()["keys"][-1].items()
    folder = served.collector.settings.data_dir
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".sqlite":
            assert created["key"].encode() not in path.read_bytes(), path
    answer = ask(served, served.admin_key, "SELECT * FROM api_keys")
    assert answer.status_code == 400


def test_a_revoked_key_opens_nothing(served: Served, keys: Keys) -> None:
    created = make(served, project="A", role="read")
    assert ask(served, created["key"], "SELECT 1").status_code == 200
    assert served.write("DELETE", f"/v1/keys/{created['key_id']}", None).status_code == 200
    assert ask(served, created["key"], "SELECT 1").status_code == 401
    assert served.write("DELETE", "/v1/keys/nobody", None).status_code == 404


def test_roles(served: Served, keys: Keys) -> None:
    body = traces([span(trace_id=b"rejected")])
    assert CLIENT.post(f"{served.url}/v1/traces", content=b"", headers=PROTOBUF).status_code == 401
    assert send(served, keys["A", "read"], body).status_code == 401
    assert send(served, keys["A", "admin"], body).status_code == 200
    assert ask(served, keys["A", "ingest"], "SELECT 1").status_code == 401
    assert ask(served, keys["A", "admin"], "SELECT 1").status_code == 200
    for role in ("ingest", "read", "admin"):
        answer = CLIENT.post(f"{served.url}/v1/keys", json={"role": "read"}, headers=bearer(keys["A", role]))
        assert answer.status_code == (403 if role == "admin" else 401)
    assert CLIENT.get(f"{served.url}/v1/keys").status_code == 401


def test_writes_stay_in_the_project(served: Served, keys: Keys) -> None:
    headers = bearer(keys["A", "admin"])
    url = f"{served.url}/v1/incidents"
    assert CLIENT.put(f"{url}/new", json=report(project="B"), headers=headers).status_code == 403
    assert CLIENT.put(f"{url}/of-b", json=report(project="A"), headers=headers).status_code == 403
    decision = {"actor": "eve"}
    assert CLIENT.post(f"{url}/of-b/resolve", json=decision, headers=headers).status_code == 404
    assert CLIENT.post(f"{served.url}/v1/usage/rebuild", json={}, headers=headers).status_code == 403


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer nobody"),)])
def test_grpc_asks_for_keys_too(served: Served, keys: Keys, metadata: Any) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{served.collector.settings.grpc_port}") as channel:
        stub: Any = trace_service_pb2_grpc.TraceServiceStub
        with pytest.raises(grpc.RpcError) as caught:
            stub(channel).Export(traces([span()]), metadata=metadata)
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
        sent = span()
        stub(channel).Export(
            traces([sent], {"llmtrace.project": "A"}), metadata=tuple(bearer(keys["B", "ingest"]).items())
        )
    served.stored()
    where = f"WHERE SpanId = '{sent.span_id.hex()}'"
    assert ask(served, served.admin_key, f"SELECT Project FROM otel_traces {where}").text == "B\n"
    assert ask(served, keys["A", "read"], f"SELECT count() FROM otel_traces {where}").text == "0\n"


@pytest.mark.parametrize(("text", "expected"), QUESTIONS)
def test_a_project_reads_as_if_it_were_alone(served: Served, keys: Keys, text: str, expected: str) -> None:
    answer = ask(served, keys["A", "read"], text)
    assert answer.status_code == 200, answer.text
    assert answer.text.rstrip("\n") == expected


@pytest.mark.parametrize("table", sorted(READABLE))
@pytest.mark.parametrize(
    "shape",
    [
        "SELECT * FROM {t}",
        "SELECT * FROM default.{t} AS x",
        "SELECT * FROM {t} AS otel_logs",
        "SELECT count(), '' FROM {t} WHERE Project = 'B' OR 1 HAVING count() > 1000",
        "WITH x AS (SELECT * FROM {t}) SELECT * FROM x UNION ALL SELECT * FROM x",
        "SELECT * FROM (SELECT * FROM (SELECT * FROM {t}))",
        "SELECT x.* FROM numbers(1) AS n CROSS JOIN {t} AS x",
        "SELECT x.* FROM {t} AS y RIGHT JOIN {t} AS x ON 1 = 1",
        "SELECT (SELECT groupArray(tuple(*)) FROM {t})",
        "SELECT * FROM {t} AS x WHERE 1 IN (SELECT 1 FROM {t} WHERE Project = 'B')",
        "SELECT * FROM {t} EXCEPT SELECT * FROM {t} WHERE Project = 'A'",
        "(SELECT * FROM {t}) UNION DISTINCT (SELECT * FROM {t})",
        "SELECT * FROM (SELECT *, 'A' AS Project FROM {t})",
        "SELECT * REPLACE ('A' AS Project) FROM {t}",
        "FROM {t} SELECT *",
        "SELECT 'A' AS Project, * FROM {t} WHERE Project = 'A'",
    ],
)
def test_nothing_of_another_project_comes_out(served: Served, keys: Keys, table: str, shape: str) -> None:
    answer = ask(served, keys["A", "read"], shape.replace("{t}", table))
    if answer.status_code == 200:
        assert "secret" not in answer.text
        assert "\tB\t" not in f"\t{answer.text}\t"
    else:
        assert answer.status_code == 400
        assert "secret" not in answer.text


def test_a_projects_traces_are_looked_up(served: Served, keys: Keys) -> None:
    count = "SELECT count() > 0, countIf(TraceId IN (SELECT TraceId FROM otel_traces)) = count() "
    served.collector.store.roll_up()
    for table in ("trace_times", "otel_traces_trace_id_ts"):
        for project in ("A", "B"):
            assert ask(served, keys[project, "read"], f"{count} FROM {table}").text == "1\t1\n"
        assert int(ask(served, keys["B", "read"], f"SELECT count() FROM {table}").text) > 60


@pytest.mark.parametrize("text", [text for texts in WAYS_OUT.values() for text in texts if text[:2] != "--"])
def test_ways_out_are_refused_to_a_project_as_well(
    served: Served, keys: Keys, tmp_path: Path, text: str
) -> None:
    out = tmp_path / "out"
    names = {"t": "schema_versions", "f": "file", "CLICKHOUSE_DATABASE": "default"}
    answer = ask(served, keys["A", "read"], text.replace("{out}", str(out)), **names)
    assert 400 <= answer.status_code < 500, answer.text[:300]
    assert "secret" not in answer.text
    assert not out.exists()


def test_limits_of_a_key(served: Served, keys: Keys) -> None:
    reader = make(served, project="A", role="read", requests_per_minute=2)["key"]
    statuses = [ask(served, reader, "SELECT 1").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert int(ask(served, reader, "SELECT 1").headers["retry-after"]) <= 31
    sender = make(served, project="A", role="ingest", requests_per_minute=1)["key"]
    answers = [send(served, sender, traces([span()])) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 503]
    assert int(answers[1].headers["retry-after"]) <= 61


def test_what_administrators_did_is_kept(served: Served, keys: Keys) -> None:
    created = make(served, project="A", role="read", name="audited")
    text = "SELECT KeyId, Action, Project, Detail FROM audit_log WHERE Target = {t:String}"
    answer = ask(served, served.admin_key, text, t=created["key_id"])
    assert answer.text == "admin_key\tkeys.create\tA\tread audited\n"
    assert ask(served, keys["B", "read"], text, t=created["key_id"]).text == ""


#: Questions of one project's key whose errors, or whose numbers, would tell of another project's rows.
PROBES = [
    "SELECT toInt64(InputMessages) FROM otel_traces",
    "SELECT count() FROM otel_traces WHERE toInt64(UserId) = 1",
    "SELECT CAST(Model AS Int64) FROM otel_traces",
    "SELECT toDateTime(Name) FROM scores",
    "SELECT accurateCast(Title, 'UInt8') FROM incidents",
    "SELECT unknown_column FROM otel_traces",
    "SELECT arrayElement(Tags, 'x') FROM otel_traces",
    "SELECT toInt64(max(UserId)) FROM otel_traces",
]


@pytest.mark.parametrize("text", PROBES)
def test_errors_of_a_projects_key_say_code_and_name(served: Served, keys: Keys, text: str) -> None:
    answer = ask(served, keys["A", "read"], text)
    if answer.status_code == 200:  # the engine converts nothing where the project has no rows
        assert "secret" not in answer.text
        return
    code = answer.headers["x-clickhouse-exception-code"]
    wanted = (
        rf"Code: {code}\. DB::Exception: more of an error is for keys of every project\. \([A-Z0-9_]+\)\n"
    )
    assert re.fullmatch(wanted, answer.text)
    assert code not in ("0", "62")
    whole = ask(served, served.admin_key, text)
    assert len(whole.text) > len(answer.text) or whole.status_code == 200


@pytest.mark.parametrize(
    "condition", ["UserId = 'secret'", "Project = 'B'", "Model = 'secret-model'", "1 = 1"]
)
def test_no_error_tells_whether_a_row_is_there(served: Served, keys: Keys, condition: str) -> None:
    """A division by zero in each row that the condition is true for."""
    for text in (
        f"SELECT countIf(intDiv(1, 1 - ({condition})) > 1) FROM otel_traces",
        f"SELECT count() FROM otel_traces WHERE intDiv(1, 1 - ({condition})) > 1",
        f"SELECT count() FROM otel_traces PREWHERE intDiv(1, 1 - ({condition})) > 1",
        f"SELECT count() FROM (SELECT intDiv(1, 1 - ({condition})) AS x FROM otel_traces) WHERE x > 1",
    ):
        answer = ask(served, keys["A", "read"], text)
        # The project's own rows, and no other's, are asked.
        assert (answer.status_code == 200) is (condition != "1 = 1"), answer.text


def test_answers_say_nothing_of_rows_that_were_read(served: Served, keys: Keys) -> None:
    others = ask(
        served, served.admin_key, "SELECT any(TraceId) FROM otel_traces WHERE Project = 'B'"
    ).text.strip()
    question = "SELECT count() AS n, max(InputMessages) AS m FROM otel_traces WHERE TraceId = '{}' LIMIT 1"
    for fmt in (
        "JSON",
        "JSONCompact",
        "JSONColumns",
        "TSV",
        "Vertical",
        "Pretty",
        "Native",
        "Null",
        "Markdown",
    ):
        first, second = (
            ask(served, keys["A", "read"], f"{question.format(trace)} FORMAT {fmt}")
            for trace in (others, "f" * 32)
        )
        assert first.status_code == second.status_code == 200, first.text
        assert first.content == second.content
        names = [{name for name in answer.headers if name not in ("date",)} for answer in (first, second)]
        assert names[0] == names[1]
        assert not {"x-clickhouse-summary", "x-clickhouse-progress"} & names[0]
        assert "rows_read" not in first.text
        assert "statistics" not in first.text


@pytest.mark.parametrize("table", ["price_books", "security_events"])
def test_what_is_no_projects_is_refused_by_name(served: Served, keys: Keys, table: str) -> None:
    before = served.metric("llmtrace_collector_security_events_total", kind="read_denied")
    for text in (f"SELECT * FROM {table}", f"SELECT 1 IN (SELECT 1 FROM llmtrace.{table})"):
        answer = ask(served, keys["A", "read"], text)
        assert answer.status_code == 400
        assert table in answer.text
        assert ask(served, served.admin_key, text).status_code == 200
    assert served.metric("llmtrace_collector_security_events_total", kind="read_denied") == before + 2


def test_denied_reads_are_events_and_slips_are_none(served: Served, keys: Keys) -> None:
    before = served.metric("llmtrace_collector_security_events_total", kind="read_denied")
    for text in (
        "SELECT * FROM api_keys",
        "SELECT file('/etc/passwd')",
        "SELECT 1::AggregateFunction(sum, Int8)",
    ):
        assert ask(served, keys["A", "read"], text).status_code == 400
    assert served.metric("llmtrace_collector_security_events_total", kind="read_denied") == before + 3
    for text in ("SELECT (", "SELECT 1 FORMAT X", "SELECT ‘a’", "SELECT unknown FROM otel_traces"):
        assert ask(served, keys["A", "read"], text).status_code == 400
    assert served.metric("llmtrace_collector_security_events_total", kind="read_denied") == before + 3


def test_the_key_is_asked_before_the_body_is_read(served: Served, keys: Keys) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * 65_536

    url = f"{served.url}/clickhouse/"
    refused = CLIENT.post(url, content=b"SELECT 1", headers=bearer("nobody"))
    assert refused.status_code == 401
    large = CLIENT.post(url, content=body(), headers=bearer(keys["A", "read"]))
    assert large.status_code in (400, 413)
    assert ask(served, keys["A", "read"], "SELECT 1").text == "1\n"


def test_a_client_may_ask_at_the_root_and_by_head(served: Served, keys: Keys) -> None:
    headers = bearer(keys["A", "read"])
    for path in ("/", "/clickhouse", "/clickhouse/"):
        answer = CLIENT.get(
            f"{served.url}{path}", params={"query": "SELECT 1", "query_id": "q-1"}, headers=headers
        )
        assert (answer.text, answer.headers["x-clickhouse-query-id"]) == ("1\n", "q-1")
        assert (
            CLIENT.head(f"{served.url}{path}", params={"query": "SELECT 1"}, headers=headers).status_code
            == 200
        )
    for path in ("/ping", "/clickhouse/ping"):
        assert CLIENT.get(f"{served.url}{path}").text == "Ok.\n"

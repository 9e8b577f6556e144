"""Langfuse's paths: the limits, identities and answers of /v1/traces, for whoever signs in by HTTP Basic."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterator

import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from llmtrace_collector.api.langfuse import PROJECTS_PATH
from llmtrace_collector.api.limits import policies
from llmtrace_collector.ingest.otlp_http import LANGFUSE_PATH, OTLP_PATHS

from .otlp import span, traces
from .running import CLIENT, PROTOBUF, Served, settings
from .test_otlp_http import status_of

PATHS = ("/v1/traces", LANGFUSE_PATH)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector with keys and small limits."""
    directory = tmp_path_factory.mktemp("langfuse")
    fields = {"ingest_key": "in-key", "read_key": "read-key", "max_body_bytes": 64 << 10}
    collector = Served(settings(directory, **fields))
    yield collector
    collector.close()


def basic(pair: str | bytes) -> str:
    """The header of HTTP Basic for `name:password`."""
    return f"Basic {base64.b64encode(pair.encode() if isinstance(pair, str) else pair).decode()}"


def send(collector: Served, path: str, body: bytes = b"", **headers: str) -> httpx.Response:
    """POST as Langfuse's exporter does; `headers` with `_` for `-`."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return CLIENT.post(f"{collector.url}{path}", content=body, headers={**PROTOBUF, **named})


def send_raw(collector: Served, path: str, authorization: bytes) -> tuple[int, bytes]:
    """The same with a header that clients do not write: status and body."""
    connection = http.client.HTTPConnection(collector.url.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", path)
    connection.putheader("content-type", PROTOBUF["content-type"])
    connection.putheader("content-length", "0")
    connection.putheader("authorization", authorization)
    connection.endheaders()
    answer = connection.getresponse()
    status, body = answer.status, answer.read()
    connection.close()
    return status, body


def new_key(collector: Served, **fields: object) -> str:
    """A new API key."""
    answer = collector.write("POST", "/v1/keys", fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["key"])


def test_the_path_demands_what_v1_traces_does(keyed: Served) -> None:
    table = policies(keyed.collector.settings).policies
    assert table[f"POST {LANGFUSE_PATH}"] == table["POST /v1/traces"]
    assert OTLP_PATHS[LANGFUSE_PATH] == "traces"


def test_the_secret_key_is_ours_and_the_public_key_anything(keyed: Served) -> None:
    body = traces([sent := span()]).SerializeToString()
    for public in ("pk-lf-1234", "", "shop", "ö"):
        answer = send(keyed, LANGFUSE_PATH, body, authorization=basic(f"{public}:in-key"))
        assert answer.status_code == 200
        ExportTraceServiceResponse.FromString(answer.content)
    keyed.stored()
    row = keyed.reader("read-key").query(
        f"SELECT count(), any(Project) FROM otel_traces WHERE SpanId = '{sent.span_id.hex()}'"
    )
    assert row.result_rows == [(1, "default")]


def test_spans_are_of_the_keys_project(keyed: Served) -> None:
    key = new_key(keyed, project="shop", role="ingest")
    body = traces([sent := span()], {"llmtrace.project": "other"}).SerializeToString()
    assert send(keyed, LANGFUSE_PATH, body, authorization=basic(f"pk:{key}")).status_code == 200
    refused = send(keyed, LANGFUSE_PATH, body, authorization=basic(f"pk:{key}"), x_llmtrace_project="other")
    assert (refused.status_code, status_of(refused).code) == (403, 7)
    keyed.stored()
    row = keyed.reader("read-key").query(
        f"SELECT Project FROM otel_traces WHERE SpanId = '{sent.span_id.hex()}'"
    )
    assert row.result_rows == [("shop",)]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic ???",
        "Basic =",
        "Basic /w==",
        basic("in-key"),
        basic(":"),
        basic("in-key:"),
        basic("pk:wrong"),
        basic("pk:read-key"),
        basic("pk: in-key"),
        basic("pk:in-key:"),
        basic("pk:in-key\n"),
        basic("pk:in-key\0"),
        basic(b"pk:in-key\xff"),
        basic("pk:in-key".encode("utf-16")),
        basic("pk:in-key")[:-3],
        "Basic pk:in-key",
        "Digest " + basic("pk:in-key").partition(" ")[2],
        "Bearer " + basic("pk:in-key").partition(" ")[2],
        basic("pk:" + "k" * 20_000),
    ],
    ids=lambda header: header[:30],
)
def test_what_is_no_key_is_refused(keyed: Served, path: str, header: str) -> None:
    status, body = send_raw(keyed, path, header.encode())
    refusal = Status.FromString(body)
    assert (status, refusal.code) == (401, 16)
    assert "in-key" not in refusal.message


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_what_http_allows_is_read(keyed: Served, path: str, scheme: str) -> None:
    pair = basic("pk:in-key").partition(" ")[2]
    for header in (f"{scheme} {pair}", f"{scheme}   {pair}", f"{scheme} {pair}  "):
        assert send_raw(keyed, path, header.encode())[0] == 200


@pytest.mark.parametrize("path", PATHS)
def test_bytes_that_are_no_text_are_refused(keyed: Served, path: str) -> None:
    for raw in (b"Basic \xe9\xe9", b"Basic \xff\xfe\xfd", b"\xff:\xff", b"Basic " + b"\x80" * 9000):
        assert send_raw(keyed, path, raw)[0] == 401


@pytest.mark.parametrize("path", PATHS)
def test_a_header_without_end_ends(keyed: Served, path: str) -> None:
    for size in (60_000, 2_000_000):
        connection = http.client.HTTPConnection(keyed.url.removeprefix("http://"), timeout=10)
        connection.putrequest("POST", path)
        connection.putheader("content-length", "0")
        connection.putheader("authorization", basic(b"pk:" + b"k" * size))
        try:
            connection.endheaders()
            assert 400 <= connection.getresponse().status < 500
        except (ConnectionError, http.client.HTTPException):  # closed while it was still being sent
            assert size > 60_000
        finally:
            connection.close()
    assert send(keyed, path, authorization=basic("pk:in-key")).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_limits_are_those_of_v1_traces(keyed: Served, path: str) -> None:
    good = basic("pk:in-key")
    large = traces([span({"text": "x" * (80 << 10)})]).SerializeToString()
    answer = send(keyed, path, large, authorization=good)
    assert (answer.status_code, status_of(answer).code) == (413, 8)
    assert send(keyed, path, b"{", authorization=good, content_type="text/plain").status_code == 415
    assert send(keyed, path, b"\xff\xff", authorization=good).status_code == 400
    answer = send(keyed, path, authorization=good, origin="https://evil.example")
    assert (answer.status_code, status_of(answer).code) == (403, 7)
    assert CLIENT.get(f"{keyed.url}{path}", headers={"authorization": good}).status_code == 405
    key = new_key(keyed, project="shop", role="ingest", requests_per_minute=1)
    answers = [send(keyed, path, authorization=basic(f"pk:{key}")) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 503]
    assert int(answers[1].headers["retry-after"]) <= 61


def test_its_projects_are_the_keys(keyed: Served) -> None:
    of_shop = new_key(keyed, project="shop", role="ingest")
    for secret, status, names in (
        ("in-key", 200, ["default"]),
        ("read-key", 401, []),
        (of_shop, 200, ["shop"]),
        ("wrong", 401, []),
        ("", 401, []),
    ):
        answer = CLIENT.get(f"{keyed.url}{PROJECTS_PATH}", headers={"authorization": basic(f"pk:{secret}")})
        assert answer.status_code == status
        assert [project["name"] for project in answer.json().get("data", [])] == names


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/public/health"),
        ("POST", "/api/public/ingestion"),
        ("POST", "/api/public/scores"),
        ("POST", "/api/public/media"),
        ("GET", "/api/public/v2/prompts/greeting"),
        ("POST", "/api/public/otel/v1/logs"),
        ("POST", "/api/public/otel"),
    ],
)
def test_what_is_not_served_is_a_clean_404(keyed: Served, method: str, path: str) -> None:
    answer = CLIENT.request(method, f"{keyed.url}{path}", headers={"authorization": basic("pk:in-key")})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})

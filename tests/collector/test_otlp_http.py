"""The OTLP endpoint: what is acknowledged can be read, what is not says why."""

from __future__ import annotations

import gzip
import resource
import secrets
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from backports import zstd
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given
from hypothesis import settings as sample
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from llmtrace.common.http_limits.refusal import Refusal
from llmtrace_collector.ingest.decompress import decompress
from tests.examples import examples

from .otlp import DAY, SECOND, llm, logs, score, span, traces
from .running import CLIENT, Served


def status_of(answer: httpx.Response) -> Status:
    """The google.rpc.Status of an error."""
    assert answer.headers["content-type"] == "application/x-protobuf"
    return Status.FromString(answer.content)


def ids(served: Served, *spans: object) -> list[str]:
    """The stored span ids among those of `spans`, in order, repeats included."""
    wanted = ",".join(f"'{sent_span.span_id.hex()}'" for sent_span in spans)  # type: ignore[attr-defined]
    rows = served.rows(f"SELECT SpanId FROM otel_traces WHERE SpanId IN ({wanted}) ORDER BY SpanId")
    return [row["SpanId"] for row in rows]


def test_acknowledged_spans_are_read_by_a_clickhouse_client(served: Served) -> None:
    sent = [llm({"gen_ai.output.messages": '[{"role":"assistant"}]'}), span({"k": "v"})]
    answer = served.post(traces(sent))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/x-protobuf"
    ExportTraceServiceResponse.FromString(answer.content)
    served.stored()
    client = served.reader()
    try:
        result = client.query(
            "SELECT SpanId, InputTokens, OutputMessages, SpanAttributes FROM otel_traces "
            "WHERE TraceId = {id:String}",
            parameters={"id": sent[0].trace_id.hex()},
        )
        row = dict(zip(result.column_names, result.result_rows[0], strict=True))
    finally:
        client.close()
    assert row["SpanId"] == sent[0].span_id.hex()
    assert row["InputTokens"] == 120
    assert row["OutputMessages"] == '[{"role":"assistant"}]'
    assert "gen_ai.output.messages" not in row["SpanAttributes"]
    assert ids(served, *sent) == sorted(sent_span.span_id.hex() for sent_span in sent)


def test_parameters_too_long_for_an_address_are_read(served: Served) -> None:
    texts = [f"it's \\ number\r\n{number}\té" for number in range(500)]
    client = served.reader()
    text = "SELECT arrayJoin({texts:Array(String)}) AS value, {n:UInt8} AS n"
    rows = client.query(text, parameters={"texts": texts, "n": 7}).result_rows
    client.close()
    assert rows == [(value, 7) for value in texts]
    form = {"query": (None, "SELECT 1"), "role": (None, "9")}
    answer = CLIENT.post(f"{served.url}/clickhouse/", files=form)
    assert answer.status_code == 400
    assert "cannot be changed" in answer.text
    broken = {"content-type": "multipart/form-data"}
    assert CLIENT.post(f"{served.url}/clickhouse/", content=b"SELECT 1", headers=broken).status_code == 400


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "identity", "GZIP", "two gzip", "two zstd"])
def test_bodies_may_be_compressed(served: Served, encoding: str) -> None:
    sent = span()
    plain = traces([sent]).SerializeToString()
    half = len(plain) // 2
    packed = {
        "gzip": gzip.compress(plain),
        "two gzip": gzip.compress(plain[:half]) + gzip.compress(plain[half:]),
        "deflate": zlib.compress(plain),
        "zstd": zstd.compress(plain),
        "two zstd": zstd.compress(plain[:half]) + zstd.compress(plain[half:]),
        "identity": plain,
    }
    body = packed[encoding.lower()]
    encoding = encoding.removeprefix("two ")
    assert served.post(body, headers={"content-encoding": encoding}).status_code == 200
    served.stored()
    assert len(ids(served, sent)) == 1


def test_an_empty_request_succeeds(served: Served) -> None:
    for signal in ("traces", "logs", "metrics"):
        answer = served.post(b"", signal)
        assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("headers", "body", "status", "code", "word"),
    [
        ({"content-type": "text/plain"}, b"{}", 415, 3, "application/x-protobuf"),
        ({"content-type": ""}, b"", 415, 3, "missing"),
        ({"content-encoding": "br"}, b"x", 415, 3, "gzip"),
        ({}, b"\xff\xff\xff", 400, 3, "OTLP"),
        ({}, b"\x0a\x7fshort", 400, 3, "OTLP"),
        ({"content-encoding": "gzip"}, b"not gzip", 400, 3, "not valid gzip"),
        ({"content-encoding": "gzip"}, gzip.compress(b"x" * 999, mtime=0)[:-9], 400, 3, "ends early"),
        ({"content-encoding": "zstd"}, b"not zstd", 400, 3, "not valid zstd"),
        ({"content-encoding": "zstd"}, zstd.compress(b"x" * 999)[:-9], 400, 3, "ends early"),
    ],
)
def test_errors_are_statuses(
    served: Served, headers: dict[str, str], body: bytes, status: int, code: int, word: str
) -> None:
    before = served.metric("llmtrace_refused_requests_total", signal="traces", code=str(status))
    answer = served.post(body, headers=headers)
    assert answer.status_code == status
    assert status_of(answer).code == code
    assert word in status_of(answer).message
    after = served.metric("llmtrace_refused_requests_total", signal="traces", code=str(status))
    assert after == before + 1


def test_bad_rows_are_counted_and_the_rest_is_stored(served: Served) -> None:
    now = time.time_ns()
    good = [llm(), span(start=now - 29 * DAY), span(start=now + SECOND * 3000)]
    bad = [
        span(trace_id=b"short"),
        span(trace_id=bytes(16)),
        span(span_id=bytes(8)),
        span(span_id=secrets.token_bytes(16)),
        span(parent_span_id=b"abc"),
        span(start=now - 31 * DAY),
        span(start=0),
        span(start=now + 2 * 3600 * SECOND),
        span(start=2**64 - 1, duration=0),
    ]
    mixed = [bad[0], good[0], *bad[1:5], good[1], *bad[5:], good[2]]
    answer = served.post(traces(mixed))
    assert answer.status_code == 200
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == len(bad)
    for word in ("trace id", "span id", "parent", "retention", "ahead"):
        assert word in partial.error_message
    served.stored()
    assert ids(served, *mixed) == sorted(sent_span.span_id.hex() for sent_span in good)


def test_bad_log_records_are_counted(served: Served) -> None:
    good = score({"gen_ai.evaluation.name": "kept"})
    bad = [score({}, trace_id=b"x"), score({}, time_unix_nano=0)]
    answer = served.post(logs([bad[0], good, bad[1]]), "logs")
    partial = ExportLogsServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_log_records == 2
    served.stored()
    assert served.value("SELECT count() FROM scores WHERE Name = 'kept'") == "1"


def test_a_resend_is_stored_once(served: Served) -> None:
    sent = llm()
    body = traces([sent]).SerializeToString()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: served.post(body).status_code, range(16)))
    assert answers == [200] * 16
    served.stored()
    assert served.post(gzip.compress(body), headers={"content-encoding": "gzip"}).status_code == 200
    served.stored()
    assert len(ids(served, sent)) == 1
    assert served.metric("llmtrace_repeated_requests_total", signal="traces") >= 16


def test_nested_values_are_stored_whole(served: Served) -> None:
    sent = llm(
        {
            "tool": {"name": "f", "args": [1, {"x": None, "y": [True, 2.5, b"\x00\xff"]}]},
            "matrix": [[1, 2], ["é"]],
            "plain": "kept",
        },
        events=[{"time_unix_nano": time.time_ns(), "name": "e", "attributes": []}],
    )
    sent.events[0].attributes.extend(span({"deep": {"a": {}}}).attributes)
    assert served.post(traces([sent], {"service.name": "shop", "host": {"os": ["linux"]}})).status_code == 200
    served.stored()
    (row,) = served.rows(
        "SELECT SpanAttributes AS a, Events.Attributes AS e, ResourceAttributes AS r, InputTokens AS t "
        "FROM otel_traces WHERE SpanId = {id:String}",
        id=sent.span_id.hex(),
    )
    assert row["a"]["tool"] == '{"name":"f","args":[1,{"x":null,"y":[true,2.5,"AP8="]}]}'
    assert row["a"]["matrix"] == '[[1,2],["é"]]'
    assert row["a"]["plain"] == "kept"
    assert row["e"][0]["deep"] == '{"a":{}}'
    assert row["r"]["host"] == '{"os":["linux"]}'
    assert row["t"] == 120


@sample(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_requests_never_break_the_endpoint(served: Served, data: st.DataObject) -> None:
    sent = [llm({"tags": ["a", 1], "nested": {"a": 1}}), span()]
    body = bytearray(traces(sent).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        how = data.draw(st.sampled_from(["flip", "insert", "delete"]))
        if how == "flip":
            body[at] = data.draw(st.integers(0, 255))
        elif how == "insert":
            body.insert(at, data.draw(st.integers(0, 255)))
        else:
            del body[at]
    answer = served.post(bytes(body))
    assert answer.status_code in (200, 400), answer.content
    if answer.status_code == 200:
        request = ExportTraceServiceRequest.FromString(bytes(body))
        total = sum(len(scope.spans) for part in request.resource_spans for scope in part.scope_spans)
        rejected = ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans
        assert 0 <= rejected <= total


def test_mutated_requests_that_were_accepted_are_stored(served: Served) -> None:
    served.stored()
    received = served.metric("llmtrace_received_items_total", signal="traces")
    assert served.value("SELECT count() FROM otel_traces") == str(int(received))
    assert served.metric("llmtrace_quarantined_segments_total") == 0


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_a_compression_bomb_stops_at_the_limit(encoding: str) -> None:
    limit = 1 << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | (16 if encoding == "gzip" else 0))
    if encoding != "zstd":
        bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    else:
        squeezer = zstd.ZstdCompressor()
        bomb = b"".join(squeezer.compress(bytes(1 << 20)) for _ in range(256)) + squeezer.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Refusal) as refused:
        decompress(bomb, encoding, limit)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert refused.value.status == 413
    assert grown < 16 << 10  # KiB

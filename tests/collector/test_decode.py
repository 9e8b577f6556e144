"""The engine's decoding of OTLP equals a plain decoder in Python, whatever the request holds."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, given
from hypothesis import settings as sample
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from llmtrace_collector.ingest.validate import check
from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.store import Store, open_store
from tests.examples import examples

from .otlp import SECOND, any_value, logs, score, span, traces
from .prefilled import prefill
from .reference import TEXT_KEYS, double_text, rows

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
KEYS = st.one_of(
    st.sampled_from(["a", "b", "service.name", "llmtrace.project", *TEXT_KEYS]),
    TEXT,
)
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    TEXT,
    st.booleans(),
    st.sampled_from([-(2**63), 2**63 - 1, 0, -1]),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(
        [
            0.0,
            -0.0,
            1e21,
            1e20,
            1e-7,
            1e-6,
            5e-324,
            1.7976931348623157e308,
            float("inf"),
            float("-inf"),
            float("nan"),
            123456789012345680.0,
            0.1,
            1.0,
            100.5,
        ]
    ),
    st.floats(),
    st.binary(max_size=6),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
# A list, not a mapping: keys repeat.
ATTRIBUTES = st.lists(
    st.builds(lambda key, value: KeyValue(key=key, value=any_value(value)), KEYS, VALUES), max_size=5
)
TIMES = st.one_of(st.integers(0, 2**63 - 1), st.sampled_from([0, 2**64 - 1, 10**18]))
EVENTS = st.builds(Span.Event, time_unix_nano=TIMES, name=TEXT, attributes=ATTRIBUTES)
LINKS = st.builds(
    Span.Link,
    trace_id=st.binary(max_size=16),
    span_id=st.binary(max_size=8),
    trace_state=TEXT,
    attributes=ATTRIBUTES,
)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    start = time.time_ns() - draw(st.integers(0, 29 * 86_400)) * SECOND
    return Span(
        trace_id=draw(st.binary(min_size=16, max_size=16).filter(any)),
        span_id=draw(st.binary(min_size=8, max_size=8).filter(any)),
        parent_span_id=draw(st.sampled_from([b"", b"\x01" * 8])),
        trace_state=draw(TEXT),
        name=draw(TEXT),
        kind=draw(st.sampled_from(range(6))),  # type: ignore[arg-type]
        start_time_unix_nano=start,
        end_time_unix_nano=start + draw(st.sampled_from([-1, 0, 1, SECOND, 2**40])),
        attributes=draw(ATTRIBUTES),
        events=draw(st.lists(EVENTS, max_size=2)),
        links=draw(st.lists(LINKS, max_size=2)),
        status=draw(
            st.one_of(
                st.none(),
                st.builds(Status, message=TEXT, code=st.sampled_from(range(3))),
            )
        ),
    )


@st.composite
def requests(draw: st.DrawFn) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(1, 2))):
        part = request.resource_spans.add()
        if draw(st.booleans()):
            part.resource.attributes.extend(draw(ATTRIBUTES))
        for _ in range(draw(st.integers(1, 2))):
            scope = part.scope_spans.add()
            if draw(st.booleans()):
                scope.scope.name, scope.scope.version = draw(TEXT), draw(TEXT)
                scope.scope.attributes.extend(draw(ATTRIBUTES))
            scope.spans.extend(draw(st.lists(spans(), max_size=3)))
    return request


class Loader:
    """A store and a folder to put segments in."""

    def __init__(self, store: Store, folder: Any) -> None:
        self.store = store
        self.folder = folder

    def insert(self, signal: str, *bodies: bytes, token: str | None = None) -> list[dict[str, Any]]:
        """Insert bodies as one segment, as the log does; returns what is then in the table, unsorted."""
        table = "otel_traces" if signal == "traces" else "otel_logs"
        self.store.engine.execute(f"TRUNCATE TABLE {table}")
        path = self.folder / f"{uuid.uuid4().hex}.seg"
        path.write_bytes(b"".join(b"".join(encode(Frame("", time.time_ns(), body))) for body in bodies))
        self.store.insert_segment(signal, path, token or path.stem)
        return self.store.rows(_READ[signal])


_READ = {
    "traces": """SELECT toUnixTimestamp64Nano(Timestamp) AS Timestamp, TraceId, SpanId, ParentSpanId,
        TraceState, SpanName, SpanKind, ServiceName, ResourceAttributes,
        ScopeName, ScopeVersion, SpanAttributes, Duration,
        StatusCode, StatusMessage,
        arrayMap(t -> toUnixTimestamp64Nano(t), Events.Timestamp) AS EventTimes, Events.Name AS EventNames,
        Events.Attributes AS EventAttributes, Links.TraceId AS LinkTraces, Links.SpanId AS LinkSpans,
        Links.TraceState AS LinkStates, Links.Attributes AS LinkAttributes, Project,
        InputMessages, OutputMessages, SystemInstructions, ToolDefinitions FROM otel_traces""",
    "logs": "SELECT *, toUnixTimestamp64Nano(otel_logs.Timestamp) AS Nanoseconds FROM otel_logs",
}


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loader]:
    directory = tmp_path_factory.mktemp("decode")
    store = open_store(f"chdb://{prefill(directory / 'store')}")
    yield Loader(store, directory)
    store.close()


def canonical(value: Any) -> Any:
    """Text of JSON arrays and objects as data: escapes, key order and notation of numbers are free."""
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return {"as JSON": json.loads(value, parse_int=float)}
        except ValueError:
            return value
    return value


def differences(actual: list[dict[str, Any]], expected: list[dict[str, Any]]) -> list[str]:
    """What is not equal, column by column; rows may come in any order."""

    def order(row: dict[str, Any]) -> str:
        return json.dumps([row["TraceId"], row["SpanId"], row["Timestamp"], row], sort_keys=True)

    actual, expected = canonical(actual), canonical(expected)
    if len(actual) != len(expected):
        return [f"{len(actual)} rows instead of {len(expected)}"]
    return [
        f"{column}: {ours[column]!r} instead of {theirs[column]!r}"
        for ours, theirs in zip(sorted(actual, key=order), sorted(expected, key=order), strict=True)
        for column in theirs
        if ours[column] != theirs[column]
    ]


@sample(max_examples=examples(20), phases=[Phase.explicit, Phase.generate])
@given(batch=st.lists(requests(), min_size=1, max_size=4))
def test_any_request_is_decoded_like_the_reference(
    loader: Loader, batch: list[ExportTraceServiceRequest]
) -> None:
    expected: list[dict[str, Any]] = []
    bodies = []
    for request in batch:
        checked = check("traces", request.SerializeToString(), now=time.time_ns(), retention_days=30)
        assert checked.rejected == 0
        bodies.append(checked.body)
        expected += rows(request)
    actual = loader.insert("traces", *bodies)
    assert differences(actual, expected) == []


def test_doubles_are_written_as_the_collector_writes_them(loader: Loader) -> None:
    exact = {
        "one": 1.0,
        "zero": 0.0,
        "negative zero": -0.0,
        "e21": 1e21,
        "below": 1e20,
        "e-7": 1e-7,
        "e-6": 1e-6,
        "least": 5e-324,
        "most": 1.7976931348623157e308,
        "third": 1 / 3,
        "large": 123456789012345680.0,
    }
    expected = {"one": "1", "e21": "1e+21", "e-7": "1e-7", "e-6": "0.000001", "least": "5e-324"}
    (row,) = loader.insert("traces", traces([span(exact)]).SerializeToString())
    stored = row["SpanAttributes"]
    assert {key: stored[key] for key in expected} == expected
    assert stored == {key: double_text(value) for key, value in exact.items()}


def test_numbers_that_json_lacks_leave_arrays_readable(loader: Loader) -> None:
    odd = span(
        {"flat": [float("nan"), float("inf"), 1e21], "nested": [[float("-inf")]], "plain": float("nan")}
    )
    checked = check("traces", traces([odd]).SerializeToString(), now=time.time_ns(), retention_days=30)
    (row,) = loader.insert("traces", checked.body)
    assert row["SpanAttributes"] == {"flat": '["nan","inf",1e+21]', "nested": '[["-inf"]]', "plain": "nan"}


def test_a_token_is_inserted_once(loader: Loader) -> None:
    path = loader.folder / "twice.seg"
    path.write_bytes(b"".join(encode(Frame("", time.time_ns(), traces([span()]).SerializeToString()))))
    loader.store.engine.execute("TRUNCATE TABLE otel_traces")
    for _ in range(3):
        loader.store.insert_segment("traces", path, "one-token")
    assert loader.store.read("SELECT count() FROM otel_traces") == b"1\n"


def test_logs_become_log_rows_and_scores(loader: Loader) -> None:
    at = time.time_ns()
    plain = score({"k": [1]}, event_name="", time_unix_nano=0, observed_time_unix_nano=at, severity_number=9)
    plain.body.CopyFrom(any_value("hello"))
    given_score = score(
        {
            "gen_ai.evaluation.name": "helpful",
            "gen_ai.evaluation.score.value": 0.25,
            "gen_ai.evaluation.score.label": "poor",
            "gen_ai.evaluation.explanation": "short",
            "gen_ai.response.id": "resp-1",
        }
    )
    label_only = score({"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.label": "kind"})
    request = logs([plain, given_score, label_only], {"service.name": "judge", "llmtrace.project": "p"})
    by_event = {row["EventName"]: row for row in loader.insert("logs", request.SerializeToString())}
    assert by_event[""]["Body"] == "hello"
    assert by_event[""]["LogAttributes"] == {"k": "[1]"}
    assert by_event[""]["Nanoseconds"] == at
    assert by_event[""]["SeverityNumber"] == 9
    scores = loader.store.rows("SELECT * FROM scores ORDER BY Name")
    assert [(row["Name"], row["Value"], row["Label"]) for row in scores] == [
        ("helpful", 0.25, "poor"),
        ("tone", None, "kind"),
    ]
    assert scores[0]["ResponseId"] == "resp-1"
    assert scores[0]["Explanation"] == "short"
    assert scores[0]["SpanId"] == given_score.span_id.hex()
    assert (scores[0]["Project"], scores[0]["ServiceName"]) == ("p", "judge")


def test_an_empty_value_is_an_empty_body(loader: Loader) -> None:
    (row,) = loader.insert("logs", logs([score({}, event_name="e", body=AnyValue())]).SerializeToString())
    assert row["Body"] == ""

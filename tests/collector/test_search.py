"""Searches against the store: what each term finds, over spans and over traces, with any reader's rights."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from llmtrace_collector.sql_values import QueryParams
from llmtrace_collector.store.query_guard.guard import make_safe
from llmtrace_collector.store.search import Over, Period, SearchError, completions, parse

from .otlp import SECOND, any_value, attributes, llm, logs, score, span, traces
from .running import Served, settings

NOW = time.time_ns()
HOSTILE = "it's; DROP TABLE otel_traces -- \\' \" } {p:String} %_*"
ERROR = Status.STATUS_CODE_ERROR
OVERS: tuple[Over, ...] = ("spans", "traces")


@dataclass
class Made:
    """What the store of the tests holds: traces by name, spans by the name of their trace and their own."""

    served: Served
    traces: dict[str, str] = field(default_factory=dict)
    spans: dict[str, tuple[str, str]] = field(default_factory=dict)

    def names_of(self, text: str, over: Over, project: str = "") -> set[str]:
        """The names of the traces or spans that a search finds, asked as a reader asks."""
        condition = parse(text).condition(over, Period(*_around()))
        ids = "TraceId, SpanId" if over == "spans" else "TraceId"
        sql = f"SELECT {ids} FROM {condition.source} WHERE {condition.sql}"
        rows = self.rows(sql, condition.params, project)
        direct = self.served.collector.store.rows(sql, condition.params)
        assert project or sorted(map(str, rows)) == sorted(map(str, direct))
        names = {id_: name for name, id_ in self.traces.items()}
        if over == "traces":
            return {names[row["TraceId"]] for row in rows}
        of_spans = {ids: name for name, ids in self.spans.items()}
        return {of_spans[row["TraceId"], row["SpanId"]] for row in rows}

    def rows(self, sql: str, params: QueryParams, project: str = "") -> list[dict[str, Any]]:
        """Rows of a query that went through the guard."""
        store = self.served.collector.store
        data = store.read(make_safe(sql).sql, params, "JSONEachRow", project)
        return [json.loads(line) for line in data.splitlines()]


def _around() -> tuple[datetime, datetime]:
    now = datetime.fromtimestamp(NOW / 1e9, UTC)
    return now - timedelta(minutes=30), now + timedelta(minutes=5)


def _messages(text: str, **part: str) -> str:
    parts = [{"type": "text", "content": text}, *([part] if part else [])]
    return json.dumps([{"role": "user", "parts": parts}])


class _Trace:
    """Spans of one trace under a root, which takes all the time of the others."""

    def __init__(self, name: str, root: dict[str, object] | None = None, failed: bool = False) -> None:
        self.name = name
        self.trace_id = secrets.token_bytes(16)
        self.root_id = secrets.token_bytes(8)
        self.start = NOW - 60 * SECOND
        status = Status(code=ERROR, message="gave up") if failed else Status()
        self.spans = [
            ("root", self._span(span, root or {}, span_id=self.root_id, name=f"answer {name}", status=status))
        ]

    def add(self, key: str, values: dict[str, object] | None = None, **fields: Any) -> _Trace:
        """A call of a model, below the root."""
        return self._add(llm, key, values, fields)

    def step(self, key: str, values: dict[str, object] | None = None, **fields: Any) -> _Trace:
        """Another step, below the root."""
        return self._add(span, key, values, fields)

    def _add(
        self,
        make: Callable[..., Span],
        key: str,
        values: dict[str, object] | None,
        fields: dict[str, Any],
    ) -> _Trace:
        parent = {"parent_span_id": self.root_id, "span_id": secrets.token_bytes(8), **fields}
        self.spans.append((key, self._span(make, values or {}, **parent)))
        return self

    def _span(self, make: Callable[..., Span], values: dict[str, object], **fields: Any) -> Span:
        return make(values, trace_id=self.trace_id, start=self.start, **fields)


def _traffic() -> list[_Trace]:
    failed: dict[str, Any] = {"status": Status(code=ERROR, message="the provider is overloaded, try later")}
    retried: dict[str, object] = {"llmtrace.counted": False, "error.type": "rate_limit"}
    return [
        _Trace("plain", {"user.id": "ada", "session.id": "s-1"}).add(
            "call",
            {
                "user.id": "ada",
                "session.id": "s-1",
                "gen_ai.response.id": "chatcmpl-9aBc12345",
                "gen_ai.response.finish_reasons": ["stop"],
                "gen_ai.input.messages": _messages("Where is my refund? I paid 4111111111111111 twice."),
                "gen_ai.output.messages": _messages("It is on its way to Zürich, \"soon\"."),
                "gen_ai.prompt.name": "greeting",
                "gen_ai.prompt.version": "3",
                "llmtrace.tags": ["tier=gold", "beta"],
                "gen_ai.request.temperature": 0.9,
                "odd name": "x",
                'a"b': "quote",
            },
        ),
        _Trace("failed", failed=True)
        .step("lookup", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search_orders",
                         "gen_ai.tool.call.arguments": json.dumps({"mail": "eve@example.org"}),
                         "gen_ai.tool.call.result": json.dumps({"found": "GR\u00dcN"})},
              name="execute_tool search_orders")
        .step("inner", {"llmtrace.function.arguments": json.dumps({"key": "sk-live-9"}),
                        "llmtrace.function.result": "None"}, name="fetch")
        .add("call", {"error.type": "timeout", "gen_ai.usage.input_tokens": None,
                      "gen_ai.usage.output_tokens": None, "user.id": "bob"}, **failed),
        _Trace("recovered")
        .step("search", {"gen_ai.operation.name": "retrieval", "error.type": "ConnectionError"},
              name="retrieval handbook", **failed)
        .add("call", {"gen_ai.request.model": "gpt-5-mini", "gen_ai.usage.input_tokens": 50_000,
                      "gen_ai.response.finish_reasons": ["length"],
                      "gen_ai.response.time_to_first_chunk": 2.5,
                      "llmtrace.response.time_to_first_byte": 1.5,
                      "gen_ai.system_instructions": json.dumps(
                          [{"type": "text", "content": "You are the assistant of ACME"}]
                      ),
                      "gen_ai.tool.definitions": json.dumps([{"type": "function", "name": "lift_off"}])},
             duration=12 * SECOND, name="chat gpt-5-mini"),
        _Trace("retried").add("attempt", retried, **failed).add("call", {"llmtrace.stream.abandoned": True}),
        _Trace("image").add(
            "call", {"gen_ai.input.messages": _messages("What is this?", type="blob", modality="image")}
        ),
        _Trace("judge").add("call", {"llmtrace.purpose": "judge", "gen_ai.request.model": "Claude-Opus-4",
                                     "gen_ai.provider.name": "anthropic"}),
        _Trace("hostile", {"user.id": HOSTILE}).add(
            "call",
            {"user.id": HOSTILE, "gen_ai.input.messages": _messages(HOSTILE), "llmtrace.tags": [HOSTILE]},
        ),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A store with one trace for each thing to find, the last in a project of its own."""
    served = Served(settings(tmp_path_factory.mktemp("search")))
    holds = Made(served)
    for trace in _traffic():
        holds.traces[trace.name] = trace.trace_id.hex()
        for name, span_of in trace.spans:
            holds.spans[f"{trace.name}.{name}"] = (trace.trace_id.hex(), span_of.span_id.hex())
        resource = {"service.name": "checkout" if trace.name == "plain" else "shop", "host.name": "h-1"}
        if trace.name == "hostile":
            resource["llmtrace.project"] = "other"
        answer = served.post(traces([item for _, item in trace.spans], resource))
        assert answer.status_code == 200, answer.text
    scores = [
        score({"gen_ai.evaluation.name": "helpful", "gen_ai.evaluation.score.value": 0.2,
               "gen_ai.evaluation.score.label": "poor"}, trace_id=_id(holds, "plain.call", 0),
              span_id=_id(holds, "plain.call", 1)),
        score({"gen_ai.evaluation.name": "helpful", "gen_ai.evaluation.score.value": 0.9},
              trace_id=_id(holds, "judge.root", 0), span_id=b""),
    ]  # fmt: skip
    assert served.post(logs([*scores, _logged(holds)]), "logs").status_code == 200
    served.stored()
    yield holds
    served.close()


def _logged(holds: Made) -> LogRecord:
    """A message of a call that came as a log record."""
    record = LogRecord(
        time_unix_nano=NOW - 60 * SECOND,
        trace_id=_id(holds, "judge.call", 0),
        span_id=_id(holds, "judge.call", 1),
        event_name="gen_ai.user.message",
        body=any_value({"content": "the secret of the log"}),
    )
    record.attributes.extend(attributes({"gen_ai.provider.name": "anthropic"}))
    return record


def _id(holds: Made, name: str, part: int) -> bytes:
    return bytes.fromhex(holds.spans[name][part])


ALL = {"plain", "failed", "recovered", "retried", "image", "judge", "hostile"}

#: A search, the traces that it finds, and the spans.
FINDS = [
    ("", ALL, None),
    ("refund", {"plain"}, {"plain.call"}),
    ("REFUND zürich", {"plain"}, {"plain.call"}),
    ('"where is my refund"', {"plain"}, {"plain.call"}),
    ('"soon"', {"plain"}, {"plain.call"}),
    (r'"to Zürich, \"soon\""', {"plain"}, {"plain.call"}),
    ("refund nowhere", set(), set()),
    ("ZÜRICH grün", set(), set()),
    # Wherever else a text can be.
    ('"you are the assistant of acme"', {"recovered"}, {"recovered.call"}),
    ("lift_off", {"recovered"}, {"recovered.call"}),
    ('"secret of the log"', {"judge"}, {"judge.call"}),
    ("eve@example.org", {"failed"}, {"failed.lookup"}),
    ("grün tool:search_orders", {"failed"}, {"failed.lookup"}),
    ("sk-live-9", {"failed"}, {"failed.inner"}),
    ("-sk-live-9 -refund -secret -hostile -image", {"recovered", "retried"}, None),
    ("sk-live-9 OR secret OR user:ada", {"failed", "judge", "plain"}, None),
    # In different spans of one trace, which no span has both.
    ("answer refund", {"plain"}, set()),
    ("4111111111111111", {"plain"}, {"plain.call"}),
    ("overloaded", {"failed", "recovered", "retried"},
     {"failed.call", "recovered.search", "retried.attempt"}),
    ("refund OR overloaded -timeout", {"plain", "failed", "recovered", "retried"}, None),
    ("chatcmpl-9aBc12345", {"plain"}, {"plain.call"}),
    ("model:gpt-5*", {"recovered"}, {"recovered.call"}),
    ("model:claude-opus-4,GPT-5-MINI", {"recovered", "judge"}, {"recovered.call", "judge.call"}),
    ("provider:anthropic", {"judge"}, {"judge.call"}),
    ("-provider:openai -refund", {"judge"}, None),
    ("operation:retrieval", {"recovered"}, {"recovered.search"}),
    ("service:CHECKOUT", {"plain"}, {"plain.root", "plain.call"}),
    ("project:other", {"hostile"}, {"hostile.root", "hostile.call"}),
    ("user:ada", {"plain"}, {"plain.root", "plain.call"}),
    ("user:a*,bob", {"plain", "failed"}, {"plain.root", "plain.call", "failed.call"}),
    ("user:Ada", set(), set()),
    ("user:ada refund", {"plain"}, {"plain.call"}),
    ("user:bob refund", set(), set()),
    ("session:s-1 -user:*", set(), set()),
    ("step:handbook", {"recovered"}, {"recovered.search"}),
    ("step:search_*", {"failed"}, {"failed.lookup"}),
    ("tool:search_orders", {"failed"}, {"failed.lookup"}),
    ("status:failed", {"failed"}, {"failed.root", "failed.call", "recovered.search"}),
    ("status:recovered", {"recovered"}, {"recovered.search"}),
    ("status:error", {"failed", "recovered"},
     {"failed.root", "failed.call", "recovered.search", "retried.attempt"}),
    ("status:ok", ALL - {"failed", "recovered"}, None),
    ("error:timeout", {"failed"}, {"failed.call"}),
    ("error:connection*", {"recovered"}, {"recovered.search"}),
    ('error:"provider is overloaded"', {"failed", "recovered", "retried"},
     {"failed.call", "recovered.search", "retried.attempt"}),
    ("error:*", {"failed", "recovered", "retried"},
     {"failed.root", "failed.call", "recovered.search", "retried.attempt"}),
    ("finish:length", {"recovered"}, {"recovered.call"}),
    ("prompt:greeting", {"plain"}, {"plain.call"}),
    ("prompt:greeting@3", {"plain"}, {"plain.call"}),
    ("prompt:greet*@*", {"plain"}, {"plain.call"}),
    ("prompt:greeting@4", set(), set()),
    ("tag:beta", {"plain"}, {"plain.call"}),
    ("tag:tier", {"plain"}, {"plain.call"}),
    ("tag:tier=Gold", {"plain"}, {"plain.call"}),
    ("tag:tier=silver", set(), set()),
    ("purpose:judge", None, {"judge.call"}),
    ("has:retry", {"retried"}, {"retried.attempt"}),
    ("has:abandoned", {"retried"}, {"retried.call"}),
    ("has:retrieval,image", {"recovered", "image"}, {"recovered.search", "image.call"}),
    ("has:tool", {"failed"}, {"failed.lookup"}),
    ("has:error", {"failed", "recovered", "retried"},
     {"failed.root", "failed.call", "recovered.search", "retried.attempt"}),
    ("has:score", {"plain", "judge"}, {"plain.call", "judge.root"}),
    ("score.helpful<0.5", {"plain"}, {"plain.call"}),
    ("score.helpful>=0.5", {"judge"}, {"judge.root"}),
    ("score.helpful:poor", {"plain"}, {"plain.call"}),
    ("score.helpful:", {"plain", "judge"}, {"plain.call", "judge.root"}),
    ("score.other:", set(), set()),
    ("tokens>10k", {"recovered"}, {"recovered.call"}),
    ("input_tokens:50000 output_tokens<=40", {"recovered"}, {"recovered.call"}),
    # Nobody knows the tokens of the call that failed.
    ("tokens=160", {"plain", "retried", "image", "judge", "hostile"}, None),
    ("latency>10s", {"recovered"}, {"recovered.call"}),
    ("latency<600ms -has:score", {"failed", "retried", "image", "hostile"}, None),
    ("tokens=0", set(), set()),
    ("input_tokens<10", set(), set()),
    ("-tokens>0", {"failed"}, None),
    ("ttfb>1s ttfb<2s", {"recovered"}, {"recovered.call"}),
    ("ttft>2s", {"recovered"}, {"recovered.call"}),
    ("tpot>240ms", {"recovered"}, {"recovered.call"}),
    ("attr.gen_ai.request.temperature>0.5", {"plain"}, {"plain.call"}),
    ("attr.gen_ai.request.temperature:0.9", {"plain"}, {"plain.call"}),
    ("attr.gen_ai.tool.name:", {"failed"}, {"failed.lookup"}),
    ('attr."odd name"=x', {"plain"}, {"plain.call"}),
    ("resource.host.name=h-1 user:ada", {"plain"}, {"plain.root", "plain.call"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "of_traces", "of_spans"), FINDS, ids=[row[0] or "all" for row in FINDS])
def test_what_is_found(store: Made, text: str, of_traces: set[str] | None, of_spans: set[str] | None) -> None:
    for over, expected in (("traces", of_traces), ("spans", of_spans)):
        if expected is None:
            continue
        names = store.names_of(text, "traces" if over == "traces" else "spans")
        assert names == expected, over
        # Of what a project's key may see, it finds the same.
        everything = store.names_of("project:other", "traces" if over == "traces" else "spans")
        assert (
            store.names_of(text, "traces" if over == "traces" else "spans", "other") == expected & everything
        )


def test_ids_find_their_own(store: Made) -> None:
    trace_id, span_id = store.spans["plain.call"]
    assert store.names_of(trace_id, "traces") == {"plain"}
    assert store.names_of(trace_id.upper(), "spans") == {"plain.root", "plain.call"}
    if not span_id.isdecimal():
        assert store.names_of(span_id, "spans") == {"plain.call"}
        assert store.names_of(f"-{span_id}", "traces") == ALL - {"plain"}


def test_costs_are_compared_over_the_whole(store: Made) -> None:
    costs = store.served.collector.store.rows("SELECT TraceId, Cost FROM span_cost WHERE Cost IS NOT NULL")
    assert costs, "the price list knows none of the models"
    names = {trace_id: name for name, trace_id in store.traces.items()}
    dear = max(costs, key=lambda row: row["Cost"])
    limit = f"{dear['Cost'] * 0.999:.9f}"
    assert store.names_of(f"cost>{limit}", "traces") == {names[dear["TraceId"]]} == {"recovered"}
    assert store.names_of(f"cost>{limit}", "spans") == {"recovered.call"}
    assert store.names_of("cost>=0", "traces") == {names[row["TraceId"]] for row in costs}


def test_a_search_keeps_to_its_period(store: Made) -> None:
    for over in OVERS:
        assert store.names_of("user:ada last:10s", over) == set()
        assert store.names_of("user:ada last:1h", over)
        assert store.names_of("refund until:1h", over) == set()


def test_hostile_text_is_found_and_nothing_else(store: Made) -> None:
    quoted = json.dumps(HOSTILE, ensure_ascii=False)
    for text in (quoted, f"user:{quoted}", f"tag:{quoted}", f"{quoted} user:{quoted}"):
        assert store.names_of(text, "traces") == {"hostile"}, text
        assert "hostile.call" in store.names_of(text, "spans")
    assert store.names_of(f"-{quoted}", "traces") == ALL - {"hostile"}


_pieces = [
    "'",
    "\\",
    '"',
    "`",
    "{x:String}",
    "%",
    "_",
    "*",
    ")",
    "--",
    "/*",
    ";",
    "\0",
    "\n",
    "DROP",
    "' OR 1=1 --",
    "ü",
    "a",
]
_hostile = st.lists(st.sampled_from(_pieces), min_size=1, max_size=6).map("".join) | st.text(
    min_size=1, max_size=8
)


@given(
    st.sampled_from(["", "user:", "model:", "tag:", "attr.k:", "score.k:", "error:", "prompt:", "tool:"]),
    _hostile,
    st.sampled_from(OVERS),
    st.sampled_from(["", "other", "it's"]),
)
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_searched_for_is_data(
    store: Made, before: str, text: str, over: Over, project: str
) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    for written in (before + quoted, f"{before}{text}"):
        try:
            parse(written)
        except SearchError:
            continue
        names = store.names_of(written, over, project)
        if project == "it's":
            assert not names
        elif project and names:
            assert {name.partition(".")[0] for name in names} == {"hostile"}


def test_values_are_completed_from_what_the_store_saw(store: Made) -> None:
    def written(text: str) -> list[str]:
        return [item.text for item in completions(text, None, store.rows)]

    assert written("model:gpt-5") == ["gpt-5-mini"]
    assert written("model:")[0] == "gpt-4o-mini"
    assert "gpt-5-mini" in written("-model:x,GPT")
    assert written("tool:") == ["search_orders"]
    assert written("step:hand") == ["handbook"]
    assert set(written("tag:t")) >= {"tier=gold"}
    assert written("prompt:g") == ["greeting@3"]
    assert written("error:t") == ["timeout", "ConnectionError", "rate_limit"]
    assert set(written("service:")) == {"checkout", "shop"}
    assert written("session:") == ["s-1"]
    assert written("score.he") == ["score.helpful:"]
    assert written("score.helpful:") == ["poor"]
    assert written('attr."odd na') == ['attr."odd name":']
    assert written(r'attr."a\"') == [r'attr."a\"b":']
    assert written(r'attr."a\"b":') == ["quote"]
    assert "attr.gen_ai.request.temperature:" in written("attr.temp")
    assert written('attr."odd name":') == ["x"]
    assert written("resource.host.name=") == ["h-1"]
    assert '"' + HOSTILE.replace("\\", "\\\\").replace('"', '\\"') + '"' in written("user:")
    for text in ("user:", "tag:"):
        for item in completions(text, None, store.rows):
            assert store.names_of(text + item.text, "spans"), item


def test_completions_are_for_the_place_of_the_cursor(store: Made) -> None:
    text = "model:gpt refund"
    first = completions(text, len("model:gpt"), store.rows)[0]
    assert text[: first.start] + first.text + text[first.end :] == "model:gpt-4o-mini refund"


def test_conditions_of_two_searches_stand_in_one_query(store: Made) -> None:
    first = parse("user:ada").condition("spans", Period(*_around()), prefix="first")
    second = parse("refund").condition("spans", Period(*_around()), prefix="second")
    rows = store.rows(
        f"SELECT countIf({first.sql}) AS one, countIf({second.sql}) AS other FROM otel_traces",
        {**first.params, **second.params},
    )
    assert rows == [{"one": 2, "other": 1}]


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("4bf92f3577b34da6a3ce929d0e0e4736", "idx_trace_id"),
        ("chatcmpl-9aBc12345", "idx_response_id"),
        ("user:ada", "idx_user"),
        ("session:s-1,s-2", "idx_session"),
        ("attr.shop.order=4711", "idx_attribute_values"),
        ("refund user:ada", "idx_user"),
        ("refund", "PrimaryKey"),
    ],
)
def test_indexes_are_used(store: Made, text: str, index: str) -> None:
    condition = parse(text).condition("spans", Period(*_around()))
    sql = f"EXPLAIN indexes = 1 SELECT TraceId FROM {condition.source} WHERE {condition.sql}"
    assert index in store.served.collector.store.engine.execute(sql, condition.params).decode()


def test_the_view_of_texts_is_read_by_its_tables_indexes(store: Made) -> None:
    sql = (
        "EXPLAIN indexes = 1 SELECT InputMessages FROM span_texts "
        "WHERE TraceId = 'x' AND Project = 'default' AND Timestamp >= now() - 60"
    )
    plan = store.served.collector.store.engine.execute(sql).decode()
    assert "idx_trace_id" in plan
    assert "PrimaryKey" in plan


def test_traces_of_a_period_are_found_by_when_they_ended(store: Made) -> None:
    # A row that holds nothing, so that the table has a part.
    store.served.collector.store.engine.execute(
        "INSERT INTO trace_rows (Project, TraceId, Start, End, RetentionDays, Version, IsDeleted) "
        "SELECT 'gone', 'gone', now64(9), now64(9), 1, 1, 1"
    )
    condition = parse("status:ok").condition("traces", Period(*_around()))
    sql = f"EXPLAIN indexes = 1 SELECT TraceId FROM {condition.source} WHERE {condition.sql}"
    assert "idx_end" in store.served.collector.store.engine.execute(sql, condition.params).decode()


def test_words_beside_or_and_after_a_minus_are_read_for_together() -> None:
    for text in (" OR ".join(f"word{n}" for n in range(60)), " ".join(f"-word{n}" for n in range(60))):
        assert parse(text).condition("traces").sql.count("FROM span_texts") == 1

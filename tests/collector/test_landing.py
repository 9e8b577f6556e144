"""The landing table takes what an OpenTelemetry Collector's ClickHouse exporter writes, and makes the same
rows of it as of requests that come over OTLP."""

from __future__ import annotations

import time

import pytest

from llmtrace_collector.store.schema.description import SchemaSettings, describe

from .otlp import DAY, SECOND, llm, span, traces
from .running import Served

#: The columns that the exporter names in its INSERT, in its order.
_EXPORTED = (
    "Timestamp TraceId SpanId ParentSpanId TraceState SpanName SpanKind ServiceName ResourceAttributes "
    "ScopeName ScopeVersion SpanAttributes Duration StatusCode StatusMessage "
    "Events.Timestamp Events.Name Events.Attributes "
    "Links.TraceId Links.SpanId Links.TraceState Links.Attributes"
).split()

_OWN = "* EXCEPT(ReceivedAt, StoredAt)"


@pytest.fixture(scope="module", autouse=True)
def landing(served: Served) -> None:
    """Servers have the table; here it is made on the embedded engine."""
    for statement in describe(SchemaSettings()).statements:
        if statement.entry.server_only:
            served.collector.store.engine.execute(statement.sql)


def test_landed_spans_become_the_rows_that_requests_become(served: Served) -> None:
    execute = served.collector.store.engine.execute
    messages = '[{"role": "user", "parts": [{"type": "text", "content": "how long?"}]}]'
    resource = {"service.name": "landed", "llmtrace.project": "harbour"}
    plain = llm(
        {"gen_ai.input.messages": messages, "user.id": "ann", "gen_ai.usage.cache_read.input_tokens": 20}
    )
    event = plain.events.add()
    event.name, event.time_unix_nano = "retry", plain.start_time_unix_nano + 5
    plain.links.add(trace_id=b"l" * 16, span_id=b"l" * 8)
    foreign = span(
        {"llm.model_name": "gpt-4o", "llm.token_count.prompt": 7, "openinference.span.kind": "LLM"}
    )
    other = span({"http.method": "GET"})
    assert served.post(traces([plain, foreign, other], resource)).status_code == 200
    served.stored()
    where = "WHERE ServiceName = 'landed' ORDER BY SpanName, SpanId"
    over_otlp = served.rows(f"SELECT {_OWN} FROM otel_traces {where}")
    assert len(over_otlp) == 3
    assert {row["Model"] for row in over_otlp} == {"gpt-4o-mini", "gpt-4o", ""}

    # What the exporter would write: its columns, texts in the map, under whatever name we gave them.
    whole = {
        "SpanAttributes": "if(InputMessages = '' OR Model != 'gpt-4o-mini', SpanAttributes, "
        "mapConcat(SpanAttributes, map('gen_ai.input.messages', InputMessages)))"
    }
    names = ", ".join(f"`{name}`" for name in _EXPORTED)
    values = ", ".join(whole.get(name, f"`{name}`") for name in _EXPORTED)
    execute("CREATE TABLE landing_copy AS otel_traces ENGINE = Memory")
    execute("INSERT INTO landing_copy SELECT * FROM otel_traces WHERE ServiceName = 'landed'")
    served.collector.store.mutate("ALTER TABLE otel_traces DELETE WHERE ServiceName = 'landed'")
    execute(f"INSERT INTO landing_traces ({names}) SELECT {values} FROM landing_copy")
    execute("DROP TABLE landing_copy")
    assert served.rows(f"SELECT {_OWN} FROM otel_traces {where}") == over_otlp
    assert served.value("SELECT count() FROM trace_times WHERE Project = 'harbour'") != "0"


def test_a_span_of_tomorrow_does_not_land(served: Served) -> None:
    execute = served.collector.store.engine.execute
    for ahead in (-SECOND, DAY):
        at = time.time_ns() + ahead
        execute(
            "INSERT INTO landing_traces (Timestamp, TraceId, SpanId, ServiceName, ResourceAttributes) "
            f"SELECT fromUnixTimestamp64Nano({at}), '{ahead}', 'a', 'ahead', map('service.name', 'ahead')"
        )
    rows = served.rows("SELECT TraceId FROM otel_traces WHERE ServiceName = 'ahead'")
    assert rows == [{"TraceId": str(-SECOND)}]

"""With `drop_content` nothing that was said is stored, in no dialect; the rest of a record is as before."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .leaks import texts_in_files, texts_in_tables, uncompressed
from .otlp import CLIENT, any_value, attributes, llm, logs, score, span, traces
from .running import Served, settings
from .test_attachments import MARK, PNG, attachment
from .test_dialects import CALL, DIALECTS

#: Texts of the samples; each is one of a kind in them.
SAID = ("Why?", "Because.", "Be brief.", "UNSAID")

#: What the sample's record has of content, and what is only in content.
_CONTENT = ("InputMessages", "OutputMessages", "SystemInstructions", "ToolDefinitions")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("content")
    with uncompressed(directory):
        pass
    collector = Served(settings(directory, drop_content=True))
    yield collector
    collector.close()


def test_every_dialect_without_content(served: Served) -> None:
    sent = {}
    body = traces([])
    for name, (scope, values, _) in DIALECTS.items():
        sent_span = span({**values, "kept": "yes"}, kind=CLIENT)
        part = body.resource_spans[0].scope_spans.add()
        part.scope.name = scope
        part.spans.append(sent_span)
        sent[sent_span.span_id.hex()] = name
    assert served.post(body).status_code == 200
    served.stored()
    rows = {sent[row["SpanId"]]: row for row in served.rows("SELECT * FROM otel_traces WHERE IsLlm")}
    assert rows.keys() == DIALECTS.keys()
    for name, row in rows.items():
        expected = {**CALL, **DIALECTS[name][2], **dict.fromkeys(_CONTENT, "")}
        assert {column: row[column] for column in expected} == expected, name
        assert row["SpanAttributes"]["kept"] == "yes"
    texts = [text.encode() for text in SAID]
    assert texts_in_tables(served.collector.store, texts) == set()
    assert texts_in_files(served.collector.settings.data_dir, texts) == set()


def tool(key: str) -> Any:
    return span({key: "UNSAID", "openinference.span.kind": "TOOL", "tool.name": "search"}, name=key)


def test_tools_events_and_logs_without_content(served: Served) -> None:
    keys = (
        "gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "traceloop.entity.input", "input.value",
        "ai.toolCall.args", "mlflow.spanOutputs", "langfuse.observation.output", "tool.parameters",
        "retrieval.documents.0.document.content", "gen_ai.prompt.3.content", "llm.openai.messages",
        "gen_ai.prompt.variable.name", "reranker.query", "gcp.vertex.agent.llm_request", "http.request.body",
    )  # fmt: skip
    spans = [tool(key) for key in keys]
    prose = llm({"output.value": json.dumps({"id": "UNSAID said so", "stop_reason": "UNSAID or not"})})
    prose.attributes.extend(attributes({"gen_ai.prompt.name": "greeting", "http.request.body.size": 7}))
    prose.events.add(name="gen_ai.user.message", attributes=attributes({"content": "UNSAID", "role": "user"}))
    prose.events.add(name="exception", attributes=attributes({"gen_ai.prompt": "UNSAID", "x": "kept"}))
    assert served.post(traces([*spans, prose])).status_code == 200
    inside: dict[str, object] = {"content": "UNSAID"}
    now = time.time_ns()
    records = [
        score({}, event_name="gen_ai.user.message", body=any_value(inside)),
        score({"event.name": "gen_ai.choice"}, event_name="", body=any_value("UNSAID")),
        score(
            {"gen_ai.input.messages": [inside], "gen_ai.request.model": "m"},
            event_name="gen_ai.client.inference.operation.details",
        ),
        score({"gen_ai.evaluation.name": "e", "gen_ai.evaluation.explanation": "UNSAID"}),
        score({"k": "v"}, event_name="", body=any_value("a line of the application"), time_unix_nano=now),
    ]
    assert served.post(logs(records), "logs").status_code == 200
    served.stored()
    rows = served.rows("SELECT * FROM otel_traces WHERE SpanName IN ('" + "','".join(keys) + "')")
    assert len(rows) == len(keys)
    assert all(row["SpanAttributes"]["tool.name"] == "search" for row in rows)
    (row,) = served.rows("SELECT * FROM otel_traces WHERE SpanId = {id:String}", id=prose.span_id.hex())
    assert row["SpanAttributes"]["http.request.body.size"] == "7"
    assert (row["PromptName"], row["ResponseId"], row["FinishReasons"]) == ("greeting", "", [])
    assert row["Events.Attributes"] == [{"role": "user"}, {"x": "kept"}]
    assert (
        served.value("SELECT Body FROM otel_logs WHERE LogAttributes['k'] = 'v'")
        == "a line of the application"
    )
    assert (
        served.value("SELECT count() FROM otel_logs WHERE LogAttributes['gen_ai.request.model'] = 'm'") == "1"
    )
    assert served.value("SELECT count() FROM scores WHERE Name = 'e'") == "1"
    assert texts_in_tables(served.collector.store, [b"UNSAID"]) == set()
    assert texts_in_files(served.collector.settings.data_dir, [b"UNSAID"]) == set()
    assert (
        served.value("SELECT count() FROM span_messages WHERE InputMessages != '' OR OutputMessages != ''")
        == "0"
    )


def test_attachments_stay_out(served: Served) -> None:
    """No pattern can be searched for in bytes, and they are what was said."""
    assert served.post(logs([attachment(PNG)]), "logs").status_code == 200
    served.stored()
    assert served.value("SELECT count() FROM otel_logs WHERE EventName = 'llmtrace.attachment'") == "1"
    assert served.value("SELECT count() FROM attachments") == "0"
    wanted = [MARK, base64.b64encode(PNG)[20:40]]
    assert texts_in_tables(served.collector.store, wanted) == set()
    assert texts_in_files(served.collector.settings.data_dir, wanted) == set()

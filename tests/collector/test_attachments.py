"""The bytes of images and audio: a table of their own, each project's own, gone with what they belong to."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from .conftest import Run
from .otlp import DAY, any_value, attributes, llm, logs, traces
from .running import Served, settings
from .test_projects import ask, make

MARK = b"MARK-of-the-picture"
PNG = b"\x89PNG\r\n\x1a\n" + MARK + bytes(range(256)) * 20


def attachment(body: object, **fields: Any) -> LogRecord:
    """What the SDK sends, with a digest that is a lie."""
    record = {
        "time_unix_nano": time.time_ns(),
        "trace_id": bytes([7] * 16),
        "span_id": bytes([7] * 8),
        "event_name": "llmtrace.attachment",
        **fields,
    }
    values = {"llmtrace.attachment.sha256": "0" * 64, "llmtrace.attachment.media_type": "text/html"}
    return LogRecord(attributes=attributes(values), body=any_value(body), **record)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    fields = {"retention_days": 30, "retention": {"short": 3}}
    collector = Served(settings(tmp_path_factory.mktemp("attachments"), **fields))
    yield collector
    collector.close()


def test_the_bytes_are_stored_once_by_their_own_digest(served: Served) -> None:
    sent = [attachment(PNG), attachment("a text"), attachment(b""), attachment(PNG, event_name="other")]
    assert served.post(logs(sent), "logs").status_code == 200
    served.stored()
    (row,) = served.rows(
        "SELECT * EXCEPT Content, base64Encode(Content) AS Content FROM attachments WHERE Size"
    )
    assert base64.b64decode(row["Content"]) == PNG
    assert row["Sha256"] == hashlib.sha256(PNG).hexdigest()
    assert (int(row["Size"]), row["TraceId"], row["SpanId"]) == (len(PNG), "07" * 16, "07" * 8)
    assert (row["Project"], row["ServiceName"], row["RetentionDays"]) == ("default", "shop", 30)
    logged = served.rows("SELECT EventName, Body FROM otel_logs ORDER BY Body")
    assert [(line["EventName"], line["Body"][:6]) for line in logged] == [
        ("llmtrace.attachment", ""),
        ("llmtrace.attachment", ""),
        ("llmtrace.attachment", ""),
        ("other", base64.b64encode(PNG).decode()[:6]),
    ]


def test_they_are_erased_with_their_trace(served: Served, run: Run) -> None:
    ann, bob = llm({"user.id": "ann"}), llm({"user.id": "bob"})
    assert served.post(traces([ann, bob])).status_code == 200
    records = [attachment(b"secret " + PNG, trace_id=call.trace_id) for call in (ann, bob)]
    assert served.post(logs(records), "logs").status_code == 200
    served.stored()
    run("store", "delete", "--user", "ann", "--yes")
    where = "SELECT count() FROM attachments WHERE TraceId = {trace:String}"
    assert served.value(where, trace=ann.trace_id.hex()) == "0"
    assert served.value(where, trace=bob.trace_id.hex()) == "1"


def test_projects_have_their_own_and_their_own_retention(served: Served) -> None:
    for project in ("mine", "short"):
        resource = {"service.name": "s", "llmtrace.project": project}
        record = attachment(project.encode() + PNG, time_unix_nano=time.time_ns() - DAY)
        assert served.post(logs([record], resource), "logs").status_code == 200
    served.stored()
    key = make(served, name="reader", role="read", project="mine")["key"]
    text = "SELECT Project, RetentionDays, length(Content) FROM attachments FORMAT TSV"
    assert ask(served, key, text).text == f"mine\t30\t{len(PNG) + 4}\n"
    stolen = ask(served, key, "SELECT count() FROM attachments WHERE Project = 'short' FORMAT TSV")
    assert stolen.text == "0\n"
    store = served.collector.store
    assert store.read("SELECT RetentionDays FROM attachments WHERE Project = 'short'") == b"3\n"

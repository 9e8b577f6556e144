"""Redaction on arrival: what a pattern matches reaches no table, no file and no temporary folder."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.personal_data import samples
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.engine import StoreError
from llmtrace_collector.store.schema.description import SchemaSettings, describe
from llmtrace_collector.store.schema.redaction import Redaction
from llmtrace_collector.store.store import open_store
from tests import leaks
from tests.sdk.test_redaction import ALL, ATTACKS, PERSONAL, SECRET_SAMPLES

from .leaks import texts_in_files, texts_in_tables, uncompressed
from .otlp import any_value, attributes, llm, logs, score, traces
from .running import Served, settings
from .test_attachments import MARK, PNG, attachment
from .test_metrics import point, request

OWN = r"CANARY-\d+"


class Canaries:
    """Texts to plant, each its own."""

    def __init__(self) -> None:
        self.planted: list[str] = []

    def __call__(self, before: str = "", after: str = "") -> str:
        self.planted.append(f"CANARY-{1000 + len(self.planted)}")
        return before + self.planted[-1] + after

    def values(self) -> dict[str, object]:
        """Attributes of every kind with a canary in the key and in each text."""
        prompt = json.dumps([{"role": "user", "parts": [{"type": "text", "content": self("a\n", ' "b"')}]}])
        return {
            self("key."): "x",
            "plain": self("so ", " it is"),
            "array": [self("\t"), "y", 1, 2.5, True],
            "bytes": self().encode(),
            "bytes.array": [self().encode(), b"z"],
            "nested": {"deep": [{"text": self("\n")}], self("k"): self().encode()},
            "gen_ai.input.messages": prompt,
            "user.id": self("user "),
        }


def spans(plant: Canaries) -> Any:
    """A request with canaries wherever a span has text, in a plain and in a foreign dialect."""
    foreign = {
        "openinference.span.kind": "LLM",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": plant("hello "),
        "input.value": json.dumps({"messages": [{"role": "user", "content": plant()}]}),
        "output.value": plant(),
        "llm.model_name": plant("model "),
    }
    both = []
    for values in ({}, foreign):
        sent = llm({**plant.values(), **values}, name=plant("chat "), trace_state=plant("a="))
        sent.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message=plant("failed: ")))
        sent.events.add(name=plant(), time_unix_nano=1, attributes=attributes(plant.values()))
        sent.events.add(name="exception", attributes=attributes({"exception.stacktrace": plant("File\n")}))
        sent.links.add(
            trace_id=b"t" * 16, span_id=b"s" * 8, trace_state=plant(), attributes=attributes(plant.values())
        )
        both.append(sent)
    body = traces(both, {"service.name": plant("shop "), "llmtrace.project": plant("p"), **plant.values()})
    scope = body.resource_spans[0].scope_spans[0].scope
    scope.CopyFrom(InstrumentationScope(name=plant(), version=plant(), attributes=attributes(plant.values())))
    return body


def records(plant: Canaries) -> Any:
    """Log records and a score with canaries wherever they have text."""
    event_record = score(
        plant.values(), event_name=plant("event "), severity_text=plant(), body=any_value(plant())
    )
    nested = score({}, event_name="gen_ai.user.message", body=any_value({"content": plant("I am ")}))
    judged = score(
        {
            "gen_ai.evaluation.name": plant("name "),
            "gen_ai.evaluation.score.value": 0.5,
            "gen_ai.evaluation.score.label": plant("label "),
            "gen_ai.evaluation.explanation": plant("it says "),
            "gen_ai.response.id": plant(),
        }
    )
    body = logs([event_record, nested, judged], {"service.name": plant("shop "), **plant.values()})
    body.resource_logs[0].scope_logs[0].scope.name = plant()
    return body


def points(plant: Canaries) -> Any:
    """A gauge, a sum and a histogram with canaries in their attributes and exemplars."""
    body = request()
    part = body.resource_metrics[0]
    part.resource.attributes.extend(attributes(plant.values()))
    part.scope_metrics[0].scope.attributes.extend(attributes(plant.values()))
    for kind in ("gauge", "sum", "histogram"):
        metric = part.scope_metrics[0].metrics.add(name=kind)
        data = getattr(metric, kind).data_points.add(time_unix_nano=time.time_ns())
        data.attributes.extend(attributes(plant.values()))
        data.exemplars.append(Exemplar(filtered_attributes=attributes(plant.values()), as_double=1))
    return body


def land(served: Served, plant: Canaries) -> None:
    """A span as another collector's exporter writes it to a server, with canaries in every text."""
    entry = f"map('{plant('k')}', '{plant()}')"
    values = {
        "Timestamp": "now64(9)",
        "ResourceAttributes": entry,
        "SpanAttributes": f"map('{plant('k')}', '{plant()}', 'gen_ai.input.messages', '{plant()}')",
        "`Events.Timestamp`": "[now64(9)]",
        "`Events.Name`": f"['{plant()}']",
        "`Events.Attributes`": f"[{entry}]",
        "`Links.TraceId`": "['t']",
        "`Links.SpanId`": "['s']",
        "`Links.TraceState`": f"['{plant()}']",
        "`Links.Attributes`": f"[map('k', '{plant()}')]",
        **{
            name: f"'{plant(name)}'"
            for name in ("SpanName", "TraceState", "StatusMessage", "ScopeName", "ScopeVersion")
        },
    }
    # Servers have the table; here it is made on the embedded engine.
    for statement in describe(SchemaSettings(redaction=served.collector.store.redaction)).statements:
        if statement.entry.server_only:
            served.collector.store.engine.execute(statement.sql)
    served.collector.store.engine.execute(
        f"INSERT INTO landing_traces ({', '.join(values)}) SELECT {', '.join(values.values())}"
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("redaction")
    with uncompressed(directory):
        pass
    collector = Served(settings(directory, redact=("secrets", "pii"), redact_patterns=(OWN,)))
    yield collector
    collector.close()


def test_nothing_that_matches_is_anywhere(served: Served) -> None:
    plant = Canaries()
    sent = ((spans(plant), "traces"), (records(plant), "logs"), (points(plant), "metrics"))
    for body, signal in sent:
        assert served.post(body, signal).status_code == 200
    land(served, plant)
    # Not searched: what names an instrument is code. It also shows that the search below can find.
    unredacted = request()
    unredacted.resource_metrics[0].scope_metrics[0].metrics.add(
        name="g", description="KEPT-1"
    ).gauge.data_points.append(point(1, time.time_ns()))
    assert served.post(unredacted, "metrics").status_code == 200
    served.stored()
    served.collector.arrival_counts.flush()
    store = served.collector.store
    counts = {
        table: int(store.read(f"SELECT count() FROM {table}"))
        for table in ("otel_traces", "otel_logs", "scores", "otel_metrics_histogram")
    }
    assert counts == {"otel_traces": 3, "otel_logs": 3, "scores": 1, "otel_metrics_histogram": 1}
    inside = [text.encode() for text in plant.planted]
    wanted = [*inside, *(base64.b64encode(text)[:12] for text in inside)]
    assert texts_in_tables(store, [*wanted, b"KEPT-1"]) == {b"KEPT-1"}
    folder = served.collector.settings.data_dir
    assert texts_in_files(folder, [*wanted, b"KEPT-1"]) == {b"KEPT-1"}
    assert len(plant.planted) > 150


def test_the_rest_stays_readable(served: Served) -> None:
    prompt = 'mail ann@example.org\nor "sk-proj-abcDEF1234567890abcdefGHIJ", CANARY-1'
    content = [{"role": "user", "parts": [{"type": "text", "content": prompt}]}]
    values = {
        "gen_ai.input.messages": json.dumps(content),
        "gen_ai.output.messages": json.dumps(content, ensure_ascii=False, separators=(",", ":")),
        "list": ["10.0.0.17", "ä\n+49 228 1234567"],
        "gen_ai.usage.input_tokens": 4111111111111111,
        "number": "12345",
    }
    sent = llm(values)
    assert served.post(traces([sent])).status_code == 200
    served.stored()
    (row,) = served.rows("SELECT * FROM otel_traces WHERE SpanId = {id:String}", id=sent.span_id.hex())
    clean = [{"role": "user", "parts": [{"type": "text", "content": prompt}]}]
    clean[0]["parts"] = [
        {"type": "text", "content": 'mail [redacted:email]\nor "[redacted:key]", [redacted:own]'}
    ]
    assert json.loads(row["InputMessages"]) == json.loads(row["OutputMessages"]) == clean
    assert json.loads(row["SpanAttributes"]["list"]) == ["[redacted:ip]", "ä\n[redacted:phone]"]
    assert row["SpanAttributes"]["number"] == "12345"
    assert row["InputTokens"] == 4111111111111111
    assert row["SpanName"] == "chat gpt-4o-mini"


def test_the_engine_replaces_what_the_sdk_replaces(served: Served) -> None:
    """The same table, read by two engines: in every surrounding, and as JSON."""
    plain = [*SECRET_SAMPLES, *(text for texts in PERSONAL.values() for text in texts)]
    rest: list[str] = [
        "the sk-circle-fade-in-animation class", "task-1234567890abcdefgh is done", "eyJust words. eyJ too.",
        "version 1.2.3, at 12:30:45 on 2026-11-20 09:45:28", "std::vector<int> a::b; ratio 3:4:5",
        "ids 1234567890123456 and 100 200 300 400, pi 3.14159265358979", "10-20-30", "\\N \\",
        "4111 1111 1111 1112 has a wrong last digit", "bearer of bad news, basic knowledge",
        "-----BEGIN CERTIFICATE-----",
    ]  # fmt: skip
    around = (("", ""), ("use ", " now"), ("\n", "\n"), ("(", ")."), ("it is ", ", yes"))
    texts = [before + text + after for text in [*plain, *rest] for before, after in around]
    texts += [f"{text}; {text}; {text}" for text in plain]
    texts += [json.dumps({"log": f"a\n{text}\t{text}\r\n\u00e4 {text}"}) for text in texts]
    texts += [json.dumps({"inner": text}) for text in texts[-20:]]
    texts += ["Authorization: Bearer abcdefghij.klmnopqrst-uvw", "postgres://bob:hunter2@db:5432/x"]
    texts += ["before " + SECRET_SAMPLES[-1][:60]]
    got = served.collector.store.clean(texts)
    for text, mine in zip(texts, got, strict=True):
        if text.startswith("{"):
            assert json.loads(mine) == ALL.tree(json.loads(text)) or "inner" in text, text
            json.loads(mine)
        else:
            assert mine == ALL.text(text), text
    assert served.collector.store.clean(got) == got
    # The characters that stand for something while the patterns run hide nothing.
    assert served.collector.store.clean(["\uf8f7 4111 1111 1111 1111 \uf8f1ann@b.io"]) == [
        " [redacted:card] \\n[redacted:email]"
    ]


def test_both_find_the_same_in_the_generated_set(served: Served) -> None:
    """Forms, full-width digits and look-alikes of every type: also as JSON, with and without escapes."""
    texts = [sample.text for sample in samples()[::3]]
    texts += [json.dumps({"say": text}, ensure_ascii=place % 2 == 0) for place, text in enumerate(texts[::4])]
    for text, mine in zip(texts, served.collector.store.clean(texts), strict=True):
        if text.startswith('{"say"'):
            assert json.loads(mine) == ALL.tree(json.loads(text)), text
        else:
            assert mine == ALL.text(text), text


def test_hostile_texts_take_linear_time(served: Served) -> None:
    """Each attack repeated to 100 kB in one query, which the engine ends after its limit of 30 s."""
    every = [*ATTACKS, *(f"{text}, " for texts in PERSONAL.values() for text in texts)]
    texts = ", ".join(f"substring(repeat({literal(text)}, 100000), 1, 100000)" for text in every)
    redacted = served.collector.store.redaction.function
    sql = f"SELECT length(arrayFilter(t -> t != '', {redacted}(texts))) FROM (SELECT [{texts}] AS texts)"
    assert int(served.collector.store.read(sql)) == len(every)


def test_what_the_store_refuses_is_not_kept(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = served.collector.settings.data_dir
    assert not served.collector.settings.keeps_refused
    assert settings(folder).keeps_refused
    assert settings(folder, redact=("secrets",), keep_refused=True).keeps_refused

    def refuse(*_: object) -> None:
        raise StoreError("Code: 117. bad", 117)

    with monkeypatch.context() as patched:
        patched.setattr(served.collector.store, "insert_segment", refuse)
        served.post(traces([llm({"a": "REFUSED-TEXT"})]))
        served.stored()
    assert [path.suffix for path in (folder / "wal" / "quarantine").iterdir()] == [".reason"]
    assert texts_in_files(folder, [b"REFUSED-TEXT"]) == set()
    assert served.metric("llmtrace_quarantined_items_total", signal="traces") == 1


def test_attachments_stay_out(served: Served) -> None:
    """No pattern can be searched for in bytes, and they are what was said."""
    assert served.post(logs([attachment(PNG)]), "logs").status_code == 200
    served.stored()
    assert served.value("SELECT count() FROM otel_logs WHERE EventName = 'llmtrace.attachment'") == "1"
    assert served.value("SELECT count() FROM attachments") == "0"
    wanted = [MARK, base64.b64encode(PNG)[20:40]]
    assert texts_in_tables(served.collector.store, wanted) == set()
    assert texts_in_files(served.collector.settings.data_dir, wanted) == set()


def test_another_redaction_holds_from_the_next_start(tmp_path: Path, served: Served) -> None:
    """Of a store that has spans already: on, other patterns, off; and what it refuses to start with."""
    served.close()
    dsn = f"chdb://{served.collector.settings.data_dir}/store"
    sent = iter(range(100))

    def named(text: str, redaction: Redaction) -> str:
        store = open_store(dsn, redaction=redaction)
        try:
            file = tmp_path / f"traces-{next(sent)}.seg"
            sent_span = Span(
                trace_id=b"t" * 16, span_id=b"s" * 8, name=text, start_time_unix_nano=time.time_ns()
            )
            body = traces([sent_span]).SerializeToString()
            file.write_bytes(b"".join(encode(Frame("", time.time_ns(), body))))
            store.insert_segment("traces", file, file.stem)
            newest_name = store.read("SELECT SpanName FROM otel_traces ORDER BY Timestamp DESC LIMIT 1")
            return newest_name.decode().strip()
        finally:
            store.close()

    assert named("for CANARY-1", Redaction()) == "for CANARY-1"
    assert (
        named("for CANARY-1 of EMP-77", Redaction(patterns=("EMP-[0-9]+",)))
        == "for CANARY-1 of [redacted:own]"
    )
    for pattern, why in (("(?<=a)b", "no regular expression of RE2"), ("a*", "matches the empty text")):
        with pytest.raises(ValueError, match=why):
            open_store(dsn, redaction=Redaction(patterns=(pattern,)))


@pytest.mark.long
def test_kills_leave_no_originals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rounds of `python -m tests.leaks`."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    outcome = leaks.run(tmp_path / "leaks", rounds=2)
    assert outcome.leaks == outcome.outside == []
    assert outcome.stored == outcome.acknowledged > 0

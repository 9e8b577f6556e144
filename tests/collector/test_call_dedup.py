"""Every call is counted once, whichever spans tell about it and in whatever order they arrive."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.store import Store, open_store

from .otlp import INTERNAL, SECOND, SERVER, attributes, llm, span, traces
from .prefilled import prefill

#: Spans of a second instrumentation.
DUPLICATE_NAMES = ("duplicate", "second", "anthropic.messages.create")


class Harness:
    """A store, its deduplicator, and spans sent to it in batches."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.deduplicator = CallDeduplicator(store)

    def send(self, *spans: Span, project: str, after: int = 0) -> None:
        """Store spans as one segment, received so many seconds from now; see `of_two_scopes`."""
        path = self.folder / f"{uuid.uuid4().hex}.seg"
        request = of_two_scopes(spans, {"service.name": "shop", "llmtrace.project": project})
        path.write_bytes(
            b"".join(encode(Frame("", time.time_ns() + after * SECOND, request.SerializeToString())))
        )
        self.store.insert_segment("traces", path, path.stem)

    def sums(self, project: str) -> dict[str, int]:
        """The rollup's sums of one project."""
        (row,) = self.store.rows(
            "SELECT sum(Calls) AS calls, sum(InputTokens) AS input, sum(OutputTokens) AS output, "
            "sum(Spans) AS spans, sum(UsageFaults) AS faults, sum(Errors) AS errors "
            "FROM usage_10s WHERE Project = {project:String}",
            {"project": project},
        )
        return {key: int(value) for key, value in row.items()}

    def reasons(self, project: str) -> dict[str, str]:
        """Span name → why it is not counted."""
        rows = self.store.rows(
            "SELECT SpanName, Counted, Uncounted FROM otel_traces WHERE Project = {project:String} AND IsLlm",
            {"project": project},
        )
        assert all(row["Counted"] == (row["Uncounted"] == "") for row in rows)
        return {row["SpanName"]: row["Uncounted"] for row in rows}


def of_two_scopes(spans: Sequence[Span], resource: dict[str, object]) -> ExportTraceServiceRequest:
    """A request in which what `DUPLICATE_NAMES` names is another instrumentation's."""
    request = traces([span for span in spans if span.name not in DUPLICATE_NAMES], resource)
    other = traces([span for span in spans if span.name in DUPLICATE_NAMES], resource, "tests.other")
    request.resource_spans.extend(other.resource_spans)
    return request


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    directory = tmp_path_factory.mktemp("dedup")
    store = open_store(f"chdb://{prefill(directory / 'store')}")
    yield Harness(store, directory)
    store.close()


def inside(parent: Span, values: dict[str, object], **fields: Any) -> Span:
    """A call within `parent`, in time and trace."""
    span_fields = {
        "trace_id": parent.trace_id,
        "parent_span_id": parent.span_id,
        "start": parent.start_time_unix_nano + SECOND // 10,
        "duration": SECOND // 10,
        **fields,
    }
    return llm(values, **span_fields)


def family() -> dict[str, Span]:
    """A wrapper, the call in it behind an HTTP span, and the same call by another instrumentation."""
    parent = llm(name="parent")
    plain = span(
        trace_id=parent.trace_id,
        parent_span_id=parent.span_id,
        name="function",
        start=parent.start_time_unix_nano + 1,
    )
    child = inside(parent, {"gen_ai.response.id": "r"}, name="child", parent_span_id=plain.span_id)
    elsewhere = llm(
        {"gen_ai.response.id": "r"},
        name="duplicate",
        start=child.start_time_unix_nano + 1000,
        duration=SECOND // 20,
    )
    return {"parent": parent, "function": plain, "child": child, "duplicate": elsewhere}


def splits(items: Sequence[str]) -> Iterator[list[list[str]]]:
    """Every way to cut a sequence into batches."""
    for cuts in itertools.product((False, True), repeat=len(items) - 1):
        batches = [[items[0]]]
        for item, cut in zip(items[1:], cuts, strict=True):
            if cut:
                batches.append([item])
            else:
                batches[-1].append(item)
        yield batches


def test_every_order_and_batch_split_gives_the_same_sums(harness: Harness) -> None:
    names = ("parent", "child", "duplicate")
    cases = [batches for order in itertools.permutations(names) for batches in splits(order)]
    # Every way to cut every order; the plain span between them comes first, last or in the middle.
    projects = {}
    for number, batches in enumerate(cases):
        spans = family()
        project = f"order-{number}"
        at = number % (len(batches) + 1)
        sent = [*batches[:at], ["function"], *batches[at:]]
        projects[project] = sent
        for batch in sent:
            harness.send(*(spans[name] for name in batch), project=project)
            if number % 3 == 0:
                harness.deduplicator.sync()
    harness.deduplicator.sync()
    expected = {"calls": 1, "input": 120, "output": 40, "spans": 1, "faults": 0, "errors": 0}
    wrong = {
        project: (sent, harness.sums(project), harness.reasons(project))
        for project, sent in projects.items()
        if harness.sums(project) != expected
    }
    assert wrong == {}
    assert all(harness.reasons(project)["parent"] == "repeats" for project in projects)


def test_late_evidence_in_another_process_lifetime(harness: Harness) -> None:
    spans = family()
    harness.send(spans["parent"], project="late")
    harness.deduplicator.sync()
    assert harness.sums("late")["calls"] == 1
    harness.send(spans["function"], spans["child"], project="late")
    assert harness.sums("late")["calls"] == 2
    CallDeduplicator(harness.store).sync()
    assert harness.sums("late")["calls"] == 1
    assert harness.reasons("late") == {"parent": "repeats", "child": ""}


def test_a_span_that_arrives_twice_counts_once(harness: Harness) -> None:
    """By the program's exporter and by ours, or sent again within another batch."""
    call = llm({"gen_ai.response.id": "twice"}, name="call")
    for after in range(3):
        harness.send(call, project="twice", after=after)
        harness.deduplicator.sync()
    assert harness.sums("twice")["calls"] == 1
    rows = harness.store.rows("SELECT Counted, Uncounted FROM otel_traces WHERE Project = 'twice'")
    assert sorted((row["Counted"], row["Uncounted"]) for row in rows) == [
        (False, "duplicate"),
        (False, "duplicate"),
        (True, ""),
    ]


@pytest.mark.parametrize("whose", ["this process's", "an earlier process's"])
def test_what_is_stored_after_the_clock_was_set_back_counts_once_too(harness: Harness, whose: str) -> None:
    project = f"set back, {whose}"
    deduplicator = CallDeduplicator(harness.store)
    (row,) = harness.store.rows("SELECT toString(now64(3) + INTERVAL 5 MINUTE) AS At")
    if whose == "this process's":
        deduplicator.sync()
        deduplicator._since = str(row["At"])  # as if the clock had been ahead until now
    else:
        passed = {"At": row["At"], "ScannedTo": row["At"], "Looked": 0, "Changed": 0}
        harness.store.insert_rows("ledger_passes", [passed])
    call = llm(name="once")
    harness.send(call, project=project)
    harness.send(call, project=project, after=1)
    deduplicator.sync()
    assert harness.sums(project)["calls"] == 1
    harness.store.mutate("ALTER TABLE ledger_passes DELETE WHERE Looked = 0")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["marked later", "marked first"])
def test_a_copy_that_says_it_does_not_count_speaks_for_all(harness: Harness, order: tuple[int, int]) -> None:
    project = f"copies-{order[0]}"
    plain = llm({"gen_ai.usage.input_tokens": 120}, name="theirs")
    marked = Span()
    marked.CopyFrom(plain)
    marked.attributes.extend(attributes({"llmtrace.counted": False}))
    for after, index in enumerate(order):
        harness.send((plain, marked)[index], project=project, after=after)
        harness.deduplicator.sync()
    assert harness.sums(project)["calls"] == 0


def test_calls_beside_each_other_all_count(harness: Harness) -> None:
    agent = span({"gen_ai.operation.name": "invoke_agent"}, name="agent")
    calls = [inside(agent, {"gen_ai.response.id": f"x{number}"}, name=f"call{number}") for number in range(3)]
    harness.send(agent, *calls, project="agent")
    harness.deduplicator.sync()
    assert harness.sums("agent")["calls"] == 3


def test_a_wrapper_of_two_calls_is_not_counted(harness: Harness) -> None:
    wrapper = llm(name="wrapper", kind=INTERNAL)
    calls = [
        inside(wrapper, {"gen_ai.response.id": f"y{number}"}, name=f"call{number}") for number in range(2)
    ]
    harness.send(wrapper, *calls, project="wrapper")
    harness.deduplicator.sync()
    assert harness.sums("wrapper") | {"spans": 0} == {
        "calls": 2, "input": 240, "output": 80, "spans": 0, "faults": 0, "errors": 0,
    }  # fmt: skip


def test_a_tool_that_calls_a_model_is_a_call_of_its_own(harness: Harness) -> None:
    outer = llm(name="outer")
    tool = span(
        {"gen_ai.operation.name": "execute_tool"}, trace_id=outer.trace_id, parent_span_id=outer.span_id
    )
    inner = inside(outer, {}, name="inner", parent_span_id=tool.span_id)
    harness.send(outer, tool, inner, project="tool")
    harness.deduplicator.sync()
    assert harness.sums("tool")["calls"] == 2


def test_ids_that_a_server_gives_out_again_are_two_calls(harness: Harness) -> None:
    start = time.time_ns() - 20 * SECOND
    for number in range(2):
        again = llm(
            {"gen_ai.response.id": "chatcmpl-7"}, start=start + number * 5 * SECOND, name=f"n{number}"
        )
        harness.send(again, project="again")
    harness.deduplicator.sync()
    assert harness.sums("again")["calls"] == 2


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["asked first", "heard first"])
def test_a_realtime_response_that_two_processes_hear_counts_once(
    harness: Harness, order: tuple[int, int]
) -> None:
    """Where one listens in on another's session, or resumes it; ids of another session are others."""
    project = f"realtime {order}"
    start = time.time_ns() - 200 * SECOND
    response: dict[str, object] = {"gen_ai.response.id": "resp_1", "openai.api.type": "realtime"}
    session = {**response, "gen_ai.conversation.id": "sess_1"}
    calls = (
        llm(session, name="asked", start=start, duration=2 * SECOND),
        llm(session, name="heard", start=start + 60 * SECOND, duration=1),
    )
    for index in order:
        harness.send(calls[index], project=project)
        harness.deduplicator.sync()
    assert harness.reasons(project) == {"asked": "", "heard": "duplicate"}
    assert harness.sums(project)["calls"] == 1
    harness.send(llm({**response, "gen_ai.conversation.id": "sess_2"}, name="other"), project=project)
    harness.send(llm({**session, "openai.api.type": "responses"}, name="no session"), project=project)
    harness.deduplicator.sync()
    assert harness.sums(project)["calls"] == 3


def test_the_span_that_knows_the_usage_is_counted(harness: Harness) -> None:
    nothing: dict[str, object] = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
    parent = llm(name="parent")
    harness.send(parent, inside(parent, nothing, name="child"), project="usage")
    harness.deduplicator.sync()
    assert harness.reasons("usage") == {"parent": "", "child": "repeats"}
    assert harness.sums("usage")["input"] == 120


def test_proxy_and_client_are_one_call(harness: Harness) -> None:
    client = llm(name="client")
    server = inside(client, {}, name="server", kind=SERVER)
    upstream = inside(server, {}, name="upstream", start=server.start_time_unix_nano + 1000)
    upstream.end_time_unix_nano = server.end_time_unix_nano
    harness.send(client, server, upstream, project="proxy")
    harness.deduplicator.sync()
    assert harness.reasons("proxy") == {"client": "repeats", "server": "server", "upstream": ""}
    assert harness.sums("proxy")["calls"] == 1


def test_a_pass_may_change_thousands_of_spans(harness: Harness) -> None:
    # The ids of so many are more text than the engine takes in one statement.
    count = 3700
    start = llm().start_time_unix_nano
    for name in ("first", "second"):
        harness.send(
            *(
                llm({"gen_ai.response.id": f"many-{number}"}, name=name, start=start)
                for number in range(count)
            ),
            project="many",
        )
    harness.deduplicator.sync()
    assert harness.sums("many")["calls"] == count


def test_weights_and_the_senders_word(harness: Harness) -> None:
    harness.send(
        llm({"llmtrace.sample.weight": 2.5}),
        llm({"llmtrace.sample.weight": "4"}),
        llm({"llmtrace.sample.weight": -3.0}),
        llm({"llmtrace.counted": False}, name="attempt"),
        llm({"gen_ai.usage.cache_read.input_tokens": 500}),
        project="weights",
    )
    # 2.5 + 4 + 1 + 1 calls, rounded.
    assert harness.sums("weights") == {
        "calls": 8, "input": 1020, "output": 340, "spans": 4, "faults": 1, "errors": 0,
    }  # fmt: skip
    assert harness.reasons("weights")["attempt"] == "sender"


def test_a_minute_marked_before_a_crash_is_rebuilt(harness: Harness) -> None:
    call = llm(name="erased")
    harness.send(call, llm(name="kept"), project="crash")
    minute = call.start_time_unix_nano // (60 * SECOND) * 60
    harness.store.mark_stale([minute], "test")
    harness.store.mutate("ALTER TABLE otel_traces DELETE WHERE SpanName = 'erased' AND Project = 'crash'")
    CallDeduplicator(harness.store).sync()
    assert harness.sums("crash")["calls"] == 1
    assert harness.store.rebuild_stale() == 0


def test_trap_4_the_sdk_and_an_instrumentation_tell_of_one_call(harness: Harness) -> None:
    """Anthropic's SDK traces itself: under an instrumentation, or next to it, the call is counted once."""
    outer = llm({"gen_ai.response.id": "msg_1"}, name="instrumentation")
    native = inside(outer, {"gen_ai.response.id": "msg_1"}, name="anthropic.messages.create")
    siblings = [
        llm({"gen_ai.response.id": "msg_2"}, name=name, start=outer.start_time_unix_nano + shift)
        for name, shift in (("first", 0), ("second", 1000))
    ]
    harness.send(outer, native, *siblings, project="trap 4")
    harness.deduplicator.sync()
    assert harness.sums("trap 4")["calls"] == 2
    reasons = harness.reasons("trap 4")
    assert (reasons["instrumentation"], reasons["anthropic.messages.create"]) == ("duplicate", "")
    assert sorted([reasons["first"], reasons["second"]]) == ["", "duplicate"]


@pytest.mark.parametrize("days", [0, 9])
@pytest.mark.parametrize("passes", [(False, True), (True, True)])
def test_results_of_a_batch_that_are_read_again_count_once(
    harness: Harness, days: int, passes: tuple[bool, bool]
) -> None:
    """Whoever reads them makes the same spans; who knows no time of theirs gives them that of reading."""
    project = f"batch-{days}-{passes[0]}"
    values: dict[str, object] = {"llmtrace.response.service_tier": "batch", "gen_ai.response.id": "msg_1"}
    now = time.time_ns() // SECOND * SECOND
    first = llm(values, name="first", start=now - days * 86_400 * SECOND, duration=0)
    again = llm(values, name="again", start=now - 3600 * SECOND, duration=0)
    again.trace_id, again.span_id = first.trace_id, first.span_id
    for number, (result, is_followed) in enumerate(zip((first, again), passes, strict=True)):
        harness.send(result, project=project, after=number)
        if is_followed:
            harness.store.roll_up()
            harness.deduplicator.sync()
    assert harness.reasons(project) == {"first": "", "again": "duplicate"}
    assert harness.sums(project)["calls"] == 1

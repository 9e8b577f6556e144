"""Which spans are one call: every rule, every pairing, and what is stored of a decision."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from llmtrace_collector.accounting.call_decisions import AMBIGUOUS, decide
from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from llmtrace_collector.accounting.call_evidence import RULES, compare, model_family
from llmtrace_collector.accounting.call_pairing import candidates, pair_calls
from llmtrace_collector.accounting.stored_call import StoredCall
from llmtrace_collector.attributes.evidence import EVIDENCE, RETRY_FAULTS
from llmtrace_collector.store.erasure import Eraser

from .otlp import SECOND, llm, span
from .rolled import Rolled
from .running import until

MS = 1_000_000
LANGCHAIN, CLIENT = "openinference.instrumentation.langchain", "opentelemetry.instrumentation.openai.v1"


def call(scope: str, start: int = 0, duration: int = 1000, **fields: Any) -> StoredCall:
    """A call of a process, in a trace of its own; times in milliseconds."""
    number = next(_NUMBERS)
    defaults: dict[str, Any] = {
        "project": "p", "trace": f"t{number}", "span": f"s{number}", "parent": "", "response": "",
        "uncounted": "", "service": "shop", "instance": "1", "operation": "chat",
        "models": ("gpt-4o", "gpt-4o-2024-08-06"), "input_tokens": 120, "output_tokens": 40,
    }  # fmt: skip
    values = {**defaults, **fields}
    return StoredCall(**values, scope=scope, start=start * MS, end=(start + duration) * MS)


_NUMBERS = itertools.count()

#: What makes two tellings of one call another two calls: fields of the inner one, by the rule that says so.
REFUTED: dict[str, dict[str, Any]] = {
    "scope": {"scope": LANGCHAIN},
    "time": {"start": 700},
    "instance": {"instance": "2"},
    "instance of another service": {"instance": "", "service": "other"},
    "operation": {"operation": "embeddings"},
    "model": {"models": ("gpt-4o-mini", "")},
    "tokens": {"input_tokens": 121, "output_tokens": 41},
    "tokens of the output": {"output_tokens": 41, "answered": 8},
    "failure": {"failed": True, "input_tokens": None, "output_tokens": None},
    "answer": {"answered": 8},
    "question": {"asked": 8},
    "response_id": {"response": "chatcmpl-2"},
}


def pair(**inner: Any) -> tuple[StoredCall, StoredCall]:
    """A framework's telling and a client's, alike but for `inner`."""
    values: dict[str, Any] = {"answered": 7, "asked": 7, "response": "chatcmpl-1"}
    values_of_inner = {"scope": CLIENT, "start": 10, "duration": 980, **values, **inner}
    if "response" not in inner:
        values["response"] = values_of_inner["response"] = ""
    scope = values_of_inner.pop("scope")
    return call(LANGCHAIN, **values), call(scope, **values_of_inner)


def test_alike_is_one_call_and_each_rule_alone_says_no() -> None:
    assert compare(*pair()).is_sufficient
    for name, other in REFUTED.items():
        comparison = compare(*pair(**other))
        rule = name.partition(" ")[0]
        assert comparison.outcomes[rule] is False, name
        # The same figures and the same answer outweigh a question that is written otherwise.
        assert comparison.is_sufficient is (name == "question"), name
    assert {name.partition(" ")[0] for name in REFUTED} | {"parent"} == {rule.name for rule in RULES}
    of_attempts = {"link", "request", *RETRY_FAULTS}
    assert {rule.name for rule in RULES if rule.sentence} | {"encloses"} | of_attempts == set(EVIDENCE)


@pytest.mark.parametrize(
    ("known", "enough"),
    [
        ({"answered": 0}, True),
        ({"answered": 0, "asked": 0}, True),
        ({"input_tokens": None, "output_tokens": None}, True),
        ({"input_tokens": None, "output_tokens": None, "answered": 0}, False),
        ({"input_tokens": None, "output_tokens": None, "answered": 0, "asked": 0}, False),
        ({"output_tokens": None, "answered": 0}, False),
        ({"models": ()}, True),
        ({"models": (), "answered": 0}, False),
        ({"input_tokens": 240, "output_tokens": 80}, True),  # added up for each of two choices
        ({"input_tokens": 240, "output_tokens": 80, "answered": 0}, False),
        ({"output_tokens": 80}, True),
        ({"output_tokens": 80, "answered": 0}, False),
        ({"input_tokens": 20, "cached_tokens": 100}, True),  # cached tokens apart from the input
        ({"service": "other"}, True),
        ({"instance": "", "service": "shop"}, True),
        # Of which process it is nobody says.
        ({"instance": "", "service": "unknown_service"}, True),
        ({"instance": "", "service": "", "answered": 0}, True),
        ({"instance": "", "service": "unknown_service:python", "asked": 0}, False),
        ({"instance": "", "service": "unknown_service", "asked": 8}, False),
    ],
)
def test_what_is_not_known_neither_speaks_for_nor_against(known: dict[str, Any], enough: bool) -> None:
    assert compare(*pair(**known)).is_sufficient is enough


def test_two_failures_are_one_call_and_one_is_not() -> None:
    nothing: dict[str, Any] = {
        "input_tokens": None, "output_tokens": None, "failed": True, "answered": 0,
    }  # fmt: skip
    assert compare(call(LANGCHAIN, **nothing), call(CLIENT, 5, 990, **nothing)).is_sufficient
    assert not compare(call(LANGCHAIN, **nothing), call(CLIENT, 5, 990)).is_sufficient


def test_an_id_needs_no_more_than_common_time() -> None:
    same: dict[str, Any] = {"response": "chatcmpl-1"}
    other: dict[str, Any] = {"models": ("x",), "input_tokens": 9, "instance": "9", "service": "proxy"}
    assert compare(call(LANGCHAIN, **same), call(CLIENT, 900, **same, **other)).is_sufficient
    assert not compare(call(LANGCHAIN, **same), call(CLIENT, 1001, **same)).is_sufficient
    # A framework's own id is no word against the provider's.
    assert compare(call(LANGCHAIN, response="run-1"), call(CLIENT, 5, 990, **same)).is_sufficient


@pytest.mark.parametrize(
    ("start", "duration", "lies_within"),
    [
        (0, 1000, True), (15, 1000, True), (-15, 1000, True), (60, 1000, False), (400, 20, True),
        (990, 30, False), (2000, 10, False), (-500, 2000, True),
    ],
)  # fmt: skip
def test_callbacks_may_stick_out_a_little(start: int, duration: int, lies_within: bool) -> None:
    assert compare(call(LANGCHAIN), call(CLIENT, start, duration)).outcomes["time"] is lies_within


def test_a_span_that_ends_when_its_stream_is_handed_out() -> None:
    lazy: dict[str, Any] = {"first_token": 130 * MS}
    assert compare(call(LANGCHAIN, 0, 100, **lazy), call(CLIENT, 101, 60)).is_sufficient
    assert not compare(call(LANGCHAIN, 0, 100), call(CLIENT, 101, 60)).is_sufficient
    assert not compare(call(LANGCHAIN, 0, 100, **lazy), call(CLIENT, 131, 60)).is_sufficient


@pytest.mark.parametrize(
    ("names", "family"),
    [
        (("gpt-4o", "gpt-4o-2024-08-06", "openai/gpt-4o", "GPT-4o-latest"), "gpt-4o"),
        (("gpt-3.5-turbo-0125", "gpt-3.5-turbo"), "gpt-3.5-turbo"),
        (("models/gemini-2.5-flash", "publishers/google/models/gemini-2.5-flash-001"), "gemini-2.5-flash"),
        (("claude-sonnet-4-5@20250929", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"), "claude-sonnet-4-5"),
        (("gpt-4o-mini",), "gpt-4o-mini"),
    ],
)
def test_a_models_family(names: Sequence[str], family: str) -> None:
    assert {model_family(name) for name in names} == {family}


def paired(calls: Sequence[StoredCall]) -> tuple[set[frozenset[str]], int]:
    """(span ids that are one call, sets in which nothing was decided)."""
    pairing = pair_calls(candidates(calls, lambda comparison: comparison.is_sufficient))
    return {frozenset((item.first.span, item.second.span)) for item in pairing.pairs}, len(pairing.ambiguous)


def test_equal_calls_at_once_are_paired_where_only_one_way_is_possible() -> None:
    # The longer a call, the fewer contain it.
    outer = [call(LANGCHAIN, 0, 1000 + 300 * number) for number in range(5)]
    inner = [call(CLIENT, 100, 880 + 300 * number) for number in range(5)]
    assert paired(outer + inner) == (
        {frozenset((a.span, b.span)) for a, b in zip(outer, inner, strict=True)},
        0,
    )
    # Where one is missing, nobody knows which.
    pairs, undecided = paired(outer + inner[:4])
    assert (pairs, undecided) == (set(), 1)
    # Where two begin and end together, either may be either's.
    twins = [call(scope, 5000, 1000) for scope in (LANGCHAIN, LANGCHAIN, CLIENT, CLIENT)]
    assert paired(twins) == (set(), 1)
    # An id tells these apart, and what is left is paired.
    twins[0].response = twins[2].response = "chatcmpl-1"
    assert len(paired(twins)[0]) == 2


def test_a_record_has_one_span_of_a_scope_whatever_the_order() -> None:
    tracers = (LANGCHAIN, CLIENT, "llmtrace", "opentelemetry.instrumentation.langchain")
    calls = [call(scope, 10 * number, 1000 - 20 * number) for number, scope in enumerate(tracers)]
    calls.append(call("llmtrace", 1500, 300))
    chance = random.Random(4)
    for _ in range(20):
        chance.shuffle(calls)
        decisions = decide(calls, {})
        counted = [decision for decision in decisions.values() if not decision.reason]
        assert len(counted) == 2
        assert sum(decision.reason == "duplicate" for decision in decisions.values()) == 3


def test_a_wrapper_around_a_retried_call_is_no_call_and_its_record_is_the_one_that_succeeded() -> None:
    outer = call(LANGCHAIN, 0, 1000, trace="t", span="outer")
    sibling = call("opentelemetry.instrumentation.langchain", 1, 998)
    failed = call(CLIENT, 10, 300, trace="t", span="failed", parent="outer", failed=True,
                  input_tokens=None, output_tokens=None)  # fmt: skip
    last = call(CLIENT, 400, 590, trace="t", span="last", parent="outer")
    decisions = decide([outer, sibling, failed, last], {})
    assert {key[2]: decision.reason for key, decision in decisions.items()} == {
        "outer": "repeats", sibling.span: "duplicate", "failed": "", "last": "",
    }  # fmt: skip


def test_a_frameworks_step_around_its_own_call_does_not_keep_a_clients_telling_from_it() -> None:
    """LlamaIndex's `predict_and_call` is of kind LLM too, and knows no usage; the client's span is in it."""
    nothing: dict[str, Any] = {"input_tokens": None, "output_tokens": None}
    step = call(LANGCHAIN, 0, 1000, trace="t", span="step", **nothing)
    own = call(LANGCHAIN, 10, 900, trace="t", span="own", parent="step")
    client = call(CLIENT, 15, 880, trace="t", span="client", parent="step")
    decisions = decide([step, own, client], {})
    assert {key[2]: decision.reason for key, decision in decisions.items()} == {
        "step": "repeats", "own": "duplicate", "client": "",
    }  # fmt: skip


def test_equal_calls_at_once_are_told_apart_by_the_tree() -> None:
    outer = [call(LANGCHAIN, 0, 1000, trace="t", span=f"o{number}") for number in range(3)]
    inner = [call(CLIENT, 5, 990, trace="t", span=f"i{number}", parent=f"o{number}") for number in range(3)]
    decisions = decide(outer + inner, {})
    assert {key[2]: decision.record[2] for key, decision in decisions.items() if decision.reason} == {
        f"o{number}": f"i{number}" for number in range(3)
    }


def test_the_richer_telling_counts_and_then_the_one_nearer_to_the_wire() -> None:
    plain: dict[str, Any] = {"known_counts": 2}
    outer, inner = call(LANGCHAIN, **plain), call(CLIENT, 10, 900, **plain)
    assert decide([outer, inner], {})[outer.key].record == inner.key
    outer.known_counts = 3
    assert decide([outer, inner], {})[inner.key].record == outer.key
    # Nothing known is never the record.
    outer.input_tokens = outer.output_tokens = None
    outer.answered = inner.answered = 5
    assert decide([outer, inner], {})[outer.key].record == inner.key


def test_a_billed_call_inside_a_call_is_a_call_of_its_own() -> None:
    outer = call("llmtrace", 0, 1000, trace="t", span="outer")
    inner = call("llmtrace", 0, 1000, trace="t", span="inner", parent="outer", is_inner=True,
                 models=("claude-opus-4-1",), input_tokens=9)  # fmt: skip
    assert [decision.reason for decision in decide([outer, inner], {}).values()] == ["", ""]


# In the store


@pytest.fixture(scope="module")
def rolled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolled]:
    harness = Rolled(tmp_path_factory.mktemp("evidence"))
    yield harness
    harness.store.close()


def torn(number: int = 0, start: int | None = None, **values: object) -> tuple[Span, Span]:
    """One call as two tracers tell of it that share no context and know no id: with chains of their own."""
    at = (start or time.time_ns() - 120 * SECOND) + number * 2 * SECOND
    figures = {"gen_ai.usage.input_tokens": 100 + number, **values}
    framework = llm(figures, name=f"ChatOpenAI {number}", start=at, duration=SECOND)
    client = llm(
        {**figures, "gen_ai.usage.cache_read.input_tokens": 50},
        name=f"openai.chat {number}",
        start=at + 8 * MS,
        duration=SECOND - 9 * MS,
    )
    return framework, client


def evidence(rolled: Rolled, project: str) -> dict[str, dict[str, Any]]:
    """Span name → what is stored of the decision, and whether the span counts."""
    rows = rolled.store.rows(
        "SELECT SpanName, Counted, Decision, RecordSpanId, Evidence, length(Candidates) AS candidates, "
        "decided.RetentionDays = span.RetentionDays AS kept_as_long FROM otel_traces AS span "
        "LEFT JOIN (SELECT * FROM call_evidence FINAL) AS decided USING (Project, TraceId, SpanId) "
        "WHERE Project = {project:String} AND IsLlm",
        {"project": project},
    )
    return {row["SpanName"]: row for row in rows}


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))), ids=str)
@pytest.mark.parametrize("restarts", [False, True], ids=["one process", "restarts"])
def test_torn_tellings_become_one_record_in_any_order(
    rolled: Rolled, order: tuple[int, ...], restarts: bool
) -> None:
    project = f"torn {order} {restarts}"
    tellings = torn()
    deduplicator = CallDeduplicator(rolled.store)
    for place in order:
        rolled.send(tellings[place], project=project, scope_name=(LANGCHAIN, CLIENT)[place])
        rolled.store.roll_up(at_once=True)
        deduplicator = CallDeduplicator(rolled.store) if restarts else deduplicator
        deduplicator.sync()
    stored = evidence(rolled, project)
    framework = stored["ChatOpenAI 0"]
    assert (framework["Counted"], framework["Decision"]) == (False, "duplicate")
    assert framework["RecordSpanId"] == tellings[1].span_id.hex()
    assert set(framework["Evidence"]) == {"time", "instance", "model", "tokens"}
    assert framework["kept_as_long"]
    assert stored["openai.chat 0"]["Counted"]
    # Every sum follows: of ten seconds, of hours, of traces.
    rolled.store.roll_up(at_once=True)
    assert rolled.usage() == rolled.counted()
    assert sum(row["Calls"] for row in rolled.traces(project)) == 1
    assert CallDeduplicator(rolled.store).sync() == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=str)
@pytest.mark.parametrize("nameless", ["unknown_service", ""])
def test_a_tracer_that_names_no_service_tells_of_the_same_calls(
    rolled: Rolled, order: tuple[int, ...], nameless: str
) -> None:
    project = f"nameless {order} {nameless}"
    question: dict[str, Any] = {
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Which river?"}]}]'
    }
    tellings = torn(**question)
    names = {"service.name": nameless}, {"service.name": "shop", "service.instance.id": "1"}
    deduplicator = CallDeduplicator(rolled.store)
    for place in order:
        resource, scope = names[place], (LANGCHAIN, CLIENT)[place]
        rolled.send(tellings[place], project=project, resource=resource, scope_name=scope)
        # Another service asks otherwise, with the same figures at the same time.
        other = torn()[place]
        other.name = f"other {place}"
        rolled.send(other, project=project, resource={"service.name": f"other {place}"}, scope_name=scope)
        deduplicator.sync()
    stored = evidence(rolled, project)
    assert {name: row["Counted"] for name, row in stored.items()} == {
        "ChatOpenAI 0": False,
        "openai.chat 0": True,
        "other 0": True,
        "other 1": True,
    }
    assert set(stored["ChatOpenAI 0"]["Evidence"]) == {"time", "model", "tokens", "question"}


def test_a_third_telling_joins_the_record_and_a_pass_over_other_spans_changes_nothing(rolled: Rolled) -> None:
    framework, client = torn()
    rolled.send(framework, project="third", scope_name=LANGCHAIN)
    rolled.send(client, project="third", scope_name=CLIENT)
    CallDeduplicator(rolled.store).sync()
    third = llm(
        {"gen_ai.usage.input_tokens": 100}, name="ours", start=client.start_time_unix_nano + MS,
        duration=SECOND - 11 * MS,
    )  # fmt: skip
    rolled.send(third, project="third", scope_name="llmtrace")
    CallDeduplicator(rolled.store).sync()
    counted = {name: row["Counted"] for name, row in evidence(rolled, "third").items()}
    assert counted == {"ChatOpenAI 0": False, "openai.chat 0": True, "ours": False}
    # A span that comes later into the framework's trace has it decided anew, from what is stored elsewhere.
    late = span(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.usage.input_tokens": 1,
        },
        trace_id=framework.trace_id, name="another call", start=framework.start_time_unix_nano + 5 * SECOND,
    )  # fmt: skip
    rolled.send(late, project="third", scope_name=LANGCHAIN)
    CallDeduplicator(rolled.store).sync()
    counted = {name: row["Counted"] for name, row in evidence(rolled, "third").items()}
    assert counted == {
        "ChatOpenAI 0": False, "openai.chat 0": True, "ours": False, "another call": True,
    }  # fmt: skip


def test_failures_count_once_and_what_cannot_be_told_apart_counts_and_is_listed(rolled: Rolled) -> None:
    failed = Status(code=Status.STATUS_CODE_ERROR)
    nothing: dict[str, object] = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
    start = time.time_ns() - 300 * SECOND
    for scope, shift, name in ((LANGCHAIN, 0, "framework"), (CLIENT, 5 * MS, "client")):
        failure = llm(nothing, name=name, start=start + shift, duration=SECOND - 2 * shift, status=failed)
        twins = [
            llm(name=f"{name} twin {number}", start=start + 9 * SECOND, duration=SECOND)
            for number in range(2)
        ]
        rolled.send(failure, *twins, project="failed", scope_name=scope)
    CallDeduplicator(rolled.store).sync()
    stored = evidence(rolled, "failed")
    assert [stored[name]["Counted"] for name in ("framework", "client")].count(True) == 1
    twins_stored = [row for name, row in stored.items() if "twin" in name]
    assert all(row["Counted"] and row["Decision"] == AMBIGUOUS for row in twins_stored)
    assert {row["candidates"] for row in twins_stored} == {2}


def test_a_call_of_a_minutes_last_second_is_looked_at(rolled: Rolled) -> None:
    minute = time.time_ns() // (60 * SECOND) * 60 * SECOND - 180 * SECOND
    deduplicator = CallDeduplicator(rolled.store)
    deduplicator.sync()
    framework, client = torn(start=minute - 345 * MS)
    rolled.send(framework, project="last second", scope_name=LANGCHAIN)
    rolled.send(client, project="last second", scope_name=CLIENT)
    assert deduplicator.sync() == 1


def test_an_embedding_has_no_output_whether_that_is_said_or_not(rolled: Rolled) -> None:
    start = time.time_ns() - 200 * SECOND
    for scope, shift, output in ((LANGCHAIN, 0, 0), (CLIENT, 5 * MS, None)):
        values: dict[str, object] = {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.usage.output_tokens": output,
            "gen_ai.response.id": f"made up by {scope}" if output == 0 else None,
        }
        sent_span = llm(values, name=scope, start=start + shift, duration=SECOND - 2 * shift)
        rolled.send(sent_span, project="embeddings", scope_name=scope)
    CallDeduplicator(rolled.store).sync()
    assert [row["Counted"] for row in evidence(rolled, "embeddings").values()].count(True) == 1


def test_a_frameworks_own_step_without_a_request_is_no_call(rolled: Rolled) -> None:
    values: dict[str, object] = {
        "openinference.span.kind": "LLM", "llm.model_name": "gpt-3.5-turbo", "input.value": '{"tools": []}',
    }  # fmt: skip
    rolled.send(
        span(values, name="OpenAI._prepare_chat_with_tools"),
        span({**values, "llm.token_count.prompt": 5}, name="OpenAI._chat"),
        span(values, name="OpenAI.chat"),
        project="steps",
    )
    rows = rolled.store.rows(
        "SELECT SpanName, Uncounted FROM otel_traces WHERE Project = 'steps' ORDER BY SpanName"
    )
    assert {row["SpanName"]: row["Uncounted"] for row in rows} == {
        "OpenAI._prepare_chat_with_tools": "no_request", "OpenAI._chat": "", "OpenAI.chat": "",
    }  # fmt: skip


def test_projects_are_apart_though_they_hold_the_same_spans(rolled: Rolled) -> None:
    framework, client = torn()
    for project in ("here", "there"):
        rolled.send(framework, project=project, scope_name=LANGCHAIN)
    rolled.send(client, project="here", scope_name=CLIENT)
    CallDeduplicator(rolled.store).sync()
    assert not evidence(rolled, "here")["ChatOpenAI 0"]["Counted"]
    assert evidence(rolled, "there")["ChatOpenAI 0"]["Counted"]


def test_an_erased_users_decisions_go_with_the_spans(rolled: Rolled) -> None:
    framework, client = torn(0, None, **{"user.id": "eve"})
    rolled.send(framework, project="erased", scope_name=LANGCHAIN)
    rolled.send(client, project="erased", scope_name=CLIENT)
    CallDeduplicator(rolled.store).sync()
    assert rolled.store.rows("SELECT 1 FROM call_evidence WHERE Project = 'erased'")
    erasure = Eraser(rolled.store).start("eve", "erased")
    until(lambda: erasure.state == "done", what="the erasure")
    assert rolled.store.rows("SELECT 1 FROM call_evidence WHERE Project = 'erased'") == []


def test_a_pass_that_wrote_is_followed_by_a_pause(rolled: Rolled, tmp_path: Path) -> None:
    paced = CallDeduplicator(rolled.store, is_paced=True)
    paced.sync()
    for number, changed in enumerate((1, 0)):
        framework, client = torn(number)
        rolled.send(framework, project=f"paced {number}", scope_name=LANGCHAIN)
        rolled.send(client, project=f"paced {number}", scope_name=CLIENT)
        assert paced.sync() == changed
    assert CallDeduplicator(rolled.store).sync() == 1

"""Each page as Streamlit runs it: filled, empty, without a collector, refused; and the pages' pure parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import streamlit as st
from pydantic import SecretStr
from streamlit.testing.v1 import AppTest

from llmtrace.semconv import PURPOSES
from llmtrace.testing import Answer, ReplayServer
from llmtrace_analysis.queries.traces import trace_logs
from llmtrace_collector.store.search import fields
from llmtrace_dashboard.server import app
from llmtrace_dashboard.settings import DashboardSettings
from llmtrace_dashboard.ui import formats, span_tree
from llmtrace_dashboard.ui.current_settings import configure
from llmtrace_dashboard.ui.message_turns import MAX_TEXT, turns
from llmtrace_dashboard.ui.page_links import PAGES
from llmtrace_dashboard.views.incident_actions import ActionFailed, act
from tests.collector.otlp import logs, score
from tests.collector.running import until
from tests.dashboard.stack import ADMIN_KEY, Stack, collector, free_port

PAGE_NAMES = ("overview", "traces", "cost", "incidents")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with collector(tmp_path_factory.mktemp("empty"), traces=0) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    st.cache_data.clear()
    st.cache_resource.clear()
    yield
    configure(DashboardSettings())


def _open(name: str, settings: DashboardSettings, **params: str) -> AppTest:
    """The page after one run. AppTest runs the frame with the overview, and other pages without the frame."""
    configure(settings)
    test = AppTest.from_file(str(app.SCRIPT), default_timeout=30)
    for key, value in params.items():
        test.query_params[key] = value
    test.run()
    if name != "overview":
        test.switch_page(str(PAGES[f"/{name}"]))
        for key, value in params.items():
            test.query_params[key] = value
        test.run()
    assert not test.exception, test.exception
    return test


def text_of(test: AppTest) -> str:
    """All text on the page: Streamlit's own elements, and what its components got."""
    texts = [str(getattr(item, "value", "")) for item in test.main]
    for item in test.main:
        if item.type == "bidi_component":
            texts.append(str(item.proto))
    return "\n".join(texts)


def _as_sent(text: str) -> str:
    """A text as `text_of` has it of what a component got."""
    return json.dumps(text)[1:-1].replace("\\", "\\\\")


def test_overview_shows_the_numbers_of_the_store(stack: Stack) -> None:
    page = _open("overview", DashboardSettings(collector_url=stack.url))
    calls = stack.traffic.products_calls()
    metrics = {metric.label: metric.value for metric in page.metric}
    assert metrics["Calls"] == str(len(calls))
    failed = sum(bool(call.error) for call in calls)
    assert metrics["Error rate"] == formats.percent(failed / len(calls))
    assert metrics["Cost"].startswith("$")
    deltas = {metric.label: metric.delta for metric in page.metric}
    assert "unpriced" in deltas["Cost"]
    assert "Latency of claude-sonnet-4-5" in text_of(page)


@pytest.mark.parametrize(
    ("address", "purposes"),
    [
        ({"purpose": "all"}, PURPOSES),
        ({"purpose": "bench"}, ("bench",)),
        ({"purpose": "judge,evaluation,nothing"}, ("judge", "evaluation")),
        ({"purpose": "nothing"}, ("product",)),
        ({"simulated": "1"}, ("product", "simulated")),
    ],
)
def test_other_calls_than_the_products_count_only_when_asked_for(
    stack: Stack, address: dict[str, str], purposes: tuple[str, ...]
) -> None:
    page = _open("overview", DashboardSettings(collector_url=stack.url), **address)
    calls = [call for call in stack.traffic.calls() if call.purpose in purposes]
    assert page.metric[0].value == str(len(calls))


def test_what_is_left_out_is_named_and_one_click_from_being_in(stack: Stack) -> None:
    # In the last hour alone the oldest call would leave the window while earlier tests run.
    page = _open("overview", DashboardSettings(collector_url=stack.url), range="6h")
    others = [call for call in stack.traffic.calls() if call.purpose != "product"]
    (caption,) = (item.value for item in page.sidebar.caption if "Left out" in item.value)
    assert caption.startswith(f"Left out: {len(others)} calls (")
    assert {*PURPOSES} - {"product"} == {*caption.partition("(")[2].rstrip(")").split(", ")}
    (button,) = (item for item in page.sidebar.button if item.label == "Include them")
    button.click().run()
    assert page.metric[0].value == str(len(stack.traffic.calls()))
    assert not any("Left out" in item.value for item in page.sidebar.caption)


def test_an_empty_page_offers_all_purposes(stack: Stack) -> None:
    settings = DashboardSettings(collector_url=stack.url)
    page = _open("overview", settings, **{"range": "custom", "from": "1600000000", "to": "1600003600"})
    (button,) = (item for item in page.main.button if item.label == "Count all purposes")
    button.click().run()
    assert page.query_params["purpose"] == "all"
    assert page.sidebar.multiselect(key="purpose").value == []
    assert not page.exception
    assert "Count all purposes" not in [item.label for item in page.main.button]


def test_filters_hold_together(stack: Stack) -> None:
    page = _open("overview", DashboardSettings(collector_url=stack.url), model="gpt-4o", range="24h")
    of_model = [call for call in stack.traffic.products_calls() if call.name == "chat gpt-4o"]
    assert page.metric[0].value == str(len(of_model))
    assert page.sidebar.selectbox(key="range").value == "24h"


def test_what_programs_logged_is_beside_the_spans(stack: Stack) -> None:
    call = stack.slow_calls()[1]
    lines = [
        score(
            {"exception.type": "ValueError"},
            event_name="",
            trace_id=bytes.fromhex(call.trace_id),
            span_id=bytes.fromhex(call.span_id),
            time_unix_nano=call.start + number,
            severity_number=number,
            severity_text="WARNING",
            body={"string_value": "paid <b>7</b> [a](http://x)"},
        )
        for number in (9, 13)
    ]
    logged = httpx.post(
        f"{stack.url}/v1/logs",
        content=logs(lines, {"service.name": "shop"}).SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
    )
    assert logged.status_code == 200
    with stack.reader() as client:
        until(lambda: len(trace_logs(client, call.trace_id)) == 2)
    page = _open("traces", DashboardSettings(collector_url=stack.url), trace=call.trace_id)
    assert [expander.label for expander in page.expander if "Logs" in expander.label] == ["Logs (2)"]
    assert text_of(page).count(_as_sent("paid <b>7</b> [a](http://x)")) >= 2, "text, as it came"
    other = _open("traces", DashboardSettings(collector_url=stack.url), trace=stack.slow_calls()[2].trace_id)
    assert not [expander.label for expander in other.expander if "Logs" in expander.label]


def test_traces_list_and_detail(stack: Stack) -> None:
    settings = DashboardSettings(collector_url=stack.url)
    listed = _open("traces", settings, status="error")
    failed = {span.trace_id for span in stack.traffic.spans if span.error and span.purpose == "product"}
    assert any(f"of {len(failed)} traces" in caption.value for caption in listed.caption)
    call = stack.slow_calls()[0]
    detail = _open("traces", settings, trace=call.trace_id)
    text = text_of(detail)
    assert call.trace_id in text
    assert "chat claude-sonnet-4-5" in text
    assert [tab.label.split(" (")[0] for tab in detail.tabs] == [
        "Messages",
        "Attributes",
        "Events",
        "Scores",
        "JSON",
    ]
    assert all(label in text for label in ("First byte", "First token"))
    assert "Last token" not in text
    assert "(estimated)" in text, "from the first token to the end of the span"
    call = next(
        span
        for span in stack.traffic.calls()
        if "llmtrace.response.time_to_last_token" in span.attributes and not span.error
    )
    facts = text_of(_open("traces", settings, trace=call.trace_id, span=call.span_id))
    first, last = (
        float(str(call.attributes[key]))
        for key in ("gen_ai.response.time_to_first_chunk", "llmtrace.response.time_to_last_token")
    )
    gap = (last - first) / (int(str(call.attributes["gen_ai.usage.output_tokens"])) - 1)
    assert "(estimated)" not in facts
    assert [value for value in (first, last, gap) if _as_sent(formats.seconds(value)) not in facts] == []
    assert all(label in facts for label in ("Last token", "Per output token", f"{1 / gap:,.0f} tokens/s"))
    absent = _open("traces", settings, trace="0" * 32)
    assert "not in the store" in absent.subheader[0].value
    odd = _open("traces", settings, page="minus one", longer="forever", range="a year")
    assert any("newest first" in caption.value for caption in odd.caption), "nonsense means the default"


def test_cost_says_what_is_unpriced_and_how_to_price_it(stack: Stack) -> None:
    page = _open("cost", DashboardSettings(collector_url=stack.url), by="user")
    metrics = {metric.label: metric.value for metric in page.metric}
    assert metrics["Cost"].startswith("$")
    assert int(metrics["Unpriced calls"]) > 0
    snippet = "\n".join(code.value for code in page.code)
    assert "llmtrace cost prices set llmtrace/acme-7b-instruct" in snippet


def test_incidents_list_and_detail(stack: Stack) -> None:
    settings = DashboardSettings(collector_url=stack.url)
    stack.put_delivery("anomaly-1", ok=False)
    page = text_of(_open("incidents", settings))
    assert "messages wait for https://hooks.example.com/llm since" in page
    assert "(the receiver answered 503): they are sent once it answers" in page
    assert "Latency of claude-sonnet-4-5" in page
    assert "llmtrace watch has not reported" in page
    assert "No incident is in this state" in text_of(_open("incidents", settings, state="resolved"))
    detail = _open("incidents", settings, incident="anomaly-1")
    text = text_of(detail)
    assert "1.40 s to 4.10 s" in text
    assert stack.slow_calls()[0].trace_id in text
    assert "not in the store" in text_of(_open("incidents", settings, incident="unknown"))


@pytest.mark.parametrize("page", PAGE_NAMES)
def test_an_empty_store_says_what_to_do_next(empty: Stack, page: str) -> None:
    test = _open(page, DashboardSettings(collector_url=empty.url))
    commands = "\n".join(code.value for code in test.code)
    assert ("llmtrace watch" if page == "incidents" else "llmtrace.init()") in commands


@pytest.mark.parametrize("page", PAGE_NAMES)
def test_without_a_collector_the_page_says_how_to_start_it(page: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    test = _open(page, DashboardSettings(collector_url=url, refresh_seconds=60))
    assert "cannot be read" in test.subheader[0].value
    assert url in text_of(test)
    assert "llmtrace up" in test.code[0].value


def test_an_action_that_fails_says_why(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMTRACE_ADMIN_KEY", raising=False)
    wrong = DashboardSettings(collector_url=stack.url, admin_key=SecretStr("wrong"))
    with pytest.raises(ActionFailed, match="refused the admin key"):
        act(wrong, "anomaly-1", "acknowledge", "ada", "")
    right = DashboardSettings(collector_url=stack.url, admin_key=SecretStr(ADMIN_KEY))
    with pytest.raises(ActionFailed, match="does not know this incident"):
        act(right, "unknown", "resolve", "ada", "")
    with pytest.raises(ActionFailed, match="no admin key"):
        act(DashboardSettings(collector_url=stack.url, data_dir=tmp_path), "anomaly-1", "resolve", "ada", "")
    gone = DashboardSettings(collector_url=f"http://127.0.0.1:{free_port()}", admin_key=SecretStr("any"))
    with pytest.raises(ActionFailed, match="did not answer"):
        act(gone, "anomaly-1", "resolve", "ada", "")
    with ReplayServer(Answer.json({"detail": "starting"}, status=503)) as server:
        busy = DashboardSettings(collector_url=server.url, admin_key=SecretStr("any"))
        with pytest.raises(ActionFailed, match=r'The collector answered 503: \{"detail": ?"starting"\}'):
            act(busy, "anomaly-1", "resolve", "ada", "")


def test_the_server_is_closed_to_other_hosts_and_tells_nobody() -> None:
    options = app.streamlit_options(DashboardSettings(allowed_hosts=("llm.example.com",)))
    assert options["server.allowedHosts"] == ["127.0.0.1", "127.0.0.1", "localhost", "llm.example.com"]
    assert options["server.enableXsrfProtection"] is True
    assert options["browser.gatherUsageStats"] is False
    assert options["client.showErrorDetails"] == "none"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formats.seconds(0.00034), "340 µs"),
        (formats.seconds(0.0842), "84.2 ms"),
        (formats.seconds(0.9996), "1.00 s"),
        (formats.seconds(59.99), "1 min"),
        (formats.seconds(125), "2 min 5 s"),
        (formats.seconds(None), "–"),
        (formats.count(9999), "9,999"),
        (formats.count(999_960), "1M"),
        (formats.count(12_440), "12.4k"),
        (formats.usd(0), "$0"),
        (formats.usd(0.00042), "$0.00042"),
        (formats.usd(0.999), "$1.00"),
        (formats.usd(1234.5), "$1,234"),
        (formats.usd(float("nan")), "–"),
        (formats.price(0.15), "$0.15"),
        (formats.price(0.075), "$0.075"),
        (formats.percent(0.00004), "<0.01%"),
        (formats.percent(1.0), "100%"),
        (formats.change(112, 100), "+12%"),
        (formats.change(5, 0), None),
        (formats.with_unit(0.23, "ratio"), "23%"),
        (formats.with_unit(132, "requests"), "132 requests"),
        (formats.ago(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 3, 20, tzinfo=UTC)), "3 h ago"),
    ],
)
def test_numbers_are_written_with_unit_and_sense(text: str | None, expected: str | None) -> None:
    assert text == expected


def _span(span_id: str, parent: str, start: int) -> dict[str, Any]:
    return {"span_id": span_id, "parent_id": parent, "start_ns": start}


def test_spans_are_arranged_under_their_parents() -> None:
    spans = [
        _span("c", "a", 30),
        _span("a", "", 10),
        _span("b", "a", 20),
        _span("d", "b", 25),
        _span("lost", "gone", 15),
        _span("x", "y", 1),
        _span("y", "x", 2),
        _span("self", "self", 3),
    ]
    arranged = [(node.span["span_id"], node.depth, node.children) for node in span_tree.arrange(spans)]
    assert arranged == [
        ("self", 0, 0),
        ("a", 0, 2),
        ("b", 1, 1),
        ("d", 2, 0),
        ("c", 1, 0),
        ("lost", 0, 0),
        ("x", 0, 1),
        ("y", 1, 1),
    ]
    chain = [_span(str(index), str(index - 1), index) for index in range(5000)]
    assert span_tree.arrange(chain)[-1].depth == 4999


def test_messages_become_turns_whatever_they_hold() -> None:
    input_messages = json.dumps(
        [
            {"role": "user", "parts": [{"type": "text", "content": "<b>hi</b>"}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": {"ok": True}}]},
            {"role": "user", "parts": [{"type": "blob", "modality": "image", "content": "QUJD"}]},
            "not a message",
        ]
    )
    output_messages = json.dumps(
        [
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "hm"},
                    {"type": "tool_call", "id": "1", "name": "look", "arguments": '{"a": 1}'},
                    {"type": "text", "content": "x" * (MAX_TEXT + 1)},
                    {"type": "hologram", "size": 3},
                ],
            }
        ]
    )
    conversation = turns(
        "be kind", input_messages, output_messages, json.dumps([{"type": "function", "name": "look"}])
    )
    assert [message["role"] for message in conversation] == [
        "System",
        "Tools on offer",
        "User",
        "Tool",
        "User",
        "Message",
        "Assistant",
    ]
    assert conversation[0]["parts"][0]["body"] == "be kind"
    assert conversation[2]["parts"][0]["body"] == "<b>hi</b>"
    reasoning, call, long, other = conversation[-1]["parts"]
    assert reasoning["title"] == "Reasoning"
    assert (call["title"], call["body"]) == ("Calls look · 1", '{\n  "a": 1\n}')
    assert len(long["body"]) == MAX_TEXT
    assert "JSON tab" in long["note"]
    assert other["title"] == "hologram"
    assert turns("", "", "", "") == []


def test_a_search_is_answered_or_its_mistake_named(stack: Stack) -> None:
    settings = DashboardSettings(collector_url=stack.url)
    listed = _open("traces", settings, q="model:claude* -status:failed")
    claude = {span.trace_id for span in stack.traffic.calls() if "claude" in span.name}
    failed = {span.trace_id for span in stack.traffic.spans if span.error}
    usual = {span.trace_id for span in stack.traffic.spans if span.purpose == "product"}
    assert any(f"of {len(claude & usual - failed)} traces" in caption.value for caption in listed.caption)
    wrong = _open("traces", settings, q="late modl:claude*")
    assert any("There is no field" in text.value for text in wrong.markdown)
    assert any(code.value == "late modl:claude*\n     ^^^^^" for code in wrong.code)
    fix = next(button for button in wrong.button if "model" in button.label)
    after = fix.click().run()
    assert after.text_input(key="q").value == "late model:claude*"
    assert after.query_params["q"] == "late model:claude*"
    assert any("of " in caption.value for caption in after.caption)
    without = _open("traces", settings, q="model:")
    assert any("gpt\\-4o\\-mini" in button.label for button in without.button), "what the store has seen"


def test_a_search_names_its_own_period_and_an_id_opens_its_trace(stack: Stack) -> None:
    settings = DashboardSettings(collector_url=stack.url)
    listed = _open("traces", settings, q="last:30m")
    assert any("as the search says" in caption.value for caption in listed.caption)
    call = stack.slow_calls()[0]
    opened = _open("traces", settings, q=call.trace_id.upper())
    assert call.trace_id in text_of(opened)
    assert opened.tabs, "the trace itself, not a list with it"


def test_fields_and_values_are_offered_beside_the_search(stack: Stack) -> None:
    page = _open("traces", DashboardSettings(collector_url=stack.url), q="late")
    field = page.selectbox(key="q_field")
    assert {"model", "score.NAME", "since"} <= set(field.options)
    page = field.select(next(option for option in fields() if option.name == "user")).run()
    page = page.selectbox(key="q_value_user").select("ada").run()
    page = page.button(key="q_add").click().run()
    assert page.text_input(key="q").value == "late user:ada"

"""What answers say of what is billed: one base of each usage, what decides the price, calls inside a call."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import llmtrace
from llmtrace.testing import Answer, Captured, ReplayServer, capture, sse

_Request = tuple[str, dict[str, Any]]

_CHAT = ("/v1/chat/completions", {"model": "m", "messages": []})
_RESPONSES = ("/v1/responses", {"model": "m", "input": "hi"})
_CLAUDE = ("/v1/messages", {"model": "claude-x", "max_tokens": 9, "messages": []})
_GEMINI: _Request = ("/v1beta/models/gemini:generateContent", {"contents": []})
_EMBED = ("/v1/embeddings", {"model": "m", "input": "hi"})
_COHERE = ("/v2/chat", {"model": "m", "messages": []})
_RERANK = ("/v2/rerank", {"model": "m", "query": "q", "documents": []})


def call(traces: Captured, request: _Request, answer: Answer) -> list[dict[str, Any]]:
    """The spans of one call, the outermost last."""
    path, sent = request
    with ReplayServer(answer) as server, httpx.Client() as client:
        client.post(server.url + path, json=sent).read()
    return traces.snapshot()


def used(span: dict[str, Any]) -> dict[str, Any]:
    return {
        key.partition("usage.")[2]: value
        for key, value in span["attributes"].items()
        if ".usage." in key and "stated" not in key
    }


@pytest.mark.parametrize(
    ("request_sent", "answer", "usage"),
    [
        # What was billed and what was consumed are two bases; the cache is a part of the latter.
        (
            _COHERE,
            {
                "id": "c",
                "usage": {
                    "billed_units": {"input_tokens": 10, "output_tokens": 20},
                    "tokens": {"input_tokens": 1000, "output_tokens": 25},
                    "cached_tokens": 992,
                },
            },
            {"input_tokens": 10, "output_tokens": 20},
        ),
        (
            _COHERE,
            {
                "id": "c",
                "usage": {"tokens": {"input_tokens": 1000, "output_tokens": 25}, "cached_tokens": 992},
            },
            {"input_tokens": 1000, "output_tokens": 25, "cache_read.input_tokens": 992},
        ),
        (_RERANK, {"results": [], "meta": {"billed_units": {"search_units": 3}}}, {"rerank_searches": 3}),
        (_RERANK, {"data": [], "usage": {"total_tokens": 57}}, {"input_tokens": 57}),
        # The total says what else was put out.
        (
            _CHAT,
            {"usage": {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}},
            {"input_tokens": 35, "output_tokens": 74, "reasoning.output_tokens": 62},
        ),
        (
            _CHAT,
            {
                "usage": {
                    "prompt_tokens": 5,
                    "completion_tokens": 7,
                    "total_tokens": 42,
                    "completion_tokens_details": {"reasoning_tokens": 30},
                }
            },
            {"input_tokens": 5, "output_tokens": 37, "reasoning.output_tokens": 30},
        ),
        (
            _CHAT,
            {
                "usage": {
                    "prompt_tokens": 5,
                    "completion_tokens": 37,
                    "total_tokens": 42,
                    "completion_tokens_details": {"reasoning_tokens": 30},
                }
            },
            {"input_tokens": 5, "output_tokens": 37, "reasoning.output_tokens": 30},
        ),
        (
            _CHAT,  # a total that is too small says nothing
            {"usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 5}},
            {"input_tokens": 5, "output_tokens": 7},
        ),
        (
            _RESPONSES,
            {
                "status": "completed",
                "output": [],
                "usage": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 12},
            },
            {"input_tokens": 5, "output_tokens": 7, "reasoning.output_tokens": 4},
        ),
        (_EMBED, {"data": [], "usage": {"total_tokens": 12}}, {"input_tokens": 12}),
        (_EMBED, {"data": [], "usage": {"prompt_tokens": 12, "total_tokens": 14}}, {"input_tokens": 12}),
        # Searches, by each one's own words.
        (
            _CHAT,
            {
                "usage": {
                    "prompt_tokens": 33,
                    "completion_tokens": 70,
                    "total_tokens": 103,
                    "citation_tokens": 200,
                    "num_search_queries": 18,
                    "reasoning_tokens": 1000,
                }
            },
            {
                "input_tokens": 33,
                "output_tokens": 1270,
                "reasoning.output_tokens": 1000,
                "citation.output_tokens": 200,
                "web_searches": 18,
            },
        ),
        (
            _CHAT,
            {
                "usage": {
                    "prompt_tokens": 3,
                    "completion_tokens": 4,
                    "total_tokens": 7,
                    "server_tool_use_details": {"web_search_requests": 2},
                }
            },
            {"input_tokens": 3, "output_tokens": 4, "web_searches": 2},
        ),
        (
            _RESPONSES,
            {
                "status": "completed",
                "output": [
                    {"type": "web_search_call", "action": {"type": kind}}
                    for kind in ("search", "open_page", "find_in_page", "search")
                ],
                "usage": {"input_tokens": 5, "output_tokens": 3},
            },
            {"input_tokens": 5, "output_tokens": 3, "web_searches": 2},
        ),
        (
            _RESPONSES,
            {
                "status": "completed",
                "output": [
                    {"type": "web_search_call", "action": {"type": "search"}},
                    {"type": "code_interpreter_call", "container_id": "a"},
                    {"type": "code_interpreter_call", "container_id": "a"},
                    {"type": "code_interpreter_call", "container_id": "b"},
                    {"type": "file_search_call"},
                ],
                "tool_usage": {"web_search": {"num_requests": 5}},
                "usage": {"input_tokens": 5, "output_tokens": 3},
            },
            {
                "input_tokens": 5,
                "output_tokens": 3,
                "web_searches": 5,
                "code_containers": 2,
                "code_interpreter_calls": 3,
                "file_searches": 1,
            },
        ),
    ],
)
def test_usage_is_what_is_billed(
    traces: Captured, request_sent: _Request, answer: dict[str, Any], usage: dict[str, int]
) -> None:
    (span,) = call(traces, request_sent, Answer.json(answer))
    assert used(span) == usage


def test_usage_in_the_choice_of_a_last_chunk_counts(traces: Captured) -> None:
    usage = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6, "cached_tokens": 3}
    events = [
        {"id": "k", "choices": [{"index": 0, "delta": {"content": "Hi"}}]},
        {"id": "k", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}]},
    ]
    (span,) = call(traces, (_CHAT[0], {**_CHAT[1], "stream": True}), sse(events))
    assert used(span) == {"input_tokens": 4, "output_tokens": 2, "cache_read.input_tokens": 3}


@pytest.mark.parametrize(
    ("version", "queries", "searches"),
    [
        ("gemini-3-flash-preview", ["a", "b", ""], 2),
        ("gemini-3.1-pro-preview", ["a"], 1),
        ("gemini-2.5-flash", ["a", "b"], 1),
        ("gemini-2.5-flash", [], None),
        ("gemini-10", ["a", "b"], 2),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_gemini_bills_queries_or_prompts(
    traces: Captured, version: str, queries: list[str], searches: int | None, stream: bool
) -> None:
    grounded = {"groundingMetadata": {"webSearchQueries": queries}, "finishReason": "STOP"}
    body = {"candidates": [grounded], "modelVersion": version}
    if stream:
        first = {"candidates": [{"content": {"parts": [{"text": "a"}]}}], "modelVersion": version}
        request = (_GEMINI[0].replace("generate", "streamGenerate"), _GEMINI[1])
        (span,) = call(traces, request, sse([first, body], done=False))
    else:
        (span,) = call(traces, _GEMINI, Answer.json(body))
    assert span["attributes"].get("llmtrace.usage.web_searches") == searches


@pytest.mark.parametrize(
    ("traffic", "tier"),
    [
        ("ON_DEMAND", None), (1, None), (0, None), (99, None),
        ("PROVISIONED_THROUGHPUT", "provisioned_throughput"), (2, "provisioned_throughput"),
        ("ON_DEMAND_PRIORITY", "priority"), (3, "priority"),
        ("ON_DEMAND_FLEX", "flex"), (4, "flex"),
    ],
)  # fmt: skip
def test_vertex_traffic_is_the_tier(traces: Captured, traffic: object, tier: str | None) -> None:
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "trafficType": traffic}
    (span,) = call(traces, _GEMINI, Answer.json({"candidates": [{}], "usageMetadata": usage}))
    assert span["attributes"].get("llmtrace.response.service_tier") == tier


@pytest.mark.parametrize(
    ("number", "of_gemini", "of_vertex"),
    [
        (1, "stop", "stop"), (2, "length", "length"), (3, "content_filter", "content_filter"),
        (4, "content_filter", "content_filter"), (5, "other", "other"), (9, "content_filter", "error"),
        (10, "error", "content_filter"), (77, "other", "other"),
    ],
)  # fmt: skip
def test_google_enums_may_be_numbers(traces: Captured, number: int, of_gemini: str, of_vertex: str) -> None:
    usage: dict[str, Any] = {
        "promptTokenCount": 10,
        "candidatesTokenCount": 2,
        "promptTokensDetails": [{"modality": modality, "tokenCount": modality} for modality in (1, 2, 3, 4)],
    }
    body: dict[str, Any] = {"candidates": [{"finishReason": number}], "usageMetadata": usage}
    (span,) = call(traces, _GEMINI, Answer.json(body))
    attributes = span["attributes"]
    assert attributes["gen_ai.response.finish_reasons"] == [of_gemini]
    counts = [attributes[f"gen_ai.usage.{kind}.input_tokens"] for kind in ("text", "image", "video", "audio")]
    assert counts == [1, 2, 3, 4]
    usage["trafficType"] = 1
    spans = call(traces, _GEMINI, Answer.json(body))
    assert spans[-1]["attributes"]["gen_ai.response.finish_reasons"] == [of_vertex]


@pytest.mark.parametrize(
    ("usage", "tier"),
    [
        ({"service_tier": "standard", "speed": "standard", "inference_geo": "global"}, None),
        ({"service_tier": "standard", "speed": "fast", "inference_geo": "not_available"}, "fast"),
        ({"service_tier": "standard", "inference_geo": "us"}, "us"),
        ({"service_tier": "batch", "speed": "fast", "inference_geo": "us"}, "batch+fast+us"),
        ({"service_tier": "priority", "inference_geo": "us"}, "priority+us"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_speed_and_geography_decide_the_price(
    traces: Captured, usage: dict[str, Any], tier: str | None, stream: bool
) -> None:
    counts = {"input_tokens": 3, "output_tokens": 2, **usage}
    spans = call(traces, _CLAUDE, _claude(counts, stream))
    assert spans[-1]["attributes"].get("llmtrace.response.service_tier") == tier
    assert spans[-1]["attributes"]["anthropic.response.service_tier"] == usage["service_tier"]


@pytest.mark.parametrize(
    ("location", "tier"), [("global", None), ("us-east5", "regional"), ("europe-west1", "regional")]
)
def test_where_vertex_runs_claude_decides_the_price(
    traces: Captured, location: str, tier: str | None
) -> None:
    path = f"/v1/projects/p/locations/{location}/publishers/anthropic/models/claude-x:rawPredict"
    sent = {"anthropic_version": "vertex", "max_tokens": 9, "messages": []}
    (span,) = call(traces, (path, sent), _claude({"input_tokens": 3, "output_tokens": 2}, False))
    assert span["attributes"].get("llmtrace.response.service_tier") == tier


def _claude(usage: dict[str, Any], stream: bool) -> Answer:
    message = {"id": "msg", "type": "message", "model": "claude-x", "content": [], "stop_reason": "end_turn"}
    if not stream:
        return Answer.json({**message, "usage": usage})
    first = {key: usage[key] for key in usage if key != "iterations"} | {"output_tokens": 1}
    return sse(
        [
            {"type": "message_start", "message": {**message, "stop_reason": None, "usage": first}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        ],
        done=False,
    )


def _turn(kind: str, model: str | None, input_tokens: int, output_tokens: int) -> dict[str, Any]:
    counts = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    return {"type": kind, **counts, **({"model": model} if model else {})}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_advisor_is_a_record_of_its_own_under_the_call(traces: Captured, stream: bool) -> None:
    turns = [
        _turn("message", None, 1128, 110),
        _turn("advisor_message", "claude-opus-4-8", 2518, 22),
        _turn("advisor_message", "claude-opus-4-8", 9, 1),
        _turn("message", None, 1262, 11),
    ]
    usage = {"input_tokens": 2390, "output_tokens": 121, "inference_geo": "us", "iterations": turns}
    advised, again, own = call(traces, _CLAUDE, _claude(usage, stream))
    *within, around = traces.spans()
    for span in within:
        assert span.parent is not None
        assert around.context is not None
        assert span.parent.span_id == around.context.span_id
        assert (span.start_time, span.end_time) == (around.start_time, around.end_time)
    assert used(own) == {"input_tokens": 2390, "output_tokens": 121}
    assert used(advised) == {"input_tokens": 2518, "output_tokens": 22}
    assert used(again) == {"input_tokens": 9, "output_tokens": 1}
    for inner in (advised, again):
        attributes = inner["attributes"]
        assert inner["name"] == "chat claude-opus-4-8"
        assert attributes["llmtrace.inner_call"] == "advisor"
        assert attributes["gen_ai.request.model"] == attributes["gen_ai.response.model"] == "claude-opus-4-8"
        assert attributes["gen_ai.provider.name"] == own["attributes"]["gen_ai.provider.name"]
        assert attributes["llmtrace.response.service_tier"] == "us"
        assert "gen_ai.response.id" not in attributes


def test_a_span_processor_of_the_application_sees_the_advisor_too() -> None:
    processor = SimpleSpanProcessor(exporter := InMemorySpanExporter())
    usage = {
        "input_tokens": 5,
        "output_tokens": 2,
        "iterations": [_turn("advisor_message", "claude-opus-4-8", 9, 1)],
    }
    with capture(http_spans="none") as traces:
        running = llmtrace.api.lifecycle.current()
        assert running is not None
        assert isinstance(running.provider, TracerProvider)
        running.provider.add_span_processor(processor)
        call(traces, _CLAUDE, _claude(usage, False))
    advised, own = exporter.get_finished_spans()
    assert advised.parent is not None
    assert own.context is not None
    assert advised.parent.span_id == own.context.span_id
    assert advised.start_time == own.start_time
    assert (advised.attributes or {})["llmtrace.inner_call"] == "advisor"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("together", [True, False], ids=["totals of all", "totals of the answer"])
def test_a_fallback_is_the_model_that_answered(traces: Captured, stream: bool, together: bool) -> None:
    turns = [_turn("message", "claude-x", 100, 5), _turn("fallback_message", "claude-y", 110, 40)]
    totals = (210, 45) if together else (110, 40)
    usage = {"input_tokens": totals[0], "output_tokens": totals[1], "iterations": turns}
    spans = call(traces, _CLAUDE, _claude(usage, stream))
    own = spans[-1]
    assert own["attributes"]["gen_ai.request.model"] == "claude-x"
    assert own["attributes"]["gen_ai.response.model"] == "claude-y"
    assert used(own) == {"input_tokens": 110, "output_tokens": 40}
    declined = [(span["attributes"]["gen_ai.request.model"], used(span)) for span in spans[:-1]]
    assert declined == ([("claude-x", {"input_tokens": 100, "output_tokens": 5})] if together else [])


@pytest.mark.parametrize("named", [True, False])
def test_a_drawn_image_is_a_record_of_its_own(traces: Captured, named: bool) -> None:
    drawing = {"type": "image_generation", **({"model": "gpt-image-1"} if named else {})}
    image_gen = {
        "input_tokens": 50,
        "input_tokens_details": {"text_tokens": 30, "image_tokens": 20},
        "output_tokens": 1120,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": 1120},
    }
    body = {
        "status": "completed",
        "model": "m-1",
        "tools": [drawing],
        "output": [{"type": "image_generation_call"}],
        "tool_usage": {"image_gen": image_gen, "web_search": {"num_requests": 0}},
        "usage": {"input_tokens": 5, "output_tokens": 3},
    }
    drawn, own = call(traces, _RESPONSES, Answer.json(body))
    assert used(own) == {"input_tokens": 5, "output_tokens": 3, "image_generation_calls": 1}
    assert drawn["attributes"].get("gen_ai.request.model") == ("gpt-image-1" if named else None)
    assert drawn["attributes"]["gen_ai.operation.name"] == "generate_content"
    counts = used(drawn)
    assert (counts["input_tokens"], counts["output_tokens"]) == (50, 1120)
    assert (counts["image.input_tokens"], counts["image.output_tokens"]) == (20, 1120)


def test_an_image_of_an_answer_that_is_fetched_again_counts_once(traces: Captured) -> None:
    image_gen = {"input_tokens": 50, "output_tokens": 1120, "total_tokens": 1170}
    body = {
        "id": "resp_drawn",
        "status": "completed",
        "background": True,
        "model": "m-1",
        "output": [],
        "tool_usage": {"image_gen": image_gen},
        "usage": {"input_tokens": 5, "output_tokens": 3},
    }
    with ReplayServer(Answer.json(body)) as server, httpx.Client() as client:
        for _ in range(2):
            client.get(f"{server.url}/v1/responses/resp_drawn").read()
    operations = [span["attributes"]["gen_ai.operation.name"] for span in traces.snapshot()]
    assert operations == ["generate_content", "chat", "fetch_response"]


def test_no_drawing_is_no_record(traces: Captured) -> None:
    image_gen = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    body = {
        "status": "completed",
        "output": [],
        "tool_usage": {"image_gen": image_gen},
        "usage": {"input_tokens": 5, "output_tokens": 3},
    }
    (span,) = call(traces, _RESPONSES, Answer.json(body))
    assert used(span) == {"input_tokens": 5, "output_tokens": 3}


def test_bedrock_says_the_tier_in_the_body_or_in_a_header(traces: Captured) -> None:
    converse = ("/model/amazon.nova/converse", {"messages": [{"role": "user", "content": []}]})
    usage = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}
    (span,) = call(traces, converse, Answer.json({"usage": usage, "serviceTier": {"type": "flex"}}))
    assert span["attributes"]["llmtrace.response.service_tier"] == "flex"
    invoke = ("/model/amazon.titan/invoke", {"inputText": "hi", "textGenerationConfig": {}})
    headers = {"content-type": "application/json", "x-amzn-bedrock-service-tier": "priority"}
    answer = Answer(json.dumps({"inputTextTokenCount": 3, "results": []}).encode(), headers=headers)
    assert call(traces, invoke, answer)[-1]["attributes"]["llmtrace.response.service_tier"] == "priority"

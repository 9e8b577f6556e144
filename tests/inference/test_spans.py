"""Spans of real requests: the caller's context, every phase, times that fit together, and what is on them."""

from __future__ import annotations

import json
import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from llmtrace_inference.engine.interface import Chunk, Progress
from llmtrace_inference.settings import InferenceSettings
from llmtrace_inference.telemetry.phases import phases_of
from llmtrace_inference.telemetry.request_record import ChoiceRecord, RequestRecord
from tests.inference.fakes import FakeEngine
from tests.inference.running import Running, serving, wait_until

MODEL = "tiny-chat-m"
MESSAGES: Any = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Grüße – hello!"}]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_streamed_request_leaves_one_whole_trace(service: Running) -> None:
    before = time.time_ns()
    started = time.perf_counter()
    stream = service.client.chat.completions.create(
        model=MODEL,
        messages=MESSAGES,
        max_tokens=10,
        temperature=0.5,
        top_p=0.9,
        seed=3,
        stop=["never said"],
        stream=True,
        user="ada",
        metadata={"session_id": "s-1"},
        extra_headers={"traceparent": f"00-{TRACE}-{PARENT}-01"},
        extra_body={"top_k": 40, "ignore_eos": True},
    )
    chunks = list(stream)
    seconds = time.perf_counter() - started
    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    server, *children = service.request_spans(chunks[0].id)

    assert server.name == f"chat {MODEL}"
    assert server.kind is SpanKind.SERVER
    assert server.status.status_code is StatusCode.UNSET
    assert format(server.context.trace_id, "032x") == TRACE
    assert server.parent is not None
    assert format(server.parent.span_id, "016x") == PARENT
    assert server.parent.is_remote

    names = ["admission", "tokenize", "queue", "prefill", "decode", "handover", "detokenize", "respond"]
    assert [c.name for c in children] == names
    assert all(c.kind is SpanKind.INTERNAL for c in children)
    assert server.start_time is not None
    assert server.end_time is not None
    assert before <= server.start_time
    assert server.end_time <= time.time_ns()
    assert (server.end_time - server.start_time) / 1e9 <= seconds
    edge = server.start_time
    for child in children:
        assert child.start_time is not None
        assert child.end_time is not None
        assert edge <= child.start_time <= child.end_time <= server.end_time
        edge = child.end_time
    prefill, decode = children[3], children[4]
    assert prefill.end_time == decode.start_time
    assert prefill.end_time is not None
    assert decode.end_time is not None

    attributes = _attributes(server)
    measured = {
        key: attributes.pop(key)
        for key in list(attributes)
        if key.startswith("llmtrace.inference.") and isinstance(attributes[key], float)
    }
    first = attributes.pop("gen_ai.response.time_to_first_chunk")
    last = attributes.pop("llmtrace.response.time_to_last_token")
    first_byte = attributes.pop("llmtrace.response.time_to_first_byte")
    assert abs(last - (decode.end_time - server.start_time) / 1e9) < 1e-6
    # The first token is there before it is sent.
    assert first <= first_byte <= (server.end_time - server.start_time) / 1e9
    assert first == measured["llmtrace.inference.time_to_first_token"]
    assert abs(first - (prefill.end_time - server.start_time) / 1e9) < 1e-6
    per_token = (decode.end_time - prefill.end_time) / 1e9 / 9
    assert abs(measured["llmtrace.inference.time_per_output_token"] - per_token) < 1e-6
    assert measured["llmtrace.inference.batch_size.mean"] == 1.0
    assert json.loads(attributes.pop("gen_ai.input.messages")) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Grüße – hello!"}]},
    ]
    assert json.loads(attributes.pop("gen_ai.output.messages")) == [
        {"role": "assistant", "parts": [{"type": "text", "content": text}]}
    ]
    prompt = attributes.pop("gen_ai.usage.input_tokens")
    assert prompt == service.engine(MODEL).tokenizer.encode_chat(MESSAGES).__len__()
    blocks = -(-(prompt + 10) // 16)
    assert attributes.pop("llmtrace.inference.kv.blocks_used") >= -(-prompt // 16)
    assert f"http://127.0.0.1:{attributes.pop('server.port')}" == service.url
    assert len(server.links) <= 1
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "llmtrace",
        "gen_ai.request.model": MODEL,
        "gen_ai.request.max_tokens": 10,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.top_k": 40,
        "gen_ai.request.seed": 3,
        "gen_ai.request.stop_sequences": ["never said"],
        "gen_ai.request.stream": True,
        "gen_ai.response.model": MODEL,
        "gen_ai.response.id": chunks[0].id,
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "user.id": "ada",
        "session.id": "s-1",
        "server.address": "127.0.0.1",
        "url.path": "/v1/chat/completions",
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "llmtrace.inference.key": "anybody",
        "llmtrace.inference.engine": "transformers-continuous-batching",
        "llmtrace.inference.dtype": "float32",
        "llmtrace.inference.quantisation": "none",
        "llmtrace.inference.model.version": "tiny-chat-m-v4",
        "llmtrace.inference.model.weights_hash": service.engine(MODEL).info.weights_hash,
        "llmtrace.inference.device": "cpu",
        "llmtrace.inference.attention": "sdpa-per-sequence",
        "llmtrace.inference.model.parameters": service.engine(MODEL).info.parameters,
        "llmtrace.inference.queue.depth": 0,
        "llmtrace.inference.cached_tokens": 0,
        "llmtrace.inference.batch_size.max": 1,
        "llmtrace.inference.steps": 10,
        "llmtrace.inference.preemptions": 0,
        "llmtrace.inference.kv.blocks_reserved": blocks,
        "llmtrace.inference.kv.blocks_total": 1024,
        "llmtrace.inference.stop_reason": "length",
    }
    assert _attributes(prefill) == {
        "llmtrace.inference.prefill.tokens": prompt,
        "llmtrace.inference.prefill.chunk": 0,
        "llmtrace.inference.prefill.batch_size": 1,
        "llmtrace.inference.cached_tokens": 0,
    }


def test_the_docs_walk_through_every_phase_and_number_of_a_real_trace(service: Running) -> None:
    docs = Path(__file__).parents[2] / "docs"
    walk = (docs / "inference.md").read_text().split("### A trace, number by number")[1].split("\n### ")[0]
    pictures = re.findall(r"\]\((images/[^)]+)\)", walk)
    assert len(pictures) == 2
    assert all((docs / picture).stat().st_size < 200_000 for picture in pictures)
    answer = service.client.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=6, extra_body={"ignore_eos": True}
    )
    server, *children = service.request_spans(answer.id)
    assert [child.name for child in children if f"- `{child.name}`, " not in walk] == []
    ours = {name for span in (server, *children) for name in _attributes(span)}
    own = {name.removeprefix("llmtrace.inference.") for name in ours if name.startswith("llmtrace.")}
    assert [name for name in own if f"`{name}`" not in walk] == []


def test_long_prompts_show_their_chunks_and_what_the_cache_saved(service: Running) -> None:
    long: Any = [{"role": "user", "content": "One story about a small river. " * 120}]
    ask = service.client.chat.completions.create
    for cached in (False, True):
        answer = ask(model=MODEL, messages=long, max_tokens=2)
        server, *children = service.request_spans(answer.id)
        passes = [c for c in children if c.name == "prefill"]
        prefills = [_attributes(c) for c in passes]
        prompt = _attributes(server)["gen_ai.usage.input_tokens"]
        saved = _attributes(server)["gen_ai.usage.cache_read.input_tokens"]
        assert prompt > 600
        assert (saved > prompt - 32) if cached else (saved < 32)
        assert sum(p["llmtrace.inference.prefill.tokens"] for p in prefills) == prompt - saved
        assert [p["llmtrace.inference.prefill.chunk"] for p in prefills] == list(range(len(prefills)))
        assert len(prefills) == (1 if cached else -(-prompt // 512))
        for earlier, following in pairwise(passes):
            assert earlier.end_time is not None
            assert following.start_time is not None
            assert earlier.end_time <= following.start_time


@pytest.mark.parametrize("stream", [False, True])
def test_phases_sum_to_the_request(service: Running, stream: bool) -> None:
    """Each phase by its own readings; what lies between two of them is under two per cent of the whole."""
    shares = []
    for _ in range(5):
        body = {"model": MODEL, "messages": MESSAGES, "max_tokens": 150, "ignore_eos": True, "stream": stream}
        text = httpx.post(f"{service.url}/v1/chat/completions", json=body, timeout=60).text
        answer = json.loads(text.split("\n")[0].removeprefix("data: "))
        server, *children = service.request_spans(answer["id"])
        spent = sum((c.end_time or 0) - (c.start_time or 0) for c in children)
        shares.append(spent / ((server.end_time or 0) - (server.start_time or 0)))
    # The best of five: on a busy machine the thread may be put aside between two readings.
    assert min(abs(1 - share) for share in shares) < 0.02
    assert all(share < 1.02 for share in shares)


def test_no_phase_is_what_the_others_leave_over() -> None:
    """Readings with gaps between them: the gaps stay gaps."""
    begin = 1_000_000
    progress = Progress(begin + 20, begin + 30, begin + 55, begin + 90, steps=3, prefilled=True)
    progress.prefill_chunks = [Chunk(begin + 32, 5, 1, begin + 40), Chunk(begin + 43, 3, 1, begin + 54)]
    choice = ChoiceRecord(
        progress,
        3,
        "hello",
        finish_reason="length",
        detokenize_from_ns=begin + 95,
        detokenize_to_ns=begin + 96,
    )
    record = RequestRecord(
        {},
        arrived_ns=begin,
        tokenize_from_ns=begin + 5,
        tokenize_to_ns=begin + 10,
        choices=(choice,),
        ended_ns=begin + 100,
    )
    assert [(p.name, p.start_ns - begin, p.end_ns - begin) for p in phases_of(record)] == [
        ("admission", 0, 5),
        ("tokenize", 5, 10),
        ("queue", 20, 30),
        ("prefill", 32, 40),
        ("prefill", 43, 55),
        ("decode", 55, 90),
        ("handover", 90, 95),
        ("detokenize", 95, 96),
        ("respond", 96, 100),
    ]


def test_inter_token_latency_and_sampled_steps(service: Running) -> None:
    answer = service.client.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=250, extra_body={"ignore_eos": True}
    )
    server, *_ = service.request_spans(answer.id)
    attributes = _attributes(server)
    gaps = [attributes[f"llmtrace.inference.inter_token_latency.{q}"] for q in ("p50", "p95", "max")]
    assert 0 < gaps[0] <= gaps[1] <= gaps[2]
    assert attributes["llmtrace.inference.engine_seconds"] > 0
    assert 2 <= len(server.links) <= 3, "every hundredth step has a span, and 250 or so steps were taken"
    by_id = {s.context.span_id: s for s in service.exporter.get_finished_spans()}
    for link in server.links:
        step = by_id[link.context.span_id]
        assert step.name == "engine step"
        assert step.parent is None
        assert _attributes(step)["llmtrace.inference.batch_size"] >= 1
        assert server.start_time is not None
        assert step.start_time is not None
        assert server.start_time <= step.start_time


def test_requests_that_share_batches_say_so(service: Running) -> None:
    streams = [
        service.client.chat.completions.create(
            model=MODEL, messages=MESSAGES, max_tokens=60, stream=True, extra_body={"ignore_eos": True}
        )
        for _ in range(4)
    ]
    ids = [list(stream)[0].id for stream in streams]  # noqa: RUF015 - read to the end
    sizes = [_attributes(service.request_spans(i)[0])["llmtrace.inference.batch_size.max"] for i in ids]
    assert max(sizes) >= 2
    assert max(sizes) <= 4


def test_refused_requests_are_errors_with_their_reason(service: Running) -> None:
    service.exporter.clear()
    httpx.post(f"{service.url}/v1/chat/completions", json={"model": MODEL, "messages": MESSAGES, "n": 30})
    wait_until(lambda: len(service.exporter.get_finished_spans()) == 2)
    by_name = {s.name: s for s in service.exporter.get_finished_spans()}
    assert set(by_name) == {f"chat {MODEL}", "admission"}
    server = by_name[f"chat {MODEL}"]
    assert server.status.status_code is StatusCode.ERROR
    assert "'n'" in (server.status.description or "")
    assert _attributes(server)["error.type"] == "invalid_value"
    assert _attributes(server)["http.response.status_code"] == 400


def test_capture_and_its_former_name() -> None:
    def recorded(**fields: Any) -> bool:
        return InferenceSettings.model_validate({"models": {"fake": "x"}, **fields}).records_content

    assert recorded()
    assert recorded(capture="all")
    assert not recorded(capture="none")
    assert not recorded(capture_content=False)
    assert recorded(capture_content=True)
    assert recorded(capture="messages", capture_content=False)
    assert not recorded(capture="none", capture_content=True)


def test_an_unsampled_parent_and_no_capture_are_honoured() -> None:
    with serving(
        InferenceSettings(models={"fake": "x"}, capture="none"), load=lambda *_: FakeEngine()
    ) as quiet:
        body = {"model": "fake", "messages": [{"role": "user", "content": "secret"}]}
        url = f"{quiet.url}/v1/chat/completions"
        httpx.post(url, json=body, headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
        httpx.post(url, json=body)
        wait_until(lambda: any(s.kind is SpanKind.SERVER for s in quiet.exporter.get_finished_spans()))
        spans = quiet.exporter.get_finished_spans()
        assert len([s for s in spans if s.kind is SpanKind.SERVER]) == 1
        assert "secret" not in str([_attributes(s) for s in spans])

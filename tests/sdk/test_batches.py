"""Batches: what is done with them are steps, their results are calls, each of them once."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import anthropic
import httpx
import openai
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from mistralai.client import Mistral

import llmtrace
from llmtrace.capture import interceptor
from llmtrace.testing import Answer, Captured, ReplayServer, capture
from llmtrace.testing.replay import Received
from llmtrace.wire import registry
from llmtrace.wire.batch_results import TRACED_HEADER
from tests.endpoints import batch_samples as samples

CHAT: Any = "/v1/chat/completions"
FILE = "/v1/files/file-out/content"


def _lines(count: int = 3, start: int = 0) -> list[Any]:
    return [samples.openai_line(number, samples.chat_body(number)) for number in range(start, start + count)]


def _results(traces: Captured) -> list[dict[str, Any]]:
    """The spans of results."""
    return [span for span in traces.snapshot() if "llmtrace.batch.custom_id" in span["attributes"]]


def _counts(traces: Captured) -> list[tuple[int, int, int, int]]:
    """Received, recorded, repeated and uncounted, of each answer with results."""
    keys = [f"llmtrace.batch.results.{word}" for word in ("received", "recorded", "repeated", "uncounted")]
    return [
        tuple(span["attributes"][key] for key in keys)
        for span in traces.snapshot()
        if keys[0] in span["attributes"]
    ]


def _serving(results: Iterable[Any], **batch: Any) -> ReplayServer:
    return ReplayServer(respond=samples.files(lambda _: samples.openai_batch(**batch), results))


def _client(server: ReplayServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key="k", max_retries=0)


def test_what_a_batch_and_its_results_say(traces: Captured) -> None:
    with _serving(_lines(1)) as server, _client(server) as client:
        client.batches.create(input_file_id="file-in", endpoint=CHAT, completion_window="24h")
        client.batches.retrieve("batch_1")
        with llmtrace.context(user_id="u-1", tags=["night"]):
            client.files.content("file-out").read()
        spans = {span["name"].split()[0]: span for span in traces.snapshot() if span["name"] != "GET"}
    assert sorted(spans) == ["chat", "create_batch", "fetch_batch", "fetch_batch_results"]
    poll = spans["fetch_batch"]["attributes"]
    assert poll["llmtrace.batch.status"] == "completed"
    assert (poll["llmtrace.batch.requests"], poll["llmtrace.batch.ended_at"]) == (3, samples.ENDED_AT)
    assert not any(".usage." in key for key in poll)
    result = spans["chat"]["attributes"]
    assert spans["chat"]["name"] == "chat gpt-4o-mini-2024-07-18"
    assert result["gen_ai.usage.input_tokens"] == 12
    assert result["gen_ai.response.id"] == "chatcmpl-0"
    assert result["gen_ai.response.finish_reasons"] == ["stop"]
    assert json.loads(result["gen_ai.output.messages"])[0]["parts"][0]["content"] == "Hi"
    assert result["llmtrace.response.service_tier"] == "batch"
    assert result["llmtrace.batch.id"] == "batch_1"
    assert result["llmtrace.batch.custom_id"] == "q-0"
    assert (result["user.id"], result["gen_ai.provider.name"]) == ("u-1", "openai")


def test_content_is_recorded_as_elsewhere() -> None:
    secret = samples.chat_body(0)
    secret["choices"][0]["message"]["content"] = "my key is sk-proj-" + "a1B2" * 12
    with _serving([samples.openai_line(0, secret)]) as server:
        for level, is_there in (("messages", True), ("none", False)):
            with capture(capture=level) as traces, _client(server) as client:
                client.files.content("file-out").read()
                (result,) = _results(traces)
            assert ("gen_ai.output.messages" in result["attributes"]) == is_there
            assert "a1B2a1B2" not in str(result)


def _whole(url: str) -> None:
    httpx.get(url)


def _streamed(url: str) -> None:
    with httpx.stream("GET", url) as response:
        list(response.iter_lines())


def _of_requests(url: str) -> None:
    with requests.get(url, stream=True, timeout=9) as response:
        list(response.iter_lines())


def _whole_of_requests(url: str) -> None:
    assert requests.get(url, timeout=9).content


def _asynchronously(url: str) -> None:
    async def read() -> None:
        async with httpx.AsyncClient() as client, client.stream("GET", url) as response:
            _ = [line async for line in response.aiter_lines()]

    asyncio.run(read())


def _of_aiohttp(url: str) -> None:
    import aiohttp

    async def read() -> None:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            await response.read()

    asyncio.run(read())


READERS = [_whole, _streamed, _of_requests, _whole_of_requests, _asynchronously, _of_aiohttp]


@pytest.mark.parametrize("is_zipped", [False, True])
@pytest.mark.parametrize("read", READERS)
def test_every_way_to_read_gives_the_same_spans(
    traces: Captured, read: Callable[[str], None], is_zipped: bool
) -> None:
    """Cut into pieces anywhere, compressed or not."""
    body = samples.lines(_lines(50)).body
    answer = Answer(body, headers=samples.JsonLines)
    if is_zipped:
        body = gzip.compress(body)
        pieces = [body[start : start + 777] for start in range(0, len(body), 777)]
        answer = Answer(headers={**samples.JsonLines, "content-encoding": "gzip"}, chunks=pieces)
    with ReplayServer(answer) as server:
        read(server.url + FILE)
        read(server.url + FILE)
    assert _counts(traces) == [(50, 50, 0, 0), (50, 0, 50, 0)]
    spans = [span for span in traces.spans() if "llmtrace.batch.custom_id" in (span.attributes or {})]
    with capture() as others, ReplayServer(answer) as server:
        httpx.get(server.url + FILE)
        again = [span for span in others.spans() if "llmtrace.batch.custom_id" in (span.attributes or {})]
    assert [_identity(span) for span in spans] == [_identity(span) for span in again]
    assert len({span[0] for span in map(_identity, spans)}) == 50


def _identity(span: Any) -> tuple[int, int, int, int]:
    context = span.get_span_context()
    return context.trace_id, context.span_id, span.start_time, span.end_time


def test_times_are_those_of_the_answers(traces: Captured) -> None:
    """The answer's own, else the end of the batch where this process has asked for it, else now."""
    undated = samples.openai_line(1, samples.embedding_body())
    absurd = samples.openai_line(2, samples.chat_body(2, created=1))
    with _serving([*_lines(1), undated, absurd]) as server, _client(server) as client:
        client.files.content("file-out").read()
        dated, *others = (_identity(span)[2] / 1e9 for span in _spans(traces))
        assert dated == samples.ENDED_AT - 60
        assert all(time > samples.ENDED_AT + 80_000 for time in others)
    with capture() as later, _serving([*_lines(1), undated, absurd]) as server, _client(server) as client:
        client.batches.retrieve("batch_1")
        client.files.content("file-out").read()
        times = [_identity(span)[2] / 1e9 for span in _spans(later)]
    assert times == [samples.ENDED_AT - 60, samples.ENDED_AT, samples.ENDED_AT]


def _spans(traces: Captured) -> list[Any]:
    return [span for span in traces.spans() if "llmtrace.batch.custom_id" in (span.attributes or {})]


def test_an_abandoned_download_counts_what_came_and_the_rest_when_it_is_read_again(traces: Captured) -> None:
    chunks = [json.dumps(line).encode() + b"\n" for line in _lines(6)]
    answer = Answer(headers=samples.JsonLines, chunks=[*chunks[:3], chunks[3][:40]], cut=True)
    with ReplayServer(answer) as server:
        with pytest.raises(httpx.RemoteProtocolError), httpx.stream("GET", server.url + FILE) as response:
            list(response.iter_lines())
        with httpx.stream("GET", server.url + FILE) as response:
            next(response.iter_lines())
        server.answer_with(Answer(b"".join(chunks), headers=samples.JsonLines))
        httpx.get(server.url + FILE)
    first, left, whole = _counts(traces)
    assert first == (3, 3, 0, 0)
    assert left[1:] == (0, left[0], 0)
    assert whole == (6, 3, 3, 0)
    assert len(_results(traces)) == 6
    abandoned = [span["attributes"].get("llmtrace.stream.abandoned") for span in traces.snapshot()]
    assert abandoned.count(True) == 1


@pytest.mark.parametrize("place", [0, 1, 25, 200, 401])
def test_ranges_one_after_the_other_lose_no_line(traces: Captured, place: int) -> None:
    body = samples.lines(_lines(4)).body

    def respond(request: Received) -> Answer:
        start, end = map(int, request.headers["range"].removeprefix("bytes=").split("-"))
        headers = {**samples.JsonLines, "content-range": f"bytes {start}-{end}/{len(body)}"}
        return Answer(body[start : end + 1], status=206, headers=headers)

    with ReplayServer(respond=respond) as server:
        for start, end in ((0, place), (place + 1, place + 500), (place + 501, len(body) - 1)):
            httpx.get(server.url + FILE, headers={"range": f"bytes={start}-{end}"})
    assert sorted(span["attributes"]["llmtrace.batch.custom_id"] for span in _results(traces)) == [
        f"q-{number}" for number in range(4)
    ]


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages": []}\n' * 500,
        b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n' * 3,
        b"PK\x03\x04 no text",
        b"",
        b'{"custom_id": 7, "response": 1}',
        b'{"custom_id"',
    ],
)
def test_other_files_have_no_span(traces: Captured, body: bytes) -> None:
    with ReplayServer(Answer(body, headers=samples.JsonLines)) as server:
        for read in (_whole, _streamed):
            read(server.url + FILE)
        httpx.get(server.url + "/v1/batches/7")  # an API of somebody's own
    assert [span["name"] for span in traces.snapshot() if span["name"] != "GET"] == []


def test_failures_are_errors_without_usage(traces: Captured) -> None:
    fault = {"error": {"message": "no such model", "type": "invalid_request_error", "code": "missing"}}
    never = {"code": "batch_expired", "message": "not run within 24 hours"}
    file = [samples.openai_line(0, fault, 404), samples.openai_line(1, None, error=never)]
    with _serving(file) as server, _client(server) as client:
        client.files.content("file-out").read()
    spans = _results(traces)
    assert [span["attributes"]["error.type"] for span in spans] == ["missing", "batch_expired"]
    assert [span["status"] for span in spans] == [
        ("ERROR", "no such model"),
        ("ERROR", "not run within 24 hours"),
    ]
    assert not any(".usage." in key for span in spans for key in span["attributes"])


def test_asynchronous_clients(traces: Captured) -> None:
    async def read_openai(url: str) -> None:
        async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="k", max_retries=0) as client:
            await client.batches.retrieve("batch_1")
            assert (await client.files.content("file-out")).text.count("\n") == 3
            async with client.files.with_streaming_response.content("file-out") as response:
                assert len([line async for line in response.iter_lines()]) == 3

    async def read_mistral(url: str) -> None:
        async with Mistral(api_key="k", server_url=url) as client:
            await client.batch.jobs.get_async(job_id="b7f2")
            answer = await client.files.download_async(file_id="file-out")
            assert len((await answer.aread()).splitlines()) == 3

    with _serving(_lines()) as server:
        asyncio.run(read_openai(server.url))
    lines = [samples.openai_line(number, samples.chat_body(number + 10)) for number in range(3)]
    respond = samples.files(lambda _: samples.mistral_job(), lines)
    with ReplayServer(provider="mistral_ai", respond=respond) as server:
        asyncio.run(read_mistral(server.url))
    assert _counts(traces) == [(3, 3, 0, 0), (3, 0, 3, 0), (3, 3, 0, 0)]
    assert [result["attributes"]["llmtrace.batch.id"] for result in _results(traces)] == [
        *["batch_1"] * 3,
        *["b7f2"] * 3,
    ]


def test_message_batches(traces: Captured) -> None:
    results = [samples.anthropic_line(0), *samples.ANTHROPIC_FAULTS]

    def respond(request: Received) -> Answer:
        if request.path.endswith("/results"):
            return samples.lines(results)
        return Answer.json(samples.anthropic_batch(f"http://{request.headers['host']}"))

    async def read_async(url: str) -> int:
        async with anthropic.AsyncAnthropic(base_url=url, api_key="k") as client:
            return len([line async for line in await client.messages.batches.results("msgbatch_1")])

    with ReplayServer(respond=respond) as server:
        with anthropic.Anthropic(base_url=server.url, api_key="k") as client:
            assert len(list(client.messages.batches.results("msgbatch_1"))) == 3
        assert asyncio.run(read_async(server.url)) == 3
    assert _counts(traces) == [(3, 3, 0, 0), (3, 0, 3, 0)]
    spans = _spans(traces)
    assert [span.attributes.get("error.type") for span in spans] == [None, "invalid_request_error", "expired"]
    assert {_identity(span)[2] // 10**9 for span in spans} == {samples.ENDED_AT}


@pytest.mark.parametrize("keys", [("a", "b"), ("", "")])
def test_results_within_a_poll_and_in_a_file_are_the_same(traces: Captured, keys: tuple[str, str]) -> None:
    answers = [samples.gemini_answer(number) for number in range(2)]
    within = [
        {"response": answer, **({"metadata": {"key": key}} if key else {})}
        for answer, key in zip(answers, keys, strict=True)
    ]
    output = {"inlinedResponses": {"inlinedResponses": within}}
    file = [
        {"response": answer, **({"key": key} if key else {})}
        for answer, key in zip(answers, keys, strict=True)
    ]
    respond = samples.files(lambda _: samples.gemini_operation(output), file, ":download")
    with ReplayServer(respond=respond) as server:
        httpx.get(f"{server.url}/v1beta/batches/b1")
        httpx.get(f"{server.url}/download/v1beta/files/f:download?alt=media")
    assert _counts(traces) == [(2, 2, 0, 0), (2, 0, 2, 0)]
    result = _results(traces)[0]["attributes"]
    assert (result["gen_ai.request.model"], result["gen_ai.usage.output_tokens"]) == ("gemini-2.5-flash", 3)


def test_what_the_server_has_traced_itself_is_not_counted_again(traces: Captured) -> None:
    answer = Answer(samples.lines(_lines(4)).body, headers={**samples.JsonLines, TRACED_HEADER: "traced"})
    with ReplayServer(answer) as server:
        _whole(server.url + FILE)
    assert _counts(traces) == [(4, 0, 4, 0)]
    assert not _results(traces)


def test_what_there_is_no_room_for_is_said(traces: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that were cut by a part that was dropped are lost with it; all others are recorded."""
    runtime = interceptor.current_runtime()
    assert runtime is not None
    queue, submitted = runtime.delivery_worker._queue, 0
    add_call = queue.add_call

    def with_too_little_room(call: Any) -> int:
        nonlocal submitted
        submitted += 1
        closed, queue.is_closed = queue.is_closed, submitted in (2, 3, 6)
        try:
            return add_call(call)
        finally:
            queue.is_closed = closed

    monkeypatch.setattr("llmtrace.capture.received_results.PART_BYTES", 4096)
    monkeypatch.setattr(queue, "add_call", with_too_little_room)
    body = samples.lines(_lines(100)).body
    chunks = [body[start : start + 1000] for start in range(0, len(body), 1000)]
    before = runtime.delivery_worker.stats()
    with ReplayServer(Answer(headers=samples.JsonLines, chunks=chunks)) as server:
        _streamed(server.url + FILE)
    ((received, recorded, repeated, uncounted),) = _counts(traces)
    assert (received, repeated) == (100, 0)
    assert recorded == 100 - uncounted == len(_results(traces))
    stats = runtime.delivery_worker.stats()
    assert stats.dropped - before.dropped == pytest.approx(uncounted, abs=3)


@given(st.data())
def test_no_answer_breaks_a_poll_or_a_result(data: st.DataObject) -> None:
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=3), inner, max_size=4)
        ),
        max_leaves=12,
    )
    value = data.draw(json_values)
    for wire_format in registry.FORMATS:
        if wire_format.batch is not None:
            asked = wire_format.request(value, "/v1/batches/b", True)
            answered = wire_format.response(value, True)
            assert all(
                key.startswith(("gen_ai.", "llmtrace.")) for key in (asked.attributes | answered.attributes)
            )
            for result in (value, *wire_format.batch.inlined(value)):
                wire_format.batch.result(result)


FIELDS: Sequence[str] = (
    "custom_id",
    "response",
    "error",
    "body",
    "status_code",
    "result",
    "type",
    "message",
    "key",
    "metadata",
    "inlinedResponses",
    "output",
    "state",
    "batchStats",
    "requestCount",
    "object",
    "input_files",
    "request_counts",
    "processing_status",
    "ended_at",
    "embedding",
    "tokenCount",
    "data",
)

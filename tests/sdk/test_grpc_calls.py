"""Calls over gRPC, against a server of gRPC: what is recorded, and that the caller gets what it would."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
import grpc.experimental
import httpx
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.sdk.trace import ReadableSpan

import llmtrace
from llmtrace import semconv
from llmtrace.testing import Answer, Captured, ReplayServer, sse
from tests.grpc_messages import GEMINI, OTHER, TRITON, VERTEX, XAI
from tests.grpc_services import Method, Service, serving

CHAT, CHUNKS = "/xai_api.Chat/GetCompletion", "/xai_api.Chat/GetCompletionChunk"
INFER = "/inference.GRPCInferenceService/ModelStreamInfer"
GATHER = "/example.Models/Gather"
TELL, PLAIN = "/example.Models/Tell", "/example.Other/Say"
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
USAGE = XAI.SamplingUsage(
    prompt_tokens=12, completion_tokens=5, reasoning_tokens=7, total_tokens=24, cached_prompt_text_tokens=4
)
ASKED = XAI.GetCompletionsRequest(
    model="grok-4", messages=[XAI.Message(role="ROLE_USER", content=[XAI.Content(text="Hello")])]
)
TOKENS = {
    semconv.USAGE_INPUT_TOKENS: 12,
    semconv.USAGE_OUTPUT_TOKENS: 12,
    semconv.USAGE_REASONING_OUTPUT_TOKENS: 7,
    semconv.USAGE_CACHE_READ_INPUT_TOKENS: 4,
}


def answered(text: str = "Hi") -> Any:
    output = XAI.CompletionOutput(
        finish_reason="REASON_STOP", message=XAI.CompletionMessage(content=text, role="ROLE_ASSISTANT")
    )
    return XAI.GetChatCompletionResponse(id="r-1", model="grok-4-0709", outputs=[output], usage=USAGE)


def chunks(count: int = 3) -> Iterator[Any]:
    for index in range(count):
        delta = XAI.Delta(content=f"{index} ", role="ROLE_ASSISTANT")
        yield XAI.GetChatCompletionChunk(
            id="r-2", model="grok-4-0709", outputs=[XAI.CompletionOutputChunk(delta=delta)]
        )
    last = XAI.CompletionOutputChunk(finish_reason="REASON_STOP")
    yield XAI.GetChatCompletionChunk(id="r-2", outputs=[last], usage=USAGE)


def chat(answer: Callable[[Any, Any], Any] = lambda request, context: answered()) -> Method:
    return Method(XAI.GetCompletionsRequest, XAI.GetChatCompletionResponse, answer)


def stream(answer: Callable[[Any, Any], Any] = lambda request, context: chunks()) -> Method:
    return Method(XAI.GetCompletionsRequest, XAI.GetChatCompletionChunk, answer, streams=True)


def infer(requests: Iterator[Any], context: Any) -> Iterator[Any]:
    for request in requests:
        response = TRITON.ModelInferResponse(model_name=request.model_name, model_version="1")
        yield TRITON.ModelStreamInferResponse(infer_response=response)


def gather(requests: Iterator[Any], context: Any) -> Any:
    texts = [request.text for request in requests]
    return OTHER.Gathered(
        text="".join(texts),
        model="m-1",
        usage=OTHER.Usage(input_tokens=len(texts), output_tokens=2, cached_tokens=1),
    )


METHODS = {
    CHAT: chat(),
    CHUNKS: stream(),
    INFER: Method(TRITON.ModelInferRequest, TRITON.ModelStreamInferResponse, infer, True, True),
    GATHER: Method(OTHER.Asked, OTHER.Gathered, gather, streams_request=True),
    TELL: Method(
        OTHER.Asked,
        OTHER.Answered,
        lambda request, context: OTHER.Answered(usage=OTHER.Usage(input_tokens=3, output_tokens=2)),
    ),
    PLAIN: Method(OTHER.Asked, OTHER.Plain, lambda request, context: OTHER.Plain(text=request.text)),
    EXPORT: Method(
        trace_service_pb2.ExportTraceServiceRequest,
        trace_service_pb2.ExportTraceServiceResponse,
        lambda request, context: trace_service_pb2.ExportTraceServiceResponse(),
    ),
}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(METHODS) as service:
        yield service


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def only(traces: Captured, count: int = 1) -> dict[str, Any]:
    """The last span, of so many; a call's status can come a moment after its answer."""
    deadline = time.monotonic() + 10
    while len(spans := traces.spans()) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(spans) == count
    return said(spans[-1])


def asked_of(service: Service, path: str, channel: Any) -> Any:
    return service.stub(channel, path)


CALLS: dict[str, Callable[[Any], Any]] = {
    "call": lambda stub: stub(ASKED),
    "by name": lambda stub: stub(request=ASKED, timeout=5, metadata=(("x-api-key", "secret-key-1"),)),
    "with_call": lambda stub: stub.with_call(ASKED)[0],
    "future": lambda stub: stub.future(ASKED).result(),
}


@pytest.mark.parametrize("way", CALLS)
def test_one_answer(service: Service, traces: Captured, way: str) -> None:
    with grpc.insecure_channel(service.target) as channel:
        assert CALLS[way](service.stub(channel, CHAT)) == answered()
    attributes = only(traces)
    assert TOKENS.items() <= attributes.items()
    host, _, port = service.target.rpartition(":")
    assert attributes[semconv.PROVIDER_NAME] == "x_ai"
    assert attributes[semconv.REQUEST_MODEL] == "grok-4"
    assert attributes[semconv.RESPONSE_MODEL] == "grok-4-0709"
    assert attributes[semconv.RPC_METHOD] == CHAT[1:]
    assert attributes[semconv.RPC_RESPONSE_STATUS_CODE] == "OK"
    assert (attributes[semconv.SERVER_ADDRESS], attributes[semconv.SERVER_PORT]) == (host, int(port))
    assert semconv.HTTP_RESPONSE_STATUS_CODE not in attributes
    assert "Hello" in attributes[semconv.INPUT_MESSAGES]
    assert "Hi" in attributes[semconv.OUTPUT_MESSAGES]
    assert (semconv.ACCOUNT in attributes) is (way == "by name")


@pytest.mark.parametrize("options", [(), ((grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),)])
def test_stream(service: Service, traces: Captured, options: Any) -> None:
    with grpc.insecure_channel(service.target, options=options) as channel:
        assert list(service.stub(channel, CHUNKS)(ASKED)) == list(chunks())
    attributes = only(traces)
    assert TOKENS.items() <= attributes.items()
    assert attributes[semconv.REQUEST_STREAM] is True
    assert attributes[semconv.RESPONSE_FINISH_REASONS] == ["stop"]
    assert (
        0
        < attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK]
        <= attributes[semconv.RESPONSE_TIME_TO_LAST_TOKEN]
    )
    assert "0 1 2 " in attributes[semconv.OUTPUT_MESSAGES]


def test_requests_that_are_streams(service: Service, traces: Captured) -> None:
    requests = [OTHER.Asked(model="m", text=text) for text in "abc"]
    inputs = [TRITON.ModelInferRequest(model_name="resnet", raw_input_contents=[b"0"])]
    with grpc.insecure_channel(service.target) as channel:
        gathering = service.stub(channel, GATHER)
        assert gathering(iter(requests)).text == "abc"
        assert gathering.with_call(iter(requests))[0].text == "abc"
        assert gathering.future(iter(requests)).result().text == "abc"
        gathered = only(traces, 3)
        assert len(list(service.stub(channel, INFER)(iter(inputs)))) == 1
    inferred = only(traces, 4)
    assert (gathered[semconv.REQUEST_MODEL], gathered[semconv.RESPONSE_MODEL]) == ("m", "m-1")
    assert [
        gathered[key]
        for key in (
            semconv.USAGE_INPUT_TOKENS,
            semconv.USAGE_OUTPUT_TOKENS,
            semconv.USAGE_CACHE_READ_INPUT_TOKENS,
        )
    ] == [3, 2, 1]
    assert gathered[semconv.PROVIDER_NAME] == "unknown"
    assert (inferred[semconv.REQUEST_MODEL], inferred[semconv.RESPONSE_MODEL]) == ("resnet", "resnet:1")
    assert (inferred[semconv.USAGE_INPUT_TOKENS], inferred[semconv.USAGE_OUTPUT_TOKENS]) == (0, 0)
    assert semconv.RESPONSE_FINISH_REASONS not in inferred


def test_asyncio(service: Service, traces: Captured) -> None:
    async def calls() -> None:
        async with grpc.aio.insecure_channel(service.target) as channel:
            assert await service.stub(channel, CHAT)(ASKED) == answered()
            assert [chunk async for chunk in service.stub(channel, CHUNKS)(ASKED)] == list(chunks())
            assert (await service.stub(channel, GATHER)(iter([OTHER.Asked(model="m", text="a")]))).text == "a"
            both = service.stub(channel, INFER)()
            await both.write(TRITON.ModelInferRequest(model_name="resnet"))
            await both.done_writing()
            assert await both.read() is not grpc.aio.EOF
            assert await both.read() is grpc.aio.EOF

    asyncio.run(calls())
    only(traces, 4)
    single, streamed, gathered, inferred = map(said, traces.spans())
    assert TOKENS.items() <= single.items()
    assert TOKENS.items() <= streamed.items()
    assert streamed[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] > 0
    assert gathered[semconv.USAGE_INPUT_TOKENS] == 1
    assert inferred[semconv.REQUEST_MODEL] == "resnet"
    assert {call[semconv.SERVER_PORT] for call in (single, streamed, gathered, inferred)} == {
        int(service.target.rpartition(":")[2])
    }


CONTENT = {
    "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
    "systemInstruction": {"parts": [{"text": "Be kind."}]},
    "generationConfig": {"temperature": 0.5, "maxOutputTokens": 9},
}
CANDIDATE = {
    "content": {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": [1.5, None, "x"]}}}]},
    "finishReason": "STOP",
}
GENERATED = {
    "candidates": [CANDIDATE],
    "usageMetadata": {
        "promptTokenCount": 12, "candidatesTokenCount": 5, "totalTokenCount": 20, "thoughtsTokenCount": 3,
        "cachedContentTokenCount": 4, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
    },
    "modelVersion": "gemini-2.5-pro",
    "responseId": "g-1",
}  # fmt: skip
VERTEX_MODEL = "projects/p/locations/us-central1/publishers/google/models/gemini-2.5-pro"
TRANSPORT = (
    "server.",
    "rpc.",
    "http.",
    "llmtrace.response.time",
    "gen_ai.response.time",
    "gen_ai.provider.name",
)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("messages", "package", "model"),
    [
        (VERTEX, "google.cloud.aiplatform.v1.PredictionService", VERTEX_MODEL),
        (GEMINI, "google.ai.generativelanguage.v1beta.GenerativeService", "models/gemini-2.5-pro"),
    ],
)
def test_google_says_the_same_as_over_http(
    traces: Captured, messages: Any, package: str, model: str, streamed: bool
) -> None:
    verb = "streamGenerateContent" if streamed else "generateContent"
    path = f"/{package}/{verb[0].upper()}{verb[1:]}"
    pieces: list[dict[str, Any]] = [
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "a"}]}}]},
        GENERATED,
    ]
    parsed = [json_format.ParseDict(piece, messages.GenerateContentResponse()) for piece in pieces]

    def answer(request: Any, context: Any) -> Any:
        return iter(parsed) if streamed else parsed[1]

    method = Method(
        messages.GenerateContentRequest, messages.GenerateContentResponse, answer, streams=streamed
    )
    asked = json_format.ParseDict({"model": model, **CONTENT}, messages.GenerateContentRequest())
    with serving({path: method}) as service, grpc.insecure_channel(service.target) as channel:
        result = service.stub(channel, path)(asked)
        assert list(result) == parsed if streamed else result == parsed[1]
    only(traces)
    with ReplayServer(sse(pieces) if streamed else Answer.json(GENERATED)) as server:
        httpx.post(f"{server.url}/v1/{model}:{verb}", json=CONTENT).read()
    only(traces, 2)
    over_grpc, over_http = (
        {key: value for key, value in said(span).items() if not key.startswith(TRANSPORT)}
        for span in traces.spans()
    )
    assert over_grpc == over_http
    assert over_grpc[semconv.USAGE_OUTPUT_TOKENS] == 8


def test_what_was_sent_is_recorded_though_the_program_changes_it(service: Service, traces: Captured) -> None:
    request = XAI.GetCompletionsRequest()
    with grpc.insecure_channel(service.target) as channel:
        for number in range(20):
            request.CopyFrom(ASKED)
            request.messages[0].content[0].text = f"question {number}"
            response = service.stub(channel, CHAT)(request)
            request.Clear()
            response.Clear()
            for chunk in service.stub(channel, CHUNKS)(ASKED):
                chunk.Clear()
    only(traces, 40)
    for number, span in enumerate(traces.spans()[::2]):
        assert f"question {number}" in said(span)[semconv.INPUT_MESSAGES]
    assert all(TOKENS.items() <= said(span).items() for span in traces.spans())


def test_a_method_that_nobody_listed(service: Service, traces: Captured) -> None:
    with grpc.insecure_channel(service.target) as channel:
        service.stub(channel, TELL)(OTHER.Asked(model="m", text="a"))
    attributes = only(traces)
    assert attributes[semconv.OPERATION_NAME] == "generate_content"
    assert attributes[semconv.REQUEST_MODEL] == "m"
    assert (attributes[semconv.USAGE_INPUT_TOKENS], attributes[semconv.USAGE_OUTPUT_TOKENS]) == (3, 2)


def test_other_methods_are_left_alone(service: Service, traces: Captured) -> None:
    service.metadata.clear()
    with grpc.insecure_channel(service.target) as channel:
        assert service.stub(channel, PLAIN)(OTHER.Asked(model="m", text="a")).text == "a"
        service.stub(channel, EXPORT)(trace_service_pb2.ExportTraceServiceRequest())
    assert not any("traceparent" in metadata for metadata in service.metadata)
    llmtrace.flush()
    assert traces.spans() == []


def test_context_goes_along(service: Service, traces: Captured) -> None:
    service.metadata.clear()
    stale = ("traceparent", f"00-{'1' * 32}-{'2' * 16}-00")
    with grpc.insecure_channel(service.target) as channel, llmtrace.span("step"):
        service.stub(channel, CHAT)(ASKED, metadata=[("x-own", "1"), stale, ("x-bin", b"\0")])
    only(traces, 2)
    call = next(span for span in traces.spans() if span.name.startswith("chat"))
    assert call.parent is not None
    context = call.get_span_context()
    assert context is not None
    (metadata,) = service.metadata
    assert metadata["traceparent"] == f"00-{context.trace_id:032x}-{context.span_id:016x}-03"
    assert metadata["x-own"] == "1"


class Twice(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpc has no types
    """Tries again where the first attempt failed."""

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        call = continuation(details, request)
        return continuation(details, request) if call.code() is not grpc.StatusCode.OK else call


class TwiceAsync(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpc has no types
    """The same for asyncio."""

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        call = await continuation(details, request)
        return await continuation(details, request) if await call.code() is not grpc.StatusCode.OK else call


def failing_once() -> Method:
    failures = iter([grpc.StatusCode.UNAVAILABLE])

    def answer(request: Any, context: Any) -> Any:
        for status in failures:
            context.abort(status, "try again")
        return answered()

    return chat(answer)


@pytest.mark.parametrize("is_async", [False, True])
def test_attempts_of_an_interceptor_are_one_call(traces: Captured, is_async: bool) -> None:
    with serving({CHAT: failing_once()}) as service:
        if is_async:

            async def call() -> Any:
                async with grpc.aio.insecure_channel(service.target, interceptors=[TwiceAsync()]) as channel:
                    return await service.stub(channel, CHAT)(ASKED)

            assert asyncio.run(call()) == answered()
        else:
            with grpc.insecure_channel(service.target) as channel:
                stub = service.stub(grpc.intercept_channel(channel, Twice()), CHAT)
                assert stub(ASKED) == answered()
        only(traces, 2)
    failed, final = traces.spans()
    assert said(failed)[semconv.ERROR_TYPE] == "UNAVAILABLE"
    assert said(failed)[semconv.COUNTED] is False
    assert failed.status.description == "try again"
    assert [link.context for link in final.links] == [failed.get_span_context()]
    assert TOKENS.items() <= said(final).items()


def refusing(status: grpc.StatusCode) -> Callable[[Any, Any], Any]:
    def answer(request: Any, context: Any) -> Any:
        context.abort(status, "no, with xai-secret-key-12345")

    return answer


@pytest.mark.parametrize("status", ["RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "UNAUTHENTICATED", "CANCELLED"])
@pytest.mark.parametrize("is_async", [False, True])
def test_errors_are_the_callers(traces: Captured, status: str, is_async: bool) -> None:
    code = grpc.StatusCode[status]
    key = [("authorization", "Bearer xai-secret-key-12345")]
    with serving({CHAT: chat(refusing(code)), CHUNKS: stream(refusing(code))}) as service:
        if is_async:

            async def calls() -> None:
                async with grpc.aio.insecure_channel(service.target) as channel:
                    with pytest.raises(grpc.aio.AioRpcError) as error:
                        await service.stub(channel, CHAT)(ASKED, metadata=key)
                    assert error.value.code() is code
                    with pytest.raises(grpc.aio.AioRpcError) as error:
                        async for _ in service.stub(channel, CHUNKS)(ASKED, metadata=key):
                            pass
                    assert error.value.code() is code

            asyncio.run(calls())
        else:
            with grpc.insecure_channel(service.target) as channel:
                for path in (CHAT, CHUNKS):
                    with pytest.raises(grpc.RpcError) as error:
                        list(service.stub(channel, path)(ASKED, metadata=key))
                    assert error.value.code() is code
        only(traces, 2)
    for span in traces.spans():
        assert said(span)[semconv.ERROR_TYPE] == status
        assert said(span)[semconv.RPC_RESPONSE_STATUS_CODE] == status
        assert span.status.description == "no, with [redacted]"


def endless(release: threading.Event) -> Callable[[Any, Any], Iterator[Any]]:
    def answer(request: Any, context: Any) -> Iterator[Any]:
        yield next(chunks())
        release.wait(10)

    return answer


@pytest.fixture
def waiting() -> Iterator[Service]:
    release = threading.Event()

    def never(request: Any, context: Any) -> Any:
        release.wait(10)
        return answered()

    with serving({CHAT: chat(never), CHUNKS: stream(endless(release))}) as service:
        yield service
        release.set()


def test_deadlines(waiting: Service, traces: Captured) -> None:
    with grpc.insecure_channel(waiting.target) as channel:
        for path in (CHAT, CHUNKS):
            with pytest.raises(grpc.RpcError):
                list(waiting.stub(channel, path)(ASKED, timeout=0.2))
        only(traces, 2)
    assert [said(span)[semconv.ERROR_TYPE] for span in traces.spans()] == ["DEADLINE_EXCEEDED"] * 2
    assert "0 " in said(traces.spans()[1])[semconv.OUTPUT_MESSAGES]


@pytest.mark.parametrize("way", ["cancel", "collect", "close"])
@pytest.mark.parametrize("options", [(), ((grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),)])
def test_a_stream_that_is_left(waiting: Service, traces: Captured, way: str, options: Any) -> None:
    channel = grpc.insecure_channel(waiting.target, options=options)
    stub = waiting.stub(channel, CHUNKS)
    answers = stub(ASKED)
    next(answers)
    if way == "cancel":
        answers.cancel()
        del answers
    elif way == "close":
        channel.close()
        del answers
    else:
        del answers
        gc.collect()
    attributes = only(traces)
    channel.close()
    assert "0 " in attributes[semconv.OUTPUT_MESSAGES]
    assert attributes[semconv.RESPONSE_FINISH_REASONS] == ["error"]
    assert (attributes.get(semconv.STREAM_ABANDONED) is True) or way == "close"


def test_futures_that_are_cancelled(waiting: Service, traces: Captured) -> None:
    with grpc.insecure_channel(waiting.target) as channel:
        future = waiting.stub(channel, CHAT).future(ASKED)
        assert future.cancel()
        assert only(traces)[semconv.ERROR_TYPE] == "CANCELLED"


def test_asyncio_streams_that_are_left(waiting: Service, traces: Captured) -> None:
    async def calls() -> None:
        async with grpc.aio.insecure_channel(waiting.target) as channel:
            stub = waiting.stub(channel, CHUNKS)
            answers = stub(ASKED)
            await answers.read()
            answers.cancel()
            answers = stub(ASKED)
            await answers.read()
            del answers
            gc.collect()
            task = asyncio.ensure_future(waiting.stub(channel, CHAT)(ASKED))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(calls())
    only(traces, 3)
    spans = [said(span) for span in traces.spans()]
    streams = [span for span in spans if span[semconv.RPC_METHOD] == CHUNKS[1:]]
    assert [span[semconv.STREAM_ABANDONED] for span in streams] == [True, True]
    assert [span[semconv.ERROR_TYPE] for span in spans if span not in streams] == ["CANCELLED"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_slow_reader_loses_nothing(traces: Captured, is_async: bool) -> None:
    with serving({CHUNKS: stream(lambda request, context: chunks(200))}) as service:
        if is_async:

            async def read() -> int:
                async with grpc.aio.insecure_channel(service.target) as channel:
                    answers = service.stub(channel, CHUNKS)(ASKED)
                    await asyncio.sleep(0.2)
                    return len([chunk async for chunk in answers])

            assert asyncio.run(read()) == 201
        else:
            with grpc.insecure_channel(service.target) as channel:
                answers = service.stub(channel, CHUNKS)(ASKED)
                time.sleep(0.2)
                assert len(list(answers)) == 201
        attributes = only(traces)
    assert TOKENS.items() <= attributes.items()
    assert "199 " in attributes[semconv.OUTPUT_MESSAGES]


def test_what_is_no_message_of_protobuf(traces: Captured) -> None:
    plain = Method(Text, Text, lambda request, context: request)
    with serving({CHAT: plain}) as service, grpc.insecure_channel(service.target) as channel:
        assert channel.unary_unary(CHAT)(b"raw") == b"raw"
        assert plain.stub(channel, CHAT)("text") == "text"
        with pytest.raises(grpc.RpcError) as error:
            plain.stub(channel, CHAT)(object())
        assert error.value.code() is grpc.StatusCode.INTERNAL
        unreadable = channel.unary_unary(CHAT, response_deserializer=refuse)
        with pytest.raises(grpc.RpcError):
            unreadable(b"raw")
    only(traces, 4)
    assert [said(span)[semconv.PROVIDER_NAME] for span in traces.spans()] == ["x_ai"] * 4


class Text:
    """Serialized as it is."""

    @staticmethod
    def SerializeToString(text: str) -> bytes:  # as protobuf names it
        return text.encode()

    @staticmethod
    def FromString(data: bytes) -> str:  # as protobuf names it
        return data.decode()


def refuse(data: bytes) -> Any:
    raise ValueError("unreadable")


def test_channels_from_before_init(service: Service) -> None:
    channel = grpc.insecure_channel(service.target)
    stub = service.stub(channel, CHAT)
    assert stub(ASKED) == answered()
    with llmtrace.testing.capture() as traces:
        assert stub(ASKED) == answered()
        only(traces)
    assert stub(ASKED) == answered()
    channel.close()


def test_hooks_are_told_of(service: Service, traces: Captured) -> None:
    hooks = llmtrace.stats().hooks
    for name in ("grpc._channel", "grpc.aio._call", "grpc.aio._channel"):
        assert hooks[name].installed
        assert hooks[name].failures == 0


def test_nothing_is_recorded_after_disable(service: Service, traces: Captured) -> None:
    llmtrace.disable()
    with grpc.insecure_channel(service.target) as channel:
        assert service.stub(channel, CHAT)(ASKED) == answered()
    assert not getattr(grpc._channel._UnaryUnaryMultiCallable.__call__, "_llmtrace_hook", False)


def test_threads(service: Service, traces: Captured) -> None:
    with grpc.insecure_channel(service.target) as channel, ThreadPoolExecutor(8) as threads:
        stub, streaming = service.stub(channel, CHAT), service.stub(channel, CHUNKS)
        calls = [threads.submit(lambda: (stub(ASKED), list(streaming(ASKED)))) for _ in range(40)]
        assert all(call.result()[0] == answered() for call in calls)
    only(traces, 80)
    assert all(TOKENS.items() <= said(span).items() for span in traces.spans())
    assert len({span.context.trace_id for span in traces.spans()}) == 80


FORKED = """
import os, sys, time
import llmtrace
from llmtrace.testing import capture
from tests.sdk import test_grpc_calls as calls
with capture() as traces:
    import grpc
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    with grpc.insecure_channel(sys.argv[1]) as channel:
        calls.METHODS[calls.CHAT].stub(channel, calls.CHAT)(calls.ASKED)
    calls.only(traces)
    os._exit(0)
"""


def test_a_forked_child(service: Service) -> None:
    command = [sys.executable, "-c", FORKED, service.target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=dict(os.environ))
    assert done.returncode == 0, done.stderr


def test_deferred_answers_count_once(traces: Captured) -> None:
    start, fetch = "/xai_api.Chat/StartDeferredCompletion", "/xai_api.Chat/GetDeferredCompletion"
    done = XAI.GetDeferredCompletionResponse(status="DONE", response=answered())
    statuses = iter([XAI.GetDeferredCompletionResponse(status="PENDING"), done, done])
    methods = {
        start: Method(
            XAI.GetCompletionsRequest,
            XAI.StartDeferredResponse,
            lambda request, context: XAI.StartDeferredResponse(request_id="d-1"),
        ),
        fetch: Method(
            XAI.GetDeferredRequest,
            XAI.GetDeferredCompletionResponse,
            lambda request, context: next(statuses),
        ),
    }
    with serving(methods) as service, grpc.insecure_channel(service.target) as channel:
        service.stub(channel, start)(ASKED)
        for _ in range(3):
            service.stub(channel, fetch)(XAI.GetDeferredRequest(request_id="d-1"))
    only(traces, 4)
    spans = [said(span) for span in traces.spans()]
    assert [span[semconv.OPERATION_NAME] for span in spans] == [
        "create_response", "fetch_response", "chat", "fetch_response",
    ]  # fmt: skip
    assert [semconv.USAGE_INPUT_TOKENS in span for span in spans] == [False, False, True, False]


def test_capture_none_keeps_no_words(service: Service) -> None:
    with llmtrace.testing.capture(capture="none") as traces:
        with grpc.insecure_channel(service.target) as channel:
            service.stub(channel, CHAT)(ASKED)
        only(traces)
        assert "Hello" not in json.dumps(traces.snapshot())

"""One request over HTTP or from a batch: authorise, parse, run, respond."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from llmtrace_inference.access.blocked_users import BlockList
from llmtrace_inference.access.quotas import Quotas
from llmtrace_inference.engine.interface import Engine
from llmtrace_inference.protocol.errors import ApiError
from llmtrace_inference.protocol.requests import ChatRequest, CompletionRequest, EmbeddingRequest
from llmtrace_inference.settings import EMBEDDING_BATCH, InferenceSettings
from llmtrace_inference.telemetry.gpu import GpuSampler
from llmtrace_inference.telemetry.metrics import Metrics
from llmtrace_inference.telemetry.request_record import RequestRecord
from llmtrace_inference.telemetry.spans import RequestTracer

from .answer_cache import open_cache
from .answers.completion import CompletionAnswer
from .answers.embeddings import EmbeddingAnswer, MicroBatchers
from .answers.output_grammar import GrammarCompiler
from .content_checks import open_checks
from .event_stream import EventStream
from .request import InferenceRequest
from .response_bodies import response_body_of
from .steps import Arrival, Steps

Result = TypeVar("Result")

#: In what a response says whether the answer came from the cache: hit, semantic or miss.
CACHE_HEADER = "x-llmtrace-cache"


class CompletionService:
    """Answers requests from engines. `engines` maps served names to engines, None while one loads."""

    def __init__(
        self,
        engines: Mapping[str, Engine | None],
        settings: InferenceSettings,
        tracer: RequestTracer,
        metrics: Metrics,
        block_list: BlockList,
        gpu: GpuSampler | None = None,
    ) -> None:
        self._engines = engines
        self._tracer = tracer
        self._metrics = metrics
        self._quotas = Quotas()
        self._cache = open_cache(settings)
        completion: Steps[ChatRequest | CompletionRequest] = Steps(
            ChatRequest.model_validate_json,
            block_list.refuse,
            self._engine,
            partial(CompletionAnswer, settings, GrammarCompiler()),
            self._finished,
            check_prompt=open_checks(settings.input_checks, "input_checks"),
            check_answer=open_checks(settings.output_checks, "output_checks"),
            gpu=gpu.attributes if gpu is not None else None,
        )
        self._completions = {
            "chat": completion,
            "text_completion": replace(completion, validate=CompletionRequest.model_validate_json),
        }
        batchers = MicroBatchers(
            settings.embedding_window_seconds, EMBEDDING_BATCH, settings.max_queue_tokens
        )
        self._embedding = Steps(
            EmbeddingRequest.model_validate_json,
            block_list.refuse,
            self._engine,
            partial(EmbeddingAnswer, batchers, settings.request_timeout_seconds),
            self._finished,
        )

    async def answer(self, http: Request, arrival: Arrival) -> Response:
        """The response to one POST; every outcome leaves one record."""
        return await self._answer(arrival, http.body, partial(_unless_disconnected, http))

    def refuse(self, arrival: Arrival, error: ApiError) -> None:
        """Leave the record of a request that is refused before its body is there."""
        self._request(arrival).finish(error)

    async def answer_batch_line(self, arrival: Arrival, raw: bytes) -> Response:
        """The response to a request that waits in a batch, for nobody who could go away."""

        async def read() -> bytes:
            return raw

        async def run(work: Awaitable[Any]) -> Any:
            return await work

        return await self._answer(arrival, read, run)

    async def _answer(
        self,
        arrival: Arrival,
        read: Callable[[], Awaitable[bytes]],
        attended: Callable[[Awaitable[Any]], Awaitable[Any]],
    ) -> Response:
        """`attended` runs work for as long as the client is there."""
        request = self._request(arrival)
        try:
            reservation = self._quotas.admit(arrival.caller)
            body = request.admit(await read(), reservation)
            events = request.run()
            response: Response
            if body.stream:
                await attended(anext(events))  # what goes wrong before the first delta still gets a status
                response = EventStream(request, events)
            else:
                await attended(_exhausted(events))
                response = JSONResponse(_whole(request))
                request.finish()
        except BaseException as error:
            ending = request.finish(error)
            if not isinstance(error, Exception):
                raise
            response = ending.response()
        if request.cache_result:
            response.headers[CACHE_HEADER] = request.cache_result
        response.headers.update(self._quotas.headers(arrival.caller))
        return response

    def _request(self, arrival: Arrival) -> InferenceRequest[Any]:
        if arrival.operation == "embeddings":
            return InferenceRequest(arrival, self._embedding)
        cache, control = self._cache, arrival.headers.get("cache-control", "")
        if cache is None:
            return InferenceRequest(arrival, self._completions[arrival.operation])
        steps = replace(
            self._completions[arrival.operation],
            lookup=cache.find if "no-cache" not in control else None,
            store=cache.put if "no-store" not in control else None,
        )
        return InferenceRequest(arrival, steps)

    def _engine(self, model: str) -> Engine:
        if model not in self._engines:
            served = ", ".join(self._engines)
            raise ApiError(
                404,
                f"model {model!r} is not served here: use one of {served}",
                code="model_not_found",
                param="model",
            )
        engine = self._engines[model]
        if engine is None:
            raise ApiError(
                503,
                f"model {model!r} is still loading: try again",
                code="model_loading",
                retry_after_seconds=2,
            )
        return engine

    def _finished(self, record: RequestRecord) -> None:
        self._metrics.observe(record, is_served=record.model in self._engines)
        self._tracer.emit(record)


def _whole(request: InferenceRequest[Any]) -> dict[str, Any]:
    answer = request.answer
    return answer.whole() if isinstance(answer, EmbeddingAnswer) else response_body_of(request).whole()


async def _exhausted(events: AsyncGenerator[Any, None]) -> None:
    async for _ in events:
        pass


async def _unless_disconnected(http: Request, work: Awaitable[Result]) -> Result:
    """Run `work`; stop it and raise ClientDisconnect when the client goes away first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_wait_for_disconnect(http))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for future in (task, gone):
            future.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _wait_for_disconnect(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass

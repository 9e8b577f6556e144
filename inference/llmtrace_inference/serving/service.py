"""One completion from body to last byte: validate, submit, collect or stream, record."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from llmtrace.semconv import INFERENCE
from llmtrace_inference.access.auth import Caller
from llmtrace_inference.access.blocked_users import BlockList
from llmtrace_inference.access.quotas import Quotas
from llmtrace_inference.engine.interface import Engine, EngineError
from llmtrace_inference.protocol.errors import ApiError, from_validation
from llmtrace_inference.protocol.requests import ChatRequest, CompletionRequest, EmbeddingRequest
from llmtrace_inference.settings import InferenceSettings
from llmtrace_inference.telemetry.gpu import GpuSampler
from llmtrace_inference.telemetry.metrics import UNKNOWN_MODEL, Metrics
from llmtrace_inference.telemetry.request_record import BatchItem, RequestRecord
from llmtrace_inference.telemetry.spans import RequestTracer

from . import embeddings
from .answer_cache import CacheKey, answer_of, cache_key_of, open_cache
from .content_checks import open_checks
from .embeddings import MicroBatcher
from .engine_errors import from_engine
from .request import InferenceRequest, TextDelta
from .response_bodies import ResponseBody, response_body_of

logger = logging.getLogger(__name__)

Operation = Literal["chat", "text_completion"]
_REQUESTS: dict[Operation, type[ChatRequest] | type[CompletionRequest]] = {
    "chat": ChatRequest,
    "text_completion": CompletionRequest,
}


class CompletionService:
    """Answers completions from engines. `engines` maps served names to engines, None while one loads."""

    def __init__(
        self,
        engines: Mapping[str, Engine | None],
        settings: InferenceSettings,
        tracer: RequestTracer,
        metrics: Metrics,
        blocks: BlockList,
        gpu: GpuSampler | None = None,
    ) -> None:
        self._engines = engines
        self._settings = settings
        self._tracer = tracer
        self._metrics = metrics
        self._blocks = blocks
        self._gpu = gpu
        self._quotas = Quotas()
        self._cache = open_cache(settings)
        self._batchers: dict[str, MicroBatcher] = {}
        self._guard = open_checks(settings)

    async def answer(
        self, http: Request, operation: Operation, caller: Caller, line: BatchItem | None = None
    ) -> Response:
        """The response to one POST; every outcome leaves a trace and a metric."""
        trace = _trace_of(http, operation, caller, line)
        response = await self._answer(http, trace, operation, caller)
        response.headers.update(self._quotas.headers(caller))
        return response

    async def _answer(
        self, http: Request, trace: RequestRecord, operation: Operation, caller: Caller
    ) -> Response:
        call: InferenceRequest | None = None
        handed_over = False
        try:
            grant = self._quotas.admit(caller)
            body = await _read(http, self._settings.max_request_bytes)
            trace.request = request = _parse(body, trace, operation)
            self._blocks.refuse(request.user_id)
            engine = self._engine(request.model)
            call = InferenceRequest(engine, self._settings, trace, request, grant)
            await self._guard.check_input(request, trace)
            question = cache_key_of(request, caller.name, engine.info)
            if not await self._replayed(http, call, question):
                await call.submit()
            if request.stream:
                await call.first()
                handed_over = True
                return StreamingResponse(
                    self._events(call, response_body_of(call), question),
                    media_type="text/event-stream",
                    headers={"Cache-Control": "no-cache"},
                )
            await _unless_disconnected(http, _exhaust(self._guard.pieces(call)))
            self._keep(http.headers, trace, question)
            trace.status = 200
            return JSONResponse(response_body_of(call).whole())
        except ApiError as error:
            _note(trace, error)
            return error.response()
        except EngineError as error:
            refused = from_engine(error, operation)
            _note(trace, refused)
            return refused.response()
        except ClientDisconnect:
            trace.error_type, trace.error_message = "client_disconnected", "the client closed the connection"
            trace.stopped("cancelled")
            return Response(status_code=499)
        except asyncio.CancelledError:
            trace.error_type, trace.error_message = "cancelled", "the service was shut down"
            trace.stopped("cancelled")
            raise
        except Exception as error:
            logger.exception("request failed")
            internal = ApiError(
                500, "internal error: the service's log has the details", code="internal_error"
            )
            _note(trace, internal)
            trace.error_type = type(error).__qualname__
            return internal.response()
        finally:
            if not handed_over:
                if call is not None:
                    await call.close()
                self._finish(trace)

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

    async def embed(self, http: Request, caller: Caller, line: BatchItem | None = None) -> Response:
        """The response to one POST of embeddings."""
        trace = _trace_of(http, "embeddings", caller, line)
        try:
            response = await self._embed(http, trace, caller)
        except ApiError as error:
            _note(trace, error)
            response = error.response()
        except EngineError as error:
            refused = from_engine(error, "embeddings")
            _note(trace, refused)
            response = refused.response()
        finally:
            self._finish(trace)
        response.headers.update(self._quotas.headers(caller))
        return response

    async def _embed(self, http: Request, trace: RequestRecord, caller: Caller) -> Response:
        grant = self._quotas.admit(caller)
        raw = await _read(http, self._settings.max_request_bytes)
        try:
            request = EmbeddingRequest.model_validate_json(raw)
        except ValidationError as error:
            trace.model = _model_of(raw)
            raise from_validation(error) from error
        trace.model = request.model
        if request.user is not None:
            trace.extra["user.id"] = request.user
        self._blocks.refuse(request.user)
        engine = self._engine(request.model)
        trace.info = engine.info
        trace.tokenize_from_ns = time.perf_counter_ns()
        sequences = [engine.tokenizer.encode(i) if isinstance(i, str) else i for i in request.inputs]
        trace.tokenize_to_ns = time.perf_counter_ns()
        trace.input_tokens = sum(map(len, sequences))
        for ids in sequences:
            if not ids or len(ids) > engine.info.context_length or max(ids) >= engine.info.vocab_size:
                raise ApiError(
                    400,
                    f"'input': each text needs 1 to {engine.info.context_length} tokens of the vocabulary",
                    code="invalid_value",
                    param="input",
                )
        grant.reserve(trace.input_tokens)
        batcher = self._batchers.get(request.model)
        if batcher is None or batcher.engine is not engine:
            batcher = self._batchers[request.model] = MicroBatcher(
                engine, self._settings.embedding_window_seconds, self._settings.embedding_batch
            )
        queued = time.perf_counter_ns()
        embedded = await batcher.embed(sequences)
        embeddings.note(trace, queued, embedded)
        trace.status = 200
        return JSONResponse(embeddings.body(request, embedded, trace.input_tokens))

    async def _replayed(self, http: Request, call: InferenceRequest, question: CacheKey) -> bool:
        """Answer from the cache, where it is on and has one."""
        trace, cache = call.trace, self._cache
        if cache is None or "no-cache" in http.headers.get("cache-control", ""):
            return False
        trace.cache_from_ns = time.perf_counter_ns()
        hit = await cache.find(question)
        trace.cache_to_ns = time.perf_counter_ns()
        trace.cache_hit = hit is not None
        trace.extra[INFERENCE + "cache.result"] = hit.kind if hit is not None else "miss"
        self._metrics.cache_requests.labels(trace.model, hit.kind if hit is not None else "miss").inc()
        if hit is None:
            return False
        trace.extra[INFERENCE + "cache.score"] = hit.score
        trace.extra[INFERENCE + "cache.saved_tokens"] = hit.answer.tokens
        self._metrics.cache_saved_tokens.labels(trace.model).inc(hit.answer.tokens)
        call.replay(hit.answer)
        return True

    def _keep(self, headers: Mapping[str, str], trace: RequestRecord, question: CacheKey) -> None:
        """Put a whole answer into the cache, where it is on."""
        if self._cache is None or trace.cache_hit or "no-store" in headers.get("cache-control", ""):
            return
        answer = answer_of(trace)
        if answer is not None:
            self._cache.put(question, answer)

    async def _events(
        self, call: InferenceRequest, shape: ResponseBody, question: CacheKey
    ) -> AsyncIterator[str]:
        """Server-sent events of one streamed answer. An error after the start becomes an error event."""
        trace = call.trace
        trace.status = 200
        try:
            for chunk in shape.opening():
                yield _event(chunk)
            async for piece in self._guard.pieces(call):
                for chunk in shape.chunks(piece):
                    yield _event(chunk)
            self._keep(trace.headers, trace, question)
            if call.request.include_usage:
                yield _event(shape.usage_chunk())
            yield "data: [DONE]\n\n"
        except EngineError as error:
            late = from_engine(error, trace.operation)
            _note(trace, late)
            trace.status = 200  # what the client saw in the header
            yield _event(late.body())
        except (asyncio.CancelledError, GeneratorExit):
            if not trace.is_complete:
                trace.error_type = "client_disconnected"
                trace.error_message = "the client closed the connection"
                trace.stopped("cancelled")
            raise
        finally:
            await call.close()
            self._finish(trace)

    def _finish(self, trace: RequestRecord) -> None:
        trace.ended_ns = time.perf_counter_ns()
        computed = trace.choices and not trace.cache_hit
        if self._gpu is not None and computed and trace.info is not None and trace.info.device != "cpu":
            share = sum(choice.progress.share_ns for choice in trace.choices) / 1e9
            trace.extra.update(self._gpu.attributes(trace.arrived_ns, trace.ended_ns, share))
        self._metrics.observe(
            trace.operation,
            trace.model if trace.model in self._engines else UNKNOWN_MODEL,
            seconds=(trace.ended_ns - trace.arrived_ns) / 1e9,
            first_token_seconds=trace.first_token_seconds,
            output_token_seconds=trace.output_token_seconds,
            input_tokens=trace.input_tokens or 0 if computed or trace.further else 0,
            output_tokens=trace.output_tokens if computed else 0,
            cached_tokens=trace.cached_tokens,
            error_type=trace.error_type,
        )
        self._tracer.record(trace)


def _trace_of(http: Request, operation: str, caller: Caller, line: BatchItem | None) -> RequestRecord:
    trace = RequestRecord(
        headers=dict(http.headers),
        server=http.scope.get("server"),
        operation=operation,
        path=http.url.path,
    )
    trace.extra[INFERENCE + "key"] = caller.name
    if line is not None:
        trace.extra.update(line.attributes)
        trace.links += [line.span] if line.span is not None else []
    return trace


def _parse(body: bytes, trace: RequestRecord, operation: Operation) -> ChatRequest | CompletionRequest:
    try:
        request = _REQUESTS[operation].model_validate_json(body)
    except ValidationError as error:
        trace.model = _model_of(body)
        raise from_validation(error) from error
    trace.model = request.model
    return request


def _model_of(body: bytes) -> str:
    """The model an invalid request names, for its span."""
    try:
        model = json.loads(body).get("model")
    except (ValueError, AttributeError):
        return ""
    return model[:128] if isinstance(model, str) else ""


async def _read(http: Request, limit: int) -> bytes:
    chunks, size = [], 0
    async for chunk in http.stream():
        size += len(chunk)
        if size > limit:
            raise ApiError(413, f"the body is larger than {limit} bytes", code="request_too_large")
        chunks.append(chunk)
    return b"".join(chunks)


async def _exhaust(pieces: AsyncIterator[TextDelta]) -> None:
    """Run a call to its end; its texts are then in the trace."""
    async for _ in pieces:
        pass


async def _unless_disconnected(http: Request, work: Any) -> None:
    """Run `work`; stop it and raise ClientDisconnect when the client goes away first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(http))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


def _note(trace: RequestRecord, error: ApiError) -> None:
    trace.status, trace.error_type, trace.error_message = error.status, error.code, error.message
    trace.stopped("error")


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"

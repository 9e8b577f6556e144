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
        block_list: BlockList,
        gpu: GpuSampler | None = None,
    ) -> None:
        self._engines = engines
        self._settings = settings
        self._tracer = tracer
        self._metrics = metrics
        self._block_list = block_list
        self._gpu = gpu
        self._quotas = Quotas()
        self._cache = open_cache(settings)
        self._batchers: dict[str, MicroBatcher] = {}
        self._checks = open_checks(settings)

    async def answer(
        self, http: Request, operation: Operation, caller: Caller, batch_item: BatchItem | None = None
    ) -> Response:
        """The response to one POST; every outcome leaves a trace and a metric."""
        record = _record_of(http, operation, caller, batch_item)
        response = await self._answer(http, record, operation, caller)
        response.headers.update(self._quotas.headers(caller))
        return response

    async def _answer(
        self, http: Request, record: RequestRecord, operation: Operation, caller: Caller
    ) -> Response:
        inference: InferenceRequest | None = None
        handed_over = False
        try:
            reservation = self._quotas.admit(caller)
            body = await _read(http, self._settings.max_request_bytes)
            record.request = request = _parse(body, record, operation)
            self._block_list.refuse(request.user_id)
            engine = self._engine(request.model)
            inference = InferenceRequest(engine, self._settings, record, request, reservation)
            await self._checks.check_input(request, record)
            cache_key = cache_key_of(request, caller.name, engine.info)
            if not await self._replayed(http, inference, cache_key):
                await inference.submit()
            if request.stream:
                await inference.wait_for_first_delta()
                handed_over = True
                return StreamingResponse(
                    self._events(inference, response_body_of(inference), cache_key),
                    media_type="text/event-stream",
                    headers={"Cache-Control": "no-cache"},
                )
            await _unless_disconnected(http, _exhaust(self._checks.deltas(inference)))
            self._cache_answer(http.headers, record, cache_key)
            record.status = 200
            return JSONResponse(response_body_of(inference).whole())
        except ApiError as error:
            _note(record, error)
            return error.response()
        except EngineError as error:
            refused = from_engine(error, operation)
            _note(record, refused)
            return refused.response()
        except ClientDisconnect:
            record.error_type = "client_disconnected"
            record.error_message = "the client closed the connection"
            record.set_stop_reason("cancelled")
            return Response(status_code=499)
        except asyncio.CancelledError:
            record.error_type, record.error_message = "cancelled", "the service was shut down"
            record.set_stop_reason("cancelled")
            raise
        except Exception as error:
            logger.exception("request failed")
            internal = ApiError(
                500, "internal error: the service's log has the details", code="internal_error"
            )
            _note(record, internal)
            record.error_type = type(error).__qualname__
            return internal.response()
        finally:
            if not handed_over:
                if inference is not None:
                    await inference.close()
                self._finish(record)

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

    async def embed(self, http: Request, caller: Caller, batch_item: BatchItem | None = None) -> Response:
        """The response to one POST of embeddings."""
        record = _record_of(http, "embeddings", caller, batch_item)
        try:
            response = await self._embed(http, record, caller)
        except ApiError as error:
            _note(record, error)
            response = error.response()
        except EngineError as error:
            refused = from_engine(error, "embeddings")
            _note(record, refused)
            response = refused.response()
        finally:
            self._finish(record)
        response.headers.update(self._quotas.headers(caller))
        return response

    async def _embed(self, http: Request, record: RequestRecord, caller: Caller) -> Response:
        reservation = self._quotas.admit(caller)
        raw = await _read(http, self._settings.max_request_bytes)
        try:
            request = EmbeddingRequest.model_validate_json(raw)
        except ValidationError as error:
            record.model = _model_of(raw)
            raise from_validation(error) from error
        record.model = request.model
        if request.user is not None:
            record.extra["user.id"] = request.user
        self._block_list.refuse(request.user)
        engine = self._engine(request.model)
        record.info = engine.info
        record.tokenize_from_ns = time.perf_counter_ns()
        sequences = [engine.tokenizer.encode(i) if isinstance(i, str) else i for i in request.inputs]
        record.tokenize_to_ns = time.perf_counter_ns()
        record.input_tokens = sum(map(len, sequences))
        for ids in sequences:
            if not ids or len(ids) > engine.info.context_length or max(ids) >= engine.info.vocab_size:
                raise ApiError(
                    400,
                    f"'input': each text needs 1 to {engine.info.context_length} tokens of the vocabulary",
                    code="invalid_value",
                    param="input",
                )
        reservation.reserve(record.input_tokens)
        batcher = self._batchers.get(request.model)
        if batcher is None or batcher.engine is not engine:
            batcher = self._batchers[request.model] = MicroBatcher(
                engine, self._settings.embedding_window_seconds, self._settings.embedding_batch
            )
        queued = time.perf_counter_ns()
        embedded = await batcher.embed(sequences)
        embeddings.note(record, queued, embedded)
        record.status = 200
        return JSONResponse(embeddings.body(request, embedded, record.input_tokens))

    async def _replayed(self, http: Request, inference: InferenceRequest, cache_key: CacheKey) -> bool:
        """Answer from the cache, where it is on and has one."""
        record, cache = inference.record, self._cache
        if cache is None or "no-cache" in http.headers.get("cache-control", ""):
            return False
        record.cache_from_ns = time.perf_counter_ns()
        hit = await cache.find(cache_key)
        record.cache_to_ns = time.perf_counter_ns()
        record.cache_hit = hit is not None
        record.extra[INFERENCE + "cache.result"] = hit.kind if hit is not None else "miss"
        self._metrics.cache_requests.labels(record.model, hit.kind if hit is not None else "miss").inc()
        if hit is None:
            return False
        record.extra[INFERENCE + "cache.score"] = hit.score
        record.extra[INFERENCE + "cache.saved_tokens"] = hit.answer.tokens
        self._metrics.cache_saved_tokens.labels(record.model).inc(hit.answer.tokens)
        inference.replay(hit.answer)
        return True

    def _cache_answer(self, headers: Mapping[str, str], record: RequestRecord, cache_key: CacheKey) -> None:
        """Put a whole answer into the cache, where it is on."""
        if self._cache is None or record.cache_hit or "no-store" in headers.get("cache-control", ""):
            return
        answer = answer_of(record)
        if answer is not None:
            self._cache.put(cache_key, answer)

    async def _events(
        self, inference: InferenceRequest, body: ResponseBody, cache_key: CacheKey
    ) -> AsyncIterator[str]:
        """Server-sent events of one streamed answer. An error after the start becomes an error event."""
        record = inference.record
        record.status = 200
        try:
            for chunk in body.opening():
                yield _event(chunk)
            async for delta in self._checks.deltas(inference):
                for chunk in body.chunks(delta):
                    yield _event(chunk)
            self._cache_answer(record.headers, record, cache_key)
            if inference.request.include_usage:
                yield _event(body.usage_chunk())
            yield "data: [DONE]\n\n"
        except EngineError as error:
            api_error = from_engine(error, record.operation)
            _note(record, api_error)
            record.status = 200  # what the client saw in the header
            yield _event(api_error.body())
        except (asyncio.CancelledError, GeneratorExit):
            if not record.is_complete:
                record.error_type = "client_disconnected"
                record.error_message = "the client closed the connection"
                record.set_stop_reason("cancelled")
            raise
        finally:
            await inference.close()
            self._finish(record)

    def _finish(self, record: RequestRecord) -> None:
        record.ended_ns = time.perf_counter_ns()
        computed = record.choices and not record.cache_hit
        if self._gpu is not None and computed and record.info is not None and record.info.device != "cpu":
            share = sum(choice.progress.share_ns for choice in record.choices) / 1e9
            record.extra.update(self._gpu.attributes(record.arrived_ns, record.ended_ns, share))
        self._metrics.observe(
            record.operation,
            record.model if record.model in self._engines else UNKNOWN_MODEL,
            seconds=(record.ended_ns - record.arrived_ns) / 1e9,
            first_token_seconds=record.first_token_seconds,
            output_token_seconds=record.output_token_seconds,
            input_tokens=record.input_tokens or 0 if computed or record.further_phases else 0,
            output_tokens=record.output_tokens if computed else 0,
            cached_tokens=record.cached_tokens,
            error_type=record.error_type,
        )
        self._tracer.emit(record)


def _record_of(http: Request, operation: str, caller: Caller, batch_item: BatchItem | None) -> RequestRecord:
    record = RequestRecord(
        headers=dict(http.headers),
        server=http.scope.get("server"),
        operation=operation,
        path=http.url.path,
    )
    record.extra[INFERENCE + "key"] = caller.name
    if batch_item is not None:
        record.extra.update(batch_item.attributes)
        record.links += [batch_item.span] if batch_item.span is not None else []
    return record


def _parse(body: bytes, record: RequestRecord, operation: Operation) -> ChatRequest | CompletionRequest:
    try:
        request = _REQUESTS[operation].model_validate_json(body)
    except ValidationError as error:
        record.model = _model_of(body)
        raise from_validation(error) from error
    record.model = request.model
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


async def _exhaust(deltas: AsyncIterator[TextDelta]) -> None:
    """Run a request to its end; its texts are then in its record."""
    async for _ in deltas:
        pass


async def _unless_disconnected(http: Request, work: Any) -> None:
    """Run `work`; stop it and raise ClientDisconnect when the client goes away first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_wait_for_disconnect(http))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        task.result()
    finally:
        for future in (task, gone):
            future.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _wait_for_disconnect(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


def _note(record: RequestRecord, error: ApiError) -> None:
    record.status, record.error_type, record.error_message = error.status, error.code, error.message
    record.set_stop_reason("error")


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"

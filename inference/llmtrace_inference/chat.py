"""One chat completion from body to last byte: validate, tokenise, submit, collect or stream, record."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from llmtrace_inference.engine import Engine, EngineError, Generation, RequestTimeout, Ticket
from llmtrace_inference.errors import ApiError, from_engine, from_validation
from llmtrace_inference.metrics import UNKNOWN_MODEL, Metrics
from llmtrace_inference.schema import ChatRequest
from llmtrace_inference.settings import InferenceSettings
from llmtrace_inference.stops import StopMatcher
from llmtrace_inference.tracing import RequestTrace, RequestTracer

logger = logging.getLogger(__name__)

_LONG_PROMPT_CHARACTERS = 8_000
"""Longer conversations are tokenised in a thread, so that they do not hold up everybody's tokens."""


class ChatService:
    """Answers chat completions from engines. `engines` maps served names to engines, None while one loads."""

    def __init__(
        self,
        engines: Mapping[str, Engine | None],
        settings: InferenceSettings,
        tracer: RequestTracer,
        metrics: Metrics,
    ) -> None:
        self._engines = engines
        self._settings = settings
        self._tracer = tracer
        self._metrics = metrics

    async def answer(self, http: Request) -> Response:
        """The response to one POST; every outcome leaves a trace and a metric."""
        trace = RequestTrace(headers=dict(http.headers), server=http.scope.get("server"))
        call: _Call | None = None
        handed_over = False
        try:
            body = await _read(http, self._settings.max_request_bytes)
            trace.request = request = _parse(body, trace)
            engine = self._engine(request.model)
            call = _Call(engine, self._settings, trace, request)
            await call.submit()
            if request.stream:
                await call.first()
                handed_over = True
                return StreamingResponse(
                    self._events(call), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
                )
            await _unless_disconnected(http, call.collect())
            trace.status = 200
            return JSONResponse(call.completion())
        except ApiError as error:
            _note(trace, error)
            return error.response()
        except EngineError as error:
            refused = from_engine(error)
            _note(trace, refused)
            return refused.response()
        except ClientDisconnect:
            trace.error_type, trace.error_message = "client_disconnected", "the client closed the connection"
            trace.stop_reason = trace.stop_reason or "cancelled"
            return Response(status_code=499)
        except asyncio.CancelledError:
            trace.error_type, trace.error_message = "cancelled", "the service was shut down"
            trace.stop_reason = trace.stop_reason or "cancelled"
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

    async def _events(self, call: _Call) -> AsyncIterator[str]:
        """Server-sent events of one streamed answer. An error after the start becomes an error event."""
        trace = call.trace
        trace.status = 200
        try:
            yield _event(call.chunk({"role": "assistant", "content": ""}))
            async for text in call.texts():
                yield _event(call.chunk({"content": text}))
            yield _event(call.chunk({}, finish=trace.finish_reason))
            if call.request.include_usage:
                yield _event(call.usage_chunk())
            yield "data: [DONE]\n\n"
        except EngineError as error:
            late = from_engine(error)
            _note(trace, late)
            trace.status = 200  # what the client saw in the header
            yield _event(late.body())
        except (asyncio.CancelledError, GeneratorExit):
            if trace.finish_reason is None:
                trace.error_type = "client_disconnected"
                trace.error_message = "the client closed the connection"
                trace.stop_reason = "cancelled"
            raise
        finally:
            await call.close()
            self._finish(trace)

    def _finish(self, trace: RequestTrace) -> None:
        trace.ended_ns = time.perf_counter_ns()
        self._metrics.observe(
            trace.model if trace.model in self._engines else UNKNOWN_MODEL,
            seconds=(trace.ended_ns - trace.arrived_ns) / 1e9,
            first_token_seconds=trace.first_token_seconds,
            output_token_seconds=trace.output_token_seconds,
            input_tokens=trace.input_tokens or 0 if trace.progress is not None else 0,
            output_tokens=trace.output_tokens,
            cached_tokens=trace.progress.cached_tokens if trace.progress is not None else 0,
            error_type=trace.error_type,
        )
        self._tracer.record(trace)


class _Call:
    """One accepted request on its way through an engine."""

    def __init__(
        self, engine: Engine, settings: InferenceSettings, trace: RequestTrace, request: ChatRequest
    ) -> None:
        self.trace = trace
        self.request = request
        self._engine = engine
        self._settings = settings
        self._created = int(time.time())
        self._deadline = time.monotonic() + settings.request_timeout_seconds
        self._decoder = engine.tokenizer.decoder()
        self._stops = StopMatcher(tuple(request.stop or ()))
        self._ticket: Ticket | None = None
        self._texts: AsyncIterator[str] | None = None
        self._first: str | None = None
        trace.response_id = f"chatcmpl-{uuid.uuid4().hex}"
        trace.info = engine.info

    async def submit(self) -> None:
        """Tokenise and hand the request to the engine. Raises ApiError or EngineError."""
        trace, request = self.trace, self.request
        if request.top_k is not None and request.top_k > self._engine.info.vocab_size:
            raise ApiError(
                400,
                f"'top_k': at most {self._engine.info.vocab_size}, the size of the model's vocabulary",
                code="invalid_value",
                param="top_k",
            )
        messages = request.template_messages()
        trace.tokenize_from_ns = time.perf_counter_ns()
        encode = self._engine.tokenizer.encode_chat
        try:
            if sum(len(m["content"]) for m in messages) > _LONG_PROMPT_CHARACTERS:
                prompt_ids = await asyncio.to_thread(encode, messages)
            else:
                prompt_ids = encode(messages)
        except ValueError as error:
            raise ApiError(400, str(error), code="invalid_value", param="messages") from error
        finally:
            trace.tokenize_to_ns = time.perf_counter_ns()
        trace.input_tokens = len(prompt_ids)
        if not prompt_ids:
            raise ApiError(400, "the messages give an empty prompt", code="invalid_value", param="messages")
        # Without a limit of its own, a request may take what is left of the context.
        room = max(self._engine.info.context_length - len(prompt_ids), 1)
        trace.max_tokens = request.output_limit or min(self._settings.default_max_tokens, room)
        self._ticket = self._engine.submit(
            Generation(
                request_id=trace.response_id,
                prompt_ids=tuple(prompt_ids),
                max_tokens=trace.max_tokens,
                temperature=1.0 if request.temperature is None else request.temperature,
                top_p=1.0 if request.top_p is None else request.top_p,
                top_k=request.top_k,
                seed=request.seed,
                every_token=request.stream or bool(request.stop),
                ignore_eos=bool(request.ignore_eos),
            )
        )
        trace.progress = self._ticket.progress
        self._texts = self._generate(self._ticket)

    async def first(self) -> None:
        """Wait for the first text, so that what goes wrong before it still gets a status of its own."""
        assert self._texts is not None  # noqa: S101 - submit comes first
        self._first = await anext(self._texts, None)

    async def texts(self) -> AsyncIterator[str]:
        """Pieces of the answer, as they may be shown."""
        assert self._texts is not None  # noqa: S101 - submit comes first
        if self._first is not None:
            yield self._first
        async for text in self._texts:
            yield text

    async def collect(self) -> None:
        """Run to the end; the text is then in the trace."""
        async for _ in self.texts():
            pass

    async def _generate(self, ticket: Ticket) -> AsyncIterator[str]:
        trace = self.trace
        deltas = self._engine.stream(ticket)
        try:
            while True:
                try:
                    left = self._deadline - time.monotonic()
                    delta = await asyncio.wait_for(anext(deltas), max(left, 0.001))
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise RequestTimeout(
                        f"the request took longer than {self._settings.request_timeout_seconds:g} s"
                    ) from None
                trace.output_tokens += len(delta.token_ids)
                shown = self._stops.feed(self._decoder.feed(delta.token_ids))
                if self._stops.matched is None and delta.finish is not None:
                    shown += self._stops.flush()
                trace.output_text += shown
                if self._stops.matched is not None:
                    trace.finish_reason, trace.stop_reason = "stop", "stop_string"
                elif delta.finish is not None:
                    trace.finish_reason = delta.finish
                    trace.stop_reason = "eos" if delta.eos else "length"
                if shown:
                    yield shown
                if trace.finish_reason is not None:
                    return
        finally:
            self._engine.cancel(ticket)

    async def close(self) -> None:
        """Free the engine's side; harmless when the answer is complete."""
        if self._ticket is not None:
            self._engine.cancel(self._ticket)

    # --- the response's shapes --------------------------------------------------------------------------

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.trace.response_id,
            "object": kind,
            "created": self._created,
            "model": self.request.model,
            "system_fingerprint": f"{self._engine.info.engine}-{self._engine.info.dtype}",
        }

    def _usage(self) -> dict[str, Any]:
        trace = self.trace
        prompt, answer = trace.input_tokens or 0, trace.output_tokens
        cached = trace.progress.cached_tokens if trace.progress is not None else 0
        return {
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "total_tokens": prompt + answer,
            "prompt_tokens_details": {"cached_tokens": cached},
        }

    def completion(self) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": self.trace.output_text, "refusal": None},
            "logprobs": None,
            "finish_reason": self.trace.finish_reason,
        }
        return {**self._head("chat.completion"), "choices": [choice], "usage": self._usage()}

    def chunk(self, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        """One chunk of a streamed answer."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = {**self._head("chat.completion.chunk"), "choices": [choice]}
        if self.request.include_usage:
            chunk["usage"] = None
        return chunk

    def usage_chunk(self) -> dict[str, Any]:
        """The last chunk where the request asks for usage."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": self._usage()}


def _parse(body: bytes, trace: RequestTrace) -> ChatRequest:
    try:
        request = ChatRequest.model_validate_json(body)
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


def _note(trace: RequestTrace, error: ApiError) -> None:
    trace.status, trace.error_type, trace.error_message = error.status, error.code, error.message
    if trace.progress is not None:
        trace.stop_reason = "error"


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"

"""One request from its arrival to its record: its states, its steps, and its one end."""

from __future__ import annotations

import functools
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from enum import Enum
from typing import ClassVar, Generic

from pydantic import ValidationError

from llmtrace import semconv
from llmtrace_inference.access.quotas import QuotaReservation
from llmtrace_inference.engine.interface import Engine
from llmtrace_inference.protocol.errors import ApiError, from_validation
from llmtrace_inference.protocol.json_text import check_body, model_named_in
from llmtrace_inference.protocol.requests import EmbeddingRequest
from llmtrace_inference.safety import Content
from llmtrace_inference.telemetry.request_record import Attributes, CacheLookup, RequestRecord

from .answer_cache import CacheHit, CacheKey, ReplayedAnswer, answer_of, cache_key_of
from .answers.answer import Measured, ModelAnswer
from .answers.events import AnswerStarted, Event, TextDelta
from .content_checks import CheckStep, split_sentences
from .endings import Ending, ending_of
from .steps import Arrival, Body, Steps

logger = logging.getLogger(__name__)

_ID_PREFIXES = {"chat": "chatcmpl", "text_completion": "cmpl", "embeddings": "embd"}


class State(Enum):
    """How far a request is."""

    RECEIVED = "received"
    ADMITTED = "admitted"
    """Its body is valid, its caller and user may ask, and the model is there."""
    CHECKED = "checked"
    CACHED = "cached"
    """A stored answer takes the place of the engine's."""
    SUBMITTED = "submitted"
    STREAMING = "streaming"
    """Its client has the status, and gets the answer bit by bit."""
    FINISHED = "finished"


_NEXT = {
    State.RECEIVED: (State.ADMITTED,),
    State.ADMITTED: (State.CHECKED,),
    State.CHECKED: (State.CACHED, State.SUBMITTED),
    State.CACHED: (State.STREAMING,),
    State.SUBMITTED: (State.STREAMING,),
    State.STREAMING: (),
}
"""What may follow; FINISHED may follow all but itself."""


class InferenceRequest(Generic[Body]):
    """Owns a request's body, engine, quota reservation, answer and record. One event loop's thread."""

    strict: ClassVar[bool] = False
    """Raise what is a fault of ours and would only be logged; for tests."""

    def __init__(self, arrival: Arrival, steps: Steps[Body]) -> None:
        self.state = State.RECEIVED
        self.response_id = f"{_ID_PREFIXES[arrival.operation]}-{uuid.uuid4().hex}"
        self._arrival = arrival
        self._steps = steps
        self._model = ""
        self._body: Body | None = None
        self._engine: Engine | None = None
        self._reservation: QuotaReservation | None = None
        self._answer: ModelAnswer | None = None
        self._lookup: CacheLookup | None = None
        self._verdicts: dict[str, dict[str, str]] = {}
        self._open_text: dict[int, str] = {}
        self._first_byte_ns = 0
        self._ending: Ending | None = None

    @property
    def body(self) -> Body:
        assert self._body is not None, "it has been parsed"  # noqa: S101
        return self._body

    @property
    def engine(self) -> Engine:
        assert self._engine is not None, "it has been admitted"  # noqa: S101
        return self._engine

    @property
    def answer(self) -> ModelAnswer:
        assert self._answer is not None, "it has been cached or submitted"  # noqa: S101
        return self._answer

    @property
    def cache_result(self) -> str:
        """hit, semantic or miss; empty where no cache was asked."""
        return self._lookup.word if self._lookup is not None else ""

    # --- on the way in ----------------------------------------------------------------------------------

    def admit(self, raw: bytes, reservation: QuotaReservation) -> Body:
        """Take the body, and the engine that is to answer. Raises ApiError."""
        self._reservation = reservation
        check_body(raw)
        try:
            body = self._body = self._steps.validate(raw)
        except ValidationError as error:
            self._model = model_named_in(raw)
            raise from_validation(error) from error
        self._model = body.model
        self._steps.refuse_user(body.user_id)
        self._engine = self._steps.engine_of(body.model)
        self._advance(State.ADMITTED)
        return body

    async def run(self) -> AsyncGenerator[AnswerStarted | Event, None]:
        """AnswerStarted with its first event, then the answer as it may be sent.

        Raises ApiError and EngineError. Closing it early frees the engine.
        """
        steps, body, engine, reservation = self._steps, self.body, self.engine, self._reservation
        assert reservation is not None, "it has been admitted"  # noqa: S101
        if steps.check_prompt is not None:
            await self._check_prompt(steps.check_prompt)
        self._advance(State.CHECKED)
        hit = await self._cache_hit(steps.lookup) if steps.lookup is not None else None
        if hit is not None:
            self._answer = ReplayedAnswer(hit.answer)
            self._advance(State.CACHED)
        else:
            engine_answer = steps.answer(body, engine, self.response_id, self._arrival.caller.priority)
            self._answer = engine_answer
            await engine_answer.submit(reservation)
            self._advance(State.SUBMITTED)
        started = False
        async with aclosing(self.answer.events()) as events:
            async for event in events:
                if not started:
                    started = True
                    yield self._start()
                if steps.check_answer is None or not isinstance(event, TextDelta):
                    yield event
                elif (checked := await self._checked(event, steps.check_answer)) is not None:
                    yield checked
        if not started:
            yield self._start()
        if hit is None and steps.store is not None:
            whole = answer_of(self.answer.input_tokens or 0, self.answer.choices)
            if whole is not None:
                steps.store(self._cache_key, whole)

    def _start(self) -> AnswerStarted:
        if self.body.stream:
            self._advance(State.STREAMING)
        return AnswerStarted()

    def _advance(self, state: State) -> None:
        following = (*_NEXT.get(self.state, ()), State.FINISHED)
        if state not in following or self.state is State.FINISHED:
            self._report(RuntimeError(f"a request cannot be {state.value} after {self.state.value}"))
        self.state = state

    # --- steps ------------------------------------------------------------------------------------------

    async def _check_prompt(self, check: CheckStep) -> None:
        body = self.body
        text = "\n".join(part for part in body.prompt_parts if isinstance(part, str))
        refusal = await self._refusal(check, Content(text, "input", body.model, body.user_id))
        if refusal is not None:
            message = f"the prompt was refused by the content check: {refusal}"
            raise ApiError(400, message, code="content_filter", param=body.prompt_field)

    async def _checked(self, delta: TextDelta, check: CheckStep) -> Event | None:
        """The delta, each finished sentence checked; a refusal ends its choice and recalls it."""
        body, index = self.body, delta.index
        choice = self.answer.choices[index]
        if choice.recalled:
            return None
        text = self._open_text.get(index, "") + delta.text
        sentences, self._open_text[index] = split_sentences(text, last=delta.finish is not None)
        for sentence in sentences:
            content = Content(sentence, "output", body.model, body.user_id, choice.text)
            refusal = await self._refusal(check, content)
            if refusal is not None:
                return self.answer.recall(index, refusal)
        return delta

    async def _refusal(self, check: CheckStep, content: Content) -> str | None:
        """Why a check refuses the content; None where all allow it."""
        refusal = None
        async for result in check(content):
            verdicts = self._verdicts.setdefault(content.stage, {})
            verdicts.pop(result.name, None)  # the latest goes last
            verdicts[result.name] = result.text
            refusal = result.refusal
        return refusal

    @functools.cached_property
    def _cache_key(self) -> CacheKey:
        assert not isinstance(self.body, EmbeddingRequest), "only texts are cached"  # noqa: S101
        return cache_key_of(self.body, self._arrival.caller.name, self.engine.info)

    async def _cache_hit(self, lookup: Callable[[CacheKey], Awaitable[CacheHit | None]]) -> CacheHit | None:
        start_ns = time.perf_counter_ns()
        self._lookup = CacheLookup(start_ns)
        hit = await lookup(self._cache_key)
        end_ns = time.perf_counter_ns()
        if hit is None:
            self._lookup = CacheLookup(start_ns, end_ns, "miss")
        else:
            self._lookup = CacheLookup(start_ns, end_ns, hit.kind, hit.score, hit.answer.tokens)
        return hit

    def note_first_byte(self) -> None:
        """The streamed body goes out from now on."""
        self._first_byte_ns = time.perf_counter_ns()

    # --- the end ----------------------------------------------------------------------------------------

    def finish(self, error: BaseException | None = None) -> Ending:
        """End it by what went wrong, None: nothing: give back what it holds and hand on its record.

        All that comes after the first time changes nothing. Returns what became of the request.
        """
        if self._ending is not None:
            return self._ending
        ending = self._ending = ending_of(
            error,
            self._arrival.operation,
            streaming=self.state is State.STREAMING,
            complete=self._answer is not None and self._answer.is_complete,
        )
        if ending.is_internal:
            logger.error("request failed", exc_info=error)
        self._advance(State.FINISHED)
        measured = self._answer.close(ending.stop_reason) if self._answer is not None else Measured()
        if self._reservation is not None:
            self._reservation.release_unused(measured.used_tokens)
        try:
            self._steps.finished(self._record(ending, measured))
        except Exception as fault:  # noqa: BLE001 - it is reported, and the answer is as good without
            self._report(fault)
        return ending

    def _record(self, ending: Ending, measured: Measured) -> RequestRecord:
        arrival, body, ended_ns = self._arrival, self._body, time.perf_counter_ns()
        item = arrival.batch_item
        info = self._engine.info if self._engine is not None else None
        extra: Attributes = {semconv.INFERENCE_KEY: arrival.caller.name}
        if item is not None:
            extra |= item.attributes
        if isinstance(body, EmbeddingRequest) and body.user is not None:
            extra[semconv.USER_ID] = body.user
        for stage, verdicts in self._verdicts.items():
            extra[semconv.INFERENCE_SAFETY + stage] = list(verdicts.values())
        if self._answer is not None and any(choice.recalled for choice in self._answer.choices):
            extra[semconv.INFERENCE_SAFETY_RECALLED] = True
        if self._lookup is not None:
            extra |= self._lookup.attributes
        extra |= measured.attributes
        if self._steps.gpu is not None and measured.used_tokens and info is not None and info.device != "cpu":
            share = sum(choice.progress.share_ns for choice in measured.choices) / 1e9
            extra |= self._steps.gpu(arrival.arrived_ns, ended_ns, share)
        return RequestRecord(
            headers=arrival.headers,
            server=arrival.server,
            operation=arrival.operation,
            path=arrival.path,
            model=self._model,
            arrived_ns=arrival.arrived_ns,
            arrived_wall_ns=arrival.arrived_wall_ns,
            request=body,
            response_id=self.response_id,
            max_tokens=measured.max_tokens,
            info=info,
            cache=self._lookup,
            tokenize_from_ns=measured.tokenize_from_ns,
            tokenize_to_ns=measured.tokenize_to_ns,
            input_tokens=measured.input_tokens,
            cached_tokens=measured.cached_tokens,
            choices=measured.choices,
            further_phases=measured.further_phases,
            status=ending.status,
            error_type=ending.error_type,
            error_message=ending.error_message,
            links=(item.span,) if item is not None and item.span is not None else (),
            extra=extra,
            first_byte_ns=self._first_byte_ns,
            ended_ns=ended_ns,
        )

    def _report(self, fault: Exception) -> None:
        """A fault of ours that must not cost the client its answer."""
        if self.strict:
            raise fault
        logger.error("a request was not followed rightly", exc_info=fault)

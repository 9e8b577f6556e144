"""One request from its arrival to its record: the states it goes through, what it holds, and its one end."""

from __future__ import annotations

import json
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Generic, Literal, TypeVar

from pydantic import ValidationError

from llmtrace import semconv
from llmtrace_inference.access.auth import Caller
from llmtrace_inference.access.quotas import QuotaReservation
from llmtrace_inference.engine.interface import Engine, EngineError
from llmtrace_inference.protocol.errors import ApiError, from_validation
from llmtrace_inference.protocol.requests import ChatRequest, CompletionRequest, EmbeddingRequest
from llmtrace_inference.telemetry.request_record import Attributes, BatchItem, RequestRecord

from .endings import Ending, ending_of

logger = logging.getLogger(__name__)

Operation = Literal["chat", "text_completion", "embeddings"]
Body = TypeVar("Body", bound=ChatRequest | CompletionRequest | EmbeddingRequest)
Event = TypeVar("Event")


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


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of a request before its body is read. Times are perf_counter_ns and time_ns."""

    operation: Operation
    path: str
    caller: Caller
    headers: Mapping[str, str] = field(default_factory=dict)
    server: tuple[str, int] | None = None
    """Address and port that it came in on."""
    batch_item: BatchItem | None = None
    arrived_ns: int = field(default_factory=time.perf_counter_ns)
    arrived_wall_ns: int = field(default_factory=time.time_ns)


class InferenceRequest(ABC, Generic[Body, Event]):
    """Owns a request's body, engine and quota reservation, and makes its record when it is finished.

    `validate` raises ValidationError. `finished` gets the record, once, however the request ends. What is to
    be done with engine and body is the subclasses'. One event loop's thread.
    """

    strict: ClassVar[bool] = False
    """Raise what is a fault of ours and would only be logged; for tests."""

    def __init__(
        self,
        arrival: Arrival,
        validate: Callable[[bytes], Body],
        finished: Callable[[RequestRecord], None],
    ) -> None:
        self.arrival = arrival
        self.state = State.RECEIVED
        self.input_tokens: int | None = None
        self._validate = validate
        self._finished = finished
        self._model = ""
        self._body: Body | None = None
        self._engine: Engine | None = None
        self._reservation: QuotaReservation | None = None
        self._tokenize_from_ns = 0
        self._tokenize_to_ns = 0
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
    def reservation(self) -> QuotaReservation:
        assert self._reservation is not None, "it has been admitted"  # noqa: S101
        return self._reservation

    @property
    def streams(self) -> bool:
        """The answer is to be sent as it comes."""
        return False

    # --- on the way in ----------------------------------------------------------------------------------

    def parse(self, raw: bytes) -> Body:
        """Take the body. Raises ApiError 400."""
        try:
            self._body = self._validate(raw)
        except ValidationError as error:
            self._model = _model_of(raw)
            raise from_validation(error) from error
        self._model = self._body.model
        return self._body

    def admit(self, engine: Engine, reservation: QuotaReservation) -> None:
        """Take the engine that is to answer, and the caller's allowance."""
        self._engine, self._reservation = engine, reservation
        self._advance(State.ADMITTED)

    @abstractmethod
    def run(self) -> AsyncGenerator[Event, None]:
        """The answer as it comes. Raises ApiError and EngineError; closing it early frees the engine."""

    # --- the end ----------------------------------------------------------------------------------------

    def finish(self, error: BaseException | None = None) -> Ending:
        """End it by what went wrong, None: nothing: give back what it holds and hand on its record.

        All that comes after the first time changes nothing. Returns what became of the request.
        """
        if self._ending is not None:
            return self._ending
        ending = self._ending = ending_of(
            error,
            self.arrival.operation,
            streaming=self.state is State.STREAMING,
            complete=self.is_complete,
        )
        if isinstance(error, Exception) and not isinstance(error, ApiError | EngineError) and ending.refusal:
            logger.error("request failed", exc_info=error)
        self._advance(State.FINISHED)
        self._release()
        try:
            self._finished(self._record(ending))
        except Exception as fault:  # noqa: BLE001 - it is reported, and the answer is as good without
            self._report(fault)
        return ending

    @property
    def is_complete(self) -> bool:
        """The whole answer is there."""
        return False

    @property
    def _used_tokens(self) -> int:
        """Tokens that were computed, of those that are reserved."""
        return 0

    def _release(self) -> None:
        if self._reservation is not None:
            self._reservation.release_unused(self._used_tokens)

    def _record(self, ending: Ending) -> RequestRecord:
        arrival, item = self.arrival, self.arrival.batch_item
        return RequestRecord(
            headers=arrival.headers,
            server=arrival.server,
            operation=arrival.operation,
            path=arrival.path,
            model=self._model,
            arrived_ns=arrival.arrived_ns,
            arrived_wall_ns=arrival.arrived_wall_ns,
            info=self._engine.info if self._engine is not None else None,
            tokenize_from_ns=self._tokenize_from_ns,
            tokenize_to_ns=self._tokenize_to_ns,
            input_tokens=self.input_tokens,
            status=ending.status,
            error_type=ending.error_type,
            error_message=ending.error_message,
            links=(item.span,) if item is not None and item.span is not None else (),
            extra=self._attributes(),
            ended_ns=time.perf_counter_ns(),
        )

    def _attributes(self) -> Attributes:
        """Attributes of the SERVER span beside those that are made of the record's other fields."""
        item = self.arrival.batch_item
        own: Attributes = {semconv.INFERENCE_KEY: self.arrival.caller.name}
        return own | item.attributes if item is not None else own

    # --- states -----------------------------------------------------------------------------------------

    def _advance(self, state: State) -> None:
        following = (*_NEXT.get(self.state, ()), State.FINISHED)
        if state not in following or self.state is State.FINISHED:
            self._report(RuntimeError(f"a request cannot be {state.value} after {self.state.value}"))
        self.state = state

    def _report(self, fault: Exception) -> None:
        """A fault of ours that must not cost the client its answer."""
        if self.strict:
            raise fault
        logger.error("a request was not followed rightly", exc_info=fault)


def _model_of(raw: bytes) -> str:
    """The model that an invalid request names, for its span."""
    try:
        model = json.loads(raw).get("model")
    except (ValueError, AttributeError):
        return ""
    return model[:128] if isinstance(model, str) else ""

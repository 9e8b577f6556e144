"""The call of a model in the process."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.util.types import AttributeValue

from llmtrace import clock, semconv
from llmtrace.capture.runtime import Runtime
from llmtrace.capture.said_calls import EVENTS, JSON, SaidCall, SaidRequest, event
from llmtrace.internal_errors import swallow
from llmtrace.wire.format import Json, items, mapping
from llmtrace.wire.provider_names import PROVIDER_HEADER

from .exchange import Answer, Observation, Request, Tokens, serialized

_NOTING: Final = swallow("noting a model's answer")


class LocalCall(SaidCall):
    """The evidence of one call. within: what came of observed calls that are parts of it."""

    __slots__ = ("_answer", "_first_token_at", "_observation", "_request_body", "within")

    def __init__(self, runtime: Runtime, observation: Observation, request: Request, here: Context) -> None:
        body = request.body if isinstance(request.body, bytes) else b""
        super().__init__(runtime, request.wire_format, SaidRequest(request.path, body), here)
        self._content = self._content and request.has_text
        self._request_body = None if isinstance(request.body, bytes) else request.body
        self._observation = observation
        self._answer: Answer | None = None
        self._first_token_at: float | None = None
        self.within: list[Answer] = []

    def first_token(self) -> None:
        """It came; a stream tells it by its chunks."""
        self._first_token_at = clock.perf_counter()

    def finish(self, answer: Answer) -> None:
        """End it with what the method returned."""
        self._answer = answer
        self._status = 200
        self.end()

    def begin_stream(self) -> None:
        """What the method returned is a stream."""
        self._status = 200
        self._streamed = True

    def note_chunk(self, chunk: Any) -> None:
        """One piece of a stream came."""
        with _NOTING:
            if isinstance(chunk, str):
                chunk = {"choices": [{"index": 0, "text": chunk, "delta": {"content": chunk}}]}
            if isinstance(chunk, dict):
                self.body.add(event(serialized({**chunk, "model": self._observation.name})))

    def _say(self) -> None:
        content_type = EVENTS if self._streamed else JSON
        self._headers = {"content-type": content_type, PROVIDER_HEADER: self._observation.provider}
        if self._request_body is not None:
            self._request = SaidRequest(self._request.path, serialized(self._request_body()))
        if self._answer is not None:
            body = dict(mapping(self._answer.body()))
            if not body.get("usage"):
                body["usage"] = self._usage_within()
            reasons = [reason for part in self.within for reason in part.reasons]
            for choice, reason in zip(items(body.get("choices")), reasons, strict=False):
                choice["finish_reason"] = choice.get("finish_reason") or reason
            self.body.set_whole(serialized(body))

    def _usage_within(self) -> Json:
        parts = [part.tokens for part in self.within]
        return Tokens(sum(part.input for part in parts), sum(part.output for part in parts)).usage()

    def _describe_response(self, attributes: dict[str, AttributeValue]) -> Json:
        answer = super()._describe_response(attributes)
        attributes.pop(semconv.OPENAI_API_TYPE, None)  # the words are OpenAI's, its API was not called
        if self._first_token_at is not None:
            attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = self._first_token_at - self._start
        return answer

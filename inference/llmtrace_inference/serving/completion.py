"""A chat or plain completion: checked, answered from the cache or by the engine, choice by choice."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from llmtrace import semconv
from llmtrace_inference.engine.interface import Progress, Submission
from llmtrace_inference.protocol.errors import ApiError
from llmtrace_inference.protocol.requests import ChatRequest, CompletionRequest
from llmtrace_inference.protocol.tool_calls import ToolCallParser
from llmtrace_inference.safety import Content
from llmtrace_inference.telemetry.request_record import Attributes, CacheLookup, RequestRecord

from .answer_cache import CacheHit, CacheKey, StoredAnswer, answer_of, cache_key_of
from .choice import Choice, Deadline, TextDelta
from .content_checks import CheckStep, split_sentences
from .endings import Ending
from .generation import (
    check_against_model,
    encode_prompts,
    for_choice,
    generation_of,
    matcher_for,
    refused,
)
from .request import Arrival, InferenceRequest, State
from .stop_strings import StopMatcher


@dataclass(frozen=True, slots=True)
class AnswerStarted:
    """What goes wrong from here on can have no status of its own any more."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What a completion goes through besides the engine. None: is left out.

    Each says what it found, and writes nothing into the request.
    """

    finished: Callable[[RequestRecord], None]
    check_prompt: CheckStep | None = None
    check_answer: CheckStep | None = None
    lookup: Callable[[CacheKey], Awaitable[CacheHit | None]] | None = None
    store: Callable[[CacheKey, StoredAnswer], None] | None = None
    gpu: Callable[[int, int, float], Attributes] | None = None
    """(start, end, seconds of the engine) → attributes of the GPU in that time."""


class Completion(InferenceRequest[ChatRequest | CompletionRequest, AnswerStarted | TextDelta]):
    """One completion. `default_max_tokens` is for requests without a limit of their own."""

    def __init__(
        self, arrival: Arrival, steps: Steps, *, default_max_tokens: int, timeout_seconds: float
    ) -> None:
        chat = arrival.operation == "chat"
        body_type = ChatRequest if chat else CompletionRequest
        super().__init__(arrival, body_type.model_validate_json, steps.finished)
        self.choices: list[Choice] = []
        self.response_id = f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}"
        self._steps = steps
        self._default_max_tokens = default_max_tokens
        self._deadline = Deadline(time.monotonic() + timeout_seconds, timeout_seconds)
        self._lookup: CacheLookup | None = None
        self._max_tokens = 0
        self._submissions: list[Submission] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._verdicts: dict[str, dict[str, str]] = {}
        self._open_text: dict[int, str] = {}

    @property
    def streams(self) -> bool:
        return self.body.stream

    @property
    def is_complete(self) -> bool:
        return bool(self.choices) and all(choice.finish_reason is not None for choice in self.choices)

    @property
    def output_tokens(self) -> int:
        return sum(choice.output_tokens for choice in self.choices)

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens read from shared KV blocks: each prompt once, by the first of its choices."""
        per_prompt = self.body.choices if self._body is not None else 1
        return sum(choice.progress.cached_tokens for choice in self.choices[::per_prompt])

    async def run(self) -> AsyncGenerator[AnswerStarted | TextDelta, None]:
        """AnswerStarted with the first delta, and the deltas of all choices, as they may be sent."""
        await self._check_prompt()
        self._advance(State.CHECKED)
        hit = await self._cached_answer()
        if hit is None:
            await self._submit()
            deltas = self._generated()
            self._advance(State.SUBMITTED)
        else:
            deltas = self._replayed(hit.answer)
            self._advance(State.CACHED)
        started, check = False, self._steps.check_answer
        async with aclosing(deltas):
            async for delta in deltas:
                if not started:
                    started = True
                    yield self._start()
                checked = delta if check is None else await self._checked(delta, check)
                if checked is not None:
                    yield checked
        if not started:
            yield self._start()
        if hit is None:
            self._store()

    def _start(self) -> AnswerStarted:
        if self.streams:
            self._advance(State.STREAMING)
        return AnswerStarted()

    # --- checks -----------------------------------------------------------------------------------------

    async def _check_prompt(self) -> None:
        body, check = self.body, self._steps.check_prompt
        if check is None:
            return
        text = "\n".join(text for text in body.prompt_parts if isinstance(text, str))
        refusal = await self._refusal(check, Content(text, "input", body.model, body.user_id))
        if refusal is not None:
            message = f"the prompt was refused by the content check: {refusal}"
            raise ApiError(400, message, code="content_filter", param=body.prompt_field)

    async def _checked(self, delta: TextDelta, check: CheckStep) -> TextDelta | None:
        """The delta, each finished sentence checked; a refusal ends its choice and recalls it."""
        body, index = self.body, delta.index
        choice = self.choices[index]
        if choice.recalled:
            return None
        text = self._open_text.get(index, "") + delta.text
        sentences, self._open_text[index] = split_sentences(text, last=delta.finish is not None)
        for sentence in sentences:
            content = Content(sentence, "output", body.model, body.user_id, choice.text)
            refusal = await self._refusal(check, content)
            if refusal is not None:
                if self._submissions:
                    self.engine.cancel(self._submissions[index])
                if self._tasks:
                    self._tasks[index].cancel()
                return choice.recall(refusal)
        return delta

    async def _refusal(self, check: CheckStep, content: Content) -> str | None:
        """Why a check refuses the content; None where all allow it."""
        refusal, verdicts = None, self._verdicts.setdefault(content.stage, {})
        async for result in check(content):
            verdicts.pop(result.name, None)  # the latest goes last
            verdicts[result.name] = result.text
            refusal = result.refusal
        return refusal

    # --- cache ------------------------------------------------------------------------------------------

    @functools.cached_property
    def _cache_key(self) -> CacheKey:
        return cache_key_of(self.body, self.arrival.caller.name, self.engine.info)

    async def _cached_answer(self) -> CacheHit | None:
        lookup, start_ns = self._steps.lookup, time.perf_counter_ns()
        if lookup is None:
            return None
        self._lookup = CacheLookup(start_ns)
        hit = await lookup(self._cache_key)
        end_ns = time.perf_counter_ns()
        if hit is None:
            self._lookup = CacheLookup(start_ns, end_ns, "miss")
        else:
            self._lookup = CacheLookup(start_ns, end_ns, hit.kind, hit.score, hit.answer.tokens)
        return hit

    async def _replayed(self, answer: StoredAnswer) -> AsyncGenerator[TextDelta, None]:
        """The deltas of a stored answer."""
        self.input_tokens = answer.input_tokens
        self.choices += [
            Choice(
                index,
                Progress(),
                output_tokens=stored.output_tokens,
                text=stored.text,
                tool_calls=list(stored.tool_calls),
                logprobs=list(stored.logprobs),
                finish_reason=stored.finish_reason,
                stop_reason="cache",
            )
            for index, stored in enumerate(answer.choices)
        ]
        for index, stored in enumerate(answer.choices):
            yield TextDelta(index, stored.text, stored.tool_calls, stored.logprobs, stored.finish_reason)

    def _store(self) -> None:
        """Leave the answer for the next one who asks, where it is whole."""
        answer = answer_of(self.input_tokens or 0, self.choices) if self._steps.store is not None else None
        if self._steps.store is not None and answer is not None:
            self._steps.store(self._cache_key, answer)

    # --- engine -----------------------------------------------------------------------------------------

    async def _submit(self) -> None:
        """Tokenise and hand every choice to the engine."""
        body, engine = self.body, self.engine
        check_against_model(body, engine)
        matcher = await matcher_for(body, engine.tokenizer)
        self._tokenize_from_ns = time.perf_counter_ns()
        try:
            prompts = await encode_prompts(body, engine.tokenizer)
        finally:
            self._tokenize_to_ns = time.perf_counter_ns()
        self.input_tokens = sum(map(len, prompts))
        if not all(prompts):
            raise refused(body.prompt_field, "the prompt is empty")
        # Without a limit of its own, a request may take what is left of the context.
        room = max(engine.info.context_length - max(map(len, prompts)), 1)
        self._max_tokens = body.output_limit or min(self._default_max_tokens, room)
        self.reservation.reserve(self.input_tokens + self._max_tokens * len(prompts) * body.choices)
        priority = self.arrival.caller.priority
        generation = generation_of(body, self.response_id, self._max_tokens, priority)
        for prompt_ids in prompts:
            for which in range(body.choices):
                index = len(self.choices)
                submission = engine.submit(for_choice(generation, prompt_ids, index, which, matcher))
                self._submissions.append(submission)
                stops = StopMatcher(tuple(body.stop or ()))
                tools = ToolCallParser() if body.wants_tools else None
                self.choices.append(Choice(index, submission.progress, stops, tools))

    def _generated(self) -> AsyncGenerator[TextDelta, None]:
        pairs = zip(self.choices, self._submissions, strict=True)
        streams = [choice.generate(self.engine, submission, self._deadline) for choice, submission in pairs]
        return streams[0] if len(streams) == 1 else self._mixed(streams)

    async def _mixed(self, streams: list[AsyncGenerator[TextDelta, None]]) -> AsyncGenerator[TextDelta, None]:
        """The deltas of several choices as they come."""
        queue: asyncio.Queue[TextDelta | BaseException | None] = asyncio.Queue()

        async def run(stream: AsyncGenerator[TextDelta, None]) -> None:
            try:
                async for delta in stream:
                    queue.put_nowait(delta)
            except Exception as error:  # noqa: BLE001 - raised again below, in the request's own task
                queue.put_nowait(error)
            finally:
                queue.put_nowait(None)

        tasks = self._tasks = [asyncio.create_task(run(stream)) for stream in streams]
        try:
            running = len(tasks)
            while running:
                item = await queue.get()
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    running -= 1
                else:
                    yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- the end ----------------------------------------------------------------------------------------

    @property
    def _used_tokens(self) -> int:
        return (self.input_tokens or 0) + self.output_tokens if self._submissions else 0

    def _release(self) -> None:
        for submission in self._submissions:
            self.engine.cancel(submission)  # harmless when the answers are complete
        super()._release()

    def _record(self, ending: Ending) -> RequestRecord:
        record = dataclasses.replace(
            super()._record(ending),
            request=self._body,
            response_id=self.response_id,
            max_tokens=self._max_tokens,
            cache=self._lookup,
            cached_tokens=self.cached_tokens,
            choices=tuple(choice.record(ending.stop_reason) for choice in self.choices),
        )
        if self._steps.gpu is None or not self._submissions or self.engine.info.device == "cpu":
            return record
        share = sum(choice.progress.share_ns for choice in self.choices) / 1e9
        gpu = self._steps.gpu(record.arrived_ns, record.ended_ns, share)
        return dataclasses.replace(record, extra=record.extra | gpu)

    def _attributes(self) -> Attributes:
        attributes = super()._attributes()
        for stage, verdicts in self._verdicts.items():
            if verdicts:
                attributes[semconv.INFERENCE_SAFETY + stage] = list(verdicts.values())
        if any(choice.recalled for choice in self.choices):
            attributes[semconv.INFERENCE_SAFETY_RECALLED] = True
        return attributes | (self._lookup.attributes if self._lookup is not None else {})

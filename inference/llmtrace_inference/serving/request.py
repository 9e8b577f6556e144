"""One accepted request on its way through an engine: tokenise, submit each choice, turn tokens into text."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from llmtrace_inference.access.quotas import QuotaReservation
from llmtrace_inference.engine.interface import (
    Delta,
    Engine,
    Generation,
    Matcher,
    Progress,
    RequestTimeout,
    Submission,
    TokenLogprob,
)
from llmtrace_inference.protocol.errors import ApiError
from llmtrace_inference.protocol.requests import ChatRequest, CompletionRequest
from llmtrace_inference.protocol.tool_calls import ToolCall, ToolCallParser
from llmtrace_inference.settings import InferenceSettings
from llmtrace_inference.telemetry.request_record import ChoiceRecord, RequestRecord

from .answer_cache import StoredAnswer
from .output_grammar import grammar_for
from .stop_strings import StopMatcher

_LONG_PROMPT_CHARACTERS = 8_000
"""Longer conversations are tokenised in a thread, so that they do not hold up everybody's tokens."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """What new tokens add to one choice; `finish` is set on the choice's last one."""

    index: int
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish: str | None = None
    recall: str = ""
    """Why all that was sent of this choice is withdrawn."""


@dataclass(slots=True)
class _Choice:
    """One answer: its submission to the engine, and what its tokens have to go through."""

    index: int
    submission: Submission
    record: ChoiceRecord
    stops: StopMatcher
    tools: ToolCallParser | None


class InferenceRequest:
    """Runs one request; `record` gets all that is measured. Raises ApiError and EngineError."""

    def __init__(
        self,
        engine: Engine,
        settings: InferenceSettings,
        record: RequestRecord,
        request: ChatRequest | CompletionRequest,
        reservation: QuotaReservation,
    ) -> None:
        self.record = record
        self.request = request
        self.engine = engine
        self._reservation = reservation
        self._settings = settings
        self._deadline = time.monotonic() + settings.request_timeout_seconds
        self._choices: list[_Choice] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._deltas: AsyncIterator[TextDelta] | None = None
        self._first: TextDelta | None = None
        chat = isinstance(request, ChatRequest)
        self._prompt_field = "messages" if chat else "prompt"
        record.response_id = f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}"
        record.info = engine.info

    # --- on the way in ----------------------------------------------------------------------------------

    async def submit(self) -> None:
        """Tokenise and hand every choice to the engine."""
        record, request = self.record, self.request
        self._check_against_model()
        matcher = await self._matcher()
        record.tokenize_from_ns = time.perf_counter_ns()
        try:
            prompts = await self._prompts()
        finally:
            record.tokenize_to_ns = time.perf_counter_ns()
        record.input_tokens = sum(map(len, prompts))
        for prompt_ids in prompts:
            if not prompt_ids:
                raise self._refused(self._prompt_field, "the prompt is empty")
        info = self.engine.info
        # Without a limit of its own, a request may take what is left of the context.
        room = max(info.context_length - max(map(len, prompts)), 1)
        record.max_tokens = request.output_limit or min(self._settings.default_max_tokens, room)
        answers = len(prompts) * request.choices
        self._reservation.reserve(record.input_tokens + record.max_tokens * answers)
        for prompt_ids in prompts:
            for which in range(request.choices):
                self._submit_choice(tuple(prompt_ids), which, matcher)
        if len(self._choices) == 1:
            self._deltas = self._generate(self._choices[0])
        else:
            self._deltas = self._all_choices()

    def _refused(self, param: str, message: str, code: str = "invalid_value") -> ApiError:
        return ApiError(400, f"'{param}': {message}", code=code, param=param)

    def _check_against_model(self) -> None:
        """What only the model can tell: 400 for what it does not have."""
        request, info = self.request, self.engine.info
        if request.top_k is not None and request.top_k > info.vocab_size:
            raise self._refused("top_k", f"at most {info.vocab_size}, the size of the model's vocabulary")
        if isinstance(request, CompletionRequest):
            for prompt in request.prompts:
                if not isinstance(prompt, str) and max(prompt) >= info.vocab_size:
                    raise self._refused("prompt", f"token ids are below {info.vocab_size}")
        elif request.tools and not self.engine.tokenizer.speaks_tools:
            raise self._refused(
                "tools",
                f"the chat template of model {info.name} knows no tools in a form that can be parsed",
                code="unsupported_parameter",
            )

    async def _matcher(self) -> Matcher | None:
        wanted = grammar_for(self.request) if isinstance(self.request, ChatRequest) else None
        if wanted is None:
            return None
        param, grammar = wanted
        try:
            # Compiling takes a second for a large vocabulary's first grammar, and long for a hard schema.
            return await asyncio.to_thread(self.engine.tokenizer.matcher, grammar)
        except ValueError as error:
            raise self._refused(param, str(error)) from error
        except RuntimeError as error:
            raise self._refused(param, str(error), code="unsupported_parameter") from error

    async def _prompts(self) -> list[list[int]]:
        request, tokenizer = self.request, self.engine.tokenizer

        def encode() -> list[list[int]]:
            if isinstance(request, ChatRequest):
                return [tokenizer.encode_chat(request.template_messages(), request.template_tools())]
            return [tokenizer.encode(p) if isinstance(p, str) else p for p in request.prompts]

        texts = (
            [m.text for m in request.messages] if isinstance(request, ChatRequest) else list(request.prompts)
        )
        try:
            if sum(map(len, texts)) > _LONG_PROMPT_CHARACTERS:
                return await asyncio.to_thread(encode)
            return encode()
        except ValueError as error:
            raise ApiError(400, str(error), code="invalid_value", param=self._prompt_field) from error

    def _submit_choice(self, prompt_ids: tuple[int, ...], which: int, matcher: Matcher | None) -> None:
        request, record, index = self.request, self.record, len(self._choices)
        seed = request.seed
        if seed is not None and which:
            seed = (seed + which * 0x9E3779B97F4A7C15) % 2**63  # the first choice is the one without n
        wants_tools = isinstance(request, ChatRequest) and bool(request.usable_tools)
        submission = self.engine.submit(
            Generation(
                request_id=record.response_id if index == 0 else f"{record.response_id}-{index}",
                prompt_ids=prompt_ids,
                max_tokens=record.max_tokens,
                temperature=1.0 if request.temperature is None else request.temperature,
                top_p=1.0 if request.top_p is None else request.top_p,
                top_k=request.top_k,
                min_p=request.min_p or 0.0,
                presence_penalty=request.presence_penalty or 0.0,
                frequency_penalty=request.frequency_penalty or 0.0,
                seed=seed,
                logprobs=request.wanted_logprobs,
                matcher=matcher.deep_copy() if matcher is not None else None,
                every_token=request.stream or bool(request.stop),
                ignore_eos=bool(request.ignore_eos),
                priority=(request.priority or 0) + self._reservation.caller.priority,
            )
        )
        choice_record = ChoiceRecord(submission.progress)
        record.choices.append(choice_record)
        self._choices.append(
            _Choice(
                index,
                submission,
                choice_record,
                StopMatcher(tuple(request.stop or ())),
                ToolCallParser() if wants_tools else None,
            )
        )

    # --- on the way out ---------------------------------------------------------------------------------

    async def wait_for_first_delta(self) -> None:
        """Wait for the first delta, so that what goes wrong before it still gets a status of its own."""
        assert self._deltas is not None  # noqa: S101 - submit comes first
        self._first = await anext(self._deltas, None)

    async def deltas(self) -> AsyncIterator[TextDelta]:
        """The deltas of all choices, as they may be sent."""
        assert self._deltas is not None  # noqa: S101 - submit comes first
        if self._first is not None:
            yield self._first
        async for delta in self._deltas:
            yield delta

    def replay(self, answer: StoredAnswer) -> None:
        """Take a stored answer instead of the engine's."""
        self.record.input_tokens = answer.input_tokens
        deltas = []
        for index, stored in enumerate(answer.choices):
            self.record.choices.append(
                ChoiceRecord(
                    Progress(),
                    output_tokens=stored.output_tokens,
                    text=stored.text,
                    tool_calls=list(stored.tool_calls),
                    logprobs=list(stored.logprobs),
                    finish_reason=stored.finish_reason,
                    stop_reason="cache",
                )
            )
            deltas.append(
                TextDelta(index, stored.text, stored.tool_calls, stored.logprobs, stored.finish_reason)
            )

        async def stored_deltas() -> AsyncIterator[TextDelta]:
            for delta in deltas:
                yield delta

        self._deltas = stored_deltas()

    def cancel_choice(self, index: int) -> None:
        """Stop one choice; the others go on. Harmless for stored answers."""
        if self._choices:
            self.engine.cancel(self._choices[index].submission)
        if self._tasks:
            self._tasks[index].cancel()

    async def close(self) -> None:
        """Free the engine's side; harmless when the answers are complete."""
        for choice in self._choices:
            self.engine.cancel(choice.submission)
        used = self.record.input_tokens or 0 if self._choices else 0
        self._reservation.release_unused(used + self.record.output_tokens)

    async def _all_choices(self) -> AsyncIterator[TextDelta]:
        """The deltas of several choices, mixed as they come."""
        queue: asyncio.Queue[TextDelta | BaseException | None] = asyncio.Queue()

        async def run(choice: _Choice) -> None:
            try:
                async for delta in self._generate(choice):
                    queue.put_nowait(delta)
            except Exception as error:  # noqa: BLE001 - raised again below, in the request's own task
                queue.put_nowait(error)
            finally:
                queue.put_nowait(None)

        tasks = self._tasks = [asyncio.create_task(run(choice)) for choice in self._choices]
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

    async def _generate(self, choice: _Choice) -> AsyncIterator[TextDelta]:
        decoder = self.engine.tokenizer.decoder()
        token_deltas = self.engine.stream(choice.submission)
        record = choice.record
        try:
            while record.finish_reason is None:  # set from outside when a content check recalls the answer
                try:
                    # Not wait_for: it would make a task for each token.
                    async with asyncio.timeout(max(self._deadline - time.monotonic(), 0.001)):
                        token_delta = await anext(token_deltas)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise RequestTimeout(
                        f"the request took longer than {self._settings.request_timeout_seconds:g} s"
                    ) from None
                record.detokenize_from_ns = time.perf_counter_ns()
                text = decoder.feed(token_delta.token_ids)
                deltas = list(self._text_deltas(choice, token_delta, text))
                record.detokenize_to_ns = time.perf_counter_ns()
                record.detokenize_ns += record.detokenize_to_ns - record.detokenize_from_ns
                for delta in deltas:
                    yield delta
        finally:
            self.engine.cancel(choice.submission)

    def _text_deltas(self, choice: _Choice, token_delta: Delta, decoded: str) -> Iterator[TextDelta]:
        """What new tokens add, past stop strings and tool calls; notes it in the choice's record."""
        record, stops = choice.record, choice.stops
        if record.recalled:
            return
        record.output_tokens += len(token_delta.token_ids)
        text = stops.feed(decoded)
        last = token_delta.finish is not None or stops.matched is not None
        if stops.matched is None and last:
            text += stops.flush()
        calls: list[ToolCall] = []
        if choice.tools is not None:
            text, calls = choice.tools.feed(text)
            if last:
                text += choice.tools.flush()
        record.text += text
        record.tool_calls.extend(calls)
        logprobs = token_delta.logprobs[:-1] if token_delta.eos else token_delta.logprobs
        record.logprobs.extend(logprobs)
        if stops.matched is not None:
            record.finish_reason, record.stop_reason = "stop", "stop_string"
        elif token_delta.finish is not None:
            record.finish_reason = token_delta.finish
            record.stop_reason = "eos" if token_delta.eos else "length"
        if record.finish_reason == "stop" and record.tool_calls:
            record.finish_reason = "tool_calls"
        if text or calls or logprobs or last:
            yield TextDelta(choice.index, text, tuple(calls), logprobs, record.finish_reason)

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
    """What one delta adds to one choice; `finish` is set on the choice's last one."""

    index: int
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish: str | None = None
    recall: str = ""
    """Why all that was shown of this choice is withdrawn."""


@dataclass(slots=True)
class _Choice:
    """One answer: its ticket, and what its tokens have to go through."""

    index: int
    ticket: Submission
    trace: ChoiceRecord
    stops: StopMatcher
    tools: ToolCallParser | None


class InferenceRequest:
    """Runs one request; `trace` gets all that is measured. Raises ApiError and EngineError."""

    def __init__(
        self,
        engine: Engine,
        settings: InferenceSettings,
        trace: RequestRecord,
        request: ChatRequest | CompletionRequest,
        grant: QuotaReservation,
    ) -> None:
        self.trace = trace
        self.request = request
        self.engine = engine
        self._grant = grant
        self._settings = settings
        self._deadline = time.monotonic() + settings.request_timeout_seconds
        self._choices: list[_Choice] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._pieces: AsyncIterator[TextDelta] | None = None
        self._first: TextDelta | None = None
        chat = isinstance(request, ChatRequest)
        self._prompt_field = "messages" if chat else "prompt"
        trace.response_id = f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}"
        trace.info = engine.info

    # --- on the way in ----------------------------------------------------------------------------------

    async def submit(self) -> None:
        """Tokenise and hand every choice to the engine."""
        trace, request = self.trace, self.request
        self._check_against_model()
        matcher = await self._matcher()
        trace.tokenize_from_ns = time.perf_counter_ns()
        try:
            prompts = await self._prompts()
        finally:
            trace.tokenize_to_ns = time.perf_counter_ns()
        trace.input_tokens = sum(map(len, prompts))
        for prompt_ids in prompts:
            if not prompt_ids:
                raise self._refused(self._prompt_field, "the prompt is empty")
        info = self.engine.info
        # Without a limit of its own, a request may take what is left of the context.
        room = max(info.context_length - max(map(len, prompts)), 1)
        trace.max_tokens = request.output_limit or min(self._settings.default_max_tokens, room)
        answers = len(prompts) * request.choices
        self._grant.reserve(trace.input_tokens + trace.max_tokens * answers)
        for prompt_ids in prompts:
            for which in range(request.choices):
                self._submit_choice(tuple(prompt_ids), which, matcher)
        if len(self._choices) == 1:
            self._pieces = self._generate(self._choices[0])
        else:
            self._pieces = self._all_choices()

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
        request, trace, index = self.request, self.trace, len(self._choices)
        seed = request.seed
        if seed is not None and which:
            seed = (seed + which * 0x9E3779B97F4A7C15) % 2**63  # the first choice is the one without n
        wants_tools = isinstance(request, ChatRequest) and bool(request.usable_tools)
        ticket = self.engine.submit(
            Generation(
                request_id=trace.response_id if index == 0 else f"{trace.response_id}-{index}",
                prompt_ids=prompt_ids,
                max_tokens=trace.max_tokens,
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
                priority=(request.priority or 0) + self._grant.caller.priority,
            )
        )
        choice_trace = ChoiceRecord(ticket.progress)
        trace.choices.append(choice_trace)
        self._choices.append(
            _Choice(
                index,
                ticket,
                choice_trace,
                StopMatcher(tuple(request.stop or ())),
                ToolCallParser() if wants_tools else None,
            )
        )

    # --- on the way out ---------------------------------------------------------------------------------

    async def first(self) -> None:
        """Wait for the first piece, so that what goes wrong before it still gets a status of its own."""
        assert self._pieces is not None  # noqa: S101 - submit comes first
        self._first = await anext(self._pieces, None)

    async def pieces(self) -> AsyncIterator[TextDelta]:
        """All pieces of all choices, as they may be shown."""
        assert self._pieces is not None  # noqa: S101 - submit comes first
        if self._first is not None:
            yield self._first
        async for piece in self._pieces:
            yield piece

    def replay(self, answer: StoredAnswer) -> None:
        """Take a stored answer instead of the engine's."""
        self.trace.input_tokens = answer.input_tokens
        pieces = []
        for index, stored in enumerate(answer.choices):
            self.trace.choices.append(
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
            pieces.append(
                TextDelta(index, stored.text, stored.tool_calls, stored.logprobs, stored.finish_reason)
            )

        async def stored_pieces() -> AsyncIterator[TextDelta]:
            for piece in pieces:
                yield piece

        self._pieces = stored_pieces()

    def cancel_choice(self, index: int) -> None:
        """Stop one choice; the others go on. Harmless for stored answers."""
        if self._choices:
            self.engine.cancel(self._choices[index].ticket)
        if self._tasks:
            self._tasks[index].cancel()

    async def close(self) -> None:
        """Free the engine's side; harmless when the answers are complete."""
        for choice in self._choices:
            self.engine.cancel(choice.ticket)
        used = self.trace.input_tokens or 0 if self._choices else 0
        self._grant.settle(used + self.trace.output_tokens)

    async def _all_choices(self) -> AsyncIterator[TextDelta]:
        """The pieces of several choices, mixed as they come."""
        made: asyncio.Queue[TextDelta | BaseException | None] = asyncio.Queue()

        async def run(choice: _Choice) -> None:
            try:
                async for piece in self._generate(choice):
                    made.put_nowait(piece)
            except Exception as error:  # noqa: BLE001 - raised again below, in the request's own task
                made.put_nowait(error)
            finally:
                made.put_nowait(None)

        tasks = self._tasks = [asyncio.create_task(run(choice)) for choice in self._choices]
        try:
            running = len(tasks)
            while running:
                item = await made.get()
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
        deltas = self.engine.stream(choice.ticket)
        trace = choice.trace
        try:
            while trace.finish_reason is None:  # set from outside when a content check recalls the answer
                try:
                    # Not wait_for: it would make a task for each token.
                    async with asyncio.timeout(max(self._deadline - time.monotonic(), 0.001)):
                        delta = await anext(deltas)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise RequestTimeout(
                        f"the request took longer than {self._settings.request_timeout_seconds:g} s"
                    ) from None
                trace.detokenize_from_ns = time.perf_counter_ns()
                text = decoder.feed(delta.token_ids)
                pieces = list(self._shown(choice, delta, text))
                trace.detokenize_to_ns = time.perf_counter_ns()
                trace.detokenize_ns += trace.detokenize_to_ns - trace.detokenize_from_ns
                for piece in pieces:
                    yield piece
        finally:
            self.engine.cancel(choice.ticket)

    def _shown(self, choice: _Choice, delta: Delta, decoded: str) -> Iterator[TextDelta]:
        """What a delta adds, past stop strings and tool calls; notes it in the choice's trace."""
        trace, stops = choice.trace, choice.stops
        if trace.recalled:
            return
        trace.output_tokens += len(delta.token_ids)
        text = stops.feed(decoded)
        last = delta.finish is not None or stops.matched is not None
        if stops.matched is None and last:
            text += stops.flush()
        calls: list[ToolCall] = []
        if choice.tools is not None:
            text, calls = choice.tools.feed(text)
            if last:
                text += choice.tools.flush()
        trace.text += text
        trace.tool_calls.extend(calls)
        noted = delta.logprobs[:-1] if delta.eos else delta.logprobs
        trace.logprobs.extend(noted)
        if stops.matched is not None:
            trace.finish_reason, trace.stop_reason = "stop", "stop_string"
        elif delta.finish is not None:
            trace.finish_reason, trace.stop_reason = delta.finish, "eos" if delta.eos else "length"
        if trace.finish_reason == "stop" and trace.tool_calls:
            trace.finish_reason = "tool_calls"
        if text or calls or noted or last:
            yield TextDelta(choice.index, text, tuple(calls), noted, trace.finish_reason)

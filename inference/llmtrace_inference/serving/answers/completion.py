"""The engine's answer to a chat or plain completion: from the body to the last token of each choice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from llmtrace_inference.access.quotas import QuotaReservation
from llmtrace_inference.engine.interface import Engine, Generation, Matcher, Submission
from llmtrace_inference.protocol.errors import ApiError, invalid_value
from llmtrace_inference.protocol.requests import ChatRequest, CompletionRequest
from llmtrace_inference.protocol.tool_calls import ToolCallParser
from llmtrace_inference.settings import InferenceSettings

from .answer import EngineAnswer, Measured
from .choice import Choice, Deadline
from .events import TextDelta
from .output_grammar import GrammarCompiler
from .prompt_size import LONG_PROMPT_CHARACTERS, check_prompt_sizes
from .stop_strings import StopMatcher

_MOST_LOGPROBS = 65_536
"""Of one request, alternatives included."""
_MANY_MESSAGES = 100
"""The template takes longer for more, whatever they say."""


class CompletionAnswer(EngineAnswer):
    """Generated text. `priority` is the caller's."""

    def __init__(
        self,
        settings: InferenceSettings,
        grammars: GrammarCompiler,
        body: ChatRequest | CompletionRequest,
        engine: Engine,
        response_id: str,
        priority: int,
    ) -> None:
        self.choices: list[Choice] = []
        self._grammars = grammars
        self._body = body
        self._engine = engine
        self._response_id = response_id
        self._priority = priority
        self._default_max_tokens = settings.default_max_tokens
        seconds = settings.request_timeout_seconds
        self._deadline = Deadline(time.monotonic() + seconds, seconds)
        self._tokenize_from_ns = 0
        self._tokenize_to_ns = 0
        self._max_tokens = 0
        self._submissions: list[Submission] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def cached_tokens(self) -> int:
        # Each prompt once, by the first of its choices.
        return sum(choice.progress.cached_tokens for choice in self.choices[:: self._body.choices])

    # --- on the way in ----------------------------------------------------------------------------------

    async def submit(self, reservation: QuotaReservation) -> None:
        """Tokenise and hand every choice to the engine."""
        body, engine = self._body, self._engine
        self._check_against_model()
        matcher = None
        if isinstance(body, ChatRequest) and body.is_constrained:
            matcher = await self._grammars.matcher_for(body, engine.tokenizer)
        self._tokenize_from_ns = time.perf_counter_ns()
        try:
            prompts = await self._encoded()
        finally:
            self._tokenize_to_ns = time.perf_counter_ns()
        self.input_tokens = sum(map(len, prompts))
        if not all(prompts):
            raise invalid_value(body.prompt_field, "the prompt is empty")
        # Without a limit of its own, a request may take what is left of the context.
        room = max(engine.info.context_length - max(map(len, prompts)), 1)
        self._max_tokens = body.output_limit or min(self._default_max_tokens, room)
        self._check_logprobs(len(prompts) * body.choices)
        reservation.reserve(self.input_tokens + self._max_tokens * len(prompts) * body.choices)
        for prompt_ids in prompts:
            for which in range(body.choices):
                self._submit_choice(tuple(prompt_ids), which, matcher)

    def _check_against_model(self) -> None:
        """What only the model can tell: 400 for what it does not have."""
        body, info = self._body, self._engine.info
        parts = body.prompt_parts
        # A conversation's parts are one prompt; prompts are each one of their own.
        prompts = [parts] if isinstance(body, ChatRequest) else [[part] for part in parts]
        check_prompt_sizes(prompts, self._engine, body.prompt_field)
        if body.top_k is not None and body.top_k > info.vocab_size:
            raise invalid_value("top_k", f"at most {info.vocab_size}, the size of the model's vocabulary")
        if isinstance(body, CompletionRequest):
            for prompt in body.prompts:
                if not isinstance(prompt, str) and max(prompt) >= info.vocab_size:
                    raise invalid_value("prompt", f"token ids are below {info.vocab_size}")
        elif body.tools and not self._engine.tokenizer.speaks_tools:
            raise invalid_value(
                "tools",
                f"the chat template of model {info.name} knows no tools in a form that can be parsed",
                code="unsupported_parameter",
            )

    def _check_logprobs(self, choices: int) -> None:
        """400 for more alternatives than can be written down without holding up everybody's tokens."""
        wanted = self._body.wanted_logprobs
        if wanted is None or self._max_tokens * choices * (wanted + 1) <= _MOST_LOGPROBS:
            return
        raise invalid_value(
            "top_logprobs" if isinstance(self._body, ChatRequest) else "logprobs",
            f"{self._max_tokens} tokens × {choices} answers × {wanted + 1} are more than {_MOST_LOGPROBS} "
            "log-probabilities: lower max_tokens, n or the alternatives",
        )

    async def _encoded(self) -> list[list[int]]:
        body, tokenizer = self._body, self._engine.tokenizer

        def encode() -> list[list[int]]:
            if isinstance(body, ChatRequest):
                return [tokenizer.encode_chat(body.template_messages(), body.template_tools())]
            return [tokenizer.encode(p) if isinstance(p, str) else p for p in body.prompts]

        try:
            many = isinstance(body, ChatRequest) and len(body.messages) > _MANY_MESSAGES
            if many or sum(map(len, body.prompt_parts)) > LONG_PROMPT_CHARACTERS:
                return await asyncio.to_thread(encode)
            return encode()
        except ValueError as error:
            raise ApiError(400, str(error), code="invalid_value", param=body.prompt_field) from error

    def _submit_choice(self, prompt_ids: tuple[int, ...], which: int, matcher: Matcher | None) -> None:
        body, index, seed = self._body, len(self.choices), self._body.seed
        if seed is not None and which:
            seed = (seed + which * 0x9E3779B97F4A7C15) % 2**63  # the first choice is the one without n
        submission = self._engine.submit(
            Generation(
                request_id=self._response_id if index == 0 else f"{self._response_id}-{index}",
                prompt_ids=prompt_ids,
                max_tokens=self._max_tokens,
                temperature=1.0 if body.temperature is None else body.temperature,
                top_p=1.0 if body.top_p is None else body.top_p,
                top_k=body.top_k,
                min_p=body.min_p or 0.0,
                presence_penalty=body.presence_penalty or 0.0,
                frequency_penalty=body.frequency_penalty or 0.0,
                seed=seed,
                logprobs=body.wanted_logprobs,
                matcher=matcher.deep_copy() if matcher is not None else None,
                every_token=body.stream or bool(body.stop),
                ignore_eos=bool(body.ignore_eos),
                priority=(body.priority or 0) + self._priority,
            )
        )
        self._submissions.append(submission)
        stops = StopMatcher(tuple(body.stop)) if body.stop else None
        tools = ToolCallParser() if body.wants_tools else None
        self.choices.append(Choice(index, submission.progress, stops, tools))

    # --- on the way out ---------------------------------------------------------------------------------

    def events(self) -> AsyncGenerator[TextDelta, None]:
        """The deltas of all choices, mixed as they come."""
        pairs = zip(self.choices, self._submissions, strict=True)
        streams = [choice.generate(self._engine, submission, self._deadline) for choice, submission in pairs]
        return streams[0] if len(streams) == 1 else self._mixed(streams)

    async def _mixed(self, streams: list[AsyncGenerator[TextDelta, None]]) -> AsyncGenerator[TextDelta, None]:
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

    def recall(self, index: int, refusal: str) -> TextDelta:
        self._engine.cancel(self._submissions[index])
        if self._tasks:
            self._tasks[index].cancel()
        return super().recall(index, refusal)

    def close(self, stop_reason: str | None) -> Measured:
        for submission in self._submissions:
            self._engine.cancel(submission)
        return Measured(
            used_tokens=(self.input_tokens or 0) + self.output_tokens if self._submissions else 0,
            input_tokens=self.input_tokens,
            max_tokens=self._max_tokens,
            cached_tokens=self.cached_tokens,
            tokenize_from_ns=self._tokenize_from_ns,
            tokenize_to_ns=self._tokenize_to_ns,
            choices=tuple(choice.record(stop_reason) for choice in self.choices),
        )

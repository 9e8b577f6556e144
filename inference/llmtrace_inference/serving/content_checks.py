"""The operator's content checks, run on prompts and on each finished sentence of an answer."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from llmtrace.semconv import INFERENCE
from llmtrace_inference.protocol.errors import ApiError
from llmtrace_inference.protocol.requests import ChatRequest, CompletionRequest
from llmtrace_inference.safety import Check, Content, Verdict
from llmtrace_inference.settings import InferenceSettings
from llmtrace_inference.telemetry.request_record import ChoiceRecord, RequestRecord

from .callables import load_callable
from .request import InferenceRequest, TextDelta

logger = logging.getLogger(__name__)

_SENTENCE_END = re.compile(r"[.!?…。！？]+[\"'”’)\]]*\s|\n")


@dataclass(frozen=True, slots=True)
class ContentChecks:
    """The service's checks by their names."""

    inputs: dict[str, Check] = field(default_factory=dict)
    outputs: dict[str, Check] = field(default_factory=dict)

    async def check_input(self, request: ChatRequest | CompletionRequest, trace: RequestRecord) -> None:
        """Raise ApiError 400 where a check refuses the prompt."""
        if not self.inputs:
            return
        if isinstance(request, ChatRequest):
            text = "\n".join(message.text for message in request.messages)
        else:
            text = "\n".join(p for p in request.prompts if isinstance(p, str))
        content = Content(text, "input", request.model, request.user_id)
        refusal = await _run(self.inputs, content, trace)
        if refusal is not None:
            param = "messages" if isinstance(request, ChatRequest) else "prompt"
            raise ApiError(
                400,
                f"the prompt was refused by the content check: {refusal}",
                code="content_filter",
                param=param,
            )

    async def pieces(self, call: InferenceRequest) -> AsyncIterator[TextDelta]:
        """A call's pieces, each finished sentence checked; a refusal ends its choice and recalls it."""
        if not self.outputs:
            async for piece in call.pieces():
                yield piece
            return
        open_text: dict[int, str] = {}
        recalled: set[int] = set()
        async for piece in call.pieces():
            if piece.index in recalled:
                continue
            choice = call.trace.choices[piece.index]
            buffer = open_text.get(piece.index, "") + piece.text
            sentences, open_text[piece.index] = _sentences(buffer, last=piece.finish is not None)
            refusal = None
            for sentence in sentences:
                request = call.request
                content = Content(sentence, "output", request.model, request.user_id, choice.text)
                refusal = await _run(self.outputs, content, call.trace)
                if refusal is not None:
                    break
            if refusal is None:
                yield piece
                continue
            recalled.add(piece.index)
            _recall(choice, refusal)
            call.trace.extra[INFERENCE + "safety.recalled"] = True
            call.cancel_choice(piece.index)
            yield TextDelta(piece.index, finish="content_filter", recall=refusal)


def _recall(choice: ChoiceRecord, refusal: str) -> None:
    choice.recalled = refusal
    choice.text = ""
    choice.tool_calls.clear()
    choice.logprobs.clear()
    choice.finish_reason, choice.stop_reason = "content_filter", "content_filter"


async def _run(checks: dict[str, Check], content: Content, trace: RequestRecord) -> str | None:
    """The name or category of the first refusal; None where all allow. Verdicts go on the span."""
    attribute = INFERENCE + f"safety.{content.stage}"
    for name, check in checks.items():
        try:
            verdict = await _ask(check, content)
        except Exception:
            logger.exception("content check %s failed: its content is refused", name)
            verdict = Verdict(False, "check_failed")
        said = f"{name}={'allowed' if verdict.allowed else 'refused'}"
        if verdict.category:
            said += f":{verdict.category}"
        seen = [one for one in trace.extra.get(attribute, ()) if not one.startswith(f"{name}=")]  # type: ignore[union-attr]
        trace.extra[attribute] = [*seen, said]
        if not verdict.allowed:
            return verdict.category or name
    return None


async def _ask(check: Check, content: Content) -> Verdict:
    if inspect.iscoroutinefunction(check):
        answer = await check(content)
    else:
        answer = await asyncio.to_thread(check, content)  # it may be a model, and take its time
    if not isinstance(answer, Verdict):
        raise TypeError(f"a check returns a Verdict, not {type(answer).__name__}")
    return answer


def _sentences(text: str, *, last: bool) -> tuple[list[str], str]:
    """(whole sentences, what is still open)."""
    found, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        found.append(text[start : end.end()])
        start = end.end()
    rest = text[start:]
    if last and rest:
        found.append(rest)
        rest = ""
    return [sentence for sentence in found if sentence.strip()], rest


def open_checks(settings: InferenceSettings) -> ContentChecks:
    """The checks that the settings name. RuntimeError for one that cannot be loaded."""
    return ContentChecks(
        {path: load_callable(path, "input_checks") for path in settings.input_checks},  # type: ignore[misc]
        {path: load_callable(path, "output_checks") for path in settings.output_checks},  # type: ignore[misc]
    )

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

    async def check_input(self, request: ChatRequest | CompletionRequest, record: RequestRecord) -> None:
        """Raise ApiError 400 where a check refuses the prompt."""
        if not self.inputs:
            return
        if isinstance(request, ChatRequest):
            text = "\n".join(message.text for message in request.messages)
        else:
            text = "\n".join(p for p in request.prompts if isinstance(p, str))
        content = Content(text, "input", request.model, request.user_id)
        refusal = await _run(self.inputs, content, record)
        if refusal is not None:
            param = "messages" if isinstance(request, ChatRequest) else "prompt"
            raise ApiError(
                400,
                f"the prompt was refused by the content check: {refusal}",
                code="content_filter",
                param=param,
            )

    async def deltas(self, inference: InferenceRequest) -> AsyncIterator[TextDelta]:
        """A request's deltas, each finished sentence checked; a refusal ends its choice and recalls it."""
        if not self.outputs:
            async for delta in inference.deltas():
                yield delta
            return
        open_text: dict[int, str] = {}
        recalled: set[int] = set()
        async for delta in inference.deltas():
            if delta.index in recalled:
                continue
            choice = inference.record.choices[delta.index]
            buffer = open_text.get(delta.index, "") + delta.text
            sentences, open_text[delta.index] = _sentences(buffer, last=delta.finish is not None)
            refusal = None
            for sentence in sentences:
                request = inference.request
                content = Content(sentence, "output", request.model, request.user_id, choice.text)
                refusal = await _run(self.outputs, content, inference.record)
                if refusal is not None:
                    break
            if refusal is None:
                yield delta
                continue
            recalled.add(delta.index)
            _recall(choice, refusal)
            inference.record.extra[INFERENCE + "safety.recalled"] = True
            inference.cancel_choice(delta.index)
            yield TextDelta(delta.index, finish="content_filter", recall=refusal)


def _recall(choice: ChoiceRecord, refusal: str) -> None:
    choice.recalled = refusal
    choice.text = ""
    choice.tool_calls.clear()
    choice.logprobs.clear()
    choice.finish_reason, choice.stop_reason = "content_filter", "content_filter"


async def _run(checks: dict[str, Check], content: Content, record: RequestRecord) -> str | None:
    """The name or category of the first refusal; None where all allow. Verdicts go on the span."""
    attribute = INFERENCE + f"safety.{content.stage}"
    for name, check in checks.items():
        try:
            verdict = await _ask(check, content)
        except Exception:
            logger.exception("content check %s failed: its content is refused", name)
            verdict = Verdict(False, "check_failed")
        result = f"{name}={'allowed' if verdict.allowed else 'refused'}"
        if verdict.category:
            result += f":{verdict.category}"
        others = [entry for entry in record.extra.get(attribute, ()) if not entry.startswith(f"{name}=")]  # type: ignore[union-attr]
        record.extra[attribute] = [*others, result]
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
    sentences, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        sentences.append(text[start : end.end()])
        start = end.end()
    rest = text[start:]
    if last and rest:
        sentences.append(rest)
        rest = ""
    return [sentence for sentence in sentences if sentence.strip()], rest


def open_checks(settings: InferenceSettings) -> ContentChecks:
    """The checks that the settings name. RuntimeError for one that cannot be loaded."""
    return ContentChecks(
        {path: load_callable(path, "input_checks") for path in settings.input_checks},  # type: ignore[misc]
        {path: load_callable(path, "output_checks") for path in settings.output_checks},  # type: ignore[misc]
    )

"""A call as its span has it, and what the modules of formats share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from llmtrace import semconv
from llmtrace.testing.replay import Answer
from llmtrace.wire.format import Json
from llmtrace.wire.render import LEFT_OUT

_PIECE: Final = 24
_OWN_USAGE: Final = "llmtrace.usage."
REDACTED_THOUGHT: Final = "[redacted by the provider]"


class NotRebuildable(Exception):
    """No answer of a provider can be made of what was recorded; the message says why."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """What a span says of one request and its answer.

    instructions, input, tools, output: parts, messages and definitions as the GenAI conventions have them.
    usage: counts by the attribute's name without `gen_ai.usage.` or `llmtrace.usage.`. status: of HTTP, 0
    where no answer came. error: its type and its message, empty where there is none. flags: `stop_sequence`
    and `abandoned`.
    """

    operation: str = "chat"
    provider: str = ""
    model: str = ""
    instructions: list[Json] = field(default_factory=list)
    input: list[Json] = field(default_factory=list)
    tools: list[Json] = field(default_factory=list)
    output: list[Json] = field(default_factory=list)
    finish_reasons: list[str] = field(default_factory=list)
    usage: dict[str, int] = field(default_factory=dict)
    response_model: str = ""
    response_id: str = ""
    status: int = 200
    error: list[str] = field(default_factory=list)
    dimensions: int = 0
    flags: list[str] = field(default_factory=list)

    @property
    def messages(self) -> list[list[Json]]:
        """The parts of each answer; a call that was asked for several has several."""
        return [message.get("parts", []) for message in self.output]

    def reason(self, number: int = 0) -> str:
        """Why the model stopped, in the convention's word; empty where it did not say."""
        reason = self.finish_reasons[number] if number < len(self.finish_reasons) else ""
        return "" if reason == "error" else reason

    def count(self, key: str) -> int | None:
        """Tokens, or whatever an attribute of usage counts."""
        return self.usage.get(key.removeprefix(semconv.USAGE).removeprefix(_OWN_USAGE))


@dataclass(frozen=True, slots=True)
class Builder:
    """How one format says it.

    body: the call and the decoded request → the answer as it is when nothing streams. is_stream: by decoded
    request and path. stream: that answer, the decoded request and the path → the same in events. error: what
    stands in the body of a refusal.
    """

    body: Callable[[RecordedCall, Any], Json]
    is_stream: Callable[[Any, str], bool]
    stream: Callable[[Any, Any, str], Answer]
    error: Callable[[RecordedCall], Json]


def incomplete(recorded: RecordedCall | str) -> str:
    """Why an answer, or a text in JSON, is not what was there: it was cut or redacted. Empty where it is."""
    text = recorded if isinstance(recorded, str) else json.dumps(recorded.output, ensure_ascii=False)
    marks = (
        (LEFT_OUT, "a text in it was too long and is cut"),
        ("[redacted:", "a secret or personal data in it were redacted"),
        ("[llmtrace left this out", "a text in it could not be redacted and is left out"),
    )
    for mark, why in marks:
        if mark in text or json.dumps(mark)[1:-1] in text:
            return why
    return ""


def recorded_call(attributes: Mapping[str, Any], error: str = "") -> RecordedCall:
    """The call that a span of a model's call tells of, by its attributes, as values or as a store's texts.

    error: the message of its status. Raises NotRebuildable where a text in it is no JSON.
    """
    status = _whole(attributes.get(semconv.HTTP_RESPONSE_STATUS_CODE)) or 0
    kind = str(attributes.get(semconv.ERROR_TYPE, ""))
    flags = {"stop_sequence": semconv.RESPONSE_STOP_SEQUENCE, "abandoned": semconv.STREAM_ABANDONED}
    usage = {
        key.removeprefix(prefix): count
        for key, value in attributes.items()
        for prefix in (semconv.USAGE, _OWN_USAGE)
        if key.startswith(prefix) and "estimated" not in key and (count := _whole(value)) is not None
    }
    texts = (semconv.SYSTEM_INSTRUCTIONS, semconv.INPUT_MESSAGES, semconv.TOOL_DEFINITIONS)
    instructions, sent, tools = (_listed(attributes, key) for key in texts)
    return RecordedCall(
        operation=str(attributes.get(semconv.OPERATION_NAME, "chat")),
        provider=str(attributes.get(semconv.PROVIDER_NAME, "")),
        model=str(attributes.get(semconv.REQUEST_MODEL, "")),
        instructions=instructions,
        input=sent,
        tools=tools,
        output=_listed(attributes, semconv.OUTPUT_MESSAGES),
        finish_reasons=[str(reason) for reason in _listed(attributes, semconv.RESPONSE_FINISH_REASONS)],
        usage=usage,
        response_model=str(attributes.get(semconv.RESPONSE_MODEL, "")),
        response_id=str(attributes.get(semconv.RESPONSE_ID, "")),
        status=status,
        error=[kind, error] if kind or error else [],
        dimensions=_whole(attributes.get(semconv.EMBEDDINGS_DIMENSION_COUNT)) or 0,
        flags=[flag for flag, key in flags.items() if str(attributes.get(key, "")).lower() == "true"],
    )


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _listed(attributes: Mapping[str, Any], key: str) -> list[Json]:
    value = attributes.get(key)
    if isinstance(value, str) and value:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise NotRebuildable(f"{key} is no JSON") from error
    return list(value) if isinstance(value, list | tuple) else []


def asks_for_stream(request: Any, path: str) -> bool:
    """By `stream` of the body, as most formats have it."""
    return request.get("stream") is True


def error_text(call: RecordedCall) -> tuple[str, str]:
    """Type and message of a refusal."""
    kind, message = [*call.error, "", ""][:2]
    return kind, message


def pieces(text: str) -> Iterator[str]:
    """A text as a stream brings it; an empty one has no pieces."""
    for at in range(0, len(text), _PIECE):
        yield text[at : at + _PIECE]


def as_json(arguments: Json) -> str:
    """Arguments of a tool as the text that providers send; what was no JSON stays as it was."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is known."""
    return {key: value for key, value in values.items() if value is not None}


def no_stream(body: Any, request: Any, path: str) -> Answer:
    """Of a format that does not stream."""
    raise NotRebuildable("this API has no streams")

"""Spans of a test as what tests ask about: calls of models with messages, tokens and cost, and tools."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.spans.finished_spans import SCOPE
from llmtrace.wire import batch_results

from .prices import cost_of

_STEPS: Final = frozenset(
    {
        "invoke_agent",
        "execute_tool",
        "retrieval",
        batch_results.CREATE,
        batch_results.FETCH,
        batch_results.FETCH_RESULTS,
    }
)
_LONGEST_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a call, or of several together.

    Those read from and written to the provider's cache are part of `input`, those of reasoning of `output`.
    unknown: calls whose tokens nobody reported, which are in no sum. estimated: calls whose tokens are
    estimated from text.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    unknown: int = 0
    estimated: int = 0

    @property
    def total(self) -> int:
        """Input and output together."""
        return self.input + self.output

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool that a model asked for: its name and its arguments, decoded."""

    name: str
    arguments: Any
    id: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """One call of a model.

    model, response_model: what was asked for, and what answered. input, output: messages as the GenAI
    conventions have them (`{"role": …, "parts": [{"type": "text", "content": …}]}`); instructions: parts;
    empty where content is not captured. error: `type: message`. duration: seconds. parents: names of the
    spans around it that have ended, the outermost first. cost: USD, None where nobody knows it: then
    `cost_unknown` says why. counted: whether it is the call itself, and not an earlier attempt of it.
    """

    operation: str
    provider: str
    model: str
    response_model: str
    instructions: list[Any]
    input: list[Any]
    output: list[Any]
    tools: list[Any]
    tokens: Tokens
    finish_reasons: tuple[str, ...]
    error: str | None
    duration: float
    parents: tuple[str, ...]
    cost: float | None
    cost_unknown: str
    counted: bool
    attributes: Mapping[str, AttributeValue]

    @property
    def text(self) -> str:
        """What the model answered, its words alone."""
        return _text(self.output)

    @property
    def tool_requests(self) -> list[ToolRequest]:
        """The tools that the model asked for."""
        parts = [part for message in self.output for part in message["parts"] if part["type"] == "tool_call"]
        return [ToolRequest(str(part.get("name")), part.get("arguments"), part.get("id")) for part in parts]

    def __repr__(self) -> str:
        answer = [repr(_short(self.text))] if self.text else []
        answer += [f"{tool.name}({_short(_compact(tool.arguments))})" for tool in self.tool_requests]
        parts = [
            f"{self.operation} {self.model} of {self.provider}: {_short(_text(self.input[-1:]))!r}",
            f"-> {', '.join(answer) or 'nothing'}",
            f"[{self.tokens.input}+{self.tokens.output} tokens, {_cost_text(self.cost, self.cost_unknown)}]",
            f"in {' > '.join(self.parents)}" if self.parents else "",
            f"FAILED {_short(self.error)}" if self.error else "",
            "" if self.counted else "(an earlier attempt)",
        ]
        return f"<{' '.join(filter(None, parts))}>"


@dataclass(frozen=True, slots=True, repr=False)
class ToolRun:
    """One run of a tool: arguments and result decoded, None where they are not captured; see `Call`."""

    name: str
    arguments: Any
    result: Any
    error: str | None
    duration: float
    parents: tuple[str, ...]
    attributes: Mapping[str, AttributeValue]

    def __repr__(self) -> str:
        outcome = f"FAILED {_short(self.error)}" if self.error else f"-> {_short(_compact(self.result))}"
        return f"<{self.name}({_short(_compact(self.arguments))}) {outcome}>"


def calls(spans: Sequence[ReadableSpan]) -> list[Call]:
    """Calls of models, in the order in which they began."""
    names = _Parents(spans)
    return [
        _call(span, names)
        for span in _started(spans)
        if _operation(span) not in {"", *_STEPS} and not _is_other_record(span)
    ]


def tool_runs(spans: Sequence[ReadableSpan]) -> list[ToolRun]:
    """Runs of tools, in the order in which they began."""
    names = _Parents(spans)
    return [_tool_run(span, names) for span in _started(spans) if _operation(span) == "execute_tool"]


def total(counted: Iterable[Call]) -> Tokens:
    """The tokens of calls together."""
    return sum((call.tokens for call in counted), Tokens())


class _Parents:
    """The names of the spans around a span."""

    def __init__(self, spans: Sequence[ReadableSpan]) -> None:
        self._spans = {span.context.span_id: span for span in spans if span.context is not None}

    def of(self, span: ReadableSpan) -> tuple[str, ...]:
        names: list[str] = []
        above = span.parent
        while above is not None and (around := self._spans.get(above.span_id)) is not None:
            names.insert(0, around.name)
            above = around.parent
        return tuple(names)


def _is_other_record(span: ReadableSpan) -> bool:
    """Whether it is another library's record of a call that has one of ours."""
    scope = span.instrumentation_scope
    is_ours = scope is not None and scope.name == SCOPE
    return not is_ours and (span.attributes or {}).get(semconv.COUNTED) is False


def _started(spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    return sorted(spans, key=lambda span: span.start_time or 0)


def _operation(span: ReadableSpan) -> str:
    return str((span.attributes or {}).get(semconv.OPERATION_NAME, ""))


def _call(span: ReadableSpan, parents: _Parents) -> Call:
    attributes = span.attributes or {}
    cost = cost_of(attributes, span.start_time or 0)
    reasons = attributes.get(semconv.RESPONSE_FINISH_REASONS) or ()
    return Call(
        operation=_operation(span),
        provider=str(attributes.get(semconv.PROVIDER_NAME, "")),
        model=str(attributes.get(semconv.REQUEST_MODEL, "")),
        response_model=str(attributes.get(semconv.RESPONSE_MODEL, "")),
        instructions=_decoded(attributes, semconv.SYSTEM_INSTRUCTIONS) or [],
        input=_decoded(attributes, semconv.INPUT_MESSAGES) or [],
        output=_decoded(attributes, semconv.OUTPUT_MESSAGES) or [],
        tools=_decoded(attributes, semconv.TOOL_DEFINITIONS) or [],
        tokens=_tokens(attributes),
        finish_reasons=tuple(str(reason) for reason in reasons) if isinstance(reasons, (list, tuple)) else (),
        error=_error(span),
        duration=_seconds(span),
        parents=parents.of(span),
        cost=cost.amount,
        cost_unknown=cost.unknown,
        counted=attributes.get(semconv.COUNTED) is not False,
        attributes=attributes,
    )


def _tool_run(span: ReadableSpan, parents: _Parents) -> ToolRun:
    attributes = span.attributes or {}
    return ToolRun(
        name=str(attributes.get(semconv.TOOL_NAME, span.name)),
        arguments=_decoded(attributes, semconv.TOOL_CALL_ARGUMENTS),
        result=_decoded(attributes, semconv.TOOL_CALL_RESULT),
        error=_error(span),
        duration=_seconds(span),
        parents=parents.of(span),
        attributes=attributes,
    )


def _tokens(attributes: Mapping[str, AttributeValue]) -> Tokens:
    def count(*keys: str) -> int:
        values = (attributes.get(key) for key in keys)
        return next((value for value in values if type(value) is int), 0)

    keys = (
        (semconv.USAGE_INPUT_TOKENS, semconv.USAGE_ESTIMATED_INPUT_TOKENS),
        (semconv.USAGE_OUTPUT_TOKENS, semconv.USAGE_ESTIMATED_OUTPUT_TOKENS),
    )
    return Tokens(
        input=count(*keys[0]),
        output=count(*keys[1]),
        cache_read=count(semconv.USAGE_CACHE_READ_INPUT_TOKENS),
        cache_write=count(semconv.USAGE_CACHE_WRITE_INPUT_TOKENS),
        reasoning=count(semconv.USAGE_REASONING_OUTPUT_TOKENS),
        unknown=int(not any(key in attributes for pair in keys for key in pair)),
        estimated=int(semconv.USAGE_ESTIMATED in attributes),
    )


def _error(span: ReadableSpan) -> str | None:
    kind = (span.attributes or {}).get(semconv.ERROR_TYPE)
    if kind is None and span.status.status_code is not StatusCode.ERROR:
        return None
    message = span.status.description or ""
    if kind and message.startswith(f"{kind}: "):
        return message
    return ": ".join(str(part) for part in (kind, message) if part) or "error"


def _seconds(span: ReadableSpan) -> float:
    return ((span.end_time or 0) - (span.start_time or 0)) / 1e9


def _decoded(attributes: Mapping[str, AttributeValue], key: str) -> Any:
    text = attributes.get(key)
    if not isinstance(text, str):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text  # cut: it was too long


def _text(messages: list[Any]) -> str:
    parts = [part for message in messages for part in message["parts"] if part["type"] == "text"]
    return "".join(str(part.get("content", "")) for part in parts)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _cost_text(amount: float | None, unknown: str) -> str:
    return f"cost unknown: {unknown}" if amount is None else f"${amount:.6f}"

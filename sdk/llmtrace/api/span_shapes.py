"""What the spans of functions and blocks look like, by the kind of step: names, attributes, content."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from llmtrace import semconv

Attributes = Mapping[str, AttributeValue]
StepKind = Literal["agent", "tool", "retrieval"]
"""The steps of an agent that the GenAI conventions describe."""

_LONGEST_VALUE: Final = 8192
_QUERY_NAMES: Final = ("query", "question", "text")
_TOP_K_NAMES: Final = ("top_k", "k", "limit")


@dataclass(frozen=True, slots=True)
class SpanShape:
    """What the span of one function or block looks like.

    input, output: the content to record, of the arguments by name and of the result; None: nothing.
    inherited: attributes that every span within has as well.
    """

    name: str
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Attributes = field(default_factory=dict)
    inherited: Attributes = field(default_factory=dict)
    input: Callable[[Any], Attributes] | None = None
    output: Callable[[Any], Attributes] | None = None


def as_text(value: Any) -> str:
    """JSON of a value, with `repr` for what JSON has no form for; cut with a visible mark."""
    text = json.dumps(value, default=repr, ensure_ascii=False)
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[:_LONGEST_VALUE]}…[llmtrace left out {len(text) - _LONGEST_VALUE} characters]"


def with_attributes(shape: SpanShape, attributes: Attributes) -> SpanShape:
    """The shape with further attributes."""
    return replace(shape, attributes={**shape.attributes, **attributes})


def plain(name: str, *, capture_input: bool = True, capture_output: bool = True) -> SpanShape:
    """A step of no particular kind."""
    return SpanShape(
        name,
        input=_function_arguments if capture_input else None,
        output=_function_result if capture_output else None,
    )


def agent(name: str, description: str = "") -> SpanShape:
    """A run of an agent; every span within has its name."""
    attributes = {semconv.OPERATION_NAME: "invoke_agent", semconv.AGENT_NAME: name}
    if description:
        attributes[semconv.AGENT_DESCRIPTION] = description
    return SpanShape(f"invoke_agent {name}", attributes=attributes, inherited={semconv.AGENT_NAME: name})


def tool(name: str, description: str = "", *, kind: str = "function", capture: bool = True) -> SpanShape:
    """A call of a tool; `kind` is its `gen_ai.tool.type`."""
    attributes = {
        semconv.OPERATION_NAME: "execute_tool",
        semconv.TOOL_NAME: name,
        semconv.TOOL_TYPE: kind,
    }
    if description:
        attributes[semconv.TOOL_DESCRIPTION] = description
    return SpanShape(
        f"execute_tool {name}",
        attributes=attributes,
        input=(lambda value: {semconv.TOOL_CALL_ARGUMENTS: as_text(value)}) if capture else None,
        output=(lambda value: {semconv.TOOL_CALL_RESULT: as_text(value)}) if capture else None,
    )


def retrieval(data_source: str, provider: str | None = None, *, capture: bool = True) -> SpanShape:
    """A search; without `capture` only how many documents were asked for is recorded of its content."""
    attributes = {semconv.OPERATION_NAME: "retrieval", semconv.DATA_SOURCE_ID: data_source}
    if provider:
        attributes[semconv.PROVIDER_NAME] = provider
    return SpanShape(
        f"retrieval {data_source}",
        SpanKind.CLIENT,
        attributes=attributes,
        input=_query_and_top_k if capture else _top_k,
        output=(lambda value: {semconv.RETRIEVAL_DOCUMENTS: as_text(_documents(value))}) if capture else None,
    )


def of_kind(name: str, kind: StepKind | None) -> SpanShape:
    """The shape that a kind names. ValueError for a word that is none."""
    match kind:
        case None:
            return plain(name)
        case "agent":
            return replace(agent(name), input=_function_arguments, output=_function_result)
        case "tool":
            return tool(name)
        case "retrieval":
            return retrieval(name)
    raise ValueError(f"the kind of a span is {kind!r}; use 'agent', 'tool', 'retrieval' or None")


def _function_arguments(value: Any) -> Attributes:
    return {semconv.FUNCTION_ARGUMENTS: as_text(value)}


def _function_result(value: Any) -> Attributes:
    return {semconv.FUNCTION_RESULT: as_text(value)}


def _top_k(arguments: Any) -> Attributes:
    values = arguments if isinstance(arguments, Mapping) else {}
    top_k = next((values[name] for name in _TOP_K_NAMES if type(values.get(name)) is int), None)
    return {} if top_k is None else {semconv.RETRIEVAL_TOP_K: top_k}


def _query_and_top_k(arguments: Any) -> Attributes:
    values = arguments if isinstance(arguments, Mapping) else {"query": arguments}
    texts = [values[name] for name in _QUERY_NAMES if isinstance(values.get(name), str)]
    texts += [value for value in values.values() if isinstance(value, str)]
    return {**_top_k(values), **({semconv.RETRIEVAL_QUERY_TEXT: texts[0]} if texts else {})}


def _documents(result: Any) -> list[dict[str, Any]]:
    items = result if isinstance(result, (list, tuple)) else []
    return [{"id": _part(item, "id"), "score": _part(item, "score")} for item in items]


def _part(item: Any, name: str) -> Any:
    value = item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
    return value if isinstance(value, (str, int, float)) else None

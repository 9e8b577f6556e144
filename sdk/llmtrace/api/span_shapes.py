"""What the spans of functions and blocks look like, by the kind of step: names, attributes, content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.spans.capture_level import Capture
from llmtrace.wire.format import parsed
from llmtrace.wire.render import MESSAGE_CHARS

from .documents import documents
from .json_values import as_text

Attributes = Mapping[str, AttributeValue]
Write = Callable[[Any], Attributes]
"""A value to the attributes that hold it."""
StepKind = Literal["agent", "tool", "retrieval"]
"""The steps of an agent that the GenAI conventions describe."""

_QUERY_NAMES: Final = ("query", "question", "text")
_TOP_K_NAMES: Final = ("top_k", "k", "limit")


@dataclass(frozen=True, slots=True)
class SpanShape:
    """What the span of one function or block looks like.

    input, output: the content to record, of the arguments by name and of the result; None: nothing.
    all_input, all_output: what is recorded in their place where all content is.
    bare_input: what of the arguments is recorded where no content is.
    capture: how much content the function itself asks for.
    inherited: attributes that every span within has as well.
    """

    name: str
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Attributes = field(default_factory=dict)
    inherited: Attributes = field(default_factory=dict)
    input: Write | None = None
    output: Write | None = None
    all_input: Write | None = None
    all_output: Write | None = None
    bare_input: Write | None = None
    capture: Capture | None = None

    def input_at(self, level: Capture) -> Write | None:
        """What writes the input where so much content is recorded."""
        if level == "none":
            return self.bare_input
        return (level == "all" and self.all_input) or self.input

    def output_at(self, level: Capture) -> Write | None:
        """What writes the output there."""
        return None if level == "none" else (level == "all" and self.all_output) or self.output


def with_attributes(shape: SpanShape, attributes: Attributes) -> SpanShape:
    """The shape with further attributes."""
    return replace(shape, attributes={**shape.attributes, **attributes})


def plain(name: str) -> SpanShape:
    """A step of no particular kind, whose content is what the block sets."""
    return SpanShape(name, input=_function_arguments, output=_function_result)


def function(
    name: str, *, arguments: bool | None = None, result: bool | None = None, capture: Capture | None = None
) -> SpanShape:
    """A call of a function. arguments, result: record them; None: where all content is recorded."""
    return SpanShape(
        name,
        input=_function_arguments if arguments else None,
        output=_function_result if result else None,
        all_input=None if arguments is False else _function_arguments,
        all_output=None if result is False else _function_result,
        capture=capture,
    )


def agent(name: str, description: str = "", *, capture: Capture | None = None) -> SpanShape:
    """A run of an agent; every span within has its name."""
    attributes = {semconv.OPERATION_NAME: "invoke_agent", semconv.AGENT_NAME: name}
    if description:
        attributes[semconv.AGENT_DESCRIPTION] = description
    return replace(
        function(f"invoke_agent {name}", capture=capture),
        attributes=attributes,
        inherited={semconv.AGENT_NAME: name},
    )


def tool(
    name: str, description: str = "", *, kind: str = "function", capture: Capture | None = None
) -> SpanShape:
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
        input=lambda value: {semconv.TOOL_CALL_ARGUMENTS: as_text(value)},
        output=lambda value: {semconv.TOOL_CALL_RESULT: as_text(value)},
        capture=capture,
    )


def retrieval(
    data_source: str,
    provider: str | None = None,
    *,
    texts: bool | None = None,
    capture: Capture | None = None,
) -> SpanShape:
    """A search. texts: record those of the documents; None: where all content is recorded.

    How many documents were asked for is no content and always recorded.
    """
    attributes = {semconv.OPERATION_NAME: "retrieval", semconv.DATA_SOURCE_ID: data_source}
    if provider:
        attributes[semconv.PROVIDER_NAME] = provider
    return SpanShape(
        f"retrieval {data_source}",
        SpanKind.CLIENT,
        attributes=attributes,
        input=_query_and_top_k,
        bare_input=_top_k,
        output=_with_texts if texts else _ids_and_scores,
        all_output=None if texts is False else _with_texts,
        capture=capture,
    )


def approval(act: str, call_id: str | None = None, capture: Capture | None = None) -> SpanShape:
    """A person's decision before an act: the arguments of the act, also as JSON text, are its input."""
    attributes = {semconv.OPERATION_NAME: semconv.APPROVAL_OPERATION, semconv.TOOL_NAME: act}
    if call_id:
        attributes[semconv.TOOL_CALL_ID] = call_id
    return SpanShape(
        f"{semconv.APPROVAL_OPERATION} {act}",
        attributes=attributes,
        input=lambda value: {semconv.TOOL_CALL_ARGUMENTS: as_text(parsed(value))},
        capture=capture,
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


def _ids_and_scores(result: Any) -> Attributes:
    return {semconv.RETRIEVAL_DOCUMENTS: as_text(documents(result, texts=False))}


def _with_texts(result: Any) -> Attributes:
    return {semconv.RETRIEVAL_DOCUMENTS: as_text(documents(result, texts=True), MESSAGE_CHARS)}

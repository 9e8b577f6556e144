"""Amazon Bedrock agents and flows, which answer with AWS event streams.

`POST /agents/{id}/agentAliases/{alias}/sessions/{session}/text`, inline agents at `POST /agents/{session}`,
and `POST /flows/{id}/aliases/{alias}`. With traces (`enableTrace`) each model that was invoked is a call in
the call. Without them nobody says which ran how often: an agent's are then one call of no model and unknown
usage, so that they are not silent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.format import (
    InnerCall,
    Json,
    Translation,
    WireFormat,
    between,
    items,
    mapping,
    put_text,
    word,
)

from .converse import put_usage

_INVOKED: Final = "agent_model"
#: Fields of the events that are read; an event without any is a text that is JSON.
_EVENTS: Final = frozenset({"chunk", "trace", "returnControl", "files", "error"})


def matches(path: str, body: bytes) -> bool:
    """By the path of an agent's session."""
    return "/agentAliases/" in path and "/sessions/" in path


def matches_inline(path: str, body: bytes) -> bool:
    """An inline agent brings its model and its instruction."""
    return path.startswith("/agents/") and b'"foundationModel"' in body


def matches_flow(path: str, body: bytes) -> bool:
    """By the path of a flow's alias."""
    return path.startswith("/flows/") and "/aliases/" in path and b'"inputs"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    attributes[semconv.REQUEST_STREAM] = True
    session = between(path, "/sessions/")
    put_text(attributes, semconv.CONVERSATION_ID, session or between(path, "/agents/"))
    if session:
        put_text(attributes, semconv.AGENT_ID, between(path, "/agents/"))
    put_text(attributes, semconv.AGENT_NAME, payload.get("agentName"))
    put_text(attributes, semconv.REQUEST_MODEL, payload.get("foundationModel"))
    if content:
        if instructions := message_parts.instructions(payload.get("instruction")):
            translation.content[semconv.SYSTEM_INSTRUCTIONS] = instructions
        if asked := payload.get("inputText"):
            translation.content[semconv.INPUT_MESSAGES] = [
                message_parts.message("user", [message_parts.text(asked)])
            ]
    return translation


def request_flow(body: Json, path: str, content: bool) -> Translation:
    """Request body of a flow to attributes; each input is a message."""
    translation = Translation()
    attributes = translation.attributes
    attributes[semconv.REQUEST_STREAM] = True
    put_text(attributes, semconv.AGENT_ID, between(path, "/flows/"))
    put_text(attributes, semconv.CONVERSATION_ID, mapping(body).get("executionId"))
    if content:
        documents = [
            mapping(mapping(flow_input).get("content")).get("document")
            for flow_input in items(mapping(body).get("inputs"))
        ]
        translation.content[semconv.INPUT_MESSAGES] = [
            message_parts.message("user", [_document(document)]) for document in documents
        ]
    return translation


def response(body: Json, content: bool) -> Translation:
    """What the events add up to, as attributes."""
    payload = mapping(body)
    translation = Translation()
    translation.inner_calls += _invocations(payload.get("traces"))
    calls = _returned(payload.get("returnControl"))
    words = payload.get("completion")
    if words is not None or calls:
        translation.attributes[semconv.RESPONSE_FINISH_REASONS] = ["tool_call" if calls else "stop"]
        if not translation.inner_calls:
            translation.inner_calls.append(InnerCall("untraced", "chat", {}))
    if payload.get("error"):
        translation.attributes[semconv.RESPONSE_FINISH_REASONS] = ["error"]
    if content and (words is not None or calls):
        parts = [*([message_parts.text(words)] if words else []), *calls]
        translation.content[semconv.OUTPUT_MESSAGES] = [message_parts.message("assistant", parts)]
    return translation


def response_flow(body: Json, content: bool) -> Translation:
    """The outputs of a flow, and what its traces tell of models."""
    payload = mapping(body)
    translation = Translation()
    translation.inner_calls += _invocations(payload.get("traces"))
    translation.inner_calls += [
        InnerCall(_INVOKED, "chat", attributes)
        for attributes in map(_of_node, items(payload.get("nodes")))
        if attributes
    ]
    outputs = items(payload.get("outputs"))
    reason = mapping(payload.get("completion")).get("completionReason")
    if reason is not None:
        waits = reason == "INPUT_REQUIRED"
        translation.attributes[semconv.RESPONSE_FINISH_REASONS] = ["tool_call" if waits else "stop"]
    if content and outputs:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [_document(output)]) for output in outputs
        ]
    return translation


def _document(value: Json) -> Json:
    return message_parts.text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _invocations(traces: Json) -> Iterator[InnerCall]:
    """Each invocation of a model once: traces of collaborators may be repeated by who called them."""
    models: dict[str, str] = {}
    latest = ""
    counted: set[str] = set()
    for part in map(mapping, items(traces)):
        # One of a step: `orchestrationTrace`, `preProcessingTrace`, `routingClassifierTrace`, …
        for step in map(mapping, mapping(part.get("trace")).values()):
            sent, received = (
                mapping(step.get("modelInvocationInput")),
                mapping(step.get("modelInvocationOutput")),
            )
            if sent:
                latest = word(sent, "foundationModel") or latest
                models[word(sent, "traceId")] = latest
            trace_id = word(received, "traceId")
            if not received or (trace_id and trace_id in counted):
                continue
            counted.add(trace_id)
            attributes: dict[str, AttributeValue] = {}
            put_text(attributes, semconv.REQUEST_MODEL, models.get(trace_id, latest))
            put_usage(attributes, mapping(mapping(received.get("metadata")).get("usage")))
            yield InnerCall(_INVOKED, "chat", attributes)


def _of_node(node: Json) -> dict[str, AttributeValue]:
    """Model and usage of a node of a flow, whose call and answer are told as they were; empty for none."""
    action = mapping(node)
    usage = mapping(mapping(action.get("operationResponse")).get("usage"))
    attributes: dict[str, AttributeValue] = {}
    put_usage(attributes, usage)
    if attributes:
        put_text(attributes, semconv.REQUEST_MODEL, mapping(action.get("operationRequest")).get("modelId"))
    return attributes


def _returned(control: Json) -> list[Json]:
    """Calls that the application is asked to make."""
    payload = mapping(control)
    calls: list[Json] = []
    for invocation in map(mapping, items(payload.get("invocationInputs"))):
        function = mapping(invocation.get("functionInvocationInput"))
        api = mapping(invocation.get("apiInvocationInput"))
        asked = function or api
        arguments = {
            word(parameter, "name"): parameter.get("value")
            for parameter in map(mapping, items(asked.get("parameters")))
        }
        name = asked.get("function") or f"{asked.get('httpMethod')} {asked.get('apiPath')}"
        calls.append(message_parts.tool_call(payload.get("invocationId"), name, arguments))
    return calls


def fold(events: Iterable[Json]) -> Json:
    """Events to one body: the text, traces, what is returned, an error."""
    body: dict[str, Any] = {}
    words: list[str] = []
    traces: list[Json] = []
    for event in events:
        fields = mapping(event)
        if not _EVENTS.intersection(fields) and not any(key.endswith("Exception") for key in fields):
            if event is not None:
                words.append(
                    json.dumps(event, ensure_ascii=False)
                )  # an answer in JSON, which is read already
            continue
        for kind, value in fields.items():
            if kind == "chunk":
                words.append(word(mapping(value), "bytes"))
            elif kind == "trace":
                traces.append(value)
            elif kind.endswith("Exception"):
                body["error"] = {"type": kind, "message": mapping(value).get("message")}
            else:
                body[kind] = value
    if words:
        body["completion"] = "".join(words)
    body["traces"] = traces
    return body


def fold_flow(events: Iterable[Json]) -> Json:
    """Events to one body: outputs, the end, and the traces of agents and of nodes."""
    body: dict[str, Any] = {"outputs": [], "traces": [], "nodes": []}
    for event in map(mapping, events):
        for kind, value in event.items():
            inner = mapping(value)
            if kind == "flowOutputEvent":
                body["outputs"].append(mapping(inner.get("content")).get("document"))
            elif kind == "flowCompletionEvent":
                body["completion"] = value
            elif kind == "flowTraceEvent":
                trace = mapping(inner.get("trace"))
                elements = mapping(mapping(trace.get("nodeDependencyTrace")).get("traceElements"))
                body["traces"] += items(elements.get("agentTraces"))
                if "nodeActionTrace" in trace:
                    body["nodes"].append(trace["nodeActionTrace"])
            elif kind == "error":
                body["error"] = value
            elif kind.endswith("Exception"):
                body["error"] = {"type": kind, "message": inner.get("message")}
    return body


FORMAT: Final = WireFormat(
    provider=semconv.PROVIDER_AWS_BEDROCK,
    operation="invoke_agent",
    endings=("text",),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
)
INLINE: Final = replace(FORMAT, endings=(), words=("agents",), matches=matches_inline)
FLOW: Final = replace(
    FORMAT,
    operation="invoke_workflow",
    endings=(),
    words=("flows",),
    matches=matches_flow,
    request=request_flow,
    response=response_flow,
    fold=fold_flow,
)

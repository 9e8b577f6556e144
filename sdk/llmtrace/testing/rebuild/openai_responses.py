"""OpenAI's Responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from llmtrace import semconv
from llmtrace.testing.replay import Answer
from llmtrace.wire.format import Json, items, mapping

from .openai_chat import error, head
from .recorded import Builder, RecordedCall, as_json, asks_for_stream, pieces, without_none

_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
#: Calls that have an action instead of a name and arguments.
_ACTIONS: Final = frozenset({"computer", "local_shell", "shell", "apply_patch"})
_OF_PARTS: Final = frozenset({"text", "refusal"})


def body(call: RecordedCall, request: Any) -> Json:
    """A response with its items."""
    tools = [mapping(tool) for tool in items(request.get("tools"))]
    custom = {tool.get("name") for tool in tools if tool.get("type") == "custom"}
    parts = [part for message in call.messages for part in message]
    word = call.reason()
    incomplete = _INCOMPLETE.get(word)
    has_failed = bool(call.error)
    status = "failed" if has_failed else "incomplete" if incomplete else "completed"
    counts = _usage(call)
    kind = "response.compaction" if word == "compaction" else "response"
    return {
        **head(call, request, "resp_replay", kind),
        "created_at": 0,
        "status": status,
        "error": _failure(call) if has_failed else None,
        "incomplete_details": {"reason": incomplete} if incomplete else None,
        "instructions": None,
        "metadata": {},
        "output": list(_items(parts, custom)),
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": tools,
        "top_p": None,
        **({"usage": counts} if counts else {}),
    }


def _failure(call: RecordedCall) -> Json:
    failure = error(call)["error"]
    return {"code": failure["code"] or "server_error", "message": failure["message"]}


def _usage(call: RecordedCall) -> dict[str, Any]:
    sent, output = call.count(semconv.USAGE_INPUT_TOKENS), call.count(semconv.USAGE_OUTPUT_TOKENS)
    if sent is None and output is None:
        return {}
    details = {
        "input_tokens_details": {
            "cached_tokens": call.count(semconv.USAGE_CACHE_READ_INPUT_TOKENS),
            "cache_write_tokens": call.count(semconv.USAGE_CACHE_WRITE_INPUT_TOKENS),
            "text_tokens": call.count(semconv.USAGE_TEXT_INPUT_TOKENS),
            "image_tokens": call.count(semconv.USAGE_IMAGE_INPUT_TOKENS),
            "audio_tokens": call.count(semconv.USAGE_AUDIO_INPUT_TOKENS),
        },
        "output_tokens_details": {
            "reasoning_tokens": call.count(semconv.USAGE_REASONING_OUTPUT_TOKENS),
            "text_tokens": call.count(semconv.USAGE_TEXT_OUTPUT_TOKENS),
            "image_tokens": call.count(semconv.USAGE_IMAGE_OUTPUT_TOKENS),
            "audio_tokens": call.count(semconv.USAGE_AUDIO_OUTPUT_TOKENS),
        },
    }
    counts = {"input_tokens": sent, "output_tokens": output, "total_tokens": (sent or 0) + (output or 0)}
    known = {key: without_none(values) for key, values in details.items()}
    return {**without_none(counts), **{key: values for key, values in known.items() if values}}


def _items(parts: list[Json], custom: set[Any]) -> Iterator[dict[str, Any]]:
    """Neighbouring texts are one message, neighbouring thoughts one item."""
    previous: dict[str, Any] = {}
    for number, part in enumerate(parts):
        item = _item(part, number, custom)
        if item["type"] == previous.get("type") == "message":
            previous["content"] += item["content"]
        elif item["type"] == previous.get("type") == "reasoning":
            previous["summary"] += item["summary"]
        else:
            if previous:
                yield previous
            previous = item
    if previous:
        yield previous


def _item(part: Any, number: int, custom: set[Any]) -> dict[str, Any]:
    kind = part["type"]
    if kind in _OF_PARTS:
        content: dict[str, Any] = {"type": "refusal", "refusal": part["content"]}
        if kind == "text":
            content = {"type": "output_text", "text": part["content"], "annotations": []}
        return {
            "type": "message",
            "id": f"msg_{number}",
            "role": "assistant",
            "status": "completed",
            "content": [content],
        }
    if kind == "reasoning":
        summary = [{"type": "summary_text", "text": part["content"]}]
        return {"type": "reasoning", "id": f"rs_{number}", "summary": summary}
    if kind == "tool_call":
        return _tool_call(part, number, custom)
    if kind == "server_tool_call":
        return dict(part["server_tool_call"])
    if kind == "blob":
        form = str(part.get("mime_type") or "").rpartition("/")[2]
        image = {"result": part.get("content"), "output_format": form, "status": "completed"}
        return {"type": "image_generation_call", "id": f"ig_{number}", **image}
    return dict(part)  # an item that the translation passed on as it came


def _tool_call(part: Any, number: int, custom: set[Any]) -> dict[str, Any]:
    name, arguments = part.get("name"), part.get("arguments")
    identified = {"id": f"fc_{number}", "call_id": part.get("id"), "status": "completed"}
    if name in custom:
        return {"type": "custom_tool_call", **identified, "name": name, "input": arguments}
    if name in _ACTIONS and isinstance(arguments, dict | list):
        return {"type": f"{name}_call", **identified, "action": arguments}
    return {"type": "function_call", **identified, "name": name, "arguments": as_json(arguments)}


def stream(body: Any, request: Any, path: str) -> Answer:
    """Events of every item, and the response once more at the end."""
    begun = {**body, "status": "in_progress", "output": [], "error": None}
    begun.pop("usage", None)
    events: list[dict[str, Any]] = [
        {"type": f"response.{step}", "response": begun} for step in ("created", "in_progress")
    ]
    for index, item in enumerate(body["output"]):
        events += [{**event, "output_index": index} for event in _item_events(item)]
    events.append({"type": f"response.{body['status']}", "response": body})
    chunks = [
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n".encode()
        for number, event in enumerate(events)
    ]
    return Answer(headers={"content-type": "text/event-stream"}, chunks=chunks)


def _item_events(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    identifier = item.get("id")
    begun = {**item, "status": "in_progress"} if "status" in item else {**item}
    texts = {"message": "content", "reasoning": "summary"}.get(item["type"])
    if texts:
        begun[texts] = []
    argument = {"function_call": "arguments", "custom_tool_call": "input"}.get(item["type"])
    if argument:
        begun[argument] = ""
    yield {"type": "response.output_item.added", "item": begun}
    for number, part in enumerate(item[texts] if texts else ()):
        yield from _part_events(part, number, identifier)
    if argument:
        stem = "response.function_call_arguments"
        if argument == "input":
            stem = "response.custom_tool_call_input"
        for piece in pieces(item[argument] or ""):
            yield {"type": f"{stem}.delta", "item_id": identifier, "delta": piece}
        yield {
            "type": f"{stem}.done",
            "item_id": identifier,
            argument: item[argument],
            "name": item.get("name"),
        }
    yield {"type": "response.output_item.done", "item": item}


def _part_events(part: Any, number: int, identifier: Any) -> Iterator[dict[str, Any]]:
    kind = part["type"]
    field = "refusal" if kind == "refusal" else "text"
    place = {"item_id": identifier, "content_index": number}
    stem, of_part = f"response.{kind}", "response.content_part"
    if kind == "summary_text":
        place = {"item_id": identifier, "summary_index": number}
        stem, of_part = "response.reasoning_summary_text", "response.reasoning_summary_part"
    more: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
    yield {"type": f"{of_part}.added", **place, "part": {**part, field: ""}}
    for piece in pieces(part[field]):
        yield {"type": f"{stem}.delta", **place, "delta": piece, **more}
    yield {"type": f"{stem}.done", **place, field: part[field], **more}
    yield {"type": f"{of_part}.done", **place, "part": part}


RESPONSES: Final = Builder(body, asks_for_stream, stream, error)

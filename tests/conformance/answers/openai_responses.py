"""OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .model_answer import Api, ModelAnswer, sse
from .openai import CREATED, answering, error, tool_call_id


def _items(answer: ModelAnswer, number: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if answer.reasoning:
        summary = [{"type": "summary_text", "text": answer.reasoning}]
        items.append({"id": f"rs_conf{number}x", "type": "reasoning", "summary": summary})
    items += [
        {
            "id": f"fc_conf{number}x{place}",
            "type": "function_call",
            "status": "completed",
            "call_id": tool_call_id(number, place),
            "name": call.name,
            "arguments": call.arguments_text,
        }
        for place, call in enumerate(answer.tool_calls)
    ]
    if answer.text:
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": answer.text}
        items.append(
            {
                "id": f"msg_conf{number}x",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [part],
            }
        )
    return items


def _response(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"resp_conf{number}x",
        "object": "response",
        "created_at": CREATED,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": None,
        "model": answering(body),
        "output": _items(answer, number),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": answer.input_tokens,
            "input_tokens_details": {"cached_tokens": answer.cache_read},
            "output_tokens": answer.output_tokens,
            "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
        "user": None,
        "metadata": {},
    }


def _stream(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> list[bytes]:
    done = _response(answer, number, path, body)
    begun = {**done, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for place, item in enumerate(done["output"]):
        events += _item_events(answer, item, place)
    events.append({"type": "response.completed", "response": done})
    return sse(*({**event, "sequence_number": place} for place, event in enumerate(events)), named=True)


def _item_events(answer: ModelAnswer, item: dict[str, Any], place: int) -> list[dict[str, Any]]:
    at = {"item_id": item["id"], "output_index": place}
    begun = {key: value for key, value in item.items() if key not in ("content", "summary")}
    middle: list[dict[str, Any]] = []
    if item["type"] == "message":
        begun = {**begun, "status": "in_progress", "content": []}
        (part,) = item["content"]
        at_part = {**at, "content_index": 0}
        middle = [
            {"type": "response.content_part.added", **at_part, "part": {**part, "text": ""}},
            *(
                {"type": "response.output_text.delta", **at_part, "delta": word, "logprobs": []}
                for word in answer.words
            ),
            {"type": "response.output_text.done", **at_part, "text": answer.text, "logprobs": []},
            {"type": "response.content_part.done", **at_part, "part": part},
        ]
    elif item["type"] == "function_call":
        begun = {**begun, "status": "in_progress", "arguments": ""}
        middle = [
            {"type": "response.function_call_arguments.delta", **at, "delta": item["arguments"]},
            {"type": "response.function_call_arguments.done", **at, "arguments": item["arguments"]},
        ]
    else:
        begun = {**begun, "summary": []}
    return [
        {"type": "response.output_item.added", "output_index": place, "item": begun},
        *middle,
        {"type": "response.output_item.done", "output_index": place, "item": item},
    ]


RESPONSES = Api(
    "openai responses",
    "openai",
    lambda path: path.endswith("/responses"),
    lambda path, body: bool(body.get("stream")),
    _response,
    _stream,
    error,
    begins=lambda chunk: b"output_text.delta" in chunk or b"arguments.delta" in chunk,
)

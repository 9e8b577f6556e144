"""The whole answer that a stream would have been, per API, sharing no code with the SDK."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .stream_forms import Events


def unstreamed(path: str, events: Events) -> Any:
    """The whole answer that a stream would have been, or None; one that broke off would have been none."""
    make = next((make for mark, make in _UNSTREAMED if mark in path), None)
    is_broken = any(event.get("type", event.get("event_type")) == "error" for event in events)
    return None if make is None or is_broken else make(events)


def _whole_chat(events: Events) -> Any:
    answer: dict[str, Any] = {}
    choices: dict[int, Any] = {}
    for event in events:
        answer |= {key: value for key, value in event.items() if key != "choices" and value}
        for chunk in event.get("choices") or []:
            choice = choices.setdefault(
                chunk["index"], {"index": chunk["index"], "message": {}, "finish_reason": None}
            )
            choice["finish_reason"] = chunk.get("finish_reason") or choice["finish_reason"]
            _lengthen(choice["message"], chunk.get("delta") or {})
    return {**answer, "choices": [choices[index] for index in sorted(choices)]}


def _lengthen(message: Any, delta: Any) -> None:
    for key in ("content", "reasoning_content", "reasoning", "refusal"):
        if delta.get(key):
            message[key] = (message.get(key) or "") + delta[key]
    calls = message.setdefault("tool_calls", [])
    for call in delta.get("tool_calls") or []:
        if call["index"] == len(calls):
            calls.append({"id": call["id"], "function": {"name": call["function"]["name"], "arguments": ""}})
        calls[call["index"]]["function"]["arguments"] += call["function"].get("arguments") or ""


def _whole_message(events: Events) -> Any:
    message: dict[str, Any] = {}
    for event in events:
        if event["type"] == "message_start":
            message = {**event["message"], "content": []}
        elif event["type"] == "content_block_start":
            message["content"].append({**event["content_block"], "json": ""})
        elif event["type"] == "content_block_delta":
            block, delta = message["content"][event["index"]], event["delta"]
            for key in ("text", "thinking"):
                block |= {key: block[key] + delta[key]} if key in delta else {}
            block["json"] += delta.get("partial_json", "")
        elif event["type"] == "message_delta":
            usage = {key: value for key, value in event["usage"].items() if value is not None}
            message |= {**event["delta"], "usage": message["usage"] | usage}
    for block in message["content"]:
        text = block.pop("json")
        block |= {"input": json.loads(text)} if text else {}
    return message


def _whole_response(events: Events) -> Any:
    return next((event["response"] for event in events if event["type"] == "response.completed"), None)


def _whole_converse(events: Events) -> Any:
    answer: dict[str, Any] = {}
    blocks: dict[int, Any] = {}
    for kind, event in (pair for entry in events for pair in entry.items()):
        if kind == "contentBlockStart":
            blocks[event["contentBlockIndex"]] = {"toolUse": {**event["start"]["toolUse"], "input": ""}}
        elif kind == "contentBlockDelta":
            block = blocks.setdefault(event["contentBlockIndex"], {})
            if "text" in event["delta"]:
                block["text"] = block.get("text", "") + event["delta"]["text"]
            else:
                block["toolUse"]["input"] += event["delta"]["toolUse"]["input"]
        elif kind in {"messageStop", "metadata"}:
            answer |= event
    for block in blocks.values():
        if call := block.get("toolUse"):
            call["input"] = json.loads(call["input"])
    return {**answer, "output": {"message": {"role": "assistant", "content": list(blocks.values())}}}


def _whole_interaction(events: Events) -> Any:
    answer: dict[str, Any] = {}
    steps: list[Any] = []
    for event in events:
        answer |= event.get("interaction") or {}
        if event["event_type"] == "step.start":
            steps.append({**event["step"], "content": []})
        elif event["event_type"] == "step.delta" and event["delta"].get("type") == "text":
            before = steps[-1]["content"].pop()["text"] if steps[-1]["content"] else ""
            steps[-1]["content"].append({"type": "text", "text": before + event["delta"]["text"]})
    return {**answer, "steps": steps}


_UNSTREAMED: tuple[tuple[str, Callable[[Events], Any]], ...] = (
    ("/chat/completions", _whole_chat),
    ("/messages", _whole_message),
    ("/responses", _whole_response),
    ("/converse-stream", _whole_converse),
    ("/interactions", _whole_interaction),
)

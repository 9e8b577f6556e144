"""Where a request differs from the recorded one, in lines that people read."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from llmtrace import semconv
from llmtrace.api import lifecycle
from llmtrace.wire.format import Json, Translation
from llmtrace.wire.render import render

from .rebuild.recorded import RecordedCall


def sent_call(translation: Translation, operation: str) -> RecordedCall:
    """What a request asks for, as a span would have it: redacted and cut like the recorded one."""
    attributes = translation.attributes
    content = {key: _as_recorded(messages) for key, messages in translation.content.items()}
    return RecordedCall(
        operation=str(attributes.get(semconv.OPERATION_NAME, operation)),
        model=str(attributes.get(semconv.REQUEST_MODEL, "")),
        instructions=content.get(semconv.SYSTEM_INSTRUCTIONS, []),
        input=content.get(semconv.INPUT_MESSAGES, []),
        tools=content.get(semconv.TOOL_DEFINITIONS, []),
    )


def _as_recorded(messages: list[Json]) -> list[Json]:
    runtime = lifecycle.current()
    if runtime is not None:
        messages = runtime.redactor.tree(messages)
        rendered = render(messages, runtime.config.max_content_chars)
    else:
        rendered = render(messages, 2**20)
    listed: list[Json] = json.loads(rendered)
    return listed


def likeness(recorded: RecordedCall, sent: RecordedCall) -> tuple[bool, bool, bool, float]:
    """How well a recorded call answers a request: more is better; the first that is best is the answer."""
    same = (recorded.instructions, recorded.input) == (sent.instructions, sent.input)
    alike = 1.0
    if not same and recorded.input and sent.input:
        before, now = (_message_text(call.input[-1])[:2000] for call in (recorded, sent))
        alike = round(difflib.SequenceMatcher(None, before, now, autojunk=False).ratio(), 1)
    return (
        same,
        recorded.model == sent.model,
        len(recorded.input) == len(sent.input),
        alike,
    )


def difference(recorded: RecordedCall, sent: RecordedCall, number: int) -> str:
    """A unified diff of a request and the recorded one (the `number`-th), empty where they are the same.

    Of a trace without content only the models are compared.
    """
    knows_content = bool(recorded.input)
    before, now = (list(_lines(call, content=knows_content)) for call in (recorded, sent))
    names = f"recorded request {number}", f"request {number} now"
    return "\n".join(difflib.unified_diff(before, now, *names, n=2, lineterm=""))


def _lines(call: RecordedCall, *, content: bool) -> Iterator[str]:
    yield f"model: {call.model}"
    if not content:
        return
    for tool in sorted(call.tools, key=lambda tool: str(tool.get("name"))):
        yield f"tool {tool.get('name')}: {json.dumps(tool, sort_keys=True, ensure_ascii=False)}"
    if call.instructions:
        yield "system:"
        yield from _part_lines(call.instructions)
    for message in call.input:
        yield f"{message.get('role')}:"
        yield from _part_lines(message.get("parts", []))


def _part_lines(parts: list[Json]) -> Iterator[str]:
    for part in parts:
        yield from (f"  {line}" for line in _part_text(part).splitlines() or [""])


def _message_text(message: Mapping[str, Any]) -> str:
    return "\n".join(_part_text(part) for part in message.get("parts", []))


def _part_text(part: Mapping[str, Any]) -> str:
    kind = part.get("type")
    if kind == "text":
        return str(part.get("content"))
    if kind == "tool_call":
        return f"calls {part.get('name')}({json.dumps(part.get('arguments'), ensure_ascii=False)})"
    if kind == "tool_call_response":
        response = part.get("response")
        text = response if isinstance(response, str) else json.dumps(response, ensure_ascii=False)
        return f"result: {text}"
    return json.dumps(part, sort_keys=True, ensure_ascii=False)

"""The events of a Responses stream to the response they add up to.

The last event (`response.completed`, `.incomplete`, `.failed`) holds the whole response. Only where it is
missing, in a stream that was left or torn, is the response put together from the pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from llmtrace.wire.format import Json, index_or_id, items, mapping, word

_FINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_FINAL_MARKS: Final = tuple(f'"{kind}"'.encode() for kind in sorted(_FINAL))
_FINAL_EVENT: Final = re.compile(rb'\ndata: ?\{"type": ?"response\.(?:completed|incomplete|failed)",')
_DONE: Final = b"\ndata: [DONE]"
# Where the pieces of an item go, by the kind of event: (field of the item, type of the part in it).
_PIECES: Final[dict[str, tuple[str, str | None]]] = {
    "response.output_text": ("content", "output_text"),
    "response.refusal": ("content", "refusal"),
    "response.reasoning_text": ("content", "reasoning_text"),
    "response.reasoning_summary_text": ("summary", "summary_text"),
    "response.function_call_arguments": ("arguments", None),
    "response.mcp_call_arguments": ("arguments", None),
    "response.custom_tool_call_input": ("input", None),
    "response.code_interpreter_call_code": ("code", None),
}


def fold(events: Iterable[Json]) -> Json:
    """The final response, or what is known of it."""
    response: dict[str, Any] = {}
    output: dict[Any, _Item] = {}
    for event in map(mapping, events):
        kind = word(event, "type")
        if kind in _FINAL:
            return event.get("response")
        if kind == "error":
            error = mapping(event.get("error")) or event
            response["error"] = {"code": error.get("code"), "message": error.get("message")}
        elif "response" in event:
            response.update(mapping(event["response"]))
        elif kind:
            index = event.get("output_index")
            output.setdefault(index if isinstance(index, int) else 0, _Item()).add(kind, event)
    if output:
        response["output"] = [output[index].folded() for index in sorted(output)]
        response["status"] = None  # it never came to an end
    return response


def last_event(body: bytes) -> bytes:
    """A stream of the final event alone where it came, for `fold` looks at nothing else; else as it was."""
    end = len(body)
    if not body.endswith((b"\n\n", b"\r\n\r\n")):
        return body  # torn
    while (start := body.rfind(b"\ndata:", 0, end)) >= 0 and body.startswith(_DONE, start):
        end = start
    if start < 0 or _FINAL_EVENT.match(body, start) is None:
        return body
    earlier = any(body.find(mark, 0, start) >= 0 for mark in _FINAL_MARKS)
    return body if earlier else body[start + 1 : end]


class _Item:
    """One item of a stream, being put together."""

    def __init__(self) -> None:
        self._item: dict[str, Any] = {}
        self._pieces: dict[tuple[str, str | None, Any], list[str]] = {}

    def add(self, kind: str, event: Any) -> None:
        stem, _, step = kind.rpartition(".")
        if stem == "response.output_item":
            self._item = dict(mapping(event.get("item")))
            if step == "done":
                self._pieces.clear()
        elif stem in _PIECES:
            field, part = _PIECES[stem]
            index = event.get("content_index", event.get("summary_index"))
            at = field, part, index_or_id(index)
            whole = next((event[key] for key in ("text", "arguments", "input", "code") if key in event), None)
            if step == "delta":
                self._pieces.setdefault(at, []).append(str(event.get("delta", "")))
            elif isinstance(whole, str):
                self._pieces[at] = [whole]

    def folded(self) -> Json:
        item = dict(self._item)
        for (field, part, _), pieces in self._pieces.items():
            text = "".join(pieces)
            if part is None:
                item[field] = text
            else:
                item[field] = [*items(item.get(field)), {"type": part, _field(part): text}]
        return item


def _field(part: str) -> str:
    return "refusal" if part == "refusal" else "text"

"""The events of a Responses stream to the response they add up to.

The last event (`response.completed`, `.incomplete`, `.failed`) holds the whole response. Only where it is
missing, in a stream that was left or torn, is the response put together from the pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from llmtrace.wire import base64_pieces
from llmtrace.wire.format import Json, either, index_or_id, items, mapping, word

_FINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_FINAL_MARKS: Final = tuple(f'"{kind}"'.encode() for kind in sorted(_FINAL))
_FINAL_EVENT: Final = re.compile(rb'\ndata: ?\{"type": ?"response\.(?:completed|incomplete|failed)",')
_DONE: Final = b"\ndata: [DONE]"
# Where the pieces of an item go, by the kind of event: (field of the item, type of the part in it, type of an
# item whose beginning did not come).
_PIECES: Final[dict[str, tuple[str, str | None, str]]] = {
    "response.output_text": ("content", "output_text", "message"),
    "response.refusal": ("content", "refusal", "message"),
    "response.audio": ("content", "output_audio", "message"),
    "response.audio.transcript": ("content", "transcript", "message"),
    "response.reasoning_text": ("content", "reasoning_text", "reasoning"),
    "response.reasoning_summary_text": ("summary", "summary_text", "reasoning"),
    "response.function_call_arguments": ("arguments", None, "function_call"),
    "response.mcp_call_arguments": ("arguments", None, "mcp_call"),
    "response.custom_tool_call_input": ("input", None, "custom_tool_call"),
    "response.code_interpreter_call_code": ("code", None, "code_interpreter_call"),
    "response.shell_call_command": ("commands", None, "shell_call"),
}
_BEGUN: Final = "response.output_item.added"
_PARTIAL_IMAGE: Final = "response.image_generation_call.partial_image"
#: Where an event says all of what its deltas said before.
_WHOLE: Final = ("text", "refusal", "transcript", "arguments", "input", "code", "command")
_NO_OUTPUT: Final = re.compile(rb'"output": ?\[\]')


def fold(events: Iterable[Json]) -> Json:
    """The final response, or what is known of it."""
    response: dict[str, Any] = {}
    output = _Output()
    is_final = False
    for event in map(mapping, events):
        kind = word(event, "type")
        snapshot = event.get("response")
        if kind in _FINAL and isinstance(snapshot, dict):
            if snapshot.get("output") or output.is_empty():
                return snapshot
            response, is_final = dict(snapshot), True  # some servers leave the output to the events before
            break
        if kind == "error" or (not kind and event.get("error")):
            error = mapping(event.get("error")) or event
            response["error"] = {"code": error.get("code"), "message": error.get("message")}
        elif isinstance(snapshot, dict):
            response.update(snapshot)
        elif kind:
            output.add(kind, event)
    whole_items = output.folded()
    if whole_items:
        response["output"] = whole_items
    if response and not is_final and (whole_items or not response.get("background")):
        response["status"] = None  # it never came to an end
    return response


def last_event(body: bytes) -> bytes:
    """A stream of the final event alone where it came, for `fold` looks at nothing else; else as it was."""
    end = len(body)
    if not body.endswith((b"\n\n", b"\r\n\r\n")):
        return body  # torn
    while (start := body.rfind(b"\ndata:", 0, end)) >= 0 and body.startswith(_DONE, start):
        end = start
    if start < 0 or _FINAL_EVENT.match(body, start) is None or _NO_OUTPUT.search(body, start, end):
        return body
    earlier = any(body.find(mark, 0, start) >= 0 for mark in _FINAL_MARKS)
    return body if earlier else body[start + 1 : end]


class _Output:
    """The items of a stream, in the order in which they began."""

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._by_index: dict[int, _Item] = {}
        self._by_id: dict[str, _Item] = {}

    def add(self, kind: str, event: Any) -> None:
        """Add an event of an item: by its id, else by its place, where only a beginning makes another."""
        index = event.get("output_index")
        index = index if isinstance(index, int) else None
        item_id = event.get("item_id") or mapping(event.get("item")).get("id")
        item_id = item_id if isinstance(item_id, str) else ""
        item = self._by_id.get(item_id)
        if item is None and (index is not None or not item_id):
            item = self._by_index.get(index or 0)
            if item is not None and kind == _BEGUN and item.is_begun:
                item = None
        if item is None:
            item = _Item()
            self._items.append(item)
        if index is not None or not item_id:
            self._by_index[index or 0] = item
        if item_id:
            self._by_id[item_id] = item
        item.add(kind, event)

    def is_empty(self) -> bool:
        return not self._items

    def folded(self) -> list[Json]:
        """As the response has them."""
        return [item for item in (item.folded() for item in self._items) if item]


class _Item:
    """One item of a stream, being put together."""

    def __init__(self) -> None:
        self._item: dict[str, Any] = {}
        self._pieces: dict[tuple[str, str | None, Any], list[str]] = {}
        self._kind: str | None = None

    @property
    def is_begun(self) -> bool:
        return bool(self._item)

    def add(self, kind: str, event: Any) -> None:
        stem, _, step = kind.rpartition(".")
        if stem == "response.output_item":
            self._item = dict(mapping(event.get("item")))
            if step == "done":
                self._pieces.clear()
        elif kind == _PARTIAL_IMAGE:
            image = {"result": event.get("partial_image_b64"), "output_format": event.get("output_format")}
            self._item = {"type": "image_generation_call", **self._item, **image}
        elif stem in _PIECES:
            field, part, self._kind = _PIECES[stem]
            index = either(event, "content_index", "summary_index", "command_index")
            at = field, part, index_or_id(index)
            whole = next((event[key] for key in _WHOLE if key in event), None)
            if step == "delta":
                self._pieces.setdefault(at, []).append(str(event.get("delta", "")))
            elif isinstance(whole, str):
                self._pieces[at] = [whole]

    def folded(self) -> Json:
        item = dict(self._item)
        if self._kind is not None and self._pieces:
            item.setdefault("type", self._kind)
        for (field, part, _), pieces in self._pieces.items():
            text = "".join(pieces)
            if field == "commands":
                action = mapping(item.get("action"))
                item["action"] = {**action, field: [*items(action.get(field)), text]}
            elif part is None:
                item[field] = text
            else:
                item[field] = [*items(item.get(field)), _part(part, pieces)]
        return item


def _part(kind: str, pieces: list[str]) -> Json:
    if kind == "output_audio":
        return {"type": kind, "data": base64_pieces.join(pieces)}
    if kind == "transcript":
        return {"type": "output_text", "text": "".join(pieces)}
    return {"type": kind, "refusal" if kind == "refusal" else "text": "".join(pieces)}

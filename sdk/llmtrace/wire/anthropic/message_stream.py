"""The events of an Anthropic stream to the message they add up to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from llmtrace.wire.format import Json, index_or_id, items, mapping, parsed, word
from llmtrace.wire.framing.stream_joiner import StreamJoiner

_DELTA: Final = "content_block_delta"
# Which field of a block a delta lengthens.
_FIELDS: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "compaction_delta": "content",
    "input_json_delta": "partial_json",
}


def fold(events: Iterable[Json]) -> Json:
    """The message, with usage as it was last reported: later events repeat and replace earlier counts.

    What the first event says of the output is what was there then, a token or two: of a stream that was left
    nobody told how long the answer is.
    """
    message: dict[str, Any] = {}
    usage: dict[str, Any] = {}
    blocks: list[_Block] = []
    latest: dict[int | str, _Block] = {}  # by index, which some gateways leave at 0
    is_output_known = False
    for event in map(mapping, events):
        kind = word(event, "type")
        if kind == _DELTA or kind == "content_block_start":
            index = index_or_id(event.get("index"))
            block = latest.get(index)
            if block is None or kind != _DELTA:
                block = latest[index] = _Block(mapping(event.get("content_block")))
                blocks.append(block)
            if kind == _DELTA:
                block.add(mapping(event.get("delta")))
        elif kind == "message_start":
            message = dict(mapping(event.get("message")))
            usage.update(mapping(message.get("usage")))
        elif kind == "message_delta":
            message.update(mapping(event.get("delta")))
            delta_usage = mapping(event.get("usage"))
            usage.update({key: count for key, count in delta_usage.items() if count is not None})
            is_output_known = is_output_known or "output_tokens" in delta_usage
        elif kind == "message":  # the whole answer as one event, as some gateways send it
            message, is_output_known = dict(event), True
            usage.update(mapping(message.get("usage")))
        elif event.get("error"):
            message["error"] = event["error"]
    if not is_output_known:
        usage.pop("output_tokens", None)
    if message or blocks:
        message["usage"] = usage
        message["content"] = items(message.get("content")) + [block.folded() for block in blocks]
    return message


def _sole_text(event: Json) -> Json:
    """See `StreamJoiner`."""
    fields = mapping(event)
    delta = mapping(fields.get("delta"))
    return delta.get(_FIELDS.get(word(delta, "type"), "")) if fields.get("type") == _DELTA else None


# Anthropic pads its events with spaces before the last brace.
JOINER: Final = StreamJoiner(
    fields=("text", "thinking", "partial_json"),
    sole_text=_sole_text,
    strip_noise=partial(re.compile(rb"\} +(?=\}\r?\n)").sub, b"}"),
)


class _Block:
    """One content block of a stream, being put together."""

    def __init__(self, start: Any) -> None:
        self._start = start
        self._pieces: dict[str, list[str]] = {}

    def add(self, delta: Any) -> None:
        field = _FIELDS.get(str(delta.get("type")))
        if field is not None:
            piece = delta.get(field)
            if isinstance(piece, str):
                self._pieces.setdefault(field, []).append(piece)

    def folded(self) -> Json:
        block = dict(self._start)
        block.setdefault("type", "text")
        for field, pieces in self._pieces.items():
            text = "".join(pieces)
            if field == "partial_json":
                if text:  # a call without arguments has the empty ones that it began with
                    block["input"] = parsed(text)
            else:
                block[field] = str(block.get(field) or "") + text
        return block

"""Where a stream's output begins and ends: which pieces of its body brought the first and the last of it.

Output is what the model generated: text, reasoning, a refusal, a tool's name or arguments, sound. An event
that only names a role, counts tokens, marks an end or repeats the whole answer is none. The stream is read
from both ends, so that a few events are decoded and not all of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final

from llmtrace.wire.format import Json, mapping, word

from . import aws_event_stream, json_array

_DATA: Final = b"data:"
_DONE: Final = b"[DONE]"
#: Events without output that may stand at either end, at most: pings, states, parts that open and close, and
#: the empty words that some servers send while a model thinks.
_MAX_SILENT: Final = 4096
#: Events without output that stand at the ends of streams, some of them long: they are not decoded.
_SILENT: Final = re.compile(
    rb'\{"type": ?"(?:ping|message_start|message_stop|content_block_stop'
    rb'|response\.(?:created|queued|in_progress|completed|incomplete|failed))"'
)
#: Fields whose text is output. Other formats name theirs alike, and none uses these words for something else.
_TEXTS: Final = frozenset(
    "content text value delta refusal reasoning reasoning_content thinking arguments partial_json "
    "partial_arguments input tool_plan generation outputText response transcript data b64_json code"
    " partial_image_b64 audio PayloadPart completion generated_text text_output bytes".split()
)
#: Fields that hold calls of tools or pictures, which some formats send whole.
_CALLS: Final = frozenset({"tool_calls", "function_call", "functionCall", "functionCalls", "images"})
#: The field of Bedrock's Converse that holds a call of a tool, or a piece of its arguments.
_AWS_CALL: Final = "toolUse"
#: Kinds of events with output whose names do not say `delta`.
_OTHER_KINDS: Final = frozenset(
    {
        "completion",
        "text-generation",
        "tool-calls-chunk",
        "tool-call-start",
        "image_generation.partial_image",
        "image_generation.completed",
        "image_edit.partial_image",
        "image_edit.completed",
        "response.image_generation_call.partial_image",
    }
)
#: Fields of events that count, or that tell what an agent does.
_NO_OUTPUT: Final = frozenset({"metadata", "trace", "flowTraceEvent"})
#: Kinds of events that open a part of the answer → the field that holds it, with the name of a tool's call.
_OPENED: Final = {"content_block_start": "content_block", "response.output_item.added": "item"}


def first_and_last(content_type: str, body: bytes, pieces: Sequence[bytes]) -> tuple[int, int] | None:
    """Indexes of the pieces in which the first and the last event with output came to its end.

    body: a streamed body, decoded; pieces: the same as it came. None where no event with output stands near
    its ends.
    """
    if content_type.startswith(aws_event_stream.CONTENT_TYPE) or json_array.is_array(body):
        framing = json_array if json_array.is_array(body) else aws_event_stream
        positioned = framing.positioned(body)
        forwards, backwards = iter(positioned), reversed(positioned)
    else:
        if b"\n" not in body:
            body = body.replace(b"\r", b"\n")  # the third way to end a line
        forwards = _events(body, _lines(body), 1)
        backwards = _events(body, _lines_from_the_end(body), -1)
    first, last = _end_of_output(forwards), _end_of_output(backwards)
    if first is None or last is None:
        return None
    return _piece_at(first, pieces), len(pieces) - 1 - _piece_at(len(body) - 1 - last, reversed(pieces))


def _piece_at(position: int, pieces: Iterable[bytes]) -> int:
    """Which of the pieces holds the byte at a position."""
    for index, piece in enumerate(pieces):
        position -= len(piece)
        if position < 0:
            return index
    raise IndexError(position)


def has_output(event: Json) -> bool:
    """Whether an event of any format's stream brings something that the model generated."""
    fields = mapping(event)
    choices = fields.get("choices")
    if isinstance(choices, list):  # some servers repeat the whole message beside the delta
        for choice in map(mapping, choices):
            delta = choice.get("delta")
            if choice.get("text") or _holds_output(choice.get("message") if delta is None else delta):
                return True
        return False
    kind = word(fields, "type") or word(fields, "event_type")
    if not kind and word(fields, "object").startswith("thread."):
        kind = word(fields, "object")
    if kind in _OPENED:
        return bool(word(mapping(fields.get(_OPENED[kind])), "name"))
    if (kind and "delta" not in kind and kind not in _OTHER_KINDS) or fields.get("error"):
        return False
    return not _NO_OUTPUT.intersection(fields) and _holds_output(fields)


def _holds_output(value: Json) -> bool:
    if isinstance(value, list):
        return any(map(_holds_output, value))
    for key, inner in mapping(value).items():
        if isinstance(inner, str):
            if inner and key in _TEXTS:
                return True
            continue
        named = key == _AWS_CALL and word(mapping(inner), "name")
        if named or (inner and (key in _CALLS or _holds_output(inner))):
            return True
    return False


def _end_of_output(positioned: Iterator[tuple[int, list[Json]]]) -> int | None:
    """Where the first of these events that has output ends."""
    for end, events in islice(positioned, _MAX_SILENT):
        if any(map(has_output, events)):
            return end
    return None


def _events(body: bytes, lines: Iterator[tuple[int, int]], order: int) -> Iterator[tuple[int, list[Json]]]:
    """(where its last byte stands, the event) of each line with one, and of lines that make one together.

    lines: where they begin and end, in order (1) or from the last to the first (-1).
    """
    pending: list[tuple[int, bytes]] = []
    for at, end in chain(lines, [(0, 0)]):  # the stream's end is an event's end too
        line = body[at:end].removesuffix(b"\r")
        event = _event(line) if not pending else None
        if event is not None:
            yield min(end, len(body) - 1), [event]
        elif line.startswith(_DATA) and not line.endswith(_DONE):
            pending.append((min(end, len(body) - 1), line.removeprefix(_DATA)))
        elif not line and len(pending) > 1:
            yield from _together(pending, order)
            pending.clear()
        elif not line:
            pending.clear()


def _together(lines: list[tuple[int, bytes]], order: int) -> Iterator[tuple[int, list[Json]]]:
    """The event that some lines make. One line per event is the rule; the standard allows several.

    Where they make none, one of them is torn, and the others are events without the blank line between them.
    """
    whole = _event(b"".join(text for _, text in lines[::order]))
    if whole is not None:
        yield max(end for end, _ in lines), [whole]
        return
    for end, text in lines:
        event = _event(text)
        if event is not None:
            yield end, [event]


def _lines(body: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(body):
        end = body.find(b"\n", at)
        end = len(body) if end < 0 else end
        yield at, end
        at = end + 1


def _lines_from_the_end(body: bytes) -> Iterator[tuple[int, int]]:
    end = len(body)
    while end >= 0:
        at = body.rfind(b"\n", 0, end) + 1
        yield at, end
        end = at - 1


def _event(text: bytes) -> Json:
    text = text.removeprefix(_DATA).lstrip()
    if not text.startswith(b"{"):
        return None
    if _SILENT.match(text):
        return {}
    try:
        value = json.loads(text.decode("utf-8", "replace"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None

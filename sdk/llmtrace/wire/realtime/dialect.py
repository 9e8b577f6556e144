"""What one API over a WebSocket is: how its messages are told apart, and the format of its responses.

Messages are told apart on the caller's path, so a look at their beginning has to do. What they say is read on
the delivery thread, by the format: its request is a JSON array of the messages that led to a response, its
answer is a stream of those that the response is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from llmtrace.wire.format import WireFormat

Kind = Literal[
    "nothing",
    "session",
    "asked",
    "input",
    "committed",
    "cleared",
    "media",
    "begun",
    "piece",
    "remark",
    "output",
    "over",
    "usage",
    "call",
    "error",
    "failed",
]
"""What a message is to the session that it is in.

Sent: `session` sets it up; `asked` wants a response; `input` belongs to the next one; `media` is sound or a
picture, of which the size is noted; `cleared` says that those sent until now are no input.

Received: `session` has the settings that hold; `committed` says that the media sent until now are input;
`begun`, `piece` and `over` are a response's own, `remark` is one's that never begins it; `output` is a piece
whose media are not noted; `usage` counts what is over; `call` is a call of another model, in one message;
`error` is the fault of a message that was sent, `failed` of the response that was asked for.
"""


class Signal(NamedTuple):
    """One message, in short.

    response_id: whose it is, of an error the id of the message at fault; "" where the API has one response
        at a time. size, modality: of media sent.
    has_usage: whether it counts tokens.
    """

    kind: Kind
    response_id: str = ""
    size: int = 0
    modality: str = "audio"
    has_usage: bool = False


NOTHING: Final = Signal("nothing")


@dataclass(frozen=True, slots=True)
class Dialect:
    """An API over a WebSocket.

    matches: by the path of the handshake, without query.
    sent, received: a message by its raw text, cheaply.
    format: of a response. call_format: of what `call` messages are.
    output: stands in the place of a piece whose media are not noted.
    implicit: whether a response may begin without a message that says so, when its first piece comes.
    usage_apart: whether the tokens may be counted in a message after the last one of a response.
    """

    matches: Callable[[str], bool]
    sent: Callable[[bytes], Signal]
    received: Callable[[bytes], Signal]
    format: WireFormat
    output: bytes
    call_format: WireFormat | None = None
    implicit: bool = False
    usage_apart: bool = False


_TYPE: Final = re.compile(rb'"type"\s*:\s*"([a-z_]+(?:\.[a-z_.]+)|error)"')
_RESPONSE_ID: Final = re.compile(rb'"response_id"\s*:\s*"([^"]*)"')
_BEGINNING: Final = 192
_END: Final = 192
_SEARCHED: Final = 64 * 1024


def event_type(message: bytes) -> bytes:
    """The `type` of an event of OpenAI's, which has a dot in it or is `error`; empty for what is none.

    It stands at the beginning; where a long text is before it, at the end.
    """
    match = _TYPE.search(message, 0, _BEGINNING) or _TYPE.search(message, max(0, len(message) - _END))
    if match is None and len(message) <= _SEARCHED:
        match = _TYPE.search(message)
    return match[1] if match is not None else b""


def response_id(message: bytes) -> str:
    """The `response_id` of an event, which stands before its payload; "" where it does not."""
    match = _RESPONSE_ID.search(message, 0, 4 * _BEGINNING) or _RESPONSE_ID.search(
        message, max(0, len(message) - _END)
    )
    return match[1].decode("utf-8", "replace") if match is not None else ""


def base64_size(message: bytes, key: bytes) -> int:
    """How many bytes the base64 text under `key` (with its quotation marks) stands for; 0 without it."""
    at = message.find(key)
    start = message.find(b'"', message.find(b":", at + len(key)) + 1) + 1 if at >= 0 else 0
    end = message.find(b'"', start) if start else 0
    return max(0, end - start) * 3 // 4

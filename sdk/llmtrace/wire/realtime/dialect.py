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
_HEAD: Final = re.compile(
    rb'\s*\{\s*"type"\s*:\s*"([a-z_]+\.[a-z_.]+|error)"(?:\s*,\s*"event_id"\s*:\s*"[^"]*")?'
    rb'(?:\s*,\s*"response_id"\s*:\s*"([^"]*)")?'
)
"""How nearly all events begin."""
_BEGINNING: Final = 192
_END: Final = 192
_SEARCHED: Final = 64 * 1024


def event_head(message: bytes) -> tuple[bytes, bytes]:
    """(`type`, `response_id`) of an event of OpenAI's: its type has a dot in it or is `error`. Empty for what
    is none, or has none.

    They stand at the beginning; where a long text is before them, at the end.
    """
    head = _HEAD.match(message)
    if head is not None and head[2] is not None:
        return head[1], head[2]
    kind = head or _near(_TYPE, message)
    return (b"" if kind is None else kind[1]), b""


def response_id(message: bytes) -> bytes:
    """The `response_id` of an event where it does not stand at the beginning; empty where there is none."""
    match = _near(_RESPONSE_ID, message)
    return match[1] if match is not None else b""


def _near(pattern: re.Pattern[bytes], message: bytes) -> re.Match[bytes] | None:
    match = pattern.search(message, 0, _BEGINNING) or pattern.search(message, max(0, len(message) - _END))
    if match is None and len(message) <= _SEARCHED:
        match = pattern.search(message)
    return match


def base64_size(message: bytes, opening: re.Pattern[bytes]) -> int:
    """How many bytes the base64 text stands for that begins where `opening` ends; 0 without it."""
    match = opening.search(message)
    if match is None:
        return 0
    start = match.end()
    return max(0, message.find(b'"', start) - start) * 3 // 4

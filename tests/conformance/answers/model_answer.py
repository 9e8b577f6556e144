"""What a model says and what it counts, before any API's words for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ToolCall:
    """A tool that the model calls."""

    name: str
    arguments: Mapping[str, Any]

    @property
    def arguments_text(self) -> str:
        """The arguments as JSON."""
        return json.dumps(self.arguments)


@dataclass(frozen=True)
class ModelAnswer:
    """One answer; cached tokens are among the input, reasoning tokens among the output."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    input_tokens: int = 24
    output_tokens: int = 9
    cache_read: int = 0
    cache_written: int = 0
    reasoning_tokens: int = 0
    status: int = 200

    @property
    def words(self) -> list[str]:
        """The text in the pieces of a stream."""
        return [word if number == 0 else f" {word}" for number, word in enumerate(self.text.split(" "))]


@dataclass(frozen=True)
class Api:
    """An API of a provider. Its functions take the answer, what its ids end with, and the request: path and
    body.
    """

    name: str
    provider: str
    """As the conventions spell it."""
    matches: Callable[[str], bool]
    """Of a path without its query."""
    streams: Callable[[str, Mapping[str, Any]], bool]
    whole: Callable[[ModelAnswer, str, str, Mapping[str, Any]], Any]
    stream: Callable[[ModelAnswer, str, str, Mapping[str, Any]], list[bytes]]
    """Chunks as they are sent; the first content is in the one that `begins` knows."""
    error: Callable[[int], Any]
    content_type: str = "text/event-stream"
    """Of a stream."""
    begins: Callable[[bytes], bool] = lambda chunk: True
    """Whether a chunk has the first token."""


def sse(*events: Any, named: bool = False, done: bool = False) -> list[bytes]:
    """Server-sent events, a chunk each; `named` repeats each event's type in its own line."""
    chunks = [
        (f"event: {event['type']}\n" if named else "").encode() + f"data: {json.dumps(event)}\n\n".encode()
        for event in events
    ]
    return [*chunks, b"data: [DONE]\n\n"] if done else chunks


_RIVER = ModelAnswer("The old stone bridge crosses the Drina.")
_TOWNS = ("Mostar", "Visegrad")
_CALLS = tuple(ToolCall("bridge_length", {"town": town}) for town in _TOWNS)
_LENGTHS = ModelAnswer("They are 29 and 179 metres long.", input_tokens=120, output_tokens=12)

#: Kind of call → answers in order; the last one again and again.
ANSWERS: dict[str, tuple[ModelAnswer, ...]] = {
    "plain": (_RIVER,),
    "stream": (_RIVER,),
    "tools": (ModelAnswer(tool_calls=_CALLS[:1], input_tokens=80, output_tokens=17), _LENGTHS),
    "parallel_tools": (ModelAnswer(tool_calls=_CALLS, input_tokens=80, output_tokens=34), _LENGTHS),
    "embeddings": (ModelAnswer(input_tokens=11, output_tokens=0),),
    "vector_query": (ModelAnswer(input_tokens=11, output_tokens=0),),
    "images": (ModelAnswer("A bridge.", input_tokens=280, output_tokens=4),),
    "reasoning": (
        ModelAnswer(
            "The Drina.",
            reasoning="The bridge stands in Visegrad.",
            input_tokens=24,
            output_tokens=70,
            reasoning_tokens=64,
        ),
    ),
    "cached": (ModelAnswer("The Drina.", input_tokens=1600, cache_read=1024, cache_written=256),),
    "error": (ModelAnswer(status=400),),
    "retry": (ModelAnswer(status=429), _RIVER),
    "async": (_RIVER,),
    "thread": (_RIVER,),
    "batch": (_RIVER,),
    # Before the cells, and in none of them.
    "warmup": (_RIVER,),
}

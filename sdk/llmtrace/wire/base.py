"""What a wire format is, and the small readers all of them share.

A format only translates JSON to attributes. It never sees clocks, spans, sockets or failures: those are
`llmtrace.call`, `llmtrace.streams` and `llmtrace.hooks`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.util.types import AttributeValue

Json = Any
"""A decoded JSON value from the outside: nothing about its shape is trusted."""


@dataclass(slots=True)
class Translation:
    """A request or response as span attributes; `content` holds messages, rendered by `content.render`."""

    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    content: dict[str, list[Json]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WireFormat:
    """One provider API on the wire. All functions are pure and accept any JSON.

    provider: whose format it is, the name of last resort for the provider.
    operation: `gen_ai.operation.name`.
    matches: by path (without query) and raw body, cheaply: it runs before the request is sent.
    request: decoded request body and path → attributes; `content` says whether messages are wanted.
    response: decoded (or folded) response body → attributes.
    fold: the events of a stream → the body that the same call would have had without streaming.
    """

    provider: str
    operation: str
    matches: Callable[[str, bytes], bool]
    request: Callable[[Json, str, bool], Translation]
    response: Callable[[Json, bool], Translation]
    fold: Callable[[Iterable[Json]], Json]


def mapping(value: Json) -> Mapping[str, Json]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Json) -> list[Json]:
    """`value` if it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def put_text(target: dict[str, AttributeValue], key: str, value: Json) -> None:
    """Set a string attribute if the value is a non-empty string."""
    if isinstance(value, str) and value:
        target[key] = value


def put_int(target: dict[str, AttributeValue], key: str, value: Json) -> None:
    """Set an integer attribute; whole floats count, booleans do not."""
    if type(value) is int:
        target[key] = value
    elif type(value) is float and value.is_integer():
        target[key] = int(value)


def put_float(target: dict[str, AttributeValue], key: str, value: Json) -> None:
    """Set a double attribute from any number."""
    if type(value) is float or type(value) is int:
        target[key] = float(value)


def parsed(text: Json) -> Json:
    """Tool arguments come as JSON text: the decoded value, or the text itself where it is not JSON."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text

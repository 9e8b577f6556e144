"""What one method of gRPC is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from llmtrace.wire.format import Json, WireFormat


class HttpRequest(NamedTuple):
    """The request that says the same over HTTP: its path, and its body as JSON or as it is."""

    path: str
    body: Json | bytes


def unchanged(body: Json) -> Json:
    """A body that is over HTTP what the message is."""
    return body


@dataclass(frozen=True, slots=True)
class GrpcMethod:
    """A method, and how its messages are said over HTTP.

    provider: who has the method; empty where anybody may. wire_format: of the request that `request` makes.
    by_path: whether the registry's format for its path goes before `wire_format`.
    request, response: the message as JSON → the request or the body of an answer over HTTP, for a stream each
    message. What `response` gives as bytes is a piece of the body as it is.
    has_finish_reasons: whether an answer says why it ended. camel, left_out: see `to_json`.
    """

    provider: str
    wire_format: WireFormat
    request: Callable[[Json], HttpRequest]
    response: Callable[[Json], Json | bytes] = unchanged
    by_path: bool = True
    has_finish_reasons: bool = True
    camel: bool = False
    left_out: frozenset[str] = frozenset()


HTTP_STATUS: Final = {
    "OK": 200,
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNKNOWN": 500,
}
"""What a status is called over HTTP, by which retries are told from final failures."""

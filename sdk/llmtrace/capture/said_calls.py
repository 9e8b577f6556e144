"""A call that goes over no HTTP, said as the request that is the same there, for the formats to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.internal_errors import swallow

from .call import LlmCall

_SAYING: Final = swallow("saying a call as HTTP", may_raise=False)
EVENTS: Final = "text/event-stream"
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class SaidRequest:
    """See `call.CapturedRequest`. where: host and port; no host where there is none, or none is known."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    where: tuple[str, int] = ("", 0)

    def address(self) -> tuple[str, int]:
        return self.where


class SaidCall(LlmCall):
    """The evidence of a call whose words `_say` translates, on the delivery thread."""

    __slots__ = ()

    def _say(self) -> None:
        """Put request and response in the words of HTTP."""
        raise NotImplementedError

    def complete(self) -> Sequence[ReadableSpan]:
        """See `LlmCall.complete`."""
        with _SAYING:
            self._say()
        return super().complete()

    def _describe_transport(self, attributes: dict[str, AttributeValue]) -> None:
        super()._describe_transport(attributes)
        attributes.pop(semconv.HTTP_RESPONSE_STATUS_CODE, None)
        if not attributes[semconv.SERVER_ADDRESS]:
            del attributes[semconv.SERVER_ADDRESS], attributes[semconv.SERVER_PORT]


def event(text: bytes) -> bytes:
    """One event of a stream."""
    return b"data: " + text + b"\n\n"

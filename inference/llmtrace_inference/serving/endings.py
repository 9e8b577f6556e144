"""How requests end: what went wrong, as the client, the span and the metrics know it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from llmtrace_inference.engine.interface import EngineError
from llmtrace_inference.protocol.errors import ApiError

_LEFT = "the client closed the connection"


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a request. `status` None: nobody was there to get one."""

    status: int | None
    error_type: str | None = None
    error_message: str = ""
    stop_reason: str | None = None
    """Why its choices were ended; None: they have ended by themselves."""
    refusal: ApiError | None = None
    """What the client gets in place of an answer, or after the beginning of one."""
    is_internal: bool = False
    """A fault of ours, whose place the log has to tell."""

    def response(self) -> Response:
        """The response in place of an answer."""
        return self.refusal.response() if self.refusal is not None else Response(status_code=499)


def ending_of(error: BaseException | None, operation: str, *, streaming: bool, complete: bool) -> Ending:
    """What `error` comes to; None: nothing went wrong.

    `streaming`: the client has its status of 200 already. `complete`: every choice has ended by itself.
    """
    if error is None:
        return Ending(200)
    if isinstance(error, ClientDisconnect) or not isinstance(error, Exception):
        if streaming:
            return Ending(200) if complete else Ending(200, "client_disconnected", _LEFT, "cancelled")
        if isinstance(error, ClientDisconnect):
            return Ending(None, "client_disconnected", _LEFT, "cancelled")
        return Ending(None, "cancelled", "the service was shut down", "cancelled")
    refusal = _refusal(error, operation)
    status = 200 if streaming else refusal.status
    known = isinstance(error, ApiError | EngineError)
    error_type = refusal.code if known else type(error).__qualname__
    return Ending(status, error_type, refusal.message, "error", refusal, not known)


def _refusal(error: Exception, operation: str) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, EngineError):
        # The field that a prompt came in which is too large.
        param = ("messages" if operation == "chat" else "prompt") if error.status == 400 else None
        return ApiError(
            error.status,
            str(error),
            code=error.code,
            param=param,
            retry_after_seconds=error.retry_after_seconds,
        )
    return ApiError(500, "internal error: the service's log has the details", code="internal_error")

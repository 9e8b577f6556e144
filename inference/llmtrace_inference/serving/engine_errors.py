"""What goes wrong in the engine, as OpenAI's clients know it."""

from __future__ import annotations

from llmtrace_inference.engine.interface import EngineError
from llmtrace_inference.protocol.errors import ApiError


def from_engine(error: EngineError, operation: str) -> ApiError:
    """The engine's error; `operation` says which field a prompt that is too large came in."""
    param = ("messages" if operation == "chat" else "prompt") if error.status == 400 else None
    return ApiError(
        error.status,
        str(error),
        code=error.code,
        param=param,
        retry_after_seconds=error.retry_after_seconds,
    )

"""The program's own log, where it is not written through `logging`."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from llmtrace.capture import program_logs


def log_processor(logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> Any:
    """A processor for structlog that sends each event, as `init(logs=True)` does with records of `logging`.

        structlog.configure(processors=[..., llmtrace.log_processor, structlog.processors.JSONRenderer()])

    It stands before the renderer and returns the event as it is. Only needed where structlog writes by
    itself (PrintLogger, WriteLogger): what goes through `logging` is sent anyway, and once. Never raises.
    """
    program_logs.log_event(logger, method_name, event_dict)
    return event_dict

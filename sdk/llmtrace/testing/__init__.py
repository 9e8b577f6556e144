"""For tests of programs that use llmtrace: spans kept in memory, and a server that replays recordings.

with llmtrace.testing.capture() as traces:
    program()
    assert traces.spans()[0].name == "chat gpt-4o-mini"

Tests import it, and nothing else does; it may import all of the SDK.
"""

from __future__ import annotations

from .calls import Call, Tokens, ToolRequest, ToolRun
from .clock import SteppingClock
from .memory import Captured, SequentialIds, capture
from .replay import Answer, Received, ReplayServer, sse

__all__ = [
    "Answer",
    "Call",
    "Captured",
    "Received",
    "ReplayServer",
    "SequentialIds",
    "SteppingClock",
    "Tokens",
    "ToolRequest",
    "ToolRun",
    "capture",
    "sse",
]

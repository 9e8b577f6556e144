"""For tests of programs that use llmtrace: spans kept in memory, and a server that replays recordings.

with llmtrace.testing.capture() as traces:
    program()
    assert traces.spans()[0].name == "chat gpt-4o-mini"

Tests import it, and nothing else does; it may import all of the SDK.
"""

from __future__ import annotations

from .calls import Call, Tokens, ToolRequest, ToolRun
from .clock import SteppingClock
from .entry import EntryError, FillIn
from .memory import Captured, SequentialIds, capture
from .replay import Answer, Received, ReplayServer, sse
from .replayed_trace import ReplayDifference, ReplayedTrace

__all__ = [
    "Answer",
    "Call",
    "Captured",
    "EntryError",
    "FillIn",
    "Received",
    "ReplayDifference",
    "ReplayServer",
    "ReplayedTrace",
    "SequentialIds",
    "SteppingClock",
    "Tokens",
    "ToolRequest",
    "ToolRun",
    "capture",
    "sse",
]

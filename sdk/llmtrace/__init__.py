"""llmtrace: traces of LLM applications, read from the wire.

    import llmtrace

    llmtrace.init()

From then on each LLM call made through httpx or httpx2 (the OpenAI, Groq and many other clients use them)
becomes an OpenTelemetry span in the collector. See docs/sdk.md.
"""

from __future__ import annotations

from .attribution import context
from .delivery.stats import Stats
from .observe import observe
from .runtime import flush, init, shutdown, stats
from .score import current_trace_id, score

__all__ = [
    "Stats",
    "context",
    "current_trace_id",
    "flush",
    "init",
    "observe",
    "score",
    "shutdown",
    "stats",
]

"""llmtrace: traces of LLM applications, read from the wire.

    import llmtrace

    llmtrace.init()

From then on each LLM call made through httpx, httpx2, requests, urllib3, botocore or aiohttp (as provider
clients do) becomes an OpenTelemetry span in the collector. See docs/sdk.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .api.budget import BudgetCheck, BudgetExceeded, BudgetStatus, check_budget
from .api.lifecycle import disable, flush, init, shutdown, stats
from .api.observe import observe
from .api.score import current_trace_id, score, trace_url
from .api.steps import agent, retrieval, tool
from .delivery.stats import Stats
from .spans.context_attributes import context, prompt
from .spans.sampling import SampleRule

__all__ = [
    "BudgetCheck",
    "BudgetExceeded",
    "BudgetStatus",
    "SampleRule",
    "Stats",
    "agent",
    "check_budget",
    "context",
    "current_trace_id",
    "disable",
    "flush",
    "init",
    "observe",
    "prompt",
    "retrieval",
    "score",
    "shutdown",
    "stats",
    "tool",
    "trace_url",
]

_RENAMED = {"BudgetStanding": "BudgetStatus"}

if not TYPE_CHECKING:  # a type checker must know the present names alone

    def __getattr__(name: str) -> object:
        """Former names, with a warning. Raises AttributeError for any other."""
        if name not in _RENAMED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import warnings

        message = f"llmtrace.{name} is now called llmtrace.{_RENAMED[name]}; the old name goes in 0.3"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return globals()[_RENAMED[name]]

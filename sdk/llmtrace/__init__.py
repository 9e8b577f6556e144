"""llmtrace: traces of LLM applications, read from the wire.

    import llmtrace

    llmtrace.init()

From then on each LLM call made through httpx, httpx2, requests, urllib3, botocore or aiohttp (as provider
clients do) becomes an OpenTelemetry span in the collector. See docs/sdk.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .api.approval import Approval, approval, approval_decision
    from .api.budget import BudgetCheck, BudgetExceeded, BudgetStatus, check_budget
    from .api.caches import cache_hit, cache_lookup, cache_store
    from .api.degradation import circuit_breaker, degraded
    from .api.init import init
    from .api.lifecycle import disable, flush, shutdown, stats
    from .api.logs import log_processor
    from .api.observe import observe
    from .api.observe_model import observe_model, unobserve_model
    from .api.propagation import extract, inject, propagate
    from .api.score import current_trace_id, score, trace_url
    from .api.span import Span, span
    from .api.steps import agent, retrieval, tool
    from .api.text_check import TextCheck, check_text
    from .delivery.stats import HookStatus, Stats
    from .spans.context_attributes import context, prompt
    from .spans.sampling import SampleRule

    __version__: str

__all__ = [
    "Approval",
    "BudgetCheck",
    "BudgetExceeded",
    "BudgetStatus",
    "HookStatus",
    "SampleRule",
    "Span",
    "Stats",
    "TextCheck",
    "agent",
    "approval",
    "approval_decision",
    "cache_hit",
    "cache_lookup",
    "cache_store",
    "check_budget",
    "check_text",
    "circuit_breaker",
    "context",
    "current_trace_id",
    "degraded",
    "disable",
    "extract",
    "flush",
    "init",
    "inject",
    "log_processor",
    "observe",
    "observe_model",
    "prompt",
    "propagate",
    "retrieval",
    "score",
    "shutdown",
    "span",
    "stats",
    "tool",
    "trace_url",
    "unobserve_model",
]

if not TYPE_CHECKING:  # a type checker must know the present names alone
    # Imported when the first name is used: who only needs `llmtrace.common` does not pay for the SDK.
    _MODULES = (
        *("api.approval", "api.budget", "api.caches", "api.degradation", "api.init", "api.lifecycle"),
        *(
            "api.logs",
            "api.observe",
            "api.observe_model",
            "api.propagation",
            "api.score",
            "api.span",
            "api.steps",
            "api.text_check",
        ),
        *("delivery.stats", "spans.context_attributes", "spans.sampling"),
    )
    _RENAMED = {"BudgetStanding": "BudgetStatus"}

    def __getattr__(name: str) -> object:
        """A public name, or a former one with a warning. Raises AttributeError for any other."""
        if name in __all__:
            _import_api()
        elif name == "__version__":
            globals()[name] = _installed_version()
        elif name in _RENAMED:
            import warnings

            message = f"llmtrace.{name} is now called llmtrace.{_RENAMED[name]}; the old name goes in 0.3"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return __getattr__(_RENAMED[name])
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals()[name]

    def load_ipython_extension(shell: object) -> None:
        """`%load_ext llmtrace` is `llmtrace.init()`, for those who are used to it."""
        from .api.init import init

        init()

    def __dir__() -> list[str]:
        """The API, and what every module has."""
        return sorted([*__all__, "__all__", "__doc__", "__file__", "__name__", "__path__", "__version__"])

    def _import_api() -> None:
        """All of it at once, so that there is one moment in which a fork has to wait."""
        from importlib import import_module

        from .common.import_lock import import_lock

        with import_lock:
            for module in [import_module(f"{__name__}.{name}") for name in _MODULES]:
                globals().update({name: value for name, value in vars(module).items() if name in __all__})

    def _installed_version() -> str:
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version(__name__)
        except PackageNotFoundError:  # run from a folder that was never installed
            return "0"

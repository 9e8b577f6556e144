"""pybreaker: what its circuit breakers do."""

from __future__ import annotations

from typing import Any

from llmtrace.api.degradation import circuit_breaker
from llmtrace.semconv import BreakerState

_STATES: dict[str, BreakerState] = {"open": "opened", "half-open": "half_open", "closed": "closed"}


class Listener:
    """A listener of `pybreaker.CircuitBreaker`, which records every change of its state.

        breaker = pybreaker.CircuitBreaker(name="openai", listeners=[Listener()])

    The breaker's `name` is its name here; without one it is "pybreaker".
    """

    def before_call(self, cb: Any, func: Any, *args: Any, **kwargs: Any) -> None:
        """A call is made."""

    def success(self, cb: Any) -> None:
        """A call succeeded."""

    def failure(self, cb: Any, exc: BaseException) -> None:
        """A call failed."""

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        """It opened, half opened or closed."""
        name = getattr(new_state, "name", str(new_state))
        if state := _STATES.get(name):
            circuit_breaker(getattr(cb, "name", None) or "pybreaker", state)

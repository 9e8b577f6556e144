"""Purgatory: what its circuit breakers do, sync and async."""

from __future__ import annotations

from typing import Any

from llmtrace.api.degradation import circuit_breaker
from llmtrace.semconv import BreakerState

_STATES: dict[str, BreakerState] = {"opened": "opened", "half-opened": "half_open", "closed": "closed"}


def listener(name: str, event_type: str, event: Any) -> None:
    """A listener of Purgatory's factories, which records every change of a circuit's state.

    factory.add_listener(purgatory.listener)
    """
    state = _STATES.get(str(getattr(event, "state", "")))
    if event_type == "state_changed" and state is not None:
        circuit_breaker(name, state)

"""Tenacity: what is answered when its attempts are used up.

Attempts themselves need no adapter: equal requests after an error are known as attempts of one call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from llmtrace.api.degradation import degraded
from llmtrace.semconv import Degradation

Answer = TypeVar("Answer")


def fallback(kind: Degradation, answer: Callable[[Any], Answer]) -> Callable[[Any], Answer]:
    """A `retry_error_callback` that answers in place of a model, and records that and the last error.

        @retry(stop=stop_after_attempt(3), retry_error_callback=fallback("preset", lambda state: SORRY))

    kind: as of `llmtrace.degraded`. answer: is given Tenacity's `RetryCallState` and returns the answer.
    """

    def answer_instead(state: Any) -> Answer:
        outcome = getattr(state, "outcome", None)
        error = outcome.exception() if outcome is not None and outcome.failed else None
        degraded(kind, "" if error is None else error)
        return answer(state)

    return answer_instead

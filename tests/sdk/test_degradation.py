"""What stood in for a model's answer, and what circuit breakers did."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import openai
import pytest
import tenacity

import llmtrace
from llmtrace.adapters import purgatory, pybreaker
from llmtrace.adapters.tenacity import fallback
from llmtrace.semconv import BREAKER_STATES, DEGRADATIONS
from llmtrace.testing import Answer, Captured, ReplayServer

from .chat import REQUEST

KIND, REASON = "llmtrace.degraded.kind", "llmtrace.degraded.reason"
BREAKER, STATE = "llmtrace.circuit_breaker.name", "llmtrace.circuit_breaker.state"


def spans(traces: Captured) -> dict[str, dict[str, Any]]:
    return {span["name"]: span for span in traces.snapshot()}


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_the_active_span_is_marked_and_a_step_recorded(traces: Captured, kind: Any) -> None:
    with llmtrace.context(user_id="ann"), llmtrace.span("answer"):
        llmtrace.degraded(kind, "the provider is down")
    marked, step = spans(traces)["answer"], spans(traces)[f"degraded {kind}"]
    for span in (marked, step):
        assert (span["attributes"][KIND], span["attributes"][REASON]) == (kind, "the provider is down")
    assert step["attributes"]["gen_ai.operation.name"] == "degraded"
    assert step["attributes"]["user.id"] == "ann"
    below, above = (
        next(s for s in traces.spans() if s.name == name) for name in (f"degraded {kind}", "answer")
    )
    assert below.parent is not None
    assert below.parent.span_id == above.context.span_id


def test_outside_any_span_the_step_stands_alone(traces: Captured) -> None:
    llmtrace.degraded("preset", ValueError("with words of a user"))
    (step,) = traces.snapshot()
    assert step["attributes"][REASON] == "ValueError"
    llmtrace.degraded("rule")
    assert REASON not in spans(traces)["degraded rule"]["attributes"]


def test_nothing_records_and_nothing_raises() -> None:
    llmtrace.degraded("preset", "off")
    llmtrace.circuit_breaker("openai", "opened")


def test_every_state_of_a_breaker(traces: Captured) -> None:
    with llmtrace.span("answer"):
        for state in BREAKER_STATES:
            llmtrace.circuit_breaker("openai", state)
    by_name = spans(traces)
    for state in BREAKER_STATES:
        step = by_name[f"circuit_breaker openai {state}"]
        assert (step["attributes"][BREAKER], step["attributes"][STATE]) == ("openai", state)
        assert step["attributes"]["gen_ai.operation.name"] == "circuit_breaker"
    assert by_name["answer"]["attributes"][STATE] == "closed"


def test_tenacity_answers_something_else_when_its_attempts_are_used_up(traces: Captured) -> None:
    @tenacity.retry(
        stop=tenacity.stop_after_attempt(2),
        retry_error_callback=fallback("preset", lambda state: f"sorry, after {state.attempt_number}"),
    )
    def ask(url: str) -> str:
        client = openai.OpenAI(base_url=url + "/v1", api_key="k", max_retries=0)
        return str(client.chat.completions.create(**REQUEST))

    with ReplayServer(Answer.json({"error": {"message": "busy"}}, 503)) as server, llmtrace.span("page"):
        assert ask(server.url) == "sorry, after 2"
    marked = spans(traces)["page"]["attributes"]
    assert (marked[KIND], marked[REASON]) == ("preset", "InternalServerError")


def _pybreaker_opens() -> None:
    """A real breaker where the library is there, else its listener's protocol."""
    library = pytest.importorskip("pybreaker")
    breaker = library.CircuitBreaker(
        name="openai", fail_max=2, reset_timeout=0, listeners=[pybreaker.Listener()]
    )
    for error in (ValueError, ValueError, None):
        try:
            breaker.call(_raise, error)
        except (ValueError, library.CircuitBreakerError):
            continue


def _raise(error: type[Exception] | None) -> None:
    if error is not None:
        raise error


def test_pybreaker_says_what_it_does(traces: Captured) -> None:
    _pybreaker_opens()
    states = [span["attributes"][STATE] for span in traces.snapshot()]
    assert states == ["opened", "half_open", "closed"]


def test_purgatory_says_what_it_does(traces: Captured) -> None:
    library = pytest.importorskip("purgatory")
    factory = library.SyncCircuitBreakerFactory(default_threshold=2, default_ttl=0)
    factory.add_listener(purgatory.listener)
    for error in (ValueError, ValueError, None):
        try:
            with factory.get_breaker("openai"):
                _raise(error)
        except (ValueError, library.domain.model.OpenedState):
            continue
    states = [span["attributes"][STATE] for span in traces.snapshot()]
    assert states[0] == "opened"
    assert states[-1] == "closed"


def test_listeners_take_what_the_libraries_hand_them(traces: Captured) -> None:
    """Their protocols, as the libraries document them; where they are installed, the real ones run above."""
    listener = pybreaker.Listener()
    breaker = SimpleNamespace(name=None)
    listener.before_call(breaker, print, 1, end="")
    listener.failure(breaker, ValueError())
    listener.success(breaker)
    for state in ("open", "half-open", "closed", "unheard of"):
        listener.state_change(breaker, None, SimpleNamespace(name=state))
    for state in ("opened", "half-opened", "closed"):
        purgatory.listener("bedrock", "state_changed", SimpleNamespace(state=state))
    purgatory.listener("bedrock", "failed", SimpleNamespace(failure_count=1))
    recorded = [(span["attributes"][BREAKER], span["attributes"][STATE]) for span in traces.snapshot()]
    assert recorded == [(name, state) for name in ("pybreaker", "bedrock") for state in BREAKER_STATES]

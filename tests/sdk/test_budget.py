"""Asking for a budget before a call: what is asked, what comes back, and that it fails open."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

import llmtrace
from llmtrace.api import budget
from llmtrace.testing import Answer, ReplayServer

STATUS = {
    "budget": "per user", "key": "ann", "per": "user", "project": "", "unit": "usd", "window": "day",
    "window_start": "2026-11-20T00:00:00Z", "spent": 4.2, "warn_at": 4.0, "limit": 5.0, "remaining": 0.8,
    "expected": 7.9, "breach_at": "2026-11-20T18:00:00Z", "unpriced_calls": 0, "state": "warning",
}  # fmt: skip


def budget_answer(**fields: object) -> Answer:
    """An answer of the collector's about one budget."""
    status = {**STATUS, **fields}
    body = {
        "allowed": status["state"] != "exceeded",
        "as_of": "2026-11-20T12:00:00Z",
        "budgets": [status],
    }
    return Answer(json.dumps(body).encode(), 200, {"content-type": "application/json"})


@pytest.fixture(autouse=True)
def _asks_again() -> Iterator[None]:
    budget._silent_until = 0.0
    yield
    budget._silent_until = 0.0


@pytest.fixture
def collector() -> Iterator[ReplayServer]:
    with ReplayServer(budget_answer()) as server:
        llmtrace.init(endpoint=server.url, api_key="key-1", project="shop", service_name="checkout")
        yield server


def test_the_collector_is_asked_about_whoever_the_context_names(collector: ReplayServer) -> None:
    with llmtrace.context(user_id="ann", tags=["beta", "search"]):
        check = llmtrace.check_budget(model="gpt-4o")
    assert check
    assert check.known
    (status,) = check.budgets
    assert (status.budget, status.spent, status.state) == ("per user", 4.2, "warning")
    assert status.breach_at == "2026-11-20T18:00:00+00:00"
    (request,) = [request for request in collector.requests if request.path.startswith("/v1/budget")]
    assert parse_qs(urlsplit(request.path).query) == {
        "user": ["ann"], "project": ["shop"], "model": ["gpt-4o"], "service": ["checkout"],
        "tag": ["beta", "search"],
    }  # fmt: skip
    assert request.headers["authorization"] == "Bearer key-1"


def test_a_budget_that_is_used_up_is_false_and_raises_where_asked_to(collector: ReplayServer) -> None:
    collector.answer_with(budget_answer(state="exceeded", spent=6.0))
    assert not llmtrace.check_budget("ann")
    with pytest.raises(llmtrace.BudgetExceeded, match="per user of ann: 6 of 5 usd in day") as raised:
        llmtrace.check_budget("ann", raise_exceeded=True)
    assert raised.value.check.budgets[0].state == "exceeded"


@pytest.mark.parametrize(
    "answer",
    [Answer(b"busy", 503), Answer(b"not JSON"), Answer(b"[]"), Answer(b'{"allowed": false}')],
    ids=["refused", "no JSON", "no object", "no budgets"],
)
def test_an_answer_that_cannot_be_read_allows_the_call(collector: ReplayServer, answer: Answer) -> None:
    collector.answer_with(answer)
    check = llmtrace.check_budget("ann", raise_exceeded=True)
    assert check.allowed
    assert not check.known
    assert check.reason


def test_a_collector_that_does_not_answer_is_waited_for_once() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        llmtrace.init(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert not llmtrace.check_budget("ann", timeout=0.05).known
        began = time.monotonic()
        again = llmtrace.check_budget("ann", timeout=30)
        assert again.allowed
        assert "just before" in again.reason
        assert time.monotonic() - began < 15


def test_without_init_every_call_is_allowed() -> None:
    check = llmtrace.check_budget("ann", raise_exceeded=True)
    assert (check.allowed, check.known) == (True, False)
    assert "init" in check.reason

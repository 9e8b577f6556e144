"""Budgets: whether there is money left for a call, asked of the collector before the call is made.

A budget is a brake, not a wall: whatever goes wrong with the question, the call is allowed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from llmtrace import internal_errors, semconv
from llmtrace.common.tls import TlsFiles, certificate_problem
from llmtrace.spans import context_attributes

from . import lifecycle

_PATH: Final = "/v1/budget"
_MAX_BYTES: Final = 2**20
#: After the collector did not answer, nobody waits for it again for so many seconds.
_HOLD_OFF: Final = 5.0

_silent_until = 0.0
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """One budget that concerns the call; amounts in `unit` (usd, tokens, requests).

    state: ok, warning or exceeded. breach_at: when the limit is reached at this pace, ISO 8601, if it is.
    """

    budget: str
    key: str
    unit: str
    window: str
    spent: float
    limit: float
    remaining: float
    state: str
    breach_at: str | None = None


@dataclass(frozen=True, slots=True)
class BudgetCheck:
    """What the collector said. `known` is False where it could not be asked; `allowed` is True then."""

    allowed: bool
    known: bool
    budgets: tuple[BudgetStatus, ...] = ()
    reason: str = ""
    """Why it is not known."""

    def __bool__(self) -> bool:
        return self.allowed


class BudgetExceeded(Exception):
    """A budget is used up; `check` says which. Only raised where `check_budget` was asked to."""

    def __init__(self, check: BudgetCheck) -> None:
        self.check = check
        exceeded = [status for status in check.budgets if status.state == "exceeded"]
        listed = "; ".join(
            f"{status.budget}{f' of {status.key}' if status.key else ''}: "
            f"{status.spent:g} of {status.limit:g} {status.unit} in {status.window}"
            for status in exceeded
        )
        super().__init__(f"the budget is used up ({listed})")


def check_budget(
    user_id: object = None,
    *,
    model: str = "",
    service: str = "",
    account: str = "",
    tags: Iterable[str] | None = None,
    timeout: float = 0.25,
    raise_exceeded: bool = False,
) -> BudgetCheck:
    """Ask the collector whether a call may be paid for; truthy when it may.

        if not llmtrace.check_budget(user_id="u-17", model="gpt-4o"):
            return "You have used up today's budget."

    Who and what is asked about is taken from the enclosing `llmtrace.context` where it is not given. It takes
    a few milliseconds; in async code, `await asyncio.to_thread(llmtrace.check_budget)`. Where the collector
    does not answer within `timeout` seconds, refuses or is not set up, the call is allowed (`known` is False)
    and nobody waits for the collector for the next seconds. Never raises, except BudgetExceeded where
    `raise_exceeded` asks for it.
    """
    try:
        check = _ask_collector(user_id, model, service, account, tags, timeout)
    except Exception as error:  # noqa: BLE001  # the answer says why it is not known
        internal_errors.report("checking a budget", error)
        check = BudgetCheck(allowed=True, known=False, reason=f"{type(error).__name__}: {error}")
    if raise_exceeded and not check.allowed:
        raise BudgetExceeded(check)
    return check


def _ask_collector(
    user_id: object, model: str, service: str, account: str, tags: Iterable[str] | None, timeout: float
) -> BudgetCheck:
    runtime = lifecycle.current()
    if runtime is None:
        return BudgetCheck(allowed=True, known=False, reason="llmtrace.init() was not called, or it is off")
    import http.client  # slow to import, with ssl behind it, and few programs ask

    inherited = context_attributes.attributes()
    named_tags = inherited.get(semconv.TAGS, ()) if tags is None else tags
    labels = [str(tag) for tag in named_tags] if isinstance(named_tags, Iterable) else []
    parameters = {
        "user": str(inherited.get(semconv.USER_ID, "") if user_id is None else user_id),
        "project": runtime.config.project or "",
        "model": model,
        "service": service or runtime.config.service_name or "",
        "account": account,
    }
    query = [(name, value) for name, value in parameters.items() if value]
    query += [("tag", tag) for tag in labels[:32]]
    with _lock:
        if time.monotonic() < _silent_until:
            return BudgetCheck(allowed=True, known=False, reason="the collector did not answer just before")
    endpoint = runtime.config.delivery.endpoints["traces"]
    url = endpoint.url.removesuffix("/v1/traces").rstrip("/") + _PATH
    try:
        headers = runtime.config.delivery.headers_now()
        return _parsed(_fetch_answer(url, endpoint.tls, headers, query, timeout))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        _hold_off()
        problem = certificate_problem(error, url, endpoint.tls, timeout)
        internal_errors.warn_once(
            "asking for a budget",
            "llmtrace: the collector did not tell the budget (%s); calls go on",
            problem or error,
        )
        return BudgetCheck(allowed=True, known=False, reason=problem or f"{type(error).__name__}: {error}")


def _hold_off() -> None:
    global _silent_until
    with _lock:
        _silent_until = time.monotonic() + _HOLD_OFF


def _fetch_answer(
    url: str, tls: TlsFiles, headers: Mapping[str, str], query: list[tuple[str, str]], timeout: float
) -> Mapping[str, Any]:
    """The collector's answer. By the standard library, which is not traced and has no pool to wait for."""
    import http.client

    parts = urlsplit(url)
    host = parts.hostname or "localhost"
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=tls.context())
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=timeout)
    try:
        connection.request("GET", f"{parts.path}?{urlencode(query)}", headers=dict(headers))
        response = connection.getresponse()
        body = response.read(_MAX_BYTES)
        if response.status != http.client.OK:
            raise ValueError(f"HTTP {response.status}: {body[:200].decode('utf-8', 'replace')}")
    finally:
        connection.close()
    answer = json.loads(body)
    if not isinstance(answer, dict):
        raise TypeError("the answer is no JSON object")
    return answer


def _parsed(answer: Mapping[str, Any]) -> BudgetCheck:
    statuses = tuple(
        BudgetStatus(
            budget=str(status["budget"]),
            key=str(status["key"]),
            unit=str(status["unit"]),
            window=str(status["window"]),
            spent=float(status["spent"]),
            limit=float(status["limit"]),
            remaining=float(status["remaining"]),
            state=str(status["state"]),
            breach_at=status.get("breach_at") and datetime.fromisoformat(status["breach_at"]).isoformat(),
        )
        for status in answer["budgets"]
    )
    return BudgetCheck(allowed=answer["allowed"] is not False, known=True, budgets=statuses)

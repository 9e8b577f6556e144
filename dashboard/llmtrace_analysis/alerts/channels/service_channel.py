"""What the channels of one service each share: who they are, what they may take, and how they send."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from .base import Outcome
from .http_sender import Answer, HttpSender, Judge, Request, by_status


class ServiceChannel:
    """A channel that is told from others by its name, and speaks JSON over http(s)."""

    def __init__(self, name: str, label: str, events: Collection[str], sender: HttpSender) -> None:
        """`label`: what people see of where it leads."""
        self.url = name
        self.redacted_url = label
        self.events = events
        self.gone = False
        self.timeout_seconds = sender.timeout_seconds
        self._sender = sender

    def _post(
        self, url: str, payload: Any, judge: Judge = by_status, headers: dict[str, str] | None = None
    ) -> Outcome:
        return self._sender.send(Request(url, to_json(payload), headers or {}), judge)


def to_json(payload: Any) -> bytes:
    """JSON as short as it can be, in UTF-8; halves of characters become question marks."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", errors="replace")


def json_object(answer: Answer) -> dict[str, Any]:
    """The object that an answer's body is; empty where it is none."""
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def by_code(answer: Answer, field: str, busy: Collection[int], pause: float) -> Outcome:
    """What an answer means whose status is 200 whatever happened, and whose body has a code, 0 for success.

    `busy`: codes that say later, `pause` seconds at least; any other refuses the message. A body without a
    code is not the service's: somebody in between answered.
    """
    if not 200 <= answer.status < 300:
        return by_status(answer)
    code = json_object(answer).get(field)
    if not isinstance(code, int) or isinstance(code, bool):
        return Outcome(ok=False, status=answer.status, error=f"the answer has no {field}: not the service's")
    if code == 0:
        return Outcome(ok=True, status=answer.status)
    text = json_object(answer).get("errmsg") or json_object(answer).get("msg") or ""
    is_busy = code in busy
    return Outcome(
        ok=False,
        status=answer.status,
        error=f"{field} {code}: {text}",
        retry_after=(answer.retry_after or pause) if is_busy else answer.retry_after,
        is_refusal=not is_busy,
    )

"""Answers that are made in the background, or can be fetched again: each counts once.

A call that only queues an answer and each look at an unfinished one carry a status and no usage. The first
call to meet the finished answer is the call that counts: it has the format's operation, the usage and the
messages. Every later look of this process at the same answer is a `fetch_response` without usage.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final
from weakref import WeakKeyDictionary

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv

from .format import Json

FETCH: Final = "fetch_response"
QUEUED: Final = "create_response"
"""Operation of a call that was answered before the model was: not an LLM operation, so nothing is counted."""
_PENDING: Final = frozenset({"queued", "in_progress", "cancelling", "requires_action"})
_KEPT: Final = 8192
_counted: WeakKeyDictionary[object, OrderedDict[str, None]] = WeakKeyDictionary()


def is_pending(status: Json) -> bool:
    """Whether an answer with this status is still being made."""
    return isinstance(status, str) and status in _PENDING


def settle(attributes: dict[str, AttributeValue], owner: object, *, fetched: bool) -> None:
    """Note an answer that counts; take the usage off one that was fetched and has counted already.

    owner: what the memory of counted answers belongs to and ends with. Used on the delivery thread only.
    """
    answer = attributes.get(semconv.RESPONSE_ID)
    unfinished = is_pending(attributes.get(semconv.RESPONSE_STATUS))
    if unfinished or attributes[semconv.OPERATION_NAME] == FETCH or not isinstance(answer, str):
        return
    counted = _counted.setdefault(owner, OrderedDict())
    if fetched and answer in counted:
        attributes[semconv.OPERATION_NAME] = FETCH
        for key in [key for key in attributes if ".usage." in key]:
            del attributes[key]
        return
    counted[answer] = None
    if len(counted) > _KEPT:
        counted.popitem(last=False)

"""Answers that are made in the background, or can be fetched again: each counts once.

A call that only queues an answer and each poll of an unfinished one carry a status and no usage. The first
call to return the finished answer is the call that counts: it has the format's operation, the usage and the
messages. Every later fetch of the same answer by this process is a `fetch_response` without usage.
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
_PENDING: Final = frozenset(
    {"queued", "in_progress", "cancelling", "requires_action", "starting", "processing"}
)
_MAX_COUNTED: Final = 8192
_counted: WeakKeyDictionary[object, OrderedDict[str, None]] = WeakKeyDictionary()
#: Where an answer is streamed → its id, and the model that was asked for.
_streamed: WeakKeyDictionary[object, OrderedDict[str, tuple[AttributeValue, ...]]] = WeakKeyDictionary()
_OF_STREAM: Final = (semconv.RESPONSE_ID, semconv.REQUEST_MODEL)


def is_pending(status: Json) -> bool:
    """Whether an answer with this status is still being made."""
    return isinstance(status, str) and status in _PENDING


def count_once(attributes: dict[str, AttributeValue], owner: object, *, fetched: bool) -> None:
    """Note an answer that counts; take the usage off one that was fetched and has counted already.

    owner: what the memory of counted answers belongs to and ends with. Used on the delivery thread only.
    """
    _match_stream(attributes, owner)
    response_id = attributes.get(semconv.RESPONSE_ID)
    unfinished = is_pending(attributes.get(semconv.RESPONSE_STATUS))
    if unfinished or attributes[semconv.OPERATION_NAME] == FETCH or not isinstance(response_id, str):
        return
    counted_ids = _counted.setdefault(owner, OrderedDict())
    if fetched and response_id in counted_ids:
        attributes[semconv.OPERATION_NAME] = FETCH
        for key in [key for key in attributes if ".usage." in key]:
            del attributes[key]
        return
    counted_ids[response_id] = None
    if len(counted_ids) > _MAX_COUNTED:
        counted_ids.popitem(last=False)


def _match_stream(attributes: dict[str, AttributeValue], owner: object) -> None:
    """Note where an answer will be streamed; tell a call there, which says neither id nor model, both."""
    place = attributes.pop(semconv.RESPONSE_STREAM_PATH, None)
    if not isinstance(place, str):
        return
    places = _streamed.setdefault(owner, OrderedDict())
    if semconv.RESPONSE_ID not in attributes:
        attributes.update(zip(_OF_STREAM, places.pop(place, ()), strict=False))
        return
    places[place] = tuple(attributes[key] for key in _OF_STREAM if key in attributes)
    if len(places) > _MAX_COUNTED:
        places.popitem(last=False)

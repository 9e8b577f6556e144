"""Answers that are made in the background, or can be fetched again: each counts once.

A call that only queues an answer and each poll of an unfinished one carry a status and no usage. The first
call to return the finished answer is the call that counts: it has the format's operation, the usage and the
messages. Every later fetch of the same answer by this process is a `fetch_response` without usage.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final
from weakref import WeakKeyDictionary

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv

from .format import InnerCall, Json

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
    if not _count(response_id, owner) and fetched:
        attributes[semconv.OPERATION_NAME] = FETCH
        for key in [key for key in attributes if ".usage." in key]:
            del attributes[key]


def not_counted(inner_calls: Iterable[InnerCall], owner: object) -> list[InnerCall]:
    """Those without the ones that have counted: a list of what was made earlier has an id for each."""
    remaining = []
    for inner_call in inner_calls:
        response_id = inner_call.attributes.get(semconv.RESPONSE_ID)
        if not isinstance(response_id, str) or _count(response_id, owner):
            remaining.append(inner_call)
    return remaining


def _count(response_id: str, owner: object) -> bool:
    """Whether an answer had not counted before; now it has."""
    counted_ids = _counted.setdefault(owner, OrderedDict())
    if response_id in counted_ids:
        return False
    counted_ids[response_id] = None
    if len(counted_ids) > _MAX_COUNTED:
        counted_ids.popitem(last=False)
    return True


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

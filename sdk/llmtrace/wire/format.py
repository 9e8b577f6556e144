"""What a wire format is, and the small readers all of them share.

A format only translates JSON to attributes. It never sees clocks, spans, sockets or failures: those are
`llmtrace.capture.call` and `llmtrace.capture.hooks`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from opentelemetry.util.types import AttributeValue

from .batch_results import BatchFormat

Json = Any
"""A decoded JSON value from the outside: nothing about its shape is trusted."""


@dataclass(frozen=True, slots=True)
class InnerCall:
    """A model that the provider called inside a call, billed beside it; a record of its own under the call's.

    kind: what it did there, as `advisor`. attributes: its model and its usage.
    """

    kind: str
    operation: str
    attributes: dict[str, AttributeValue]


@dataclass(slots=True)
class Translation:
    """A request or response as span attributes; `content` holds messages, rendered by `render.render`, and
    `texts` content that is one text. Both are redacted and cut, `attributes` are not.
    """

    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    content: dict[str, list[Json]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    inner_calls: list[InnerCall] = field(default_factory=list)


def no_failure(body: Json) -> tuple[str | None, str | None]:
    """`WireFormat.failure` of the formats whose errors all look alike: see `provider_errors`."""
    return None, None


@dataclass(frozen=True, slots=True)
class WireFormat:
    """One provider API on the wire. All functions are pure and accept any JSON.

    provider: whose format it is; who answers in it is for `provider_names` to say.
    operation: `gen_ai.operation.name`; a translation may name another one.
    endings: the word of the path to look it up by: the last one (what follows a colon in it, if any; for
        a `GET`, which ends with an id, the last but one, else the last).
    words: where the path of a `POST` ends with an id or a model instead: the words one of which it has
        somewhere. An empty one stands for the path `/`.
    matches: by path (without query) and raw body, cheaply: it runs before the request is sent.
    request: decoded request body and path → attributes; `content` says whether messages are wanted.
    response: decoded (or folded) response body → attributes.
    fold: the events of a stream → the body that the same call would have had without streaming.
    joined: the raw body of a stream → a shorter one that `fold` gives the same for; see `StreamJoiner`.
    streams_arrays: whether a stream of it may be one JSON array of events.
    method: `POST`, or `GET` for what was made earlier and is fetched now, `DELETE` for what goes.
    fetched_again: whether several calls can return the same response; see `background_responses`.
    takes_form: whether its request is a multipart form; `request` gets the form's fields, see
        `framing.multipart`. A form is no call of any other format.
    plain: (content type, body as far as it was received, its size) → what stands for the body of an answer
        that is no JSON, as a text or sound; None where it is JSON.
    piece_usage: (decoded request and response, what is known of the call) → usage of an answered call that
        is billed by pieces, which its answer alone does not tell.
    failure: decoded response body → (error type, message) where it says in a way of its own that it failed.
    collection_of_host: what is searched, where only the host says it; an empty text where it does not.
    batch: of what is done with batches: how their results are found in an answer.
    estimates_usage: whether counts that nobody told are estimated from the text; where sound is billed, no.
    """

    provider: str
    operation: str
    endings: tuple[str, ...]
    matches: Callable[[str, bytes], bool]
    request: Callable[[Json, str, bool], Translation]
    response: Callable[[Json, bool], Translation]
    fold: Callable[[Iterable[Json]], Json]
    joined: Callable[[bytes], bytes] | None = None
    streams_arrays: bool = False
    method: str = "POST"
    fetched_again: bool = False
    takes_form: bool = False
    plain: Callable[[str, bytes, int], Json] | None = None
    words: tuple[str, ...] = ()
    piece_usage: Callable[[Json, Json, Mapping[str, AttributeValue]], dict[str, AttributeValue]] | None = None
    failure: Callable[[Json], tuple[str | None, str | None]] = no_failure
    collection_of_host: Callable[[str], str] | None = None
    batch: BatchFormat | None = None
    estimates_usage: bool = True

    @property
    def calls_model(self) -> bool:
        """Whether a model is asked; else it is a step that needs none, as a search is."""
        return self.batch is None and self.operation not in {"", "retrieval"}


def _nothing(body: Json, *rest: Any) -> Translation:
    return Translation()


def mapping(value: Json) -> Mapping[str, Json]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Json) -> list[Json]:
    """`value` if it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def put_text(target: dict[str, AttributeValue], key: str, value: Json) -> None:
    """Set a string attribute if the value is a non-empty string."""
    if isinstance(value, str) and value:
        target[key] = value


def put_int(target: dict[str, AttributeValue], key: str, value: Json) -> None:
    """Set an integer attribute; whole floats count, booleans do not."""
    if type(value) is int:
        target[key] = value
    elif type(value) is float and value.is_integer():
        target[key] = int(value)


def put_float(target: dict[str, AttributeValue], key: str, value: Json) -> None:
    """Set a double attribute from any number."""
    if type(value) is float or type(value) is int:
        target[key] = float(value)


def put_texts(target: dict[str, AttributeValue], key: str, value: Json) -> None:
    """Set a string array from a string or the strings of an array, if there are any."""
    texts = [value] if isinstance(value, str) else [item for item in items(value) if isinstance(item, str)]
    if texts:
        target[key] = texts


def put_sum(target: dict[str, AttributeValue], key: str, *values: Json) -> None:
    """Set an integer attribute from parts that a provider counts apart, if at least one is given."""
    counts = [value for value in values if type(value) is int]
    if counts:
        target[key] = sum(counts)


def count_of(value: Json) -> int:
    """A count, 0 where the value is none."""
    return value if type(value) is int and value > 0 else 0


def either(fields: Mapping[str, Json], *keys: str) -> Json:
    """The first of several spellings that is there."""
    for key in keys:
        value = fields.get(key)
        if value is not None:
            return value
    return None


def word(fields: Mapping[str, Json], key: str) -> str:
    """The text under `key`, such as a `type`, else an empty one: safe to look up."""
    text = fields.get(key)
    return text if isinstance(text, str) else ""


def index_or_id(value: Json) -> int | str:
    """An index or id to collect the pieces of a stream by, 0 where it is neither."""
    return value if isinstance(value, int | str) else 0


def between(path: str, before: str, after: str = "/") -> str | None:
    """What stands in a path between two marks, decoded: models and ids that are not in the body."""
    _, separator, rest = path.partition(before)
    return unquote(rest.partition(after)[0]) or None if separator else None


def whole(events: Iterable[Json]) -> Json:
    """`fold` of a format that does not stream: its last event, should there be any."""
    return next((event for event in reversed(list(events)) if isinstance(event, dict)), None)


def parsed(text: Json) -> Json:
    """Tool arguments come as JSON text: the decoded value, or the text itself where it is not JSON.

    No text at all is what some streams have in place of no arguments.
    """
    if not isinstance(text, str):
        return text
    if not text:
        return {}
    try:
        return json.loads(text)
    except ValueError:
        return text


UNDETERMINED: Final = WireFormat(
    provider="",
    operation="",
    endings=(),
    matches=lambda path, body: False,
    request=_nothing,
    response=_nothing,
    fold=whole,
)
"""Of a request whose body is still to come; what it was is said at its end."""

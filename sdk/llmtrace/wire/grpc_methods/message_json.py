"""A serialized message of protobuf to JSON, by its class's descriptor.

As protobuf's own JSON, with three differences that the readers behind it need: integers of 64 bits are
numbers, long lists of numbers are shortened (a vector is not recorded, only its length is), and fields can be
left out.
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from typing import Any, Final

from llmtrace.wire.format import Json

_WELL_KNOWN: Final = "google.protobuf."
_LONG: Final = 64
_MESSAGES: Final = frozenset({10, 11})
_ENUM: Final = 14
_BYTES: Final = 12
_FLOATS: Final = frozenset({1, 2})
_FLOAT: Final = 2
_SCORES: Final = frozenset({"scores", "distances"})


def message_class(kind: Any, function: Any = None) -> Any:
    """The class of protobuf behind what a program sends or gets, None where there is none.

    kind: its type, protobuf's or one of proto-plus. function: what serializes or parses it, whose class it is
    where `kind` is none (a dict that proto-plus coerces).
    """
    for candidate in (kind, getattr(function, "__self__", None)):
        if hasattr(candidate, "DESCRIPTOR") and hasattr(candidate, "FromString"):
            return candidate
        wrapped = getattr(candidate, "pb", None)
        if isinstance(candidate, type) and callable(wrapped):
            return wrapped()
    return None


def to_json(
    kind: Any, serialized: bytes, *, camel: bool = False, left_out: frozenset[str] = frozenset()
) -> Json:
    """The JSON of a message; None where the bytes are none of its class (`kind`, see `message_class`).

    camel: names as protobuf's JSON has them (`topP`); else as the descriptor does. left_out: names of fields.
    """
    try:
        message = kind.FromString(serialized)
    except Exception:  # noqa: BLE001  # protobuf's implementations each raise their own
        return None
    return _Converter(camel, left_out).of(message)


class _Converter:
    def __init__(self, camel: bool, left_out: frozenset[str]) -> None:
        self._camel = camel
        self._left_out = left_out
        self._has_vector = False

    def of(self, message: Any) -> Json:
        if message.DESCRIPTOR.full_name.startswith(_WELL_KNOWN):
            return _well_known(message)
        fields: dict[str, Json] = {}
        for field, value in message.ListFields():
            if field.name not in self._left_out:
                fields[field.json_name if self._camel else field.name] = self._field(field, value)
        return fields

    def _field(self, field: Any, value: Any) -> Json:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"]
            return {str(key): self._single(inner, value[key]) for key in value}
        if (
            isinstance(value, str | bytes)
            or not isinstance(value, Collection)
            or hasattr(value, "DESCRIPTOR")
        ):
            return self._single(field, value)
        if field.type in _FLOATS and len(value) > _LONG and field.name not in _SCORES:
            return self._vector(len(value))
        return [self._single(field, item) for item in value]

    def _vector(self, length: int) -> Json:
        """Of many vectors the first says how long they are."""
        first, self._has_vector = not self._has_vector, True
        return [0] * length if first else []

    def _single(self, field: Any, value: Any) -> Json:
        if field.type in _MESSAGES:
            return self.of(value)
        if field.type == _ENUM:
            named = field.enum_type.values_by_number.get(value)
            return value if named is None else named.name
        if field.type == _BYTES:
            return base64.b64encode(value).decode()
        return float(f"{value:.7g}") if field.type == _FLOAT else value


def _well_known(message: Any) -> Json:
    """`Struct`, `Timestamp`, `Any` and their like, as protobuf's JSON has them."""
    from google.protobuf import json_format

    try:
        return _whole(json_format.MessageToDict(message))
    except json_format.Error:  # a number that JSON has not, a type that is not known
        return None


def _whole(value: Json) -> Json:
    """A `Struct` has no integers: those that it holds are floats."""
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value

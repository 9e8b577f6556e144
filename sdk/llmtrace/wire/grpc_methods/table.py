"""Which method of gRPC is whose; a new one is a module here and a line below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from . import by_field_names, google, predictions, searches, xai
from .message_json import message_class
from .method import GrpcMethod

METHODS: Final[Mapping[str, GrpcMethod]] = {
    **google.METHODS,
    **xai.METHODS,
    **predictions.METHODS,
    **searches.METHODS,
}

_MAX_REMEMBERED: Final = 4096
_decided: dict[bytes | str, GrpcMethod | None] = {}


def find(path: bytes | str, request: Any, deserializer: Any) -> GrpcMethod | None:
    """The method at a path (`/package.Service/Method`), None where it calls no model and searches nothing.

    request: a message that is sent by it, None where it is not known yet. deserializer: what parses its
    answers. Runs on the caller's path for every call of gRPC, so it is decided once for each path.
    """
    try:
        return _decided[path]
    except KeyError:
        method = METHODS.get(path.decode() if isinstance(path, bytes) else path)
        if method is None:
            method = by_field_names.method_of(message_class(type(request)), message_class(None, deserializer))
        if len(_decided) < _MAX_REMEMBERED:
            _decided[path] = method
        return method

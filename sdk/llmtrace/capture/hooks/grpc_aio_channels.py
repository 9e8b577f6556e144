"""The hook on the channels of `grpc.aio`, for the address: a call does not know it."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

from llmtrace.internal_errors import swallow

_NOTING: Final = swallow("noting a channel's address")
_targets: Final[dict[int, str]] = {}
"""By the identity of what speaks for a channel in gRPC's core, which cannot be referred to weakly."""


def hooks(module: ModuleType) -> Iterator[tuple[type, str, Callable[[Any], Any]]]:
    """(class, method, what wraps it)."""
    yield module.Channel, "__init__", _init


def target_of(channel: Any) -> str:
    """The target of a channel; empty for one that was there before the hook."""
    return _targets.get(id(channel), "")


def _init(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def __init__(self: Any, target: str, *args: Any, **kwargs: Any) -> None:
        original(self, target, *args, **kwargs)
        with _NOTING:
            key = id(self._channel)
            _targets[key] = target
            weakref.finalize(self, _targets.pop, key, None).atexit = False

    return __init__

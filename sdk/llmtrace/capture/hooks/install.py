"""The hooks on HTTP libraries, installed when a library is imported: at once, or whenever that happens."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from llmtrace.capture import interceptor
from llmtrace.capture.runtime import Runtime
from llmtrace.internal_errors import swallow

from .import_hook import when_imported

# requests and botocore send through urllib3.
_HOOKS: Final = {
    "httpx": "httpx_clients",
    "httpx2": "httpx_clients",
    "urllib3": "urllib3_pools",
    "aiohttp": "aiohttp_sessions",
}
_MARK: Final = "_llmtrace_hook"
_watching = False
_hooked: list[tuple[Any, str, Any]] = []


def install(current_runtime: Callable[[], Runtime | None]) -> None:
    """Hook every library that is imported or will be; `current_runtime` says what records, if anything."""
    global _watching
    interceptor.current_runtime = current_runtime
    if not _watching:
        _watching = True
        when_imported(tuple(_HOOKS), _hook)
        return
    for name in _HOOKS:  # what was imported while nothing recorded, or has lost its hook since
        if name in sys.modules:
            _hook(sys.modules[name])


def remove() -> None:
    """Take the hooks off, but where somebody has put another one on top: that one needs ours below it."""
    while _hooked:
        owner, name, ours = _hooked.pop()
        if owner.__dict__.get(name) is ours:
            setattr(owner, name, ours.__wrapped__)


def _hook(module: ModuleType) -> None:
    if interceptor.current_runtime() is None:
        return  # disabled before the library was imported
    with swallow(f"hooking {module.__name__}"):  # an unknown version of the library
        hooks = importlib.import_module(f"{__package__}.{_HOOKS[module.__name__]}")
        for owner, name, wrapped in hooks.hooks(module):
            ours: Any = getattr(owner, name)
            if not getattr(ours, _MARK, False):
                ours = wrapped(ours)
                setattr(ours, _MARK, True)
                setattr(owner, name, ours)
            _hooked[:] = [hooked for hooked in _hooked if hooked[:2] != (owner, name)]
            _hooked.append((owner, name, ours))

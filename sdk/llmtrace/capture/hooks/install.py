"""The hooks, installed when a library is imported: at once, or whenever that happens."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from llmtrace.capture import interceptor
from llmtrace.capture.runtime import Runtime
from llmtrace.delivery.stats import HookStatus
from llmtrace.internal_errors import swallow

from .import_hook import when_imported

# requests and botocore send through urllib3.
_HOOKS: Final = {
    "httpx": "httpx_clients",
    "httpx2": "httpx_clients",
    "urllib3": "urllib3_pools",
    "aiohttp": "aiohttp_sessions",
    "http.client": "http_client_connections",
    "urllib.request": "urllib_openers",
    # DSPy's own transport, on sockets; its copy of the library has another name.
    "lm15.transports": "lm15_transports",
    "dspy._vendor.lm15.transports": "lm15_transports",
    "websockets.client": "websockets_protocols",
    "websockets.legacy.client": "websockets_protocols",
    "websocket._core": "websocket_client_sockets",
    "grpc._channel": "grpc_channels",
    "grpc.aio._call": "grpc_aio_calls",
    "grpc.aio._channel": "grpc_aio_channels",
    "mcp.shared.session": "mcp_sessions",
    "mcp.shared.jsonrpc_dispatcher": "mcp_sessions",
    "mcp.server.lowlevel.server": "mcp_sessions",
    "mcp.server._otel": "mcp_sessions",
    "threading": "threads",
    "concurrent.futures.thread": "executors",
    "concurrent.futures.process": "executors",
    "multiprocessing.pool": "multiprocessing_pools",
}
#: Those that carry contexts, which `propagate_threads` switches.
_CONTEXT_HOOKS: Final = frozenset({"threads", "executors", "multiprocessing_pools"})
_MARK: Final = "_llmtrace_hook"
_watching = False
_hooked: list[tuple[Any, str, Any]] = []
_installed: dict[str, bool] = {}


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
    _installed.clear()
    interceptor.hook_failures.clear()
    remaining = []
    while _hooked:
        owner, name, ours = _hooked.pop()
        if owner.__dict__.get(name) is not ours:
            remaining.append((owner, name, ours))
        elif any(base.__dict__.get(name) is ours.__wrapped__ for base in owner.__mro__[1:]):
            delattr(owner, name)  # it was inherited
        else:
            setattr(owner, name, ours.__wrapped__)
    _hooked.extend(remaining)


def _hook(module: ModuleType) -> None:
    runtime = interceptor.current_runtime()
    if runtime is None:
        return  # disabled before the library was imported
    if _HOOKS[module.__name__] in _CONTEXT_HOOKS and not runtime.config.propagate_threads:
        return
    _installed[module.__name__] = False
    with swallow(f"hooking {module.__name__}"):  # an unknown version of the library
        try:
            _hook_classes(module)
        except Exception as error:
            interceptor.count_failure(module.__name__, error)
            raise
        _installed[module.__name__] = True


def _hook_classes(module: ModuleType) -> None:
    hooks = importlib.import_module(_module_of(module.__name__))
    for owner, name, wrapped in hooks.hooks(module):
        ours: Any = getattr(owner, name)
        if not getattr(ours, _MARK, False):
            ours = wrapped(ours)
            setattr(ours, _MARK, True)
            setattr(owner, name, ours)
            _hooked[:] = [hooked for hooked in _hooked if hooked[:2] != (owner, name)]
            _hooked.append((owner, name, ours))


def _module_of(library: str) -> str:
    return f"{__package__}.{_HOOKS[library]}"


def status() -> dict[str, HookStatus]:
    """What became of the hook on each library that is imported, and how often it has failed since."""
    statuses = {}
    for library, is_installed in _installed.items():
        counted = [
            interceptor.hook_failures[place]
            for place in (library, _module_of(library))
            if place in interceptor.hook_failures
        ]
        first = counted[0][1] if counted else ""
        statuses[library] = HookStatus(is_installed, sum(count for count, _ in counted), first)
    return statuses

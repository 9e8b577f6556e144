"""What a generator starts takes over its blocks: tasks of asyncio, and whoever copies the context.

A copy of the context does not say by whom it was made, the generator or its consumer, and in a context that
the block was not entered in it has nothing of it. So, from the first block of a generator on, copies are made
right while it is known who makes them. Threads that copy nothing have a hook of their own.
"""

from __future__ import annotations

import contextvars
import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context

from llmtrace.internal_errors import swallow

from . import generator_blocks

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_COPYING: Final = swallow("handing a generator's context over")
_INSTALLING: Final = swallow("preparing to hand a generator's context over")
#: They have the function under a name of their own.
_IMPORTERS: Final = ("anyio._backends._asyncio", "anyio._backends._trio", "trio._core._run", "asgiref.sync")

_copy: Final = contextvars.copy_context
_loops: Final[weakref.WeakSet[AbstractEventLoop]] = weakref.WeakSet()


def enable() -> None:
    """From the next block of a generator on."""
    generator_blocks.on_entered = _install


def remove() -> None:
    """Take it off again, but where somebody has put something on top."""
    generator_blocks.on_entered = generator_blocks.nothing
    _replace(copy_context, _copy)
    for loop in list(_loops):
        factory = loop.get_task_factory()
        if isinstance(factory, _TaskFactory):
            loop.set_task_factory(factory.below)
    _loops.clear()


def copy_context() -> contextvars.Context:
    """`contextvars.copy_context`, with the blocks of the generators that run its caller, and no others."""
    copied = _copy()
    with _COPYING:
        handed = generator_blocks.handed_over()
        if handed is not None:
            copied.run(otel_context.attach, handed)
    return copied


class _TaskFactory:
    """Makes the tasks of a loop as they were made before, each in its right context."""

    def __init__(self, below: Callable[..., Any] | None) -> None:
        self.below = below

    def __call__(self, loop: AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        with _COPYING:
            if options.get("context") is None and generator_blocks.handed_over() is not None:
                options["context"] = copy_context()
        if self.below is not None:
            return self.below(loop, coroutine, **options)
        import asyncio

        return asyncio.Task(coroutine, loop=loop, **options)


def _install() -> None:
    with _INSTALLING:
        if contextvars.copy_context is _copy:
            _replace(_copy, copy_context)
        events = sys.modules.get("asyncio.events")
        loop: AbstractEventLoop | None = None if events is None else events._get_running_loop()
        if loop is not None:
            factory = loop.get_task_factory()
            if not isinstance(factory, _TaskFactory):
                loop.set_task_factory(_TaskFactory(factory))
                _loops.add(loop)


def _replace(former: Callable[[], contextvars.Context], function: Callable[[], contextvars.Context]) -> None:
    for name in ("contextvars", *_IMPORTERS):
        module = sys.modules.get(name)
        if module is not None and getattr(module, "copy_context", None) is former:
            module.copy_context = function  # type: ignore[attr-defined]

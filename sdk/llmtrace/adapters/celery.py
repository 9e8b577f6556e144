"""Celery: a task runs in the trace of who sent it, with that one's user, session and tags."""

from __future__ import annotations

import importlib
from typing import Any, Final, TypeVar

from llmtrace.api.propagation import CARRIER_KEYS, extract, inject
from llmtrace.internal_errors import swallow

from .methods import replace

App = TypeVar("App")
_CONNECTING: Final = swallow("connecting to Celery's signals")
#: The blocks of the tasks that run in this process, by task id.
_blocks: dict[str, extract] = {}


def traced(app: App) -> App:
    """The same app, whose messages carry the context, and whose worker runs each task in it.

        app = celery.traced(Celery("shop"))

    Tasks that a task sends, chains and retries go on in the same trace.
    """

    def send(call: Any, *args: Any, **kwargs: Any) -> Any:
        # A retry brings the headers of the first try along.
        kwargs["headers"] = {**inject(), **(kwargs.get("headers") or {})}
        return call(*args, **kwargs)

    def initialise(call: Any, task_id: str, task: Any, *args: Any, **kwargs: Any) -> Any:
        # After every receiver of `task_prerun`: another tracer's may attach a context of its own.
        block = extract({key: getattr(task.request, key, None) for key in CARRIER_KEYS})
        _blocks[task_id] = block
        block.__enter__()
        return call(task_id, task, *args, **kwargs)

    replace(app, "send_task", send)
    with _CONNECTING:
        replace(app.loader, "on_task_init", initialise)  # type: ignore[attr-defined]  # every app has one
        postrun = importlib.import_module("celery.signals").task_postrun
        postrun.connect(_leave, weak=False, dispatch_uid="llmtrace")
        # Before every other receiver, for the same reason: what was attached last goes first.
        postrun.receivers.sort(key=lambda entry: entry[1] is not _leave)
    return app


def _leave(task_id: str, **_: Any) -> None:
    block = _blocks.pop(task_id, None)
    if block is not None:
        block.__exit__(None, None, None)

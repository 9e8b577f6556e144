"""What the store or the disk cannot do for now is answered 503 with the reason, by every endpoint alike."""

from __future__ import annotations

import errno
import logging
import sqlite3
from collections.abc import Callable
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from llmtrace_collector.store.engine import StoreError, StoreUnavailable

logger = logging.getLogger(__name__)

_RETRY_AFTER: Final = "5"

#: What an administrator of the machine can mend without a change of ours.
_PASSING: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)


def answer_unavailable(app: FastAPI, disk_full: Callable[[], str]) -> None:
    """Let `app` answer 503 where an endpoint fails for the state that store and disk are in, else 500.

    `disk_full` says that the disk is full, and is empty while it is not: then every refusal of the engine is
    taken for one of that.
    """

    def of_store(request: Request, error: Exception) -> Response:
        full = disk_full()
        if not full and not isinstance(error, StoreUnavailable):
            raise error
        return _answer(request, f"{full} ({_short(error)})" if full else f"the store: {_short(error)}")

    def of_disk(request: Request, error: Exception) -> Response:
        number = error.errno if isinstance(error, OSError) else None
        if isinstance(error, sqlite3.OperationalError) or number in _PASSING:
            return _answer(request, disk_full() or f"a file cannot be written: {_short(error)}")
        raise error

    def of_defect(request: Request, error: Exception) -> Response:
        # The server closes the connection after it; unannounced, the client's next request may be on its way.
        return PlainTextResponse("Internal Server Error", 500, {"Connection": "close"})

    app.add_exception_handler(Exception, of_defect)
    app.add_exception_handler(StoreError, of_store)
    app.add_exception_handler(OSError, of_disk)
    app.add_exception_handler(sqlite3.OperationalError, of_disk)


def _short(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:500]


def _answer(request: Request, reason: str) -> Response:
    logger.warning("%s %s cannot be done: %s", request.method, request.url.path, reason)
    return JSONResponse({"detail": reason}, 503, {"Retry-After": _RETRY_AFTER})

"""An application for gunicorn's own workers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import llmtrace
from tests.programs.programs.calls import ask, label

llmtrace.init()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers after three calls; `/hang` answers never."""
    (user,) = parse_qs(environ["QUERY_STRING"]).get("user", ["nobody"])
    name = label()
    with llmtrace.context(user_id=user), llmtrace.span(name):
        for _ in range(3):
            ask(user, name)
    ask()
    if environ["PATH_INFO"] == "/hang":
        time.sleep(60)
    start_response("200 OK", [("content-type", "text/plain")])
    return [str(os.getpid()).encode()]

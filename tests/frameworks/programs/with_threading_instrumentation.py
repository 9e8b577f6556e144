"""OpenTelemetry's own instrumentation of threads is on as well; prints whose the work was.

python with_threading_instrumentation.py before | after
"""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from opentelemetry import trace
from opentelemetry.instrumentation.threading import ThreadingInstrumentor

import llmtrace
from llmtrace.spans import context_attributes

if sys.argv[1] == "before":
    ThreadingInstrumentor().instrument()
llmtrace.init()
if sys.argv[1] == "after":
    ThreadingInstrumentor().instrument()


def whose() -> tuple[object, bool]:
    """The user, and whether there is a parent."""
    return context_attributes.attributes().get(
        "user.id"
    ), trace.get_current_span().get_span_context().is_valid


seen: dict[str, object] = {}
go = threading.Event()


def later() -> None:
    seen["thread"] = whose()
    go.wait(10)
    seen["thread after its span"] = whose()


with ThreadPoolExecutor(1) as pool:
    with llmtrace.context(user_id="ann"), llmtrace.span("request"):
        thread = threading.Thread(target=later)
        thread.start()
        seen["ann's task"] = pool.submit(whose).result()
    with llmtrace.context(user_id="bob"), llmtrace.span("request"):
        seen["bob's task"] = pool.submit(whose).result()
    seen["nobody's task"] = pool.submit(whose).result()
go.set()
thread.join()
llmtrace.disable()
ThreadingInstrumentor().uninstrument()
llmtrace.disable()
seen["hooks left"] = [
    hasattr(threading.Thread.start, "__wrapped__"),
    hasattr(ThreadPoolExecutor.submit, "__wrapped__"),
]
print(json.dumps(seen))

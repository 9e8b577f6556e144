"""Dramatiq with a broker in this process: each message is processed where it was sent; prints what was wrong.

python with_dramatiq.py
"""

from __future__ import annotations

import json
from typing import Any

import dramatiq
from dramatiq.brokers.stub import StubBroker
from opentelemetry import trace

import llmtrace
from llmtrace.adapters.dramatiq import Middleware
from llmtrace.spans import context_attributes

llmtrace.init()
broker: Any = StubBroker()
broker.add_middleware(Middleware())
dramatiq.set_broker(broker)
seen: dict[str, list[object]] = {}


def _whose() -> tuple[object, str]:
    trace_id = trace.get_current_span().get_span_context().trace_id
    return context_attributes.attributes().get("user.id"), f"{trace_id:032x}"


@dramatiq.actor(max_retries=1, min_backoff=1)
def work(label: str) -> None:
    seen.setdefault(label, []).append(_whose())
    if label == "retried" and len(seen[label]) == 1:
        raise ValueError("once")
    if label == "sender":
        work.send("sent by a task")


wanted: dict[str, list[object]] = {}
worker = dramatiq.Worker(broker, worker_threads=2, worker_timeout=20)
worker.start()
for label in ("first", "second", "retried", "sender"):
    with llmtrace.context(user_id=label), llmtrace.span("request"):
        work.send(label)
        wanted[label] = [_whose()] * (2 if label == "retried" else 1)
        if label == "sender":
            wanted["sent by a task"] = [_whose()]
work.send("nobody's")
wanted["nobody's"] = [(None, f"{0:032x}")]
broker.join(work.queue_name)
worker.join()
worker.stop()
print(json.dumps([] if seen == wanted else [seen, wanted]))

"""A Celery application; Celery's command starts the worker.

`celery_app.py COUNT` queues so many tasks.
"""

from __future__ import annotations

import os
import sys

from celery import Celery

import llmtrace
from tests.programs.programs.calls import ask, label

llmtrace.init(service_name="worker")
_QUEUE = os.environ["PROGRAMS_FOLDER"] + "/queue"
os.makedirs(_QUEUE, exist_ok=True)
os.makedirs(f"{_QUEUE}-control", exist_ok=True)
app = Celery("programs", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": _QUEUE,
        "data_folder_out": _QUEUE,
        "control_folder": f"{_QUEUE}-control",
    },
    worker_prefetch_multiplier=1,
)


@app.task(name="answer")  # type: ignore[untyped-decorator]  # Celery has no types
def answer(user: str) -> None:
    """A call for its user, and one for nobody."""
    name = label()
    with llmtrace.context(user_id=user), llmtrace.span(name):
        ask(user, name)
    ask()


if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        answer.delay(f"user-{number}")

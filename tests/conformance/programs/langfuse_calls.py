"""OpenAI's client under Langfuse's SDK, which sends to `LANGFUSE_BASE_URL` (formerly `LANGFUSE_HOST`).

`langfuse`: its wrapper of the client alone; `langfuse-observe`: below a function with its decorator.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import openai_calls
from program import MakesCall, run


def switch_on(tracer: str, otlp: str) -> Callable[[], object]:
    """Patch OpenAI's client; what flushes."""
    os.environ["LANGFUSE_HOST"] = os.environ["LANGFUSE_BASE_URL"] = otlp
    os.environ["LANGFUSE_PUBLIC_KEY"], os.environ["LANGFUSE_SECRET_KEY"] = "pk-lf-shop", "sk-lf-shop"
    importlib.import_module("langfuse.openai")
    client: Any = importlib.import_module("langfuse").get_client()
    flush: Callable[[], object] = client.flush
    return flush


def observed(call: MakesCall) -> MakesCall:
    """The call below a function of the program's that Langfuse observes."""

    def outer(url: str) -> Any:
        observe: Any = importlib.import_module("langfuse").observe
        return observe(name="answer_question")(call)(url)

    return outer


if __name__ == "__main__":
    calls = openai_calls.CALLS
    if sys.argv[1] == "langfuse-observe":
        calls = {kind: observed(call) for kind, call in calls.items()}
    run(calls, switch_on=switch_on)

"""What the programs share: switch the emitter on, make each kind of call, say when, flush.

    PROGRAM TRACER API_URL OTLP_URL alone|with_sdk KIND…

Prints one line of JSON for each kind: `kind`, `start`, `end` (Unix nanoseconds), `error` (what the call
raised), and `expected` where the call returns a dictionary: what its record has to say (`retrieval.py`).
A kind that is a number is a recorded exchange: the base URL with `/request` at its end gives its `path` and
`body`. Runs in the emitters' environments, so it imports nothing of this repository but its neighbours.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import time
import traceback
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

#: Makes one kind of call; takes the base URL of its cell.
MakesCall = Callable[[str], Any]


def run(
    calls: Mapping[str, MakesCall], *, switch_on: Callable[[str, str], Callable[[], object]] | None = None
) -> None:
    """Run a program. `switch_on` takes the tracer's name and the OTLP endpoint and returns what flushes; by
    default `tracers.switch_on`.
    """
    tracer, api, otlp, mode, *kinds = sys.argv[1:]
    if switch_on is None:
        switch_on = importlib.import_module("tracers").switch_on
    flush = switch_on(tracer, otlp)
    if mode == "with_sdk":
        importlib.import_module("llmtrace").init(endpoint=otlp, service_name="shop")
    if "stream" in kinds and "stream" in calls:
        _warm_up(calls["stream"], f"{api}/warmup")
    for kind in kinds:
        start, error, expected = time.time_ns(), "", None
        try:
            expected = calls["recorded" if kind.isdigit() else kind](f"{api}/{kind}")
            if inspect.isawaitable(expected):
                expected = asyncio.run(_awaited(expected))
        except Exception as failure:  # of a provider, a framework or an emitter: it is printed
            error = f"{type(failure).__name__}: {failure}"[:500]
            if kind != "error":
                traceback.print_exc()
        line = {"kind": kind, "start": start, "end": time.time_ns(), "error": error}
        if isinstance(expected, dict):
            line["expected"] = expected
        print(f"\n{json.dumps(line)}", flush=True)  # what others print may have no end
        time.sleep(0.02)  # so that the times of two cells lie apart
    if mode == "with_sdk":
        importlib.import_module("llmtrace").flush()
    flush()


def _warm_up(stream: MakesCall, url: str) -> None:
    """Stream once before the cells, so that what is imported by the first stream delays no first token."""
    try:
        outcome = stream(url)
        if inspect.isawaitable(outcome):
            asyncio.run(_awaited(outcome))
    except Exception:  # the cell says what is wrong
        traceback.print_exc()
    time.sleep(0.02)


async def _awaited(outcome: Any) -> Any:
    return await outcome


def answers(url: str) -> bool:
    """Whether a server says there that it is well."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def in_threads(call: MakesCall) -> MakesCall:
    """The call twice at once, each by a thread of its own."""

    def both(url: str) -> None:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(call, [url, url]))

    return both


def gathered(call: MakesCall) -> MakesCall:
    """The asynchronous call three times at once."""

    async def three(url: str) -> None:
        await asyncio.gather(call(url), call(url), call(url))

    return three


def recorded_request(url: str) -> tuple[str, dict[str, Any]]:
    """Path and body of the recorded exchange of a cell."""
    with urllib.request.urlopen(f"{url}/request", timeout=30) as answer:
        asked = json.load(answer)
    return asked["path"], asked["body"]


def call_with(function: Callable[..., Any], body: dict[str, Any]) -> None:
    """Call a client's function with a recorded body and read what it streams; what the client does not know
    goes along as it is.
    """
    known = inspect.signature(function).parameters
    unknown = {key: value for key, value in body.items() if key not in known}
    named = {key: value for key, value in body.items() if key in known}
    answer = function(**named, **({"extra_body": unknown} if unknown else {}))
    if body.get("stream"):
        for _ in answer:
            pass

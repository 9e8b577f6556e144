"""What tracing costs the program: CPU per call of the real openai client, instrumented minus bare.

    python -m benchmarks.sdk_overhead [--pairs N] [--calls N] [--peers PYTHON]

With --peers, PYTHON being an interpreter that has openai and some of OpenLLMetry, OpenInference, Langfuse,
Logfire and OpenLIT, each of these that it has is measured too, in a process of its own, interleaved with a
bare one.

The client talks to an in-memory transport. In each pair of rounds, bare and instrumented calls take turns in
short blocks, so that both meet the same machine, and each block is compared with the one beside it. "caller"
is the CPU of the calling thread alone; "total" adds what the other threads used meanwhile, down to the
gzipped OTLP bytes, which go to an in-memory sink.

The last line is one JSON object. Times are µs of CPU a call, the mean of the middle 60 % of all blocks;
`*_upper` are their 95 % bootstrap bounds; `import_ms` and `init_ms` are ms of CPU in a fresh interpreter.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import httpx2
import openai
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from llmtrace import config as configuration
from llmtrace.api import lifecycle
from llmtrace.delivery.exporter import Batch, ExportResult
from llmtrace.delivery.otlp_http import OtlpHttpExporter

from . import fake_openai, peers

_BLOCKS: Final = 10


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of one call: in all, and of the calling thread."""

    total: float
    caller: float


def _total(cost: Cost) -> float:
    return cost.total


def _caller(cost: Cost) -> float:
    return cost.caller


class _DiscardingExporter(OtlpHttpExporter):
    """Packs as in production and keeps nothing."""

    def send(self, batch: Batch, timeout: float) -> ExportResult:
        return ExportResult("acknowledged")


def _block(
    call: Callable[[openai.OpenAI], None], client: openai.OpenAI, calls: int, *, traced: bool
) -> float:
    """CPU seconds of the calling thread."""
    hooked = httpx2.Client.send
    if not traced:
        httpx2.Client.send = hooked.__wrapped__  # type: ignore[attr-defined, method-assign]
    started = time.thread_time()
    for _ in range(calls):
        call(client)
    taken = time.thread_time() - started
    httpx2.Client.send = hooked  # type: ignore[method-assign]
    return taken


def _round(
    call: Callable[[openai.OpenAI], None], client: openai.OpenAI, calls: int
) -> list[tuple[Cost, Cost]]:
    """(bare, traced) of each of its blocks."""
    sent = lifecycle.stats().sent
    gc.collect()
    size = max(1, calls // _BLOCKS)
    callers: list[tuple[float, float]] = []
    process, own = time.process_time(), time.thread_time()
    for block in range(_BLOCKS):
        taken = {
            traced: _block(call, client, size, traced=traced)
            for traced in ((False, True) if block % 2 else (True, False))
        }
        callers.append((taken[False] / size, taken[True] / size))
    flushing = time.thread_time()
    lifecycle.flush(30)
    ended = time.thread_time()
    # Bare calls leave nothing to do: whatever other threads did, idling included, is the traced ones'.
    others = (time.process_time() - process) - (ended - own) + (ended - flushing)
    calls = size * _BLOCKS
    if lifecycle.stats().sent - sent != calls:
        raise RuntimeError(f"a round of {calls} calls left {lifecycle.stats()}")
    return [(Cost(bare, bare), Cost(traced + others / calls, traced)) for bare, traced in callers]


def _start() -> None:
    config = configuration.resolve(http_spans="none", environ={})
    scope = InstrumentationScope("llmtrace", "0")
    lifecycle.start(
        config, open_exporter=lambda: _DiscardingExporter(config.delivery, Resource.create({}), scope)
    )


def _middle(values: Sequence[float]) -> float:
    """The mean without the lowest and the highest fifth, which are the machine's other work."""
    fifth = len(values) // 5
    return statistics.fmean(sorted(values)[fifth : len(values) - fifth])


def _upper(values: Sequence[float]) -> float:
    rng = random.Random(1)
    middles = sorted(_middle(rng.choices(values, k=len(values))) for _ in range(2000))
    return middles[int(0.975 * len(middles))]


def _fresh(code: str) -> float:
    """Median of nine fresh interpreters, of compiled modules as an installed package has them."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "LLMTRACE_SPOOL_DIR": "off"}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        runs = [
            float(
                subprocess.run(
                    [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environ
                ).stdout
            )
            for _ in range(10)
        ]
    return statistics.median(runs[1:])  # the first one compiles


# The names are imported when the first is used.
_IMPORT = (
    "import time; t = time.process_time(); import llmtrace; llmtrace.init; "
    "print((time.process_time() - t) * 1e3)"
)
_INIT = (
    "import time, openai, llmtrace; llmtrace.init; t = time.process_time(); llmtrace.init(); "
    "print((time.process_time() - t) * 1e3)"
)
_RSS = """
import json, sys, openai, httpx2
def rss():
    return int(next(l for l in open('/proc/self/status') if l.startswith('VmRSS')).split()[1]) / 1024
body = json.dumps({'id': 'x', 'model': 'm', 'choices': [{'index': 0, 'finish_reason': 'stop', 'message':
    {'role': 'assistant', 'content': 'hi'}}], 'usage': {'prompt_tokens': 1, 'completion_tokens': 1}}).encode()
client = openai.OpenAI(api_key='x', http_client=openai.DefaultHttpxClient(transport=httpx2.MockTransport(
    lambda r: httpx2.Response(200, content=body, headers={'content-type': 'application/json'}))))
def calls(n):
    for _ in range(n):
        client.chat.completions.create(model='m', messages=[{'role': 'user', 'content': 'hi'}])
calls(200)
before = rss()
from benchmarks import sdk_overhead
import llmtrace
from llmtrace.api import lifecycle
sdk_overhead._start()
calls(2000)
lifecycle.flush()
print(rss() - before)
"""


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Run, print, and return the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--calls", type=int, default=80, help="plain calls a round (streams: a quarter)")
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has peers to compare with")
    options = parser.parse_args(argv)
    _start()
    client = fake_openai.client()
    figures: dict[str, float] = {}
    for name, call, calls in (
        ("plain_us", fake_openai.plain, options.calls),
        ("stream100_us", fake_openai.stream, max(1, options.calls // 4)),
    ):
        _round(call, client, calls)
        pairs = [pair for _ in range(options.pairs) for pair in _round(call, client, calls)]
        for key, cpu in ((name, _total), (f"caller_{name}", _caller)):
            added = [(cpu(traced) - cpu(bare)) * 1e6 for bare, traced in pairs]
            figures[key] = round(_middle(added), 1)
            figures[f"{key}_upper"] = round(_upper(added), 1)
            print(
                f"{key}: {figures[key]} added (95 % below {figures[f'{key}_upper']}), "
                f"bare {statistics.median(cpu(bare) for bare, _ in pairs) * 1e6:.0f}"
            )
    figures["import_ms"] = round(_fresh(_IMPORT), 1)
    figures["init_ms"] = round(_fresh(_INIT), 1)
    figures["rss_mb"] = round(_fresh(_RSS), 1)
    if options.peers:
        figures |= _peer_figures(figures, peers.measured(options.peers, options.pairs, options.calls))
    print(json.dumps(figures))
    return figures


def _peer_figures(ours: dict[str, float], theirs: dict[str, dict[str, float]]) -> dict[str, float]:
    """The peers' figures and our upper bounds as shares of the best peer's totals."""
    figures = {f"{name}_{key}": value for name, keys in theirs.items() for key, value in keys.items()}
    for kind, key in (("plain", "plain_us"), ("stream", "stream100_us")):
        best = min((keys[key] for keys in theirs.values()), default=0.0)
        if best > 0:
            figures[f"ratio_to_best_peer_{kind}"] = round(ours[f"{key}_upper"] / best, 3)
            figures[f"caller_ratio_to_best_peer_{kind}"] = round(ours[f"caller_{key}_upper"] / best, 3)
    return figures


if __name__ == "__main__":
    main()

"""What tracing costs the program: CPU per call of the real openai client, instrumented minus bare.

    python -m benchmarks.sdk_overhead [--pairs N] [--calls N]

The client talks to an in-memory transport. A round is a block of calls; bare and instrumented rounds are
interleaved and compared pairwise. "total" is process CPU and includes the delivery thread down to the
gzipped OTLP bytes, which go to an in-memory sink; "caller" is the CPU of the calling thread alone.
The last line is one JSON object; `*_upper` are 95 % bootstrap bounds of the medians, times in µs.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
from openai.types.chat import ChatCompletionMessageParam
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from llmtrace import config as configuration
from llmtrace import runtime
from llmtrace.delivery.outlet import Batch, Outcome
from llmtrace.delivery.post import OtlpOutlet

_TEXT = "Observability of language models: what was asked, what came back, how long it took. " * 6
_MESSAGES: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "You answer briefly."},
    {"role": "user", "content": _TEXT},
]
_USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 100,
    "total_tokens": 220,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
_HEAD = {
    "id": "chatcmpl-1",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_1",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of one round: of the process, and of the calling thread."""

    total: float
    caller: float


def _total(cost: Cost) -> float:
    return cost.total


def _caller(cost: Cost) -> float:
    return cost.caller


class _Sink(OtlpOutlet):
    """Packs as in production and keeps nothing."""

    def send(self, batch: Batch, timeout: float) -> Outcome:
        return Outcome("acknowledged")


class _Chunks(httpx2.SyncByteStream):
    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Any:
        yield from self._chunks


def _client() -> openai.OpenAI:
    plain = json.dumps(
        {
            **_HEAD,
            "object": "chat.completion",
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": _TEXT}}
            ],
            "usage": _USAGE,
        }
    ).encode()
    deltas: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": "token "}, "finish_reason": None}]} for _ in range(98)
    ]
    deltas.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    deltas.append({"choices": [], "usage": _USAGE})
    chunks = [
        b"data: " + json.dumps({**_HEAD, "object": "chat.completion.chunk", **delta}).encode() + b"\n\n"
        for delta in deltas
    ]
    chunks.append(b"data: [DONE]\n\n")

    def answer(request: httpx2.Request) -> httpx2.Response:
        if b'"stream":true' in request.content:
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=_Chunks(chunks))
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=plain)

    return openai.OpenAI(
        api_key="none",
        base_url="https://api.openai.com/v1",
        http_client=openai.DefaultHttpxClient(transport=httpx2.MockTransport(answer)),
    )


def _plain(client: openai.OpenAI) -> None:
    client.chat.completions.create(model="gpt-4o-mini", messages=_MESSAGES, temperature=0.2)


def _stream(client: openai.OpenAI) -> None:
    for _ in client.chat.completions.create(
        model="gpt-4o-mini", messages=_MESSAGES, stream=True, stream_options={"include_usage": True}
    ):
        pass


def _round(call: Callable[[openai.OpenAI], None], client: openai.OpenAI, calls: int, traced: bool) -> Cost:
    hooked = httpx2.Client.send
    if not traced:
        httpx2.Client.send = hooked.__wrapped__  # type: ignore[attr-defined, method-assign]
    sent = runtime.stats().sent
    gc.collect()
    total, caller = time.process_time(), time.thread_time()
    for _ in range(calls):
        call(client)
    caller = time.thread_time() - caller
    if traced:
        runtime.flush(30)
    total = time.process_time() - total
    httpx2.Client.send = hooked  # type: ignore[method-assign]
    if runtime.stats().sent - sent != (calls if traced else 0):
        raise RuntimeError(f"a round of {calls} calls left {runtime.stats()}")
    return Cost(total / calls, caller / calls)


def _start() -> None:
    config = configuration.resolve(http_spans="none", environ={})
    scope = InstrumentationScope("llmtrace", "0")
    runtime.start(config, open_outlet=lambda: _Sink(config, Resource.create({}), scope))


def _pairs(
    call: Callable[[openai.OpenAI], None], client: openai.OpenAI, pairs: int, calls: int
) -> list[tuple[Cost, Cost]]:
    """(bare, traced) rounds, one right after the other, in alternating order."""
    for traced in (False, True):
        _round(call, client, calls, traced=traced)
    result = []
    for pair in range(pairs):
        order = (False, True) if pair % 2 else (True, False)
        costs = {traced: _round(call, client, calls, traced=traced) for traced in order}
        result.append((costs[False], costs[True]))
    return result


def _upper(values: list[float]) -> float:
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(2000))
    return medians[int(0.975 * len(medians))]


def _fresh(code: str) -> float:
    """Median of five fresh interpreters."""
    runs = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
        for _ in range(5)
    ]
    return statistics.median(runs)


_IMPORT = "import time; t = time.perf_counter(); import llmtrace; print((time.perf_counter() - t) * 1e3)"
_INIT = (
    "import time, openai, llmtrace; t = time.perf_counter(); llmtrace.init(); "
    "print((time.perf_counter() - t) * 1e3)"
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
from llmtrace import runtime
sdk_overhead._start()
calls(2000)
runtime.flush()
print(rss() - before)
"""


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Run, print, and return the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--calls", type=int, default=80, help="plain calls a round (streams: a quarter)")
    options = parser.parse_args(argv)
    _start()
    client = _client()
    figures: dict[str, float] = {}
    for name, call, calls in (
        ("plain_us", _plain, options.calls),
        ("stream100_us", _stream, max(1, options.calls // 4)),
    ):
        pairs = _pairs(call, client, options.pairs, calls)
        for key, cpu in ((name, _total), (f"caller_{name}", _caller)):
            added = [(cpu(traced) - cpu(bare)) * 1e6 for bare, traced in pairs]
            figures[key] = round(statistics.median(added), 1)
            figures[f"{key}_upper"] = round(_upper(added), 1)
            # Other work on the machine only ever adds: the best rounds say what an idle one would.
            best = min(cpu(traced) for _, traced in pairs) - min(cpu(bare) for bare, _ in pairs)
            print(
                f"{key}: {figures[key]} added (95 % below {figures[f'{key}_upper']}), "
                f"between the best rounds {best * 1e6:.1f}, "
                f"bare {statistics.median(cpu(bare) for bare, _ in pairs) * 1e6:.0f}"
            )
    figures["import_ms"] = round(_fresh(_IMPORT), 1)
    figures["init_ms"] = round(_fresh(_INIT), 1)
    figures["rss_mb"] = round(_fresh(_RSS), 1)
    print(json.dumps(figures))
    return figures


if __name__ == "__main__":
    main()

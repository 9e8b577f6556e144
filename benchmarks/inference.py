"""The inference service against `transformers serve`, and what its own tracing costs.

    python -m benchmarks.inference [--vs-transformers-serve] [--pairs N] [--output-tokens N]

Both servers run in turn as processes of their own with one torch thread, the same 2 M parameter model, the
same KV cache and the same prompts; both are streamed from, with a temperature and a fixed output length.
Arrivals are open-loop: at concurrency c, requests arrive at random (at the same times for both servers) at c
times the rate at which our server answers one after the other. Times are seconds from arrival; TPOT is
(end − first token) / (tokens − 1); goodput counts requests with TTFT ≤ 1 s and TPOT ≤ 0.1 s.
`throughput_ratio` (output tokens per second, ours ÷ theirs) and `ttft_ratio` (median TTFT, theirs ÷ ours) are
at concurrency 16. `tracing_overhead` is the CPU seconds of one service process with tracing switched on ÷
off, over pairs of interleaved rounds; `tracing_overhead_upper` its bootstrap 95 % upper bound over the pairs.
The rounds of a pair have prompts of the same words, begin with a collected heap, take turns in going first
and pay for their own export. Off, requests are still measured for the metrics; no span is made or sent.
Progress goes to stderr; the last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

MODEL = "tiny-chat-m"
REQUESTS = {1: 6, 4: 16, 16: 48, 64: 96}
TTFT_LIMIT, TPOT_LIMIT = 1.0, 0.1
_OURS = (
    "import sys; from llmtrace_inference.app import serve;"
    "from llmtrace_inference.settings import InferenceSettings;"
    "serve(InferenceSettings.model_validate_json(sys.argv[1]))"
)
_WORDS = (
    "the latency of each step a clear summary price call several useful examples question plan team".split()
)


_SWITCHED = """
import asyncio, gc, sys, time, uvicorn
from llmtrace_inference.app import create_app
from llmtrace_inference.settings import InferenceSettings
settings = InferenceSettings.model_validate_json(sys.argv[1])
app = create_app(settings)
requests = app.state.request_tracer
@app.post("/switch/{what}")
async def switch(what: str):
    requests.enabled = what == "on"
    for engine in app.state.engines.values():
        engine.trace_steps(requests.tracer, settings.trace_every_step if what == "on" else 0)
    gc.collect()
    return time.process_time()
@app.get("/cpu")
async def cpu():
    await asyncio.to_thread(app.state.flush, 30)
    return time.process_time()
uvicorn.run(app, host="127.0.0.1", port=settings.port, log_level="error", access_log=False)
"""
"""The service with a switch for tracing: two processes would differ by more than tracing costs."""


@dataclass(frozen=True, slots=True)
class Served:
    """One answer's times, in seconds from its arrival."""

    first: float
    total: float
    end: float
    chunks: int


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _prompts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(_WORDS, k=100)) for _ in range(count)]


def _endless_model(directory: Path) -> Path:
    """A model without an end token, so that every answer has the full length on both servers."""
    from benchmarks.random_model import make_model

    target = directory / MODEL
    make_model(target)
    for name in ("generation_config.json", "config.json"):
        config = json.loads((target / name).read_text())
        config["eos_token_id"] = -1
        (target / name).write_text(json.dumps(config))
    return target


@contextlib.contextmanager
def _process(command: list[str], url: str, health: str) -> Iterator[None]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            for _ in range(1200):
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(url + health).status_code == 200:
                        break
                if process.poll() is not None:
                    log.seek(0)
                    raise RuntimeError(f"{command[:4]} ended: {log.read()[-2000:].decode()}")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ours(model: Path, port: int, **more: Any) -> list[str]:
    settings = {
        "port": port, "models": {MODEL: str(model)}, "max_queue_requests": 1000, "max_queue_tokens": 10**7,
        "threads": 1, "trace": False,
    }  # fmt: skip
    return [sys.executable, "-c", _OURS, json.dumps(settings | more)]


def _theirs(model: Path, port: int) -> list[str]:
    program = str(Path(sys.executable).with_name("transformers"))
    return [
        program, "serve", str(model), "--continuous-batching", "--device", "cpu", "--dtype", "float32",
        "--attn-implementation", "sdpa", "--cb-block-size", "16", "--cb-num-blocks", "1024",
        "--cb-max-batch-tokens", "512", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error",
    ]  # fmt: skip


async def _ask(client: httpx.AsyncClient, url: str, model: str, prompt: str, tokens: int) -> Served:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": 0.8,
        "stream": True,
    }
    arrived, first, chunks = time.perf_counter(), 0.0, 0
    async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        if response.status_code != 200:
            raise RuntimeError(f"{url}: {response.status_code} {(await response.aread())[:500]!r}")
        async for line in response.aiter_lines():
            if '"content":"' in line.replace(": ", ":") and '"content":""' not in line.replace(": ", ":"):
                chunks += 1
                first = first or time.perf_counter()
    end = time.perf_counter()
    return Served((first or end) - arrived, end - arrived, end, chunks)


async def _sweep(
    url: str, model: str, tokens: int, rate: float | None
) -> tuple[dict[str, dict[str, float]], float]:
    """(measurements by concurrency, requests per second one after the other)."""
    out: dict[str, dict[str, float]] = {}
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(timeout=300, limits=limits, trust_env=False) as client:
        for prompt in _prompts(2, 99):
            await _ask(client, url, model, prompt, tokens)
        began = time.perf_counter()
        for prompt in _prompts(4, 98):
            await _ask(client, url, model, prompt, tokens)
        rate = rate or 4 / (time.perf_counter() - began)
        for concurrency, count in REQUESTS.items():
            rng = random.Random(concurrency)
            waits = [rng.expovariate(rate * concurrency) for _ in range(count)]
            began = time.perf_counter()
            tasks = []
            for prompt, wait in zip(_prompts(count, concurrency), waits, strict=True):
                tasks.append(asyncio.create_task(_ask(client, url, model, prompt, tokens)))
                await asyncio.sleep(wait)
            served = await asyncio.gather(*tasks)
            out[str(concurrency)] = _summary(served, max(s.end for s in served) - began, tokens)
            _say(f"  concurrency {concurrency}: {json.dumps(out[str(concurrency)])}")
    return out, rate


def _summary(served: Sequence[Served], seconds: float, tokens: int) -> dict[str, float]:
    ttft = sorted(s.first for s in served)
    tpot = sorted((s.total - s.first) / (tokens - 1) for s in served)
    good = sum(s.first <= TTFT_LIMIT and (s.total - s.first) / (tokens - 1) <= TPOT_LIMIT for s in served)
    p95 = int(0.95 * (len(served) - 1))
    return {
        "requests_per_second": round(len(served) / seconds, 3),
        "output_tokens_per_second": round(len(served) * tokens / seconds, 1),
        "ttft_p50": round(statistics.median(ttft), 4),
        "ttft_p95": round(ttft[p95], 4),
        "tpot_p50": round(statistics.median(tpot), 5),
        "tpot_p95": round(tpot[p95], 5),
        "goodput": round(good / seconds, 3),
        "chunks_per_request": round(statistics.mean(s.chunks for s in served), 1),
    }


class _Sink(BaseHTTPRequestHandler):
    """A collector that takes everything."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


async def _round(url: str, tokens: int, pair: int, which: int) -> None:
    """Sixteen requests at once. The rounds of a pair ask the same, but for how each prompt begins.

    The same prompts twice would find their prefixes in the cache; other words would be other tokens.
    """
    async with httpx.AsyncClient(timeout=300, trust_env=False) as client:
        prompts = [f"{1000 + 2 * pair + which} {p}" for p in _prompts(16, pair)]
        await asyncio.gather(*(_ask(client, url, MODEL, p, tokens) for p in prompts))


def _tracing_overhead(model: Path, tokens: int, pairs: int) -> dict[str, Any]:
    sink = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    endpoint = f"http://127.0.0.1:{sink.server_address[1]}"
    command = _ours(model, port, trace=True, otlp_endpoint=endpoint)
    command[2] = _SWITCHED
    with _process(command, url, "/health/ready"):

        def cost(pair: int, which: int, *, traced: bool) -> float:
            before = float(httpx.post(f"{url}/switch/{'on' if traced else 'off'}", timeout=60).json())
            asyncio.run(_round(url, tokens, pair, which))
            return float(httpx.get(f"{url}/cpu", timeout=60).json()) - before

        def measured(pair: int) -> tuple[float, float]:
            """CPU seconds with tracing and without."""
            costs = {on: cost(pair, w, traced=on) for w, on in enumerate((bool(pair % 2), not pair % 2))}
            _say(f"  CPU seconds with tracing {costs[True]:.2f}, without {costs[False]:.2f}")
            return costs[True], costs[False]

        measured(1000)  # the first rounds pay for what is made once
        spent = [measured(pair) for pair in range(pairs)]
    sink.shutdown()
    sink.server_close()

    def ratio(of: Sequence[tuple[float, float]]) -> float:
        return sum(on for on, _ in of) / sum(off for _, off in of)

    rng = random.Random(0)
    ratios = sorted(ratio(rng.choices(spent, k=pairs)) for _ in range(4000))
    return {
        "tracing_overhead": round(ratio(spent), 4),
        "tracing_overhead_upper": round(ratios[int(0.95 * len(ratios))], 4),
        "tracing_pairs": pairs,
    }


def main() -> None:
    """Run what the arguments ask for and print one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vs-transformers-serve", action="store_true", help="sweep both servers")
    parser.add_argument("--pairs", type=int, default=50, help="interleaved rounds for the tracing overhead")
    parser.add_argument("--output-tokens", type=int, default=64, help="tokens of every answer")
    arguments = parser.parse_args()
    tokens = arguments.output_tokens
    result: dict[str, Any] = {"device": "cpu", "output_tokens": tokens}
    with tempfile.TemporaryDirectory() as directory:
        model = _endless_model(Path(directory))
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        if arguments.vs_transformers_serve:
            _say("llmtrace")
            with _process(_ours(model, port), url, "/health/ready"):
                ours, rate = asyncio.run(_sweep(url, MODEL, tokens, None))
            _say("transformers serve")
            with _process(_theirs(model, port), url, "/health"):
                theirs, _ = asyncio.run(_sweep(url, str(model), tokens, rate))
            a, b = ours["16"], theirs["16"]
            result |= {
                "llmtrace": ours,
                "transformers_serve": theirs,
                "throughput_ratio": round(a["output_tokens_per_second"] / b["output_tokens_per_second"], 3),
                "ttft_ratio": round(b["ttft_p50"] / a["ttft_p50"], 3),
            }
        result |= _tracing_overhead(model, tokens, arguments.pairs)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

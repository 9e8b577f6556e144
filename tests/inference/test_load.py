"""A thousand mixed requests, many of them cancelled at random: nothing of them stays behind."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import httpx
from opentelemetry.trace import SpanKind

from llmtrace_inference.engine.local.continuous_batching import ContinuousBatchingEngine
from tests.inference.running import Running, wait_until

MODEL = "tiny-chat-s"
REQUESTS = 1000


def _body(dice: random.Random) -> dict[str, Any]:
    words = "word " * dice.choice((1, 5, 40, 200))
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": words}],
        "max_tokens": dice.choice((1, 2, 4, 12)),
        "stream": dice.random() < 0.5,
    }
    extras: list[dict[str, Any]] = [
        {},
        {},
        {"n": 2},
        {"seed": 4},
        {"logprobs": True},
        {"frequency_penalty": 1.0},
        {"response_format": {"type": "json_object"}},
        {"temperature": -1},
        {"stop": ["a"]},
    ]
    return body | dice.choice(extras)


async def _send_all(url: str) -> Counter[str]:
    dice = random.Random(1)
    outcomes: Counter[str] = Counter()
    slots = asyncio.Semaphore(40)

    async def send(client: httpx.AsyncClient, body: dict[str, Any], leave_after: float | None) -> None:
        async with slots:
            try:
                async with asyncio.timeout(leave_after):
                    response = await client.post(f"{url}/v1/chat/completions", json=body)
                    outcomes[str(response.status_code)] += 1
            except TimeoutError:
                outcomes["left"] += 1

    limits = httpx.Limits(max_connections=60)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        await asyncio.gather(
            *(
                send(client, _body(dice), dice.uniform(0.01, 0.25) if dice.random() < 0.3 else None)
                for _ in range(REQUESTS)
            )
        )
    return outcomes


def test_a_thousand_mixed_requests_leave_nothing_behind(service: Running) -> None:
    engine = service.engine(MODEL)
    assert isinstance(engine, ContinuousBatchingEngine)
    service.exporter.clear()
    outcomes = asyncio.run(_send_all(service.url))
    assert sum(outcomes.values()) == REQUESTS
    assert set(outcomes) <= {"200", "400", "503", "left"}
    assert outcomes["200"] > 400
    assert outcomes["left"] > 50

    def idle() -> bool:
        stats = engine.stats()
        return (stats.running, stats.waiting, stats.waiting_tokens) == (0, 0, 0)

    wait_until(idle, 10)
    manager = engine._manager
    assert manager is not None
    assert engine._reserved == 0
    assert engine._step_log.progress == {}
    assert manager.output_router.result_handlers == {}
    processor = manager.batch_processor
    assert processor is not None
    wait_until(lambda: not processor.scheduler.active_requests, 5)
    assert not processor.scheduler.waiting_requests
    assert engine.stats().restarts == 0
    # KV blocks: no request holds one, and only prefixes that may be shared and given up are kept.
    cache = engine._cache
    assert cache is not None
    for allocator in cache.cache_allocators.values():
        wait_until(lambda held=allocator.block_table: not held, 5)  # type: ignore[misc]
        assert allocator.ledger.shared_ref_counts == {}
        assert engine.stats().kv_blocks_used == len(allocator.ledger.cached_blocks)
    everything = {"prompt": "x", "max_tokens": 4000, "ignore_eos": True, "model": MODEL, "stream": True}
    with httpx.stream("POST", f"{service.url}/v1/completions", json=everything) as response:
        assert next(response.iter_lines()).startswith("data: ")

    # One SERVER span per request that got an answer, at most one per request; all have ended.
    def servers() -> list[Any]:
        return [s for s in service.exporter.get_finished_spans() if s.kind is SpanKind.SERVER]

    answered = outcomes["200"] + outcomes["400"] + outcomes["503"]
    wait_until(lambda: len(servers()) >= answered, 5)
    assert answered <= len(servers()) <= REQUESTS + 1
    wait_until(lambda: not service.opened, 10)

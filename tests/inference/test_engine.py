"""The continuous batching engine by itself: admission, faults and rebuilding, attention, built-in models."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from llmtrace_inference.engine.circuit_breaker import CircuitBreaker
from llmtrace_inference.engine.interface import (
    CircuitOpen,
    EngineFull,
    EngineUnavailable,
    Generation,
    QueueTimeout,
    RequestTooLarge,
    Submission,
)
from llmtrace_inference.engine.local import attention
from llmtrace_inference.engine.local.continuous_batching import ContinuousBatchingEngine
from llmtrace_inference.engine.local.model_loader import load_model
from llmtrace_inference.settings import InferenceSettings

PROMPT = tuple(range(40, 70))


def _run(
    model_dir: Path, body: Callable[[ContinuousBatchingEngine], Awaitable[None]], **settings: Any
) -> None:
    configured = InferenceSettings(data_dir=model_dir, default_max_tokens=8, **settings)
    loaded = load_model("m", "builtin:tiny-chat-s", configured)

    async def main() -> None:
        engine = ContinuousBatchingEngine(loaded, configured)
        await engine.start()
        try:
            await body(engine)
        finally:
            await engine.close()

    asyncio.run(asyncio.wait_for(main(), 30))


async def _tokens(engine: ContinuousBatchingEngine, submission: Submission) -> list[int]:
    return [i async for delta in engine.stream(submission) for i in delta.token_ids]


async def _until_healthy(engine: ContinuousBatchingEngine) -> None:
    while not engine.stats().healthy:  # noqa: ASYNC110 - the engine has no event for it
        await asyncio.sleep(0.02)


def _greedy(name: str, prompt: tuple[int, ...] = PROMPT, tokens: int = 12) -> Generation:
    return Generation(name, prompt, tokens, temperature=0.0, ignore_eos=True)


def test_kv_is_reserved_so_that_a_small_cache_serves_everybody_in_turn(model_dir: Path) -> None:
    async def body(engine: ContinuousBatchingEngine) -> None:
        submissions = [engine.submit(_greedy(f"r{i}", tokens=60)) for i in range(8)]
        assert engine.stats().running == 2  # 6 blocks each, of 16
        assert engine.stats().waiting == 6
        answers = await asyncio.gather(*(_tokens(engine, t) for t in submissions))
        assert all(a == answers[0] and len(a) == 60 for a in answers)
        starts = [t.progress.scheduled_ns for t in submissions]
        assert starts == sorted(starts)
        assert all(t.progress.preemptions == 0 for t in submissions)
        assert engine.stats().restarts == 0
        assert (engine.stats().running, engine.stats().waiting) == (0, 0)

    _run(model_dir, body, num_blocks=16)


def test_the_kv_cache_keeps_within_its_memory(model_dir: Path) -> None:
    gigabytes = 0.004

    async def body(engine: ContinuousBatchingEngine) -> None:
        cache = engine._cache
        assert cache is not None
        taken = cache.cache_tensor.numel()  # of bytes
        # The library adds a few blocks of its own to those it is asked for.
        assert 0.8 * gigabytes * 1e9 < taken < 1.1 * gigabytes * 1e9
        blocks = engine.stats().kv_blocks_total
        assert blocks != InferenceSettings().num_blocks
        assert engine.info.context_length <= blocks * 16
        with pytest.raises(RequestTooLarge):
            engine.submit(_greedy("too large", tokens=engine.info.context_length))
        assert len(await _tokens(engine, engine.submit(_greedy("fits")))) == 12

    _run(model_dir, body, max_kv_gb=gigabytes)
    with pytest.raises(RuntimeError, match="are the least: give it"):
        _run(model_dir, body, max_kv_gb=0.000001)


def test_a_started_engine_has_answered_already(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The warm-up: the first user does not pay for what only the first pass does."""
    asked: list[str] = []
    submit = ContinuousBatchingEngine.submit

    def noting(engine: ContinuousBatchingEngine, generation: Generation) -> Submission:
        asked.append(generation.request_id)
        return submit(engine, generation)

    async def body(engine: ContinuousBatchingEngine) -> None:
        assert asked == ["warm-up"]
        assert engine.stats().running == 0

    monkeypatch.setattr(ContinuousBatchingEngine, "submit", noting)
    _run(model_dir, body)


def test_a_full_queue_and_a_long_wait_are_refused(model_dir: Path) -> None:
    async def body(engine: ContinuousBatchingEngine) -> None:
        running = engine.submit(_greedy("long", tokens=2000))
        waiting = engine.submit(_greedy("waits"))
        with pytest.raises(EngineFull):
            engine.submit(_greedy("one too many"))
        with pytest.raises(RequestTooLarge):
            engine.submit(_greedy("giant", tokens=100_000))
        with pytest.raises(QueueTimeout):
            await _tokens(engine, waiting)
        assert engine.stats().waiting == 0
        engine.cancel(running)
        assert await _tokens(engine, engine.submit(_greedy("after"))) != []

    _run(model_dir, body, max_batch_requests=1, max_queue_requests=1, queue_timeout_seconds=0.2)


def test_a_dead_loop_fails_its_requests_and_is_rebuilt(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(engine: ContinuousBatchingEngine) -> None:
        want = await _tokens(engine, engine.submit(_greedy("before")))
        healthy = engine._loaded.model.forward

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("the device fell off the bus")

        submissions = [engine.submit(_greedy(f"hit{i}", tokens=500)) for i in range(3)]
        waits = engine.submit(_greedy("waits through it"))
        monkeypatch.setattr(engine._loaded.model, "forward", broken)
        for submission in submissions:
            with pytest.raises(EngineUnavailable):
                await _tokens(engine, submission)
        monkeypatch.setattr(engine._loaded.model, "forward", healthy)
        assert await _tokens(engine, waits) == want
        assert engine.stats().restarts == 1
        assert engine.stats().healthy

    _run(model_dir, body, max_batch_requests=3)


def test_close_ends_requests_in_flight(model_dir: Path) -> None:
    async def body(engine: ContinuousBatchingEngine) -> None:
        submission = engine.submit(_greedy("long", tokens=3000))
        reading = asyncio.create_task(_tokens(engine, submission))
        await asyncio.sleep(0.05)
        await engine.close()
        with pytest.raises(EngineUnavailable):
            await reading
        with pytest.raises(EngineUnavailable):
            engine.submit(_greedy("late"))

    _run(model_dir, body)


def test_per_sequence_attention_gives_the_librarys_tokens(model_dir: Path) -> None:
    answers_by_attention: dict[str, list[list[int]]] = {}

    def collect(name: str) -> Callable[[ContinuousBatchingEngine], Awaitable[None]]:
        async def body(engine: ContinuousBatchingEngine) -> None:
            # Lengths around the chunk size, and shared prefixes: every way a sequence can be cut.
            prompts = [tuple(range(40, 40 + n)) for n in (1, 15, 16, 17, 63, 64, 65, 200)]
            first = [engine.submit(_greedy(f"a{i}", p)) for i, p in enumerate(prompts)]
            answers = list(await asyncio.gather(*(_tokens(engine, t) for t in first)))
            again = [engine.submit(_greedy(f"b{i}", p)) for i, p in enumerate(prompts)]
            answers += await asyncio.gather(*(_tokens(engine, t) for t in again))
            assert any(t.progress.cached_tokens for t in again)
            answers_by_attention[name] = answers

        return body

    _run(model_dir, collect("ours"), max_batch_tokens=64)
    install = attention.install
    try:
        attention.install = lambda: AttentionInterface.register("sdpa", sdpa_attention_forward)
        _run(model_dir, collect("library"), max_batch_tokens=64)
    finally:
        attention.install = install
        install()
    assert answers_by_attention["ours"] == answers_by_attention["library"]


def test_what_cannot_be_loaded_says_what_to_mend(tmp_path: Path) -> None:
    settings = InferenceSettings(data_dir=tmp_path)
    with pytest.raises(RuntimeError, match=r"no config\.json"):
        load_model("m", str(tmp_path / "nowhere"), settings)
    with pytest.raises(RuntimeError, match="builtin:tiny-chat-s or builtin:tiny-chat-m"):
        load_model("m", "builtin:tiny-chat-xl", settings)
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="set device to 'cpu' or 'auto'"):
            load_model("m", "builtin:tiny-chat-s", settings.model_copy(update={"device": "cuda"}))
    gc.collect()


def test_lower_priority_numbers_go_first_and_tokens_bound_the_queue(model_dir: Path) -> None:
    async def body(engine: ContinuousBatchingEngine) -> None:
        running = engine.submit(_greedy("running", tokens=400))
        later = engine.submit(replace(_greedy("later"), priority=5))
        usual = [engine.submit(_greedy(f"usual{i}")) for i in range(2)]
        sooner = engine.submit(replace(_greedy("sooner"), priority=-5))
        assert [t.progress.queue_depth for t in (later, *usual, sooner)] == [0, 0, 1, 0]
        assert engine.stats().waiting_tokens == 4 * 42
        with pytest.raises(EngineFull, match="168 tokens waiting"):
            engine.submit(_greedy("too long", tokens=100))
        engine.cancel(running)
        await asyncio.gather(*(_tokens(engine, t) for t in (later, *usual, sooner)))
        starts = [t.progress.scheduled_ns for t in (sooner, *usual, later)]
        assert starts == sorted(starts)
        assert engine.stats().waiting_tokens == 0

    _run(model_dir, body, max_batch_requests=1, max_queue_tokens=250)


def test_repeated_faults_open_the_circuit_until_a_probe_works(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(engine: ContinuousBatchingEngine) -> None:
        want = await _tokens(engine, engine.submit(_greedy("before")))
        healthy = engine._loaded.model.forward

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("the device fell off the bus")

        monkeypatch.setattr(engine._loaded.model, "forward", broken)
        for i in range(2):
            await _until_healthy(engine)
            with pytest.raises(EngineUnavailable):
                await _tokens(engine, engine.submit(_greedy(f"hit{i}")))
        assert engine.stats().circuit == "open"
        with pytest.raises(CircuitOpen) as refused:
            engine.submit(_greedy("refused"))
        assert refused.value.retry_after_seconds == 1
        rebuilt = engine.stats().restarts
        await asyncio.sleep(1.5)  # the first probe fails, for the device is still away
        assert engine.stats().restarts == rebuilt
        assert not engine.stats().healthy
        monkeypatch.setattr(engine._loaded.model, "forward", healthy)
        await _until_healthy(engine)
        assert engine.stats().circuit == "closed"
        assert await _tokens(engine, engine.submit(_greedy("after"))) == want

    _run(model_dir, body, breaker_faults=2, breaker_pause_seconds=1.0)


def test_the_breaker_by_a_clock_of_its_own() -> None:
    now = 0.0
    breaker = CircuitBreaker(3, 10.0, 5.0, clock=lambda: now)
    for at in (0.0, 6.0, 11.0):  # never three within ten seconds
        now = at
        breaker.record_fault()
    assert _state(breaker) == ("closed", 0.0)
    now = 12.0
    breaker.record_fault()
    assert _state(breaker) == ("open", 5.0)
    now = 17.0
    assert _state(breaker) == ("half_open", 0.0)
    for pause in (10.0, 20.0, 40.0, 60.0, 60.0):
        breaker.record_fault()
        assert _state(breaker) == ("open", pause)
        now += pause
    breaker.record_recovery()
    breaker.record_fault()
    assert _state(breaker) == ("closed", 0.0)


def _state(breaker: CircuitBreaker) -> tuple[str, float]:
    return breaker.state, breaker.seconds_left

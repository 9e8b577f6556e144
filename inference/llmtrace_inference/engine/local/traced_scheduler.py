"""The tracing hook: a scheduler that notes, for each request, what happened to it in which batch.

transformers offers no public hook here. This is the one place that overrides its scheduler;
tests/inference/test_private_names.py pins every name used. The hot loop pays a clock reading and some
integer additions per step, and a span where the step is sampled; requests' own spans are made elsewhere,
after the request is over.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from opentelemetry.context import Context
from opentelemetry.trace import Span, Tracer
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.requests import FutureRequestState, RequestState
from transformers.generation.continuous_batching.scheduler import SCHEDULER_MAPPING, FIFOScheduler

from llmtrace import semconv
from llmtrace_inference.engine.interface import Chunk, ModelInfo, Progress

_MAX_LINKS = 64


@dataclass(slots=True)
class StepLog:
    """What an engine's schedulers write to: each request's measurements by its id, and sampled steps."""

    model: ModelInfo
    progress: dict[str, Progress] = field(default_factory=dict)
    tracer: Tracer | None = None
    every: int = 0
    """One step in so many gets a span of its own; 0: none."""


@dataclass(slots=True)
class _Step:
    """The forward pass under way."""

    start_ns: int
    requests: list[Progress]
    size: int
    chunks: list[Chunk]
    span: Span | None


class TracingScheduler(FIFOScheduler):
    """FIFO scheduling that writes each request's measurements to a step log."""

    def __init__(
        self,
        cache: PagedAttentionCache,
        safety_margin: float | None,
        max_requests_per_batch: int,
        *,
        step_log: StepLog,
        on_cache: Callable[[PagedAttentionCache], None],
    ) -> None:
        super().__init__(cache, safety_margin, max_requests_per_batch)
        self._step_log = step_log
        self._awaiting_first: list[Progress] = []
        self._step: _Step | None = None
        self._count = 0
        on_cache(cache)

    def clear_cancelled_requests(self) -> list[RequestState]:
        # The library's loop comes here after each step, whether or not another one follows.
        self._end_step(time.perf_counter_ns())
        return super().clear_cancelled_requests()

    def _end_step(self, now: int) -> None:
        step, self._step = self._step, None
        if step is None:
            return
        # A fallback for first tokens whose own timestamp an eviction lost.
        for progress in self._awaiting_first:
            progress.first_token_ns = progress.first_token_ns or now
        self._awaiting_first.clear()
        share = (now - step.start_ns) // step.size
        for progress in step.requests:
            progress.share_ns += share
        for chunk in step.chunks:
            chunk.end_ns = now
        if step.span is not None:
            step.span.end(end_time=time.time_ns())

    def schedule_batch(
        self, token_budget: int, cache_budget: int
    ) -> tuple[list[FutureRequestState] | None, bool, int, int]:
        now = time.perf_counter_ns()
        self._end_step(now)
        scheduled, fast_path, query_tokens, keys_read = super().schedule_batch(token_budget, cache_budget)
        if scheduled:
            size = len(scheduled)
            used = kv_blocks_used(self.cache)
            step = self._step = _Step(now, [], size, [], self._sampled(size, query_tokens, used))
            for future in scheduled:
                if (progress := self._step_log.progress.get(future.state.request_id)) is None:
                    continue
                step.requests.append(progress)
                if step.span is not None and len(progress.sampled_steps) < _MAX_LINKS:
                    progress.sampled_steps.append(step.span.get_span_context())
                progress.scheduled_ns = progress.scheduled_ns or now
                progress.steps += 1
                progress.batch_size_sum += size
                progress.batch_size_max = max(progress.batch_size_max, size)
                progress.kv_blocks_used_max = max(progress.kv_blocks_used_max, used)
                if not progress.prefilled:
                    chunk = Chunk(now, future.query_length, size)
                    progress.prefill_chunks.append(chunk)
                    step.chunks.append(chunk)
                    if future.has_new_token:
                        progress.prefilled = True
                        self._awaiting_first.append(progress)
        return scheduled, fast_path, query_tokens, keys_read

    def _sampled(self, size: int, tokens: int, kv_blocks: int) -> Span | None:
        step_log = self._step_log
        self._count += 1
        if step_log.tracer is None or not step_log.every or self._count % step_log.every:
            return None
        return step_log.tracer.start_span(
            "engine step",
            context=Context(),
            attributes={
                semconv.REQUEST_MODEL: step_log.model.name,
                semconv.INFERENCE_MODEL_VERSION: step_log.model.version,
                semconv.INFERENCE_MODEL_WEIGHTS_HASH: step_log.model.weights_hash,
                semconv.INFERENCE_BATCH_SIZE: size,
                semconv.INFERENCE_STEP_TOKENS: tokens,
                semconv.INFERENCE_KV_BLOCKS_USED: kv_blocks,
            },
        )

    def add_waiting_request(self, state: RequestState) -> None:
        progress = self._step_log.progress.get(state.request_id)
        if progress is not None and progress.scheduled_ns:
            progress.preemptions += 1
        super().add_waiting_request(state)

    def _infer_request_tokens(
        self, state: RequestState, request_ids_to_remove_from_waiting: set[str]
    ) -> list[int]:
        before = state.position_offset
        tokens = super()._infer_request_tokens(state, request_ids_to_remove_from_waiting)
        if state.position_offset > before:
            progress = self._step_log.progress.get(state.request_id)
            if progress is not None and not progress.prefilled:
                progress.cached_tokens = state.position_offset - before
        return tokens


def kv_blocks_used(cache: PagedAttentionCache) -> int:
    """Blocks that hold a request's tokens or a shareable prefix."""
    return round(int(cache.num_blocks) * (1.0 - float(cache.compute_free_capacity())))


def register(name: str, step_log: StepLog, on_cache: Callable[[PagedAttentionCache], None]) -> str:
    """Make a scheduler with this step log available under `name` in the continuous batching config."""
    make = functools.partial(TracingScheduler, step_log=step_log, on_cache=on_cache)
    SCHEDULER_MAPPING[name] = make  # type: ignore[assignment]
    return name


def unregister(name: str) -> None:
    """Forget a registered scheduler, and with it its step log."""
    SCHEDULER_MAPPING.pop(name, None)

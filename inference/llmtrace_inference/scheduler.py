"""The tracing hook: a scheduler that notes, for each request, what happened to it in which batch.

transformers offers no public hook here. This is the one place that overrides its scheduler;
tests/inference/test_private_names.py pins every name used. The hot loop pays a clock reading and some
integer additions per step; spans are made elsewhere, after the request is over.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.requests import FutureRequestState, RequestState
from transformers.generation.continuous_batching.scheduler import SCHEDULER_MAPPING, FIFOScheduler

from llmtrace_inference.engine import Progress

Journal = dict[str, Progress]
"""Request id → its measurements, for the requests in the engine."""


class TracingScheduler(FIFOScheduler):
    """FIFO scheduling that writes each request's measurements to a journal."""

    def __init__(
        self,
        cache: PagedAttentionCache,
        safety_margin: float | None,
        max_requests_per_batch: int,
        *,
        journal: Journal,
        on_cache: Callable[[PagedAttentionCache], None],
    ) -> None:
        super().__init__(cache, safety_margin, max_requests_per_batch)
        self._journal = journal
        self._awaiting_first: list[Progress] = []
        on_cache(cache)

    def schedule_batch(
        self, token_budget: int, cache_budget: int
    ) -> tuple[list[FutureRequestState] | None, bool, int, int]:
        now = time.perf_counter_ns()
        # The previous step has ended: a fallback for first tokens whose own timestamp an eviction lost.
        for done in self._awaiting_first:
            done.first_token_ns = done.first_token_ns or now
        self._awaiting_first.clear()

        scheduled, fast_path, query_tokens, keys_read = super().schedule_batch(token_budget, cache_budget)
        if scheduled:
            size = len(scheduled)
            used = kv_blocks_used(self.cache)
            for future in scheduled:
                if (progress := self._journal.get(future.state.request_id)) is None:
                    continue
                progress.scheduled_ns = progress.scheduled_ns or now
                progress.steps += 1
                progress.batch_size_sum += size
                progress.batch_size_max = max(progress.batch_size_max, size)
                progress.kv_blocks_used_max = max(progress.kv_blocks_used_max, used)
                if not progress.prefilled:
                    progress.prefill_chunks += 1
                    progress.prefill_tokens += future.query_length
                    if future.has_new_token:
                        progress.prefilled = True
                        self._awaiting_first.append(progress)
        return scheduled, fast_path, query_tokens, keys_read

    def add_waiting_request(self, state: RequestState) -> None:
        progress = self._journal.get(state.request_id)
        if progress is not None and progress.scheduled_ns:
            progress.preemptions += 1
        super().add_waiting_request(state)

    def _infer_request_tokens(
        self, state: RequestState, request_ids_to_remove_from_waiting: set[str]
    ) -> list[int]:
        before = state.position_offset
        tokens = super()._infer_request_tokens(state, request_ids_to_remove_from_waiting)
        if state.position_offset > before:
            progress = self._journal.get(state.request_id)
            if progress is not None and not progress.prefilled:
                progress.cached_tokens = state.position_offset - before
        return tokens


def kv_blocks_used(cache: PagedAttentionCache) -> int:
    """Blocks that hold a request's tokens or a shareable prefix."""
    return round(int(cache.num_blocks) * (1.0 - float(cache.compute_free_capacity())))


def register(name: str, journal: Journal, on_cache: Callable[[PagedAttentionCache], None]) -> str:
    """Make a scheduler with this journal available under `name` in the continuous batching config."""
    make = functools.partial(TracingScheduler, journal=journal, on_cache=on_cache)
    SCHEDULER_MAPPING[name] = make  # type: ignore[assignment]
    return name


def unregister(name: str) -> None:
    """Forget a registered scheduler, and with it its journal."""
    SCHEDULER_MAPPING.pop(name, None)

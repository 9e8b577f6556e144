"""The engine: transformers' continuous batching, with admission, supervision and measurements around it.

One bad request or one unlucky batch kills the library's loop for good, so: sizes are judged before a
request gets in, KV blocks are reserved for the most tokens it may come to, and a dead loop is replaced while
its requests get 503.
All state here belongs to the event loop's thread; the library's thread only calls back into it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from opentelemetry.trace import Tracer
from transformers import GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.continuous_api import ContinuousBatchingManager
from transformers.generation.continuous_batching.requests import GenerationOutput, RequestStatus

from llmtrace_inference.engine.admission_queue import AdmissionQueue
from llmtrace_inference.engine.circuit_breaker import CircuitBreaker
from llmtrace_inference.engine.interface import (
    CircuitOpen,
    ConstraintFailed,
    Delta,
    EngineError,
    EngineFull,
    EngineStats,
    EngineUnavailable,
    FinishReason,
    Generation,
    ModelInfo,
    QueueTimeout,
    Submission,
)
from llmtrace_inference.settings import SAMPLING_SEED, InferenceSettings

from . import logits_processors, pooling, traced_scheduler
from .generation_limits import check_generation_limits
from .grammar_check import first_reason
from .model_loader import LoadedModel
from .tokenizer import ChatTokenizer

logger = logging.getLogger(__name__)

_STOP_SECONDS = 2.0
_RECOVERY_PAUSE_SECONDS = 0.5
_GREEDY_BELOW = 1e-3
"""Lower temperatures choose the likeliest token anyway, and logits divided by them may overflow to NaN."""


@dataclass(slots=True, eq=False)
class _Submission(Submission):
    """A request with its place in the engine. `blocks` are reserved while `admitted`."""

    deltas: asyncio.Queue[Delta | EngineError] = field(default_factory=asyncio.Queue)
    blocks: int = 0
    delivered_tokens: int = 0
    sampling_state: logits_processors.SamplingState | None = None
    admitted: bool = False
    over: bool = False


class ContinuousBatchingEngine:
    """Serves one model. See `engine.interface.Engine` for the contract."""

    def __init__(self, loaded: LoadedModel, settings: InferenceSettings) -> None:
        self._loaded = loaded
        self._settings = settings
        self._manager: ContinuousBatchingManager | None = None
        self._step_log = traced_scheduler.StepLog(loaded.info)
        self._scheduler_name = f"llmtrace-{id(self)}"
        self._cache: PagedAttentionCache | None = None
        self._queue: AdmissionQueue[_Submission] = AdmissionQueue()
        self._breaker = CircuitBreaker(
            settings.breaker_faults, settings.breaker_window_seconds, settings.breaker_pause_seconds
        )
        self._running: dict[str, _Submission] = {}
        self._reserved = 0
        self._restarts = 0
        self._recovery: asyncio.Task[None] | None = None
        self._closed = False
        self._embedding_model: Any = None

    @property
    def info(self) -> ModelInfo:
        return self._loaded.info

    @property
    def tokenizer(self) -> ChatTokenizer:
        return self._loaded.tokenizer

    # --- life -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the loop and run one short request, so that the first user does not pay for the warm-up."""
        traced_scheduler.register(self._scheduler_name, self._step_log, self._on_cache)
        await asyncio.to_thread(self._start_manager)
        submission = self.submit(Generation("warm-up", prompt_ids=(0,) * 4, max_tokens=2, temperature=0.0))
        async for _ in self.stream(submission):
            pass

    async def close(self) -> None:
        self._closed = True
        if self._recovery is not None:
            self._recovery.cancel()
        self._fail_all(EngineUnavailable("the service is shutting down"))
        manager, self._manager = self._manager, None
        if manager is not None:
            await asyncio.to_thread(_stop, manager)
        traced_scheduler.unregister(self._scheduler_name)

    def _on_cache(self, cache: PagedAttentionCache) -> None:
        self._cache = cache

    def _start_manager(self) -> None:
        settings = self._settings
        # The warpers exist only where these differ from "off"; every request then brings its own values.
        generation = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=True,
            temperature=0.5,
            top_k=2,
            top_p=0.5,
            eos_token_id=list(self._loaded.eos_ids) or -1,
            pad_token_id=0,
            max_new_tokens=settings.default_max_tokens,
        )
        # Only where it is installed: the library would else fetch a kernel from the network.
        flash = self._loaded.model.device.type == "cuda" and find_spec("flash_attn") is not None
        batching = ContinuousBatchingConfig(
            page_size=settings.page_size,
            num_blocks=self._loaded.num_blocks,
            max_batch_tokens=settings.max_batch_tokens,
            max_requests_per_batch=settings.max_batch_requests,
            per_request_processors=True,
            scheduler_type=self._scheduler_name,
            seed=SAMPLING_SEED,
            auto_switch_to_flash=flash,
            # Penalties and grammars need every token before the next one is drawn (logits_processors.py).
            use_async_batching=False,
            use_cuda_graph=False,
        )
        manager = self._loaded.model.init_continuous_batching(generation, batching)
        logits_processors.add_to(manager.logit_processor, self._loaded.suppressed_ids)
        # The library's thread is no daemon by itself, but takes after the thread that starts it: a forward
        # pass that never ends must not keep the process alive.
        starter = threading.Thread(target=manager.start, name=f"start-{self.info.name}", daemon=True)
        starter.start()
        starter.join()
        self._manager = manager

    # --- requests ---------------------------------------------------------------------------------------

    def submit(self, generation: Generation) -> Submission:
        """See `Engine.submit`. Beyond that, ValueError for what validation at the edge must have refused."""
        check_generation_limits(generation, self.info, self._blocks(generation) <= self._loaded.num_blocks)
        if self._breaker.state != "closed":
            raise self._circuit_open()
        if self._closed or self._manager is None:
            raise EngineUnavailable(f"model {self.info.name} is not ready")
        self._refuse_when_full(generation)
        submission = self._new_submission(generation)
        submission.progress.queue_depth = self._queue.add(submission)
        self._admit()
        return submission

    def _new_submission(self, generation: Generation) -> _Submission:
        submission = _Submission(generation, blocks=self._blocks(generation))
        submission.progress.submitted_ns = time.perf_counter_ns()
        submission.progress.kv_blocks_total = self._loaded.num_blocks
        submission.progress.kv_blocks_request = submission.blocks
        return submission

    def _circuit_open(self) -> CircuitOpen:
        seconds_left = self._breaker.seconds_left
        return CircuitOpen(
            f"model {self.info.name} failed several times in a row and is tried again in "
            f"{seconds_left:.0f} s",
            seconds_left,
        )

    async def stream(self, submission: Submission) -> AsyncIterator[Delta]:
        assert isinstance(submission, _Submission)  # noqa: S101 - made by submit
        deadline = time.monotonic() + self._settings.queue_timeout_seconds
        try:
            while True:
                if submission.progress.scheduled_ns or not submission.deltas.empty():
                    item = await submission.deltas.get()
                else:
                    try:
                        # Short waits: being scheduled happens in the other thread, without a call-back.
                        wait_seconds = max(min(deadline - time.monotonic(), 1.0), 0.001)
                        item = await asyncio.wait_for(submission.deltas.get(), wait_seconds)
                    except TimeoutError:
                        if submission.progress.scheduled_ns or time.monotonic() < deadline:
                            continue
                        raise QueueTimeout(
                            f"no free place within {self._settings.queue_timeout_seconds:g} s: try again"
                        ) from None
                # Under load several tokens may have come by now: they go out together.
                while isinstance(item, Delta) and item.finish is None and not submission.deltas.empty():
                    following = submission.deltas.get_nowait()
                    if isinstance(following, EngineError):
                        submission.deltas.put_nowait(following)
                        break
                    item = item.joined(following)
                if isinstance(item, EngineError):
                    raise item
                yield item
                if item.finish is not None:
                    return
        finally:
            self.cancel(submission)

    def cancel(self, submission: Submission) -> None:
        assert isinstance(submission, _Submission)  # noqa: S101 - made by submit
        if submission.over:
            return
        manager = self._manager
        if submission.admitted and manager is not None:
            request_id = submission.generation.request_id
            # A cancelled request never gets a last result, so nobody else removes its handler.
            manager.output_router.result_handlers.pop(request_id, None)
            manager.cancel_request(request_id)
        self._release(submission)
        self._admit()

    def stats(self) -> EngineStats:
        return EngineStats(
            running=len(self._running),
            waiting=len(self._queue),
            kv_blocks_used=traced_scheduler.kv_blocks_used(self._cache) if self._cache is not None else 0,
            kv_blocks_total=self._loaded.num_blocks,
            restarts=self._restarts,
            healthy=self._manager is not None and not self._closed and self._breaker.state == "closed",
            waiting_tokens=self._queue.tokens,
            circuit=self._breaker.state,
        )

    async def embed(self, sequences: list[list[int]]) -> list[list[float]]:
        if self._closed or self._manager is None:
            raise EngineUnavailable(f"model {self.info.name} is not ready")
        if self._embedding_model is None:
            self._embedding_model = await asyncio.to_thread(pooling.embedding_model_of, self._loaded.model)
        return await asyncio.to_thread(pooling.embed, self._embedding_model, sequences)

    def trace_steps(self, tracer: Tracer, every: int) -> None:
        self._step_log.tracer, self._step_log.every = tracer, every

    # --- admission --------------------------------------------------------------------------------------

    def _blocks(self, generation: Generation) -> int:
        return -(-generation.total_tokens // self._settings.page_size)

    def _refuse_when_full(self, generation: Generation) -> None:
        if self._has_room(generation):
            return
        settings, queue = self._settings, self._queue
        # A single request may always wait, however long it is.
        too_long = queue and queue.tokens + generation.total_tokens > settings.max_queue_tokens
        if len(queue) >= settings.max_queue_requests or too_long:
            raise EngineFull(
                f"model {self.info.name} has {len(self._running)} requests running and {len(queue)} with "
                f"{queue.tokens} tokens waiting: try again shortly"
            )

    def _has_room(self, generation: Generation) -> bool:
        return (
            not self._queue
            and len(self._running) < self._settings.max_batch_requests
            and self._reserved + self._blocks(generation) <= self._loaded.num_blocks
        )

    def _admit(self) -> None:
        """Move waiting requests into the batch, in order, while the KV cache has room for all of each."""
        while self._queue and (manager := self._manager) is not None and not self._closed:
            submission = self._queue.first
            if (
                len(self._running) >= self._settings.max_batch_requests
                or self._reserved + submission.blocks > self._loaded.num_blocks
            ):
                return
            self._queue.remove(submission)
            self._hand_over(manager, submission)

    def _hand_over(self, manager: ContinuousBatchingManager, submission: _Submission) -> None:
        generation = submission.generation
        request_id = generation.request_id
        submission.admitted = True
        self._reserved += submission.blocks
        self._running[request_id] = submission
        self._step_log.progress[request_id] = submission.progress
        greedy = generation.temperature < _GREEDY_BELOW
        parameters: dict[str, Any] = {
            "temperature": 1.0 if greedy else float(generation.temperature),
            "top_k": 1 if greedy else generation.top_k or self.info.vocab_size,
            "top_p": 1.0 if greedy else float(generation.top_p),
        }
        state = logits_processors.sampling_state_of(generation, self._loaded.eos_ids)
        submission.sampling_state = state
        if state is not None:
            parameters[logits_processors.KWARG] = state
        manager.register_result_handler(request_id, lambda output: self._on_output(submission, output))
        accepted = manager.add_request(
            list(generation.prompt_ids),
            request_id=request_id,
            max_new_tokens=generation.max_tokens,
            streaming=generation.every_token,
            record_timestamps=True,
            eos_token_id=-1 if generation.ignore_eos else list(self._loaded.eos_ids) or -1,
            **parameters,
        )
        if accepted is None:  # the loop died and nobody has noticed yet
            self._on_fault(submission, "the generation loop has stopped")

    def _release(self, submission: _Submission) -> None:
        """Give back what a request holds. After this it is over."""
        submission.over = True
        if submission.admitted:
            submission.admitted = False
            self._reserved -= submission.blocks
            self._running.pop(submission.generation.request_id, None)
            self._step_log.progress.pop(submission.generation.request_id, None)
        else:
            self._queue.remove(submission)

    # --- results ----------------------------------------------------------------------------------------

    def _on_output(self, submission: _Submission, output: GenerationOutput) -> None:
        if submission.over:
            return
        if output.status == RequestStatus.FAILED:
            self._on_fault(submission, output.error or "unknown")
            return
        progress = submission.progress
        tokens = output.generated_tokens
        stamps = output.timestamps or []
        now = time.perf_counter_ns()
        if stamps and len(stamps) == len(tokens):
            progress.first_token_ns = int(stamps[0] * 1e9)
        else:  # evicted once: the library restarted its stamps
            progress.first_token_ns = progress.first_token_ns or now
        progress.last_token_ns = int(stamps[-1] * 1e9) if stamps else now
        progress.token_seconds = stamps
        delivered, state = submission.delivered_tokens, submission.sampling_state
        new = tuple(tokens[delivered:])
        logprobs = tuple(state.token_logprobs[delivered : len(tokens)]) if state is not None else ()
        submission.delivered_tokens = len(tokens)
        finished = output.is_finished()
        eos = bool(new) and new[-1] in self._loaded.eos_ids and not submission.generation.ignore_eos
        if state is not None and state.error:
            reason = first_reason(state.error)
            submission.deltas.put_nowait(ConstraintFailed(f"the answer cannot keep to its format: {reason}"))
        else:
            finish: FinishReason | None = ("stop" if eos else "length") if finished else None
            submission.deltas.put_nowait(Delta(new, finish, eos=eos, logprobs=logprobs))
        if finished:
            self._release(submission)
            self._admit()

    # --- faults -----------------------------------------------------------------------------------------

    def _on_fault(self, submission: _Submission, reason: str) -> None:
        """One request failed inside the library: let it know, and see whether the loop died with it."""
        self._release(submission)
        submission.deltas.put_nowait(
            EngineUnavailable("the engine failed on this batch and is being rebuilt: try again")
        )
        if self._recovery is None and not self._closed:
            logger.error("model %s: generation failed: %s", self.info.name, reason)
            self._breaker.record_fault()
            manager, self._manager = self._manager, None
            if manager is not None:
                self._recovery = asyncio.get_running_loop().create_task(self._recover(manager))

    async def _recover(self, manager: ContinuousBatchingManager) -> None:
        """Stop what is left of the loop and start a new one. Waiting requests keep their places.

        Where the circuit is open they are refused instead, and the new loop must first answer a probe.
        """
        try:
            while not self._closed:
                try:
                    await asyncio.to_thread(_stop, manager)
                    for submission in list(self._running.values()):
                        self._release(submission)
                        submission.deltas.put_nowait(
                            EngineUnavailable("the engine is being rebuilt: try again")
                        )
                    await self._wait_while_open()
                    await asyncio.to_thread(self._start_manager)
                    if self._breaker.state != "closed":
                        await self._probe()
                except Exception as error:  # noqa: BLE001 - whatever it is, the next round tries again
                    logger.error("model %s: could not rebuild the engine: %s", self.info.name, error)  # noqa: TRY400
                    self._breaker.record_fault()
                    manager, self._manager = self._manager or manager, None
                    await asyncio.sleep(_RECOVERY_PAUSE_SECONDS)
                    continue
                self._restarts += 1
                logger.warning("model %s: engine rebuilt (%d so far)", self.info.name, self._restarts)
                break
        finally:
            self._recovery = None
        self._admit()

    async def _wait_while_open(self) -> None:
        if self._breaker.state != "open":
            return
        logger.error("model %s: circuit open for %.0f s", self.info.name, self._breaker.seconds_left)
        for submission in self._queue:
            self._release(submission)
            submission.deltas.put_nowait(self._circuit_open())
        await asyncio.sleep(self._breaker.seconds_left)

    async def _probe(self) -> None:
        """One short request through the new loop, though the circuit is not closed. Raises what it raises."""
        manager = self._manager
        assert manager is not None  # noqa: S101 - just started
        submission = self._new_submission(
            Generation("probe", prompt_ids=(0,) * 4, max_tokens=1, temperature=0.0)
        )
        self._hand_over(manager, submission)
        async with asyncio.timeout(self._settings.queue_timeout_seconds):
            async for _ in self.stream(submission):
                pass
        self._breaker.record_recovery()

    def _fail_all(self, error: EngineError) -> None:
        for submission in [*self._running.values(), *self._queue]:
            self._release(submission)
            submission.deltas.put_nowait(error)


def _stop(manager: ContinuousBatchingManager) -> None:
    if manager.is_running():
        manager.stop(block=True, timeout=_STOP_SECONDS, hard_stop=True)

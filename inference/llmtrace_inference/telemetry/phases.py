"""A request's stages, each between two readings of the clock; none is what the others leave over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llmtrace.semconv import INFERENCE

from .request_record import Attributes, ChoiceRecord, RequestRecord


@dataclass(frozen=True, slots=True)
class Phase:
    """One stage of a request; times are perf_counter_ns."""

    name: str
    start_ns: int
    end_ns: int
    attributes: Attributes


def phases(trace: RequestRecord) -> list[Phase]:
    """The stages that were reached, in order. One that was cut short ends with the request."""
    end = trace.ended_ns
    admitted = trace.cache_from_ns or trace.tokenize_from_ns or end
    found = [Phase("admission", trace.arrived_ns, admitted, {})]
    if trace.cache_from_ns:
        looked_up = trace.cache_to_ns or end
        found.append(
            Phase("cache", trace.cache_from_ns, looked_up, {INFERENCE + "cache.hit": trace.cache_hit})
        )
        if trace.cache_hit:
            return [*found, Phase("respond", looked_up, end, {})]
    if trace.tokenize_from_ns:
        counted: Attributes = (
            {} if trace.input_tokens is None else {INFERENCE + "input_tokens": trace.input_tokens}
        )
        found.append(Phase("tokenize", trace.tokenize_from_ns, trace.tokenize_to_ns or end, counted))
    found.extend(Phase(name, start, stop or end, {}) for name, start, stop in trace.further)
    for index, choice in enumerate(trace.choices):
        # With several choices their stages lie side by side, and each says whose it is.
        mark: Attributes = {INFERENCE + "choice": index} if len(trace.choices) > 1 else {}
        found.extend(
            Phase(s.name, s.start_ns, s.end_ns, s.attributes | mark) for s in _of_choice(choice, end)
        )
    text_ready = max((choice.detokenize_to_ns for choice in trace.choices), default=0)
    if trace.is_complete and text_ready:
        found.append(Phase("respond", text_ready, end, {}))
    return found


def _of_choice(choice: ChoiceRecord, end: int) -> Iterator[Phase]:
    progress = choice.progress
    first, last = progress.first_token_ns, progress.last_token_ns
    yield Phase(
        "queue",
        progress.submitted_ns,
        progress.scheduled_ns or end,
        {
            INFERENCE + "queue.depth": progress.queue_depth,
            INFERENCE + "kv.blocks_reserved": progress.kv_blocks_request,
        },
    )
    for number, chunk in enumerate(progress.prefill_chunks):
        # The pass of the last chunk makes the first token.
        is_last = progress.prefilled and number == len(progress.prefill_chunks) - 1
        yield Phase(
            "prefill",
            chunk.start_ns,
            (first if is_last else chunk.end_ns) or chunk.end_ns or end,
            {
                INFERENCE + "prefill.tokens": chunk.tokens,
                INFERENCE + "prefill.chunk": number,
                INFERENCE + "prefill.batch_size": chunk.batch_size,
                INFERENCE + "cached_tokens": progress.cached_tokens if number == 0 else 0,
            },
        )
    if not first:
        return
    yield Phase(
        "decode",
        first,
        max(last, first),
        {
            INFERENCE + "output_tokens": choice.output_tokens,
            INFERENCE + "batch_size.mean": progress.batch_size_mean,
            INFERENCE + "batch_size.max": progress.batch_size_max,
        },
    )
    if choice.detokenize_to_ns:
        # From the engine's thread to the request's own; then the last tokens become text.
        yield Phase("handover", max(last, first), choice.detokenize_from_ns, {})
        yield Phase(
            "detokenize",
            choice.detokenize_from_ns,
            choice.detokenize_to_ns,
            {INFERENCE + "detokenize.total": choice.detokenize_ns / 1e9},
        )

"""A request's phases, each between two readings of the clock; none is what the others leave over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llmtrace.semconv import INFERENCE

from .request_record import Attributes, ChoiceRecord, RequestRecord


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a request; times are perf_counter_ns."""

    name: str
    start_ns: int
    end_ns: int
    attributes: Attributes


def phases_of(record: RequestRecord) -> list[Phase]:
    """The phases that were reached, in order. One that was cut short ends with the request."""
    end = record.ended_ns
    admitted = record.cache_from_ns or record.tokenize_from_ns or end
    phases = [Phase("admission", record.arrived_ns, admitted, {})]
    if record.cache_from_ns:
        lookup_end = record.cache_to_ns or end
        phases.append(
            Phase("cache", record.cache_from_ns, lookup_end, {INFERENCE + "cache.hit": record.cache_hit})
        )
        if record.cache_hit:
            return [*phases, Phase("respond", lookup_end, end, {})]
    if record.tokenize_from_ns:
        counted: Attributes = (
            {} if record.input_tokens is None else {INFERENCE + "input_tokens": record.input_tokens}
        )
        phases.append(Phase("tokenize", record.tokenize_from_ns, record.tokenize_to_ns or end, counted))
    phases.extend(Phase(name, start, stop or end, {}) for name, start, stop in record.further_phases)
    for index, choice in enumerate(record.choices):
        # With several choices their phases lie side by side, and each says whose it is.
        mark: Attributes = {INFERENCE + "choice": index} if len(record.choices) > 1 else {}
        phases.extend(
            Phase(p.name, p.start_ns, p.end_ns, p.attributes | mark) for p in _of_choice(choice, end)
        )
    text_ready = max((choice.detokenize_to_ns for choice in record.choices), default=0)
    if record.is_complete and text_ready:
        phases.append(Phase("respond", text_ready, end, {}))
    return phases


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

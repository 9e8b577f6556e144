"""A request's phases, each between two readings of the clock; none is what the others leave over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llmtrace import semconv

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
    lookup = record.cache
    admitted = (lookup.start_ns if lookup is not None else record.tokenize_from_ns) or end
    phases = [Phase("admission", record.arrived_ns, admitted, {})]
    if lookup is not None:
        lookup_end = lookup.end_ns or end
        phases.append(
            Phase("cache", lookup.start_ns, lookup_end, {semconv.INFERENCE_CACHE_HIT: lookup.is_hit})
        )
        if lookup.is_hit:
            return [*phases, Phase("respond", lookup_end, end, {})]
    if record.tokenize_from_ns:
        counted: Attributes = (
            {} if record.input_tokens is None else {semconv.INFERENCE_INPUT_TOKENS: record.input_tokens}
        )
        phases.append(Phase("tokenize", record.tokenize_from_ns, record.tokenize_to_ns or end, counted))
    phases.extend(Phase(name, start, stop or end, {}) for name, start, stop in record.further_phases)
    for index, choice in enumerate(record.choices):
        # With several choices their phases lie side by side, and each says whose it is.
        mark: Attributes = {semconv.INFERENCE_CHOICE: index} if len(record.choices) > 1 else {}
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
            semconv.INFERENCE_QUEUE_DEPTH: progress.queue_depth,
            semconv.INFERENCE_KV_BLOCKS_RESERVED: progress.kv_blocks_request,
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
                semconv.INFERENCE_PREFILL_TOKENS: chunk.tokens,
                semconv.INFERENCE_PREFILL_CHUNK: number,
                semconv.INFERENCE_PREFILL_BATCH_SIZE: chunk.batch_size,
                semconv.INFERENCE_CACHED_TOKENS: progress.cached_tokens if number == 0 else 0,
            },
        )
    if not first:
        return
    yield Phase(
        "decode",
        first,
        max(last, first),
        {
            semconv.INFERENCE_OUTPUT_TOKENS: choice.output_tokens,
            semconv.INFERENCE_BATCH_SIZE_MEAN: progress.batch_size_mean,
            semconv.INFERENCE_BATCH_SIZE_MAX: progress.batch_size_max,
        },
    )
    if choice.detokenize_to_ns:
        # From the engine's thread to the request's own; then the last tokens become text.
        yield Phase("handover", max(last, first), choice.detokenize_from_ns, {})
        yield Phase(
            "detokenize",
            choice.detokenize_from_ns,
            choice.detokenize_to_ns,
            {semconv.INFERENCE_DETOKENIZE_TOTAL: choice.detokenize_ns / 1e9},
        )

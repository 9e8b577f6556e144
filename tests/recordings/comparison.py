"""A stored call against what the answer states: where they differ, and why that may be."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from genai_prices import Usage, calc_price

from llmtrace.common.providers import LISTED
from tests.sdk.naive import Recording

from .evidence import Evidence, context_of_tier, evidence, listed_cost
from .exceptions import of_missing, of_price
from .replay import Row

#: Two amounts that differ by less, in proportion, are the same.
_SAME = 1e-9

#: Columns of usage → the calculator's names.
_UNITS = {
    "InputTokens": "input_tokens",
    "OutputTokens": "output_tokens",
    "CacheReadTokens": "cache_read_tokens",
    "CacheWriteTokens": "cache_write_tokens",
    "CacheWrite1hTokens": "cache_write_1h_tokens",
    "ReasoningTokens": "output_reasoning_tokens",
    "AudioInputTokens": "input_audio_tokens",
    "ImageInputTokens": "input_image_tokens",
    "VideoInputTokens": "input_video_tokens",
    "CacheReadAudioTokens": "cache_audio_read_tokens",
    "CacheReadImageTokens": "cache_image_read_tokens",
    "CacheReadVideoTokens": "cache_video_read_tokens",
    "AudioOutputTokens": "output_audio_tokens",
    "ImageOutputTokens": "output_image_tokens",
    "VideoOutputTokens": "output_video_tokens",
    "CitationTokens": "output_citation_tokens",
    "WebSearches": "web_searches",
    "FileSearches": "storage_searches",
    "RerankSearches": "rerank_searches",
}


@dataclass
class Comparison:
    """What was compared; each difference: its kind, the recording, and what it is; each exception: a
    difference with its reason."""

    counts: Counter[str] = field(default_factory=Counter)
    differences: list[tuple[str, str, str]] = field(default_factory=list)
    exceptions: list[tuple[str, str, str]] = field(default_factory=list)

    def note(self, kind: str, name: str, text: str, reason: str = "") -> None:
        """A difference, or with its reason an exception."""
        if reason:
            self.exceptions.append((f"{kind}: {reason}", name, text[:400]))
        else:
            self.differences.append((kind, name, text[:400]))

    def lines(self, most: int = 40) -> Iterator[str]:
        """The figures, the exceptions by reason, then each kind of difference with its first cases."""
        counts = self.counts
        for what in ("total", "bill", "price"):
            compared, same = counts[f"{what}s compared"], counts[f"{what}s equal"]
            share = f"{same / compared:.2%}" if compared else "–"
            yield f"{what}: {same} of {compared} equal ({share})"
        yield from (f"{name}: {count}" for name, count in sorted(counts.items()))
        for title, cases, first in (
            ("exception", self.exceptions, 3),
            ("difference", self.differences, most),
        ):
            for kind in sorted({kind for kind, _, _ in cases}):
                of_kind = [(name, text) for other, name, text in cases if other == kind]
                yield f"-- {title}: {kind}: {len(of_kind)}"
                yield from (f"   {name}: {text}" for name, text in of_kind[:first])


def compare(recordings: Sequence[Recording], stored: dict[int, list[Row]]) -> Comparison:
    """Every recording whose answer states a total, a bill or usage that the list can price."""
    comparison = Comparison()
    for place, recording in enumerate(recordings):
        _compare(comparison, recording, evidence(recording), stored.get(place, []))
    return comparison


def _compare(comparison: Comparison, recording: Recording, stated: Evidence, rows: Sequence[Row]) -> None:
    comparison.counts["exchanges"] += 1
    calls = [row for row in rows if row["IsLlm"] and not row["Inner"]]
    if not calls:
        if stated.total:
            reason = of_missing(recording, rows)
            text = f"states {stated.total} tokens"
            kind = f"no call: {recording.record['method']} {recording.path.rpartition('/')[2][:40]}"
            comparison.note(kind, recording.name, text, reason)
        return
    comparison.counts["calls"] += len(calls)
    comparison.counts["inner calls"] += sum(bool(row["Inner"]) for row in rows)
    _compare_total(comparison, recording, stated, calls)
    if any(row["Uncounted"] for row in calls):
        comparison.counts["calls not counted"] += 1
        return
    _compare_bill(comparison, recording, stated, calls)
    if stated.usage:
        _compare_price(comparison, recording, stated, calls)
    for row in rows:
        if row["Inner"]:
            _recalculate(comparison, recording, row, "an inner call")


def _compare_total(
    comparison: Comparison, recording: Recording, stated: Evidence, calls: Sequence[Row]
) -> None:
    if stated.total is None:
        return
    comparison.counts["totals compared"] += 1
    total = sum(row["InputTokens"] + row["OutputTokens"] for row in calls if row["Known"])
    if total == stated.total:
        comparison.counts["totals equal"] += 1
    else:
        comparison.note("total", recording.name, f"{total}, stated {stated.total}: {dict(stated.usage)}")


def _compare_bill(
    comparison: Comparison, recording: Recording, stated: Evidence, calls: Sequence[Row]
) -> None:
    if stated.bill is None:
        return
    comparison.counts["bills compared"] += 1
    bill = next((row["StatedCost"] for row in calls if row["StatedCost"] is not None), None)
    if bill is not None and same(bill, stated.bill):
        comparison.counts["bills equal"] += 1
    else:
        comparison.note("bill", recording.name, f"{bill}, stated {stated.bill}: {dict(stated.usage)}")


def _compare_price(
    comparison: Comparison, recording: Recording, stated: Evidence, calls: Sequence[Row]
) -> None:
    (row,) = calls
    computed = row["ComputedCost"]
    listed, reason = listed_cost(recording, stated, _at(row), row["RequestModel"])
    if listed is None and computed is None:
        comparison.counts["unpriced by both"] += 1
        return
    if listed is None:
        # The list does not read this answer, or not this host's: then what we read of it, by its calculator.
        _recalculate(comparison, recording, row, reason)
        return
    comparison.counts["prices compared"] += 1
    if computed is not None and same(computed, listed):
        comparison.counts["prices equal"] += 1
        return
    names = f"{row['Provider']}/{row['RequestModel']}/{row['ResponseModel']}"
    ours = "unpriced" if computed is None else computed
    text = f"{ours}, by the list {listed} of {names}: {dict(stated.usage)}"
    why = of_price(stated, row, listed)
    comparison.note("price", recording.name, text, why)
    if why and computed is not None:
        _recalculate(comparison, recording, row, why)


def _recalculate(comparison: Comparison, recording: Recording, row: Row, reason: str) -> None:
    """Compare the cost of a call with the calculator's for the same counts."""
    if row["ComputedCost"] is None:
        comparison.counts["unpriced"] += 1
        return
    comparison.counts["counts recalculated"] += 1
    amount = recalculated(row)
    if amount is not None and same(row["ComputedCost"], amount):
        comparison.counts["counts recalculated equal"] += 1
    else:
        text = f"{row['ComputedCost']}, recalculated {amount} ({reason}): {row['PriceSource']}"
        comparison.note("recalculated", recording.name, text, of_price(Evidence(), row, amount))


def recalculated(row: Row) -> float | None:
    """USD of the counts of a stored call, by the list's calculator; None where it does not have the model."""
    usage = Usage(**{unit: row[column] for column, unit in _UNITS.items()})
    provider = LISTED.get(row["Provider"], row["Provider"])
    names = (row["ResponseModel"], row["RequestModel"])
    for model in filter(None, reversed(names) if provider == "aws" else names):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                price = calc_price(
                    usage,
                    model,
                    provider_id=provider,
                    genai_request_timestamp=_at(row),
                    price_context=context_of_tier(row["ServiceTier"]),
                )
        except LookupError:
            continue
        return float(price.total_price)
    return None


def _at(row: Row) -> datetime:
    return datetime.fromisoformat(str(row["At"])).replace(tzinfo=UTC)


def same(amount: float, other: float) -> bool:
    """Whether two amounts of USD are the same to 1e-9."""
    return abs(amount - other) <= _SAME * max(_SAME, abs(other))


def compare_spans(rows: Iterable[dict[str, Any]]) -> Comparison:
    """Stored calls of any emitter: against the totals among their own attributes, and their cost against the
    calculator's for the same counts."""
    comparison = Comparison()
    for row in rows:
        if not row["IsLlm"]:
            continue
        comparison.counts["calls"] += 1
        name = f"{row['TraceId']} {row['SpanId']}"
        total = next((row["SpanAttributes"][key] for key in _TOTALS if key in row["SpanAttributes"]), None)
        if total is not None:
            comparison.counts["totals compared"] += 1
            ours = row["InputTokens"] + row["OutputTokens"]
            if float(total) == ours:
                comparison.counts["totals equal"] += 1
            else:
                comparison.note("total", name, f"{ours}, stated {total}")
        if row["ComputedCost"] is not None:
            comparison.counts["counts recalculated"] += 1
            amount = recalculated(row)
            if amount is not None and same(row["ComputedCost"], amount):
                comparison.counts["counts recalculated equal"] += 1
            else:
                reason = of_price(Evidence(), row, amount)
                comparison.note("recalculated", name, f"{row['ComputedCost']}, recalculated {amount}", reason)
    return comparison


_TOTALS = (
    "gen_ai.usage.total_tokens",
    "llm.usage.total_tokens",
    "llm.token_count.total",
    "ai.usage.totalTokens",
)

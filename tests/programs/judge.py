"""Holds what arrived against what the program wrote down of its calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .receiver import ArrivedSpan, Report
from .shape import Figures


@dataclass(frozen=True, slots=True)
class LabelledCall:
    """A call that returned: its label, whose it is, and the span it is below; empty: nobody's, none."""

    call: str
    user: str
    under: str


def judged(
    calls: Sequence[LabelledCall],
    spans: Sequence[ArrivedSpan],
    reports: Collection[Report],
    *,
    sent: set[str],
    ended: set[str] | None = None,
) -> Figures:
    """What became of the calls.

    sent: the labels that had arrived when the program was over. ended: the spans whose blocks were left
    before that; None: all. Of others only the calls below them are there.
    """
    by_id = {(span.trace, span.span): span for span in spans}
    by_call = {span.model: span for span in spans if span.model}
    figures = Figures(
        calls=len(calls),
        counted=sum(report.dropped + (report.pending if report.killed else 0) for report in reports),
        doubled=sum(count - 1 for count in Counter((span.trace, span.span) for span in spans).values()),
        killed=sum(report.killed for report in reports),
    )
    for call in calls:
        span = by_call.get(call.call)
        if span is None:
            figures.lost += 1
            continue
        if call.call in sent:
            figures.sent += 1
        else:
            figures.spooled += 1
        if call.user and not span.user:
            figures.no_user += 1
        elif call.user and span.user != call.user:
            figures.wrong_user += 1
        is_leaked = (not call.user and bool(span.user)) or (not call.under and bool(span.parent))
        figures.leaked += is_leaked
        has_parent = bool(call.under) and (ended is None or call.under in ended)
        figures.orphaned += has_parent and not _is_below(span, call.under, by_id)
    return figures


def _is_below(span: ArrivedSpan, name: str, by_id: dict[tuple[str, str], ArrivedSpan]) -> bool:
    above: ArrivedSpan | None = span
    while above is not None:
        if above.name == name:
            return True
        above = by_id.get((above.trace, above.parent))
    return False

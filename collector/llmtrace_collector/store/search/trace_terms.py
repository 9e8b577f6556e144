"""What each term of a search asks of a whole trace: SQL over a row of `traces`.

Some is a column of that row. The rest is asked of the trace's spans: it holds where one of them, in the
search's period, is as asked.
"""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from llmtrace import semconv

from .binding import Parameters, all_true, any_true, compared, name_is
from .span_terms import SpanTerms
from .tree import Compare, Identifier, Match, Present, Term, Text

_ARRAYS: Mapping[str, str] = MappingProxyType(
    {"service": "Services", "model": "Models", "finish": "FinishReasons"}
)
_HAS: Mapping[str, str] = MappingProxyType(
    {
        "retry": "Retries > 0",
        "abandoned": "Abandoned",
        "retrieval": "HasRetrieval",
        "image": "(HasImage OR ImageInputTokens > 0)",
        "error": "FailedSteps + Retries > 0",
    }
)
#: What is there where a step of this operation is.
_STEPS: Mapping[str, str] = MappingProxyType(
    {"tool": "execute_tool", "degraded": "degraded", "approval": semconv.APPROVAL_OPERATION}
)
_NUMBERS: Mapping[str, str] = MappingProxyType(
    {
        "tokens": "if(Calls = UnknownUsage, NULL, InputTokens + OutputTokens)",
        "input_tokens": "if(Calls = UnknownUsage, NULL, InputTokens)",
        "output_tokens": "if(Calls = UnknownUsage, NULL, OutputTokens)",
        "latency": "Duration / 1e9",
    }
)
#: A failed step whose trace ended well is an error of the trace as well.
_STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "ok": "Status = 'ok'",
        "failed": "Status = 'failed'",
        "recovered": "Status = 'recovered'",
        "error": "Status IN ('failed', 'recovered')",
    }
)


class TraceTerms:
    """Terms as conditions on a row of `traces`; None for those that are asked of spans."""

    def __init__(self, parameters: Parameters, spans: SpanTerms) -> None:
        self._parameters = parameters
        self._spans = spans

    def overlap(self) -> list[str]:
        """A part of the trace lies in the period."""
        return [text for text in (self._parameters.since("End"), self._parameters.until("Start")) if text]

    def term(self, node: Term) -> str | None:
        """The condition on the row."""
        if isinstance(node, Text):
            return None
        if isinstance(node, Identifier):
            return f"TraceId = {self._parameters.text(node.text)}" if node.kind == "trace" else None
        if isinstance(node, Present):
            return (
                self._scored([f"Name = {self._parameters.text(node.key)}"]) if node.field == "score" else None
            )
        return self._match(node) if isinstance(node, Match) else self._compare(node)

    def _match(self, node: Match) -> str | None:
        if node.field in _ARRAYS:
            array = _ARRAYS[node.field]
            return any_true(
                f"arrayExists(x -> {name_is('x', value, self._parameters)}, {array})" for value in node.values
            )
        if node.field == "project":
            return self._spans.match(node)
        if node.field == "purpose":
            return any_true(f"Purpose = {self._parameters.text(value.text)}" for value in node.values)
        if node.field == "status":
            return any_true(_STATUSES[value.text] for value in node.values)
        if node.field == "has":
            return self._has([value.text for value in node.values])
        return self._scored(self._spans.score_labelled(node)) if node.field == "score" else None

    def _has(self, wanted: list[str]) -> str:
        conditions = []
        for what in wanted:
            if what == "score":
                conditions.append(self._scored([]))
            elif what in _STEPS:
                conditions.append(self.of_spans([f"Operation = '{_STEPS[what]}'"]))
            else:
                conditions.append(_HAS[what])
        return any_true(conditions)

    def _compare(self, node: Compare) -> str | None:
        if node.field == "score":
            return self._scored(self._spans.score_compares(node))
        if node.field == "cost":
            return self._costs(node)
        if node.field in _NUMBERS:
            return compared(_NUMBERS[node.field], node.operator, node.number, self._parameters)
        return None

    def _costs(self, node: Compare) -> str:
        """The whole trace is summed up, also what of it lies before or after the period."""
        overlap = all_true(self.overlap())
        bounds = ["TraceId != ''"]
        if self._parameters.since("Timestamp"):
            bounds.append(f"Timestamp >= (SELECT min(Start) FROM traces WHERE {overlap})")
        if self._parameters.until("Timestamp"):
            bounds.append(f"Timestamp <= (SELECT max(End) FROM traces WHERE {overlap})")
        total = compared("sum(Cost)", node.operator, node.number, self._parameters)
        return (
            f"TraceId IN (SELECT TraceId FROM span_cost WHERE {all_true(bounds)} "
            f"GROUP BY TraceId HAVING {total})"
        )

    def _scored(self, wanted: list[str]) -> str:
        """A score of the trace, or of a response in it, is as `wanted`."""
        which = all_true([self._parameters.since("Timestamp"), *wanted])
        of_response = (
            "ResponseId != '' AND ResponseId IN "
            f"(SELECT ResponseId FROM scores WHERE ResponseId != '' AND {which})"
        )
        return any_true(
            [
                f"TraceId IN (SELECT TraceId FROM scores WHERE TraceId != '' AND {which})",
                self.of_spans([of_response]),
            ]
        )

    def of_spans(self, conditions: list[str]) -> str:
        """For each of the conditions, a span of the trace is as it says."""
        return f"TraceId IN ({matching('TraceId', {'otel_traces': conditions}, self._parameters)})"


def matching(
    key: str,
    terms: Mapping[str, list[str]],
    parameters: Parameters,
    narrowed: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """SELECT of the keys for which every term holds in some row: each table of `terms` has a condition for
    each term. Every table is read once, in the period; `narrowed` has further conditions on their rows.
    """
    selects = []
    for table, conditions in terms.items():
        where = [*parameters.within("Timestamp"), narrowed.get(table, "")]
        if len(conditions) == 1:
            selects.append(f"SELECT {key} FROM {table} WHERE {all_true([*where, *conditions])}")
            continue
        items = ", ".join(f"{condition} AS term_{n}" for n, condition in enumerate(conditions))
        some = any_true(f"term_{n}" for n in range(len(conditions)))
        selects.append(f"SELECT {key}, {items} FROM {table} WHERE {all_true([*where, some])}")
    rows = " UNION ALL ".join(selects)
    count = len(next(iter(terms.values())))
    if count == 1:
        return rows
    every = " AND ".join(f"max(term_{n})" for n in range(count))
    return f"SELECT {key} FROM ({rows}) GROUP BY {key} HAVING {every}"

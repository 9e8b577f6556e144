"""A tree as one SQL condition, over spans or over traces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from llmtrace_collector.sql_values import QueryValue

from .binding import Parameters, all_true, any_true
from .span_terms import MESSAGES_LOGGED, SpanTerms
from .times import Period
from .trace_terms import TraceTerms, matching
from .tree import And, Compare, Identifier, Match, Node, Not, Or, Other, Present, Text, divided, parts_of

#: What a search is asked over.
Over = Literal["spans", "traces"]

#: Fields that few rows fit, so that it pays to read the texts of those rows alone.
_SELECTIVE = frozenset({"user", "session", "run", "experiment", "prompt", "tag", "tool", "error", "attr"})


@dataclass(frozen=True)
class Condition:
    """What stands after WHERE in a SELECT from `source`, and the values of its placeholders."""

    sql: str
    params: Mapping[str, QueryValue]
    source: str


def compile_spans(tree: Node | None, period: Period, prefix: str) -> Condition:
    """The condition on rows of `otel_traces`."""
    parameters = Parameters(period, prefix)
    conditions = [] if tree is None else [_Spans(parameters).node(tree)]
    sql = all_true([*parameters.within("Timestamp"), *conditions])
    return Condition(sql, parameters.values, "otel_traces")


def compile_traces(tree: Node | None, period: Period, prefix: str) -> Condition:
    """The condition on rows of `traces`."""
    parameters = Parameters(period, prefix)
    compiler = _Traces(parameters)
    conditions = [] if tree is None else [compiler.node(tree)]
    return Condition(all_true([*compiler.overlap(), *conditions]), parameters.values, "traces")


class _Compiler(ABC):
    """Joins conditions; what they are over is for subclasses, whose `key` is a row's in every table."""

    key: str

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._spans = SpanTerms(parameters)

    def node(self, node: Node) -> str:
        """The condition that `node` is."""
        if isinstance(node, Not):
            return f"NOT ({self.node(node.node)})"
        if isinstance(node, Or):
            texts, others = divided(node)
            conditions = [self.node(other) for other in others]
            return any_true([*conditions, self._any_text(texts)] if texts else conditions)
        return self._all(node)

    def _all(self, node: Node) -> str:
        texts, without, others = parts_of(node)
        conditions = self._others(others)
        if texts:
            conditions.append(self._texts(texts, [other for other in others if _is_selective(other)]))
        if without:
            conditions.append(f"NOT ({self._any_text(without)})")
        return all_true(conditions)

    def _any_text(self, texts: list[Text]) -> str:
        """One of the texts occurs: all are looked for in one reading."""
        terms = {table: [any_true(places)] for table, places in self._places(texts).items()}
        return self._in(matching(self.key, terms, self._parameters, {"otel_logs": MESSAGES_LOGGED}))

    def _texts(self, texts: list[Text], selective: list[Other]) -> str:
        """Every one of the texts occurs."""
        few = self._in(self._narrow(selective)) if selective else ""
        narrowed = {
            "otel_traces": few,
            "span_texts": few,
            "otel_logs": all_true([MESSAGES_LOGGED, few]),
        }
        return self._in(matching(self.key, self._places(texts), self._parameters, narrowed))

    def _places(self, texts: list[Text]) -> Mapping[str, list[str]]:
        """By table: the condition that a row has a text, for each of them."""
        return {
            "otel_traces": [self._spans.in_span(text) for text in texts],
            "span_texts": [self._spans.in_messages(text) for text in texts],
            "otel_logs": [self._spans.logged(text) for text in texts],
        }

    def _in(self, keys: str) -> str:
        return f"{f'({self.key})' if ',' in self.key else self.key} IN ({keys})"

    def _of_span(self, node: Identifier | Match | Compare | Present) -> str:
        if isinstance(node, Identifier):
            return self._spans.identifier(node)
        if isinstance(node, Match):
            return self._spans.match(node)
        return self._spans.compare(node) if isinstance(node, Compare) else self._spans.present(node)

    @abstractmethod
    def _others(self, nodes: Sequence[Other]) -> list[str]:
        """The conditions of terms that are not about texts."""

    @abstractmethod
    def _narrow(self, nodes: Sequence[Other]) -> str:
        """SELECT of the keys that terms of few rows leave."""


class _Spans(_Compiler):
    key = "TraceId, SpanId"

    def _others(self, nodes: Sequence[Other]) -> list[str]:
        return [
            self.node(node) if isinstance(node, Not | And | Or) else self._of_span(node) for node in nodes
        ]

    def _narrow(self, nodes: Sequence[Other]) -> str:
        return matching(self.key, {"otel_traces": [all_true(self._others(nodes))]}, self._parameters)


class _Traces(_Compiler):
    key = "TraceId"

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters)
        self._traces = TraceTerms(parameters, self._spans)

    def overlap(self) -> list[str]:
        """Conditions that a part of the trace lies in the period."""
        return self._traces.overlap()

    def _others(self, nodes: Sequence[Other]) -> list[str]:
        conditions, of_spans = [], []
        for node in nodes:
            if isinstance(node, Not | And | Or):
                conditions.append(self.node(node))
                continue
            of_trace = self._traces.term(node)
            if of_trace is None:
                of_spans.append(self._of_span(node))
            else:
                conditions.append(of_trace)
        # What is asked of spans is asked in one reading of them.
        return [*conditions, self._traces.of_spans(of_spans)] if of_spans else conditions

    def _narrow(self, nodes: Sequence[Other]) -> str:
        of_spans = [self._of_span(node) for node in nodes if not isinstance(node, Not | And | Or)]
        return matching(self.key, {"otel_traces": of_spans}, self._parameters)


def _is_selective(node: Other) -> bool:
    """Whether few rows fit a term, so that they are worth finding first."""
    return isinstance(node, Identifier) or (isinstance(node, Match) and node.field in _SELECTIVE)

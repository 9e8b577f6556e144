"""A checked search: what it asks for, its period, and the condition that the engine is given."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from .conditions import Condition, Over, compile_spans, compile_traces
from .fields import FIELDS
from .times import ALWAYS, Moment, Period
from .tree import And, Compare, Identifier, Match, Node, Not, Or, Value, all_of, terms


@dataclass(frozen=True)
class Search:
    """What is asked for. Without a tree, everything; `since` and `until` bound the period."""

    tree: Node | None = None
    since: Moment | None = None
    until: Moment | None = None

    def __str__(self) -> str:
        ends = [f"since:{self.since}"] if self.since else []
        ends += [f"until:{self.until}"] if self.until else []
        tree = "" if self.tree is None else str(self.tree)
        if ends and isinstance(self.tree, Or):
            tree = f"({tree})"
        return " ".join([tree, *ends] if tree else ends)

    def mentions(self, *fields: str) -> bool:
        """Whether a term asks for one of these fields, so that a reader's default for it does not hold."""
        return self.tree is not None and any(
            getattr(term, "field", "") in fields for term in terms(self.tree)
        )

    def asks_only(self, fields: Collection[str]) -> bool:
        """Whether every term asks for one of these fields: none is about words, ids or another field."""
        return self.tree is None or all(getattr(term, "field", "") in fields for term in terms(self.tree))

    @property
    def trace_id(self) -> str:
        """The id of the trace that alone is asked for, '' for any other search."""
        return self.tree.text if isinstance(self.tree, Identifier) and self.tree.kind == "trace" else ""

    @property
    def names_an_id(self) -> bool:
        """Whether all that is found has a bare id, which leaves nothing to a reader's defaults."""
        needed = self.tree.nodes if isinstance(self.tree, And) else (self.tree,)
        return any(isinstance(node, Identifier) for node in needed)

    def narrowed(self, *nodes: Node) -> Search:
        """This search with further terms that must hold too."""
        present = [node for node in (*nodes, self.tree) if node is not None]
        return replace(self, tree=all_of(present)) if present else self

    def only(self, **fields: str | Sequence[str]) -> Search:
        """This search where each field is the text, or one of the texts: filters of a page, options of a
        command. `*` is a character in them; what is empty is left out. Raises KeyError for an unknown field.
        """
        chosen = {name: (texts,) if isinstance(texts, str) else texts for name, texts in fields.items()}
        return self.narrowed(
            *(
                Match(FIELDS[name].name, tuple(map(Value, texts)))
                for name, texts in chosen.items()
                if any(texts)
            )
        )

    def without(self, other: Search) -> Search:
        """This search without what `other` finds; everything is left where that asks for nothing."""
        return self if other.tree is None else self.narrowed(Not(other.tree))

    def only_value(self, field: str) -> str:
        """The one value of a field that all that is found must have; '' where several or none must."""
        needed = self.tree.nodes if isinstance(self.tree, And) else (self.tree,)
        values = [
            node.values
            for node in needed
            if isinstance(node, Match) and node.field == field and len(node.values) == 1
        ]
        return values[0][0].text if len(values) == 1 and not values[0][0].pattern else ""

    def at_least(self, field: str, number: float) -> Search:
        """This search where a number (seconds, USD) is not less."""
        return self.narrowed(Compare(FIELDS[field].name, ">=", number))

    def period(self, within: Period = ALWAYS, now: datetime | None = None, zone: tzinfo = UTC) -> Period:
        """The search's own ends, and those of `within` where it names none. Dates are days of `zone`."""
        moment = now or datetime.now(UTC)
        since = within.since if self.since is None else self.since.resolved(moment, zone)
        until = within.until if self.until is None else self.until.resolved(moment, zone)
        # A search that names one end is not cut off by the other end of the reader's usual period.
        if since is not None and until is not None and since >= until:
            since = None if self.since is None else since
            until = None if self.until is None else until
        return Period(since, until)

    def condition(
        self,
        over: Over = "spans",
        within: Period = ALWAYS,
        now: datetime | None = None,
        zone: tzinfo = UTC,
        prefix: str = "search",
    ) -> Condition:
        """The condition on rows of `Condition.source` that match: spans, or traces with all their spans.

        `within` is the reader's own period, for ends that the search does not name. Parameters begin with
        `prefix`. A term over traces holds where a span of the period has what it asks; tokens, cost, latency
        and status are of the whole trace.
        """
        period = self.period(within, now, zone)
        return (compile_spans if over == "spans" else compile_traces)(self.tree, period, prefix)

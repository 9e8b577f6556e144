"""Spans in the order of a call tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Node:
    """A span, how deep it lies under its root, and how many direct children it has."""

    span: dict[str, Any]
    depth: int
    children: int


def arrange(spans: Sequence[dict[str, Any]]) -> list[Node]:
    """Spans (with `span_id`, `parent_id`, `start_ns`) depth first, children by start time under their parent.

    A span whose parent is not among them is a root; spans that form a circle of parents come last, as roots.
    Every span appears once; of two with the same id the first stands for both as a parent.
    """
    ordered = sorted(spans, key=lambda span: (span["start_ns"], span["span_id"]))
    known = {span["span_id"] for span in ordered}
    below: dict[str, list[dict[str, Any]]] = {}
    roots = []
    for span in ordered:
        parent = span["parent_id"]
        if parent in known and parent != span["span_id"]:
            below.setdefault(parent, []).append(span)
        else:
            roots.append(span)
    nodes: list[Node] = []
    seen: set[int] = set()
    taken: set[str] = set()

    def walk(root: dict[str, Any]) -> None:
        # Not recursive: a chain of calls may be deeper than Python's stack.
        stack = [(root, 0)]
        while stack:
            span, depth = stack.pop()
            if id(span) in seen:
                continue
            seen.add(id(span))
            children = [] if span["span_id"] in taken else below.get(span["span_id"], [])
            taken.add(span["span_id"])
            nodes.append(Node(span, depth, len(children)))
            stack.extend((child, depth + 1) for child in reversed(children))

    for root in roots:
        walk(root)
    for span in ordered:
        if id(span) not in seen:
            walk(span)
    return nodes

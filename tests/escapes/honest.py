"""Honest queries: those of llmtrace's own parts, of the documentation, of clients, and of each table.

`honest/llmtrace.jsonl.gz` is what dashboard, detection and command line asked while their tests ran
(`python -m tests.escapes --record` makes it anew); the other files are what clients send by themselves.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from llmtrace_collector.store.catalogue import NOBODYS, READABLE

from .lines import Line, lines_of

FOLDER = Path(__file__).parent / "honest"

RECORDED = FOLDER / "llmtrace.jsonl.gz"

_DOCS = Path(__file__).parents[2]

_STARTS = re.compile(r"(SELECT|WITH|SHOW|DESCRIBE)\s")

_SHAPES = (
    "SELECT count() FROM {table}",
    "SELECT * FROM {table} LIMIT 3",
    "SELECT * FROM llmtrace.{table} AS t LIMIT 1 FORMAT JSON",
    "WITH x AS (SELECT * FROM {table}) SELECT count() FROM x",
    "SELECT count() FROM (SELECT * FROM {table}) AS x FORMAT JSONCompact",
    "DESCRIBE TABLE {table}",
)


def honest_lines() -> Iterator[Line]:
    """Every honest query."""
    for path in sorted(FOLDER.iterdir()):
        yield from lines_of(path)
    yield from of_documentation()
    for table in sorted(READABLE):
        for shape in _SHAPES:
            yield Line(shape.format(table=table), "tables", "answered")


def needs_every_project(line: Line) -> bool:
    """Whether the query names what keys of one project may not name."""
    return any(
        re.search(rf"\b{name}\b", line.text) and not line.text.startswith(("DESCRIBE", "EXISTS"))
        for name, rows in READABLE.items()
        if rows == NOBODYS
    )


def of_documentation() -> Iterator[Line]:
    """The SQL in README.md and docs: blocks that are SQL, strings in Python blocks, and what curl sends."""
    for path in [_DOCS / "README.md", *sorted((_DOCS / "docs").rglob("*.md"))]:
        for text in _queries(path.read_text()):
            yield Line(text, "documentation", "answered", params=_values(text))


def _queries(page: str) -> Iterator[str]:
    for block in re.findall(r"^```(\w*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        if block[0] == "python":
            yield from _strings(block[1])
        elif block[0] in ("sql", ""):
            yield from _statements(block[1])
    for lines in re.findall(r"(?:^    .*\n(?:^[ \t]*\n(?=    ))?)+", page, re.MULTILINE):
        yield from _statements("\n".join(line[4:] for line in lines.splitlines()))
    # What a shell is given.
    yield from re.findall(r"""["'](SELECT [^"']+ FROM \w[^"']*)["']""", page)


def _statements(block: str) -> Iterator[str]:
    """SQL statements of a block of text, which blank lines part."""
    for part in re.split(r"\n\s*\n", block):
        if _STARTS.match(part.strip()) and ("FROM" in part or part.strip().startswith(("SHOW", "DESCRIBE"))):
            yield part.strip()


def _strings(block: str) -> Iterator[str]:
    try:
        tree = ast.parse(block)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (
                text for text in [node.value] if _STARTS.match(text) and re.search(r"FROM\s+\w", text)
            )


def _values(text: str) -> dict[str, str]:
    """Values for the parameters of a text, by their types."""
    values = {}
    for name, kind in re.findall(r"\{(\w+):([^}]+)\}", text):
        values[name] = "[]" if kind.startswith("Array") else "x" if "String" in kind else "1"
    return values

"""The table of fields in docs/search.md, from the fields: `python -m tests.collector.search_reference`."""

from __future__ import annotations

from llmtrace_collector.store.search import Field, fields


def table() -> str:
    """Every field as a row of Markdown: how it is written, what it asks for, an example."""
    rows = "\n".join(map(_row, fields()))
    return f"| field | asks for | example |\n|---|---|---|\n{rows}\n"


def _row(field: Field) -> str:
    words = f" One of {', '.join(f'`{choice}`' for choice in field.choices)}." if field.choices else ""
    return f"| `{field.label}` | {field.help}{words} | `{field.example}` |"


if __name__ == "__main__":
    print(table(), end="")

"""What providers say that they bill, each mapped to the same columns by a module that only names theirs.

The command line and the watch hand what it reads to reconciliation; it imports nothing of ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from . import anthropic, azure, openai, openrouter
from .billed import UnreadableExport, frame_of, with_costs
from .columns import Export, from_table

EXPORTS: Mapping[str, Export] = MappingProxyType(
    {
        "openai": openai.EXPORT,
        "anthropic": anthropic.EXPORT,
        "azure": azure.EXPORT,
        "openrouter": openrouter.EXPORT,
    }
)

__all__ = ["EXPORTS", "UnreadableExport", "from_answers", "read"]


def read(provider: str, path: Path) -> pd.DataFrame:
    """A provider's usage CSV, or answers of its usage API saved as JSON (one, a list, or one a line), as rows
    of `billed.IDENTITY` and `billed.NUMBERS`. Raises UnreadableExport."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip()[:1] in ("{", "["):
            return from_answers(provider, _pages(text))
        table = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False)
    except UnreadableExport as error:
        raise UnreadableExport(f"{path}: {error}") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UnreadableExport(f"{path} cannot be read as CSV: {error}") from error
    try:
        return from_table(EXPORTS[provider], table)
    except UnreadableExport as error:
        raise UnreadableExport(f"{path}: {error}") from error


def from_answers(provider: str, pages: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The same of answers of the provider's usage API and, where it has one, its costs API, in any order.

    Raises UnreadableExport.
    """
    answers = list(pages)
    if provider == "azure":
        table = azure.table_of(answers)
        return frame_of(()) if table.empty else from_table(azure.EXPORT, table)
    if provider == "openrouter":
        return frame_of(row for page in answers for row in openrouter.rows(page))
    shape = openai if provider == "openai" else anthropic
    try:
        usage = frame_of(row for page in answers for row in shape.rows(page))
        return with_costs(usage, [cost for page in answers for cost in shape.costs(page)])
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, UnreadableExport):
            raise
        raise UnreadableExport(
            f"this is no answer of {EXPORTS[provider].name}'s usage API: {error}"
        ) from error


def _pages(text: str) -> list[Mapping[str, Any]]:
    try:
        value = json.loads(text)
    except ValueError:
        try:
            value = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise UnreadableExport(f"this is no JSON: {error}") from error
    pages = value if isinstance(value, list) else [value]
    if not all(isinstance(page, Mapping) for page in pages):
        raise UnreadableExport("this is no answer of a usage API: it should be an object, or a list of them")
    return pages

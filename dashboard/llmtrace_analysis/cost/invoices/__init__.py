"""Usage exports of providers, each mapped to the same columns by a module that only names columns.

The command line imports it, and hands what it reads to reconciliation; it imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from . import anthropic, azure, openai
from .columns import Export, UnreadableExport, read_export

EXPORTS: Mapping[str, Export] = MappingProxyType(
    {"openai": openai.EXPORT, "anthropic": anthropic.EXPORT, "azure": azure.EXPORT}
)

__all__ = ["EXPORTS", "UnreadableExport", "read"]


def read(provider: str, path: Path) -> pd.DataFrame:
    """A provider's usage CSV as rows of `day`, `model`, tokens, `requests` and `cost` (NaN where it says
    none). Raises UnreadableExport."""
    return read_export(EXPORTS[provider], path)

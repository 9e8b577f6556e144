"""Dialects of LLM telemetry: the table of their attributes, and the SQL that reads them."""

from .expressions import (
    any_foreign,
    codes,
    default_columns,
    is_foreign,
    kept,
    not_pending,
    selects,
    texts,
    translated,
)
from .table import FIELDS, LLM_OPERATIONS, PROVIDER_NAMES, TEXT_COLUMNS

__all__ = [
    "FIELDS",
    "LLM_OPERATIONS",
    "PROVIDER_NAMES",
    "TEXT_COLUMNS",
    "any_foreign",
    "codes",
    "default_columns",
    "is_foreign",
    "kept",
    "not_pending",
    "selects",
    "texts",
    "translated",
]

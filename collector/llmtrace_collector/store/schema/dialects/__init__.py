"""Dialects of LLM telemetry: the table of their attributes, and the SQL that reads them.

The store and the command line's administration import it; it imports nothing of ours.
"""

from .attribute_table import FIELDS, LLM_OPERATIONS, PROVIDER_NAMES, TEXT_COLUMNS
from .content import is_conversation, without_content, without_texts
from .expressions import (
    any_foreign,
    codes,
    default_columns,
    is_foreign,
    not_pending,
    remaining_keys,
    selects,
    texts,
    translated,
)
from .log_messages import log_messages

__all__ = [
    "FIELDS",
    "LLM_OPERATIONS",
    "PROVIDER_NAMES",
    "TEXT_COLUMNS",
    "any_foreign",
    "codes",
    "default_columns",
    "is_conversation",
    "is_foreign",
    "log_messages",
    "not_pending",
    "remaining_keys",
    "selects",
    "texts",
    "translated",
    "without_content",
    "without_texts",
]

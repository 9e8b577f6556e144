"""The routes that leave no audit row, though they are no GETs, and why not.

Every other route records who asked (`telemetry.audit.AuditTrail`) before it changes anything;
tests/contract/test_audit.py walks all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_CALL = "a call of a model: its spans say whose it was and what came of it"
_OWN = "a caller's own files and batches, which no other key sees; their requests have spans"

DATA_ROUTES: Mapping[str, str] = MappingProxyType(
    {
        "POST /v1/chat/completions": _CALL,
        "POST /v1/completions": _CALL,
        "POST /v1/embeddings": _CALL,
        "POST /v1/files": _OWN,
        "DELETE /v1/files/{file_id}": _OWN,
        "POST /v1/batches": _OWN,
        "POST /v1/batches/{batch_id}/cancel": _OWN,
    }
)

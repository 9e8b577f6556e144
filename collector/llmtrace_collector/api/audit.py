"""What administrators did, kept in the table `audit_log`."""

from __future__ import annotations

import time

from fastapi import Request

from llmtrace_collector.store.store import Store


def audit(
    store: Store, request: Request, action: str, target: str, detail: str = "", project: str = ""
) -> None:
    """Write down one action of the key that `request` came with. Raises StoreError."""
    identity = request.state.identity
    store.insert_rows(
        "audit_log",
        [
            {
                "Project": project or identity.project,
                "At": f"{time.time():.3f}",
                "KeyId": identity.key_id,
                "Action": action,
                "Target": target,
                "Detail": detail,
                "Address": request.client.host if request.client else "",
            }
        ],
    )

"""A collector whose store refuses segments with `POISON` in them, to be killed while it bisects them.

python -m tests.collector.refusing SETTINGS_AS_JSON
"""

from __future__ import annotations

import sys
from pathlib import Path

from llmtrace_collector.app import serve
from llmtrace_collector.settings import CollectorSettings
from llmtrace_collector.store.engine import StoreError
from llmtrace_collector.store.store import Store

POISON = "these bytes are refused"
REASON = "Code: 117. DB::Exception: these bytes are refused"


def refuse_poison() -> None:
    """Make every store of this process refuse such segments."""
    real = Store.insert_segment

    def insert(self: Store, signal: str, path: Path, token: str) -> None:
        if POISON.encode() in path.read_bytes():
            raise StoreError(REASON, 117)
        real(self, signal, path, token)

    Store.insert_segment = insert  # type: ignore[method-assign]


if __name__ == "__main__":
    refuse_poison()
    serve(CollectorSettings.model_validate_json(sys.argv[1]))

"""The name of the store's database, for those that need nothing else of the engine."""

from __future__ import annotations

#: The embedded store's own database; a server's is that of its address.
DATABASE = "llmtrace"

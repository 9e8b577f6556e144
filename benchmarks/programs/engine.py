"""The engine alone, with a checkout's schema: `engine.py STORE_DIRECTORY REDACTION_AS_JSON`.

The second argument is a list: sets of patterns, and whether content is dropped. Prints a line when the store
is open; then it inserts the segment named by each line of standard input and prints how many spans are
stored, once at the end.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from llmtrace_collector.store.schema.redaction import Redaction
from llmtrace_collector.store.store import open_store


def main() -> None:
    """Insert until the input ends."""
    sets, drop_content = json.loads(sys.argv[2])
    store = open_store(f"chdb://{sys.argv[1]}", redaction=Redaction(tuple(sets), (), drop_content))
    print("ready", flush=True)
    for line in sys.stdin:
        segment = Path(line.strip())
        store.insert_segment("traces", segment, segment.stem)
        print("stored", flush=True)
    print(int(store.read("SELECT count() FROM otel_traces")), flush=True)
    store.close()


if __name__ == "__main__":
    main()

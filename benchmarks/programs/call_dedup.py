"""Inserts and passes of call deduplication in one process: `call_dedup.py STORE_DIRECTORY on|off`.

Each line of standard input names the segments of one period with blanks between: they are inserted over ten
seconds, as they would come (a pass reads the last second before it again), the rollups make a pass, and where
it is `on` so does call deduplication. Answers with one JSON object: CPU (s) of `inserts`, `rollups` and
`dedup`, and `seconds` and `changed` of the pass. At the end of the input it waits until merges are done and
prints `cpu` altogether, `spans` stored and `counted`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.quiet import merges
from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from llmtrace_collector.store.store import open_store

#: How long no merge may run before all are done, seconds.
_QUIET = 3.0

#: How long a period lasts, seconds.
_PERIOD = 10.0


def _cpu(work: Callable[[], object]) -> tuple[float, float, object]:
    cpu, began = time.process_time(), time.monotonic()
    result = work()
    return time.process_time() - cpu, time.monotonic() - began, result


def main() -> None:
    """Insert and pass until the input ends."""
    directory, mode = Path(sys.argv[1]), sys.argv[2]
    store = open_store(f"chdb://{directory}")
    deduplicator = CallDeduplicator(store)
    deduplicator.sync()
    print("ready", flush=True)
    began = time.process_time()

    def insert(names: list[str]) -> None:
        start = time.monotonic()
        for number, name in enumerate(names, 1):
            store.insert_segment("traces", Path(name), Path(name).stem)
            time.sleep(max(0.0, start + number * _PERIOD / len(names) - time.monotonic()))

    for line in sys.stdin:
        inserts, _, _ = _cpu(partial(insert, line.split()))
        rollups, _, _ = _cpu(store.roll_up)
        dedup, seconds, changed = _cpu(deduplicator.sync) if mode == "on" else (0.0, 0.0, 0)
        figures = {"inserts": inserts, "rollups": rollups, "dedup": dedup, "seconds": seconds}
        print(json.dumps({**figures, "changed": changed}), flush=True)
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < _QUIET:
        time.sleep(0.1)
        if merges(directory):
            quiet_since = time.monotonic()
    cpu = time.process_time() - began
    (row,) = store.rows("SELECT count() AS spans, countIf(Counted) AS counted FROM otel_traces")
    print(json.dumps({"cpu": cpu, "spans": int(row["spans"]), "counted": int(row["counted"])}), flush=True)
    store.close()


if __name__ == "__main__":
    main()

"""What an outage costs an application: `spool_cost.py SPOOL FILES PUTS`.

Fills a spool with so many batches and prints as JSON the CPU milliseconds of a further put, with room for it
and without.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from dataclasses import replace

from llmtrace import config
from llmtrace.delivery.exporter import Batch
from llmtrace.delivery.spool import Spool


def main(folder: str, files: int, puts: int) -> None:
    """Fill the spool, then measure at that size, and at a bound that is reached."""
    settings = replace(config.resolve(endpoint="http://127.0.0.1:9").delivery, spool_dir=folder)
    batch = Batch(signal="traces", items=10, payload=b"x" * 2000)
    spool = Spool(settings)
    for _ in range(files):
        spool.put(batch)
    costs = {}
    for name, limit in (("room", settings.spool_bytes), ("full", files * 2000)):
        measured = Spool(replace(settings, spool_bytes=limit))
        began = time.process_time()
        for _ in range(puts):
            with suppress(OSError):
                measured.put(batch)
        costs[name] = round((time.process_time() - began) / puts * 1000, 3)
    print(json.dumps(costs), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

"""Spans by the SDK at a steady rate: `sdk_sender.py ENDPOINT SPOOL RATE SECONDS END`.

END is `close` (end in order), `exit` (os._exit at once) or `wait` (until it is killed). Prints JSON lines,
`{"generated": …, "cpu": …}`, and at an orderly end the SDK's own statistics.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict

import llmtrace


def main(endpoint: str, spool: str, rate: float, seconds: float, end: str) -> None:
    """Send, then end as asked."""
    llmtrace.init(endpoint=endpoint, service_name="sdk", spool_dir=spool)
    began = time.monotonic()
    generated, reported = 0, 0.0
    while (passed := time.monotonic() - began) < seconds:
        while generated < rate * passed:
            with llmtrace.span("fault", kind="retrieval"):
                generated += 1
        if passed - reported >= 0.2:
            reported = passed
            print(json.dumps({"generated": generated, "cpu": time.process_time()}), flush=True)
        time.sleep(0.005)
    print(json.dumps({"generated": generated, "cpu": time.process_time()}), flush=True)
    if end == "exit":
        os._exit(0)
    if end == "wait":
        time.sleep(600)
    llmtrace.flush(30)
    print(json.dumps({"stats": asdict(llmtrace.stats())}), flush=True)
    llmtrace.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), sys.argv[5])

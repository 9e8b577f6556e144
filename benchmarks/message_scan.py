"""What watch takes at 800 spans/s: CPU of the scan of messages, and time of an evaluation of the rules.

    python -m benchmarks.message_scan [--minutes 60] [--rate 800] [--unfiltered]

A store is filled with so many minutes of LLM spans of the shape of `filled_store.py`, three of five with
messages, up to now; a collector in a process of its own serves it. Then the messages of all of it are scanned
as watch scans them, without its pauses, and meanwhile its rules are evaluated every three seconds. The last
line of stdout is one JSON object:

  messages, suspects, matches    calls with messages; those that the store could not leave out; those that hit
  cpu_seconds                    of the collector and the scan together, with what the collector does besides
  messages_per_cpu_second
  evaluation_seconds, evaluation_seconds_max
                                 of the rules while messages are scanned: median and longest
  quiet_evaluation_seconds       median without a scan

`--unfiltered` lets every message through: what the scan would take without the store's help.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from unittest.mock import patch

from llmtrace_analysis.collector_client import connect_reader
from llmtrace_analysis.detect import store_queries
from llmtrace_analysis.detect.scans.message_scan import MessageScan
from llmtrace_analysis.settings import WatchSettings
from llmtrace_analysis.watch.app import build
from llmtrace_collector.store.store import open_store

from .checkout import HERE, Checkout
from .collector_process import CollectorProcess
from .filled_store import RETENTION_DAYS, insert_spans

_QUIET_EVALUATIONS = 5


def main() -> None:
    """Fill, scan, look, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--rate", type=int, default=800)
    parser.add_argument("--unfiltered", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder), arguments.minutes * 60, arguments.rate)
        fields = {"retention_days": RETENTION_DAYS}
        with CollectorProcess(Checkout(HERE), Path(folder), fields) as collector:
            print(json.dumps(_measure(collector, arguments.minutes * 60, arguments.unfiltered)))


def _fill(folder: Path, seconds: int, rate: int) -> None:
    store = open_store(f"chdb://{folder / 'store'}", RETENTION_DAYS)
    end = int(time.time())
    with closing(store):
        insert_spans(store, seconds * rate, end - seconds, end, _progress)


def _progress(done: int, of: int) -> None:
    print(f"{done} of {of} spans", file=sys.stderr)


def _measure(collector: CollectorProcess, seconds: int, unfiltered: bool) -> dict[str, float]:
    settings = WatchSettings(collector_url=collector.url, data_dir=collector.directory)
    # An hour is filled before it is measured.
    history = seconds + 3600
    scan = MessageScan(partial(connect_reader, settings), settings.purposes, history, 3.0)
    evaluations: list[float] = []
    with closing(build(settings)) as watch, closing(scan):
        watch.evaluate(time.time())
        quiet = [_duration(watch.evaluate) for _ in range(_QUIET_EVALUATIONS)]
        ended = threading.Event()

        def keep_evaluating() -> None:
            while not ended.is_set():
                evaluations.append(_duration(watch.evaluate))
                ended.wait(settings.interval_seconds)

        evaluating = threading.Thread(target=keep_evaluating)
        used = collector.process.cpu_times()
        began, own = time.monotonic(), time.process_time()
        evaluating.start()
        with patch.object(store_queries, "expressions", lambda: ("",)) if unfiltered else nullcontext():
            while True:
                scan.step()
                state = scan.state()
                if not state.unread:
                    break
        wall = time.monotonic() - began
        now = collector.process.cpu_times()
        cpu = now.user + now.system - used.user - used.system + time.process_time() - own
        ended.set()
        evaluating.join()
        return {
            "messages": state.scanned,
            "suspects": state.suspects,
            "matches": sum(map(len, scan.matches().values())),
            "given_up": state.given_up,
            "cpu_seconds": round(cpu, 2),
            "wall_seconds": round(wall, 2),
            "messages_per_cpu_second": round(state.scanned / cpu),
            "evaluation_seconds": round(statistics.median(evaluations), 3),
            "evaluation_seconds_max": round(max(evaluations), 3),
            "quiet_evaluation_seconds": round(statistics.median(quiet), 3),
        }


def _duration(evaluate: object) -> float:
    started = time.monotonic()
    assert callable(evaluate)
    evaluate(time.time())
    return time.monotonic() - started


if __name__ == "__main__":
    main()

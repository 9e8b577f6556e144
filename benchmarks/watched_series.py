"""What judging all series by the minute takes: two weeks replayed, then minute after minute.

    python -m benchmarks.watched_series [--series 200] [--days 14] [--rate 1000] [--minutes 20]

A store is filled with two weeks of so many series (`fortnight.py`: services with a model, a tool, a retrieval
and whole traces each) at about a trace a minute of each, but for the last 75 minutes, which have `--rate`
spans per second. A collector in a process of its own serves it. CPU seconds are those of its process and of
watch's; what else the collector does meanwhile is measured before and taken off. The last line of stdout is
one JSON object:

  series, spans         that were watched, and in the store
  replay                CPU seconds of the replay: watch's, the collector's; its seconds on the wall; peak MiB
  minute                the same of a minute after it (median)
  share_of_a_core       of a minute's CPU, watch's and the collector's together
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from llmtrace_collector.store.store import open_store

from .checkout import HERE, Checkout, ask
from .collector_process import CollectorProcess
from .filled_store import RETENTION_DAYS
from .fortnight import DAY, fill_many, fill_reports

#: Series of one flow: calls of a model, traces, a tool and a retrieval.
_OF_A_FLOW = 4

#: Spans come at full rate for so many minutes: a minute is read with the hour before it.
_BUSY_MINUTES = 75


def main() -> None:
    """Fill, replay, go on, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--minutes", type=int, default=10)
    arguments = parser.parse_args()
    checkout = Checkout(HERE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flows = max(arguments.series // _OF_A_FLOW, 1)
        end = int(time.time()) // 60
        busy = end - arguments.minutes - _BUSY_MINUTES
        per_flow = 60 * arguments.rate / _OF_A_FLOW / flows
        with closing(open_store(f"chdb://{folder / 'store'}", RETENTION_DAYS)) as store:
            fill_many(store, flows, end - arguments.days * DAY, busy, 1.0)
            fill_many(store, flows, busy, end, per_flow, is_flat=True)
            fill_reports(store, end - arguments.days * DAY, end)
            store.roll_up(at_once=True)
            spans = int(store.rows("SELECT count() AS n FROM otel_traces")[0]["n"])
        with CollectorProcess(checkout, folder, {"retention_days": RETENTION_DAYS}) as collector:
            settings = json.dumps({"collector_url": collector.url, "data_dir": str(folder)})
            errors = folder / "series.txt"
            process = checkout.start("watched_series.py", [settings], errors=errors)
            time.sleep(15)
            idle = _cpu(collector)
            time.sleep(15)
            idle = (_cpu(collector) - idle) / 15

            def advance(minute: int) -> dict[str, Any]:
                before = _cpu(collector)
                answer: dict[str, Any] = json.loads(ask(process, str(60.0 * minute + 31), errors))
                answer["collector_cpu"] = max(_cpu(collector) - before - idle * answer["wall"], 0.0)
                return answer

            replay = advance(end - arguments.minutes)
            minutes = [advance(minute) for minute in range(end - arguments.minutes + 1, end + 1)]
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            process.wait(60)
    figures = {
        key: round(statistics.median(minute[key] for minute in minutes), 4)
        for key in ("cpu", "collector_cpu", "wall")
    }
    share = (figures["cpu"] + figures["collector_cpu"]) / 60
    result = {
        "series": replay["series"],
        "spans": spans,
        "replay": {key: round(replay[key], 1) for key in ("cpu", "collector_cpu", "wall", "peak_mib")},
        "minute": figures,
        "share_of_a_core": round(share, 4),
    }
    print(json.dumps(result))


def _cpu(collector: CollectorProcess) -> float:
    times = collector.process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()

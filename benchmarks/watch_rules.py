"""What an evaluation of watch's rules takes, by rule, with a full hour of spans in the store.

    python -m benchmarks.watch_rules [--minutes 60] [--rate 800] [--evaluations 10] [--against DIR]

A store is filled with so many minutes of LLM spans of the shape of `filled_store.py`, up to the time of the
first evaluation; a collector in a process of its own serves it. Every rule is evaluated again and again, each
time three seconds later, as `llmtrace watch` does by default. Then the last 45 seconds go wrong: all calls
come once more, as failures that took thirty times as long, of 40 users. Evaluations see that as new each
time and write nothing: what writing incidents takes is not in it. The last line of stdout is one JSON object:

  spans, usage_rows       in the store, and rows of its rollup that rules read
  usual, trouble          seconds of the first evaluation (`first`), the median and longest of those after it
                          (`median`, `longest`), and the median of each rule (`rules`), in both states
  findings                in trouble, of all rules
  before                  with --against: the same of that checkout's rules, evaluated in turn with these
  ratio                   of medians, before to now, in both states

Rules of other checkouts read the store of this one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from llmtrace_collector.store.store import Store, open_store

from .checkout import HERE, Checkout, ask
from .collector_process import CollectorProcess
from .filled_store import RETENTION_DAYS, insert_spans

_INTERVAL = 3.0
_TROUBLE_SECONDS, _TROUBLED_USERS, _SLOWER = 45, 40, 30

#: Name of a part of the evaluation → seconds and findings.
_Figures = dict[str, tuple[float, int]]


def main() -> None:
    """Fill, evaluate, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--rate", type=int, default=800)
    parser.add_argument("--evaluations", type=int, default=10)
    parser.add_argument("--against", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    checkouts = {"now": Checkout(HERE)}
    if arguments.against:
        checkouts["before"] = Checkout.of(arguments.against)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        end = int(time.time())
        with closing(open_store(f"chdb://{folder / 'store'}", RETENTION_DAYS)) as store:
            seconds = arguments.minutes * 60
            insert_spans(store, seconds * arguments.rate, end - seconds, end, _progress)
        usual = _evaluate(folder, checkouts, end, arguments.evaluations)
        with closing(open_store(f"chdb://{folder / 'store'}", RETENTION_DAYS)) as store:
            _go_wrong(store, end)
            (rows,) = store.rows(
                "SELECT (SELECT count() FROM usage_10s) AS usage, count() AS spans FROM otel_traces"
            )
        trouble = _evaluate(folder, checkouts, end, arguments.evaluations)
    result: dict[str, Any] = {"spans": int(rows["spans"]), "usage_rows": int(rows["usage"])}
    result |= _summary(usual["now"], trouble["now"])
    if arguments.against:
        before = _summary(usual["before"], trouble["before"])
        result["before"] = before
        result["ratio"] = {
            state: round(before[state]["median"] / result[state]["median"], 1)
            for state in ("usual", "trouble")
        }
    print(json.dumps(result))


def _progress(done: int, of: int) -> None:
    print(f"{done} of {of} spans", file=sys.stderr)


def _go_wrong(store: Store, end: int) -> None:
    """Have the newest calls come once more, failed and slow, of a few users."""
    since = end - _TROUBLE_SECONDS
    store.engine.execute(
        "INSERT INTO otel_traces SELECT * REPLACE (lower(hex(sipHash64(SpanId, 'again'))) AS SpanId, "
        f"concat('flood-', toString(cityHash64(SpanId) % {_TROUBLED_USERS})) AS UserId, "
        f"Duration * {_SLOWER} AS Duration, 'Error' AS StatusCode) "
        f"FROM otel_traces WHERE Counted AND Timestamp >= toDateTime64({since}, 9) "
        f"AND Timestamp < toDateTime64({end}, 9) SETTINGS async_insert = 0"
    )


def _evaluate(
    folder: Path, checkouts: Mapping[str, Checkout], end: int, evaluations: int
) -> dict[str, list[_Figures]]:
    """Name of a checkout → the figures of its evaluations, from `end` (Unix seconds) on."""
    figures: dict[str, list[_Figures]] = {name: [] for name in checkouts}
    fields = {"retention_days": RETENTION_DAYS}
    with CollectorProcess(checkouts["now"], folder, fields) as collector, ExitStack() as stack:
        # Its first passes over what was filled in are no part of this.
        time.sleep(15)
        settings = json.dumps({"collector_url": collector.url, "data_dir": str(folder)})
        errors = folder / "rules.txt"
        rules = {
            name: stack.enter_context(_rules(checkout, settings, errors))
            for name, checkout in checkouts.items()
        }
        for number in range(evaluations):
            for name, process in rules.items():
                answer = json.loads(ask(process, str(end + number * _INTERVAL), errors))
                figures[name].append({part: (seconds, count) for part, (seconds, count) in answer.items()})
    return figures


@contextmanager
def _rules(checkout: Checkout, settings: str, errors: Path) -> Iterator[subprocess.Popen[str]]:
    process = checkout.start("watch_rules.py", [settings], errors=errors)
    try:
        yield process
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.wait(60)


def _summary(usual: Sequence[_Figures], trouble: Sequence[_Figures]) -> dict[str, Any]:
    findings = sum(
        count for part, (_, count) in trouble[0].items() if part not in ("incidents", "deliveries")
    )
    return {"usual": _state(usual), "trouble": _state(trouble), "findings": findings}


def _state(figures: Sequence[_Figures]) -> dict[str, Any]:
    whole = [sum(seconds for seconds, _ in evaluation.values()) for evaluation in figures]
    later = figures[1:]
    return {
        "first": round(whole[0], 3),
        "median": round(statistics.median(whole[1:]), 3),
        "longest": round(max(whole), 3),
        "rules": {
            part: round(statistics.median(evaluation[part][0] for evaluation in later), 3)
            for part in figures[0]
        },
    }


if __name__ == "__main__":
    main()

"""Watch's rules, as a checkout has them: `watch_rules.py SETTINGS_AS_JSON`.

For each line on standard input, a time in Unix seconds, every rule is evaluated once at that time, as if no
incident were open, so that evidence is asked for too; nothing is written. It prints one JSON object, in the
order of evaluation: name of the rule → [seconds, findings]. `incidents` and `deliveries` are what an
evaluation reads besides.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial

from clickhouse_connect.driver.client import Client

from llmtrace_analysis.collector_client import connect_reader
from llmtrace_analysis.detect import store_queries
from llmtrace_analysis.settings import WatchSettings
from llmtrace_analysis.watch.app import build
from llmtrace_analysis.watch.service import Watch

_DAY = 86_400


def evaluation(
    watch: Watch, client: Client, now: float
) -> Iterator[tuple[str, Callable[[], Sequence[object]]]]:
    """The parts of an evaluation by name; each returns what it sees."""
    yield "incidents", partial(store_queries.incidents, client, now - _DAY)
    for rule in watch._rules:
        yield type(rule).__name__, partial(rule.findings, client, [], now)
    yield "deliveries", lambda: list(store_queries.deliveries(client, now - _DAY))


def main() -> None:
    """Answer each line; the end of the input is the end of this process."""
    logging.disable(logging.WARNING)
    settings = WatchSettings.model_validate_json(sys.argv[1])
    with closing(build(settings)) as watch, closing(connect_reader(settings)) as client:
        for line in sys.stdin:
            figures = {}
            for name, part in evaluation(watch, client, float(line)):
                started = time.monotonic()
                count = len(part())
                figures[name] = [time.monotonic() - started, count]
            print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()

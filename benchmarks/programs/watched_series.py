"""The series that watch judges by the minute: `watched_series.py SETTINGS_AS_JSON`.

For each line on standard input, a time in Unix seconds, all minutes that are complete by then are judged; at
the first of them those of two weeks before. It prints one JSON object: `cpu` and `wall` seconds that took,
`series` and `troubles`, the peak of this process' memory in MiB.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from contextlib import closing

from llmtrace_analysis.settings import WatchSettings
from llmtrace_analysis.watch.app import build_level_rule


def main() -> None:
    """Answer each line; the end of the input is the end of this process."""
    logging.disable(logging.WARNING)
    with closing(build_level_rule(WatchSettings.model_validate_json(sys.argv[1]))) as rule:
        for line in sys.stdin:
            wall, cpu = time.monotonic(), time.process_time()
            rule.advance(float(line))
            answer = {
                "cpu": time.process_time() - cpu,
                "wall": time.monotonic() - wall,
                "series": rule.series_count,
                "troubles": rule.trouble_count,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

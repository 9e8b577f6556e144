"""A collector, as its checkout has it: `collector.py SETTINGS_AS_JSON`.

For each line on standard input it prints one JSON object: CPU seconds by name of the Python threads that
live. Of threads with one name the seconds are added up.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from llmtrace_collector.app import serve
from llmtrace_collector.settings import CollectorSettings

_TICKS = os.sysconf("SC_CLK_TCK")


def seconds_by_thread() -> dict[str, float]:
    """User and system time of each Python thread so far."""
    seconds: dict[str, float] = {}
    for thread in threading.enumerate():
        try:
            line = Path(f"/proc/self/task/{thread.native_id}/stat").read_text()
        except OSError:
            continue  # it ended meanwhile
        fields = line.rpartition(") ")[2].split()
        used = (int(fields[11]) + int(fields[12])) / _TICKS
        seconds[thread.name] = seconds.get(thread.name, 0.0) + used
    return seconds


def answer_until_the_end() -> None:
    """Answer each line; the end of the input is the end of this process."""
    for _ in sys.stdin:
        print(json.dumps(seconds_by_thread()), flush=True)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=answer_until_the_end, name="benchmark", daemon=True).start()
    serve(CollectorSettings.model_validate_json(sys.argv[1]))

"""The process that parses: a text a line on its input, what becomes of it a line on its output.

    python -P -m llmtrace_collector.store.query_guard.worker SECONDS

A text that takes so much CPU time ends the process, from within: no one has to be alive to see to it. It ends
with its input, too, and so with the collector, however that ends.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from typing import BinaryIO

from .guard import make_safe
from .refusal import QueryRefused, ReadDenied
from .safe_query import SafeQuery

#: Memory that parsing may take, in bytes of addresses.
_MEMORY = 512 << 20

#: By how much the clock may run ahead of the CPU time on a busy machine.
_PATIENCE = 5

#: What 32 brackets of the deepest constructs need.
_RECURSION = 8000


def answer(line: bytes, seconds: float) -> dict[str, object]:
    """What becomes of one request, the arguments of `make_safe`: the fields of a SafeQuery, or a refusal."""
    request = json.loads(line)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE * seconds)
    try:
        return _fields(make_safe(**request))
    except ReadDenied as error:
        return {"denied": str(error)}
    except QueryRefused as error:
        return {"refused": str(error)}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _fields(query: SafeQuery) -> dict[str, object]:
    return {
        "sql": query.sql,
        "format": query.format,
        "settings": query.settings,
        "tables": sorted(query.tables),
        "functions": sorted(query.functions),
        "stand_ins": sorted(query.stand_ins),
    }


def serve(requests: BinaryIO, answers: BinaryIO, seconds: float) -> None:
    """Answer until the input ends."""
    for line in requests:
        answers.write(json.dumps(answer(line, seconds)).encode() + b"\n")
        answers.flush()


def main() -> None:
    """Run as the module's docstring says."""
    # What these do by themselves is end the process; a terminal's Ctrl-C is for the collector to judge.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(_RECURSION)
    serve(sys.stdin.buffer, sys.stdout.buffer, float(sys.argv[1]))


if __name__ == "__main__":
    main()

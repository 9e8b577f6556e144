"""Attack a collector and an inference service, and say what came of it.

    python -m tests.hostile [--only NAME …] [--seconds 4] [--quick]

Prints a line for each case and one line of JSON last. Exit status 1 when a case failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from .run import Outcome, run


def main(arguments: list[str]) -> int:
    """Run the cases; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="cases or kinds to run")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each attack lasts")
    parser.add_argument("--quick", action="store_true", help="the trimmed run")
    options = parser.parse_args(arguments)
    outcomes: list[Outcome] = []
    print(f"{'case':<22}{'ok':<5}{'health':>8}{'peak MB':>9}{'sent':>7}{'kept':>7}{'again':>7}  seen")
    with tempfile.TemporaryDirectory() as folder:
        for outcome in run(Path(folder), options.only, options.seconds, is_quick=options.quick):
            outcomes.append(outcome)
            print(outcome.line(), flush=True)
    failed = [outcome.name for outcome in outcomes if outcome.problems]
    print(
        json.dumps(
            {
                "cases": len(outcomes),
                "failed": failed,
                "slowest_health_seconds": round(
                    max((outcome.health for outcome in outcomes), default=0.0), 3
                ),
                "peak_mb": max((outcome.peak for outcome in outcomes), default=0),
                "spans_lost": sum(max(0, outcome.sent - outcome.stored) for outcome in outcomes),
            }
        )
    )
    return 1 if failed or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

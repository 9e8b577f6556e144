"""Random queries against guard and engine, as many as wanted.

    python -m tests.query_fuzz --texts 100000 --seed 1

One JSON line is the last of the output; the status is 1 when there was a difference.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from .rounds import ROUND, Session


def main() -> int:
    """Run as the module's docstring says."""
    parser = argparse.ArgumentParser(prog="python -m tests.query_fuzz", description=__doc__)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    wanted = parser.parse_args()
    sys.stderr.write(f"seed {wanted.seed}\n")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Path(folder))
        tally = session.comparison.tally
        number = 0
        while tally.texts < wanted.texts:
            known = len(tally.differences)
            session.run(wanted.seed + number, min(ROUND, wanted.texts - tally.texts))
            for difference in tally.differences[known:]:
                sys.stderr.write(f"\nseed {wanted.seed + number}: {difference}\n")
            number += 1
            share = tally.texts / wanted.texts
            bar = "#" * int(40 * share)
            sys.stderr.write(f"\r[{bar:40}] {tally.texts} texts, {len(tally.differences)} differences ")
            sys.stderr.flush()
        session.close()
    sys.stderr.write("\n")
    result = {
        "texts": tally.texts,
        "passed": tally.passed,
        "share_passed": round(tally.passed / tally.texts, 3),
        "not_parsed_by_the_engine": tally.not_parsed,
        "resolved": tally.resolved,
        "differences": len(tally.differences),
        "seed": wanted.seed,
        "seconds": round(time.monotonic() - began, 1),
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 1 if tally.differences else 0


if __name__ == "__main__":
    sys.exit(main())

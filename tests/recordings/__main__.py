"""Replay recorded exchanges, or a file of OTLP, and hold each stored call against what it states itself."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from tests.sdk.naive import FOLDER

from .comparison import Comparison, compare, compare_spans
from .replay import recordings_of, stored_calls, stored_spans


def main(arguments: list[str]) -> int:
    """Print the figures and every difference, as one JSON line last; 1 where there is any."""
    parser = argparse.ArgumentParser(prog="python -m tests.recordings", description=__doc__)
    parser.add_argument(
        "--recordings", type=Path, default=FOLDER, metavar="DIR",
        help="*.jsonl with one exchange a line: id, method, url, request, status, response_headers, response",
    )  # fmt: skip
    parser.add_argument("--file", type=Path, help="instead: OTLP requests in JSON, one a line")
    parser.add_argument("--only", default="", metavar="TEXT", help="recordings whose name holds this")
    parser.add_argument("--most", type=int, default=40, help="cases printed of each kind of difference")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="llmtrace-recordings-") as name:
        comparison = _compared(options, Path(name))
    print("\n".join(comparison.lines(options.most)))
    print(json.dumps({**comparison.counts, "differences": len(comparison.differences)}))
    return 1 if comparison.differences else 0


def _compared(options: argparse.Namespace, folder: Path) -> Comparison:
    if options.file:
        return compare_spans(stored_spans(folder, options.file))
    os.environ["LLMTRACE_SPOOL_DIR"] = str(folder / "spool")
    recordings = [
        recording for recording in recordings_of(options.recordings) if options.only in recording.name
    ]
    if not recordings:
        raise SystemExit(f"no recordings in {options.recordings}: *.jsonl with one exchange a line")
    return compare(recordings, stored_calls(folder, recordings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Print the conformance table: emitters × kinds of call, failures counted; the last line is one JSON object.

    python -m tests.conformance                      # every row whose environment is there
    python -m tests.conformance --only openllmetry   # rows whose name or environment holds this
    python -m tests.conformance --page docs/conformance.md
    python -m tests.conformance --recordings DIR     # instead: recorded exchanges, by the clients' tracers
    python -m tests.conformance --file spans.jsonl   # instead: what the store makes of outside OTLP

`scripts/conformance` makes the environments and runs all of it. Exit status 1 where a cell fails by what the
table does not know as the emitter's own doing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .conformance_page import page
from .emitter_run import ENVIRONMENTS
from .emitters import EMITTERS
from .measured_rows import measure
from .outside_material import measure_file, measure_recordings
from .stored_records import ConformanceStore
from .summary import lines, stale_reasons, summary
from .table import KIND_NAMES, Emitter


def chosen(only: Sequence[str], emitters: Sequence[Emitter] = EMITTERS) -> list[tuple[Emitter, str]]:
    """Emitters with their environments, of which the name or the environment holds one of the texts."""
    rows = [(emitter, name) for emitter in emitters for name in emitter.environments or ("",)]
    return [
        (emitter, name)
        for emitter, name in rows
        if not only or any(text.lower() in f"{emitter.name} {name}".lower() for text in only)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", default=(), metavar="EMITTER")
    parser.add_argument("--kinds", nargs="+", default=KIND_NAMES, choices=KIND_NAMES, metavar="KIND")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, metavar="DIR")
    parser.add_argument("--jobs", type=int, default=2, help="programs that run at once")
    parser.add_argument("--page", type=Path, help="write the table as a page of documentation")
    parser.add_argument("--details", action="store_true", help="every difference, not its field alone")
    parser.add_argument(
        "--recordings", type=Path, metavar="DIR",
        help="*.jsonl with one exchange a line: id, method, url, request, status, response_headers, response",
    )  # fmt: skip
    parser.add_argument("--file", type=Path, help="OTLP requests in JSON, one a line")
    options = parser.parse_args(arguments)
    os.environ["LLMTRACE_SPOOL_DIR"] = "off"
    with ConformanceStore() as store:
        if options.file or options.recordings:
            return _outside(store, options)
        rows = measure(
            store, chosen(options.only), options.kinds, options.environments, _progress, options.jobs
        )
        refused = store.refused
    print("\n".join([*lines(rows, details=options.details), *refused]))
    if options.page:
        options.page.write_text(page(rows), encoding="utf-8")
    figures = summary(rows)
    print("".join(f"no longer so: {reason}\n" for reason in stale_reasons(rows)), end="")
    print(json.dumps(figures))
    return int(figures["unexplained"] + figures["stale_reasons"] > 0 or bool(refused))


def _progress(line: str) -> None:
    print(line, flush=True)


def _outside(store: ConformanceStore, options: argparse.Namespace) -> int:
    """Material from outside: figures, no verdict but that all was taken."""
    if options.file:
        spans = measure_file(store, options.file)
        print("\n".join(json.dumps(row) for row in spans))
        figures: dict[str, Any] = {"spans": spans}
    else:
        figures = measure_recordings(
            store, chosen(options.only), options.recordings, options.environments, _progress
        )
        for name, row in figures.items():
            print(f"{name}: {row['ok']} of {row['recordings']} ok")
            print(
                "\n".join(f"    {row['fields'][field]} {text}" for field, text in row.pop("examples").items())
            )
    print("".join(f"{line}\n" for line in store.refused), end="")
    print(json.dumps(figures))
    return int(bool(store.refused))


if __name__ == "__main__":
    sys.exit(main())

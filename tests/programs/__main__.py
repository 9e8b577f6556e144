"""Play program shapes as real programs and print what became of their calls; one JSON object ends it.

    python -m tests.programs                          # every shape: collector up, slow and down
    python -m tests.programs --only gunicorn SIGTERM  # shapes whose family or name holds one of these
    python -m tests.programs --collector down         # with the collector away alone
    python -m tests.programs --gate                   # the selection that the tests play, under a minute
    python -m tests.programs --page docs/sdk.md       # and write the table of exits there

Needs `.venvs/workers` (`scripts/setup --frameworks`) for gunicorn and Celery; shapes without their
environment are not run, and named. Exit status 1 where a figure is not 0 that has to be, or a program ended
otherwise than it should.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from .programs_page import write_table
from .running import ENVIRONMENTS, played, python_of
from .shape import COLLECTORS, Collector, Figures, ProgramShape
from .shapes import SHAPES

Row = tuple[ProgramShape, Collector, Figures]

_COLUMNS = ("calls", "sent", "spooled", "lost", "counted", "wrong_user", "no_user", "leaked", "orphaned")


def chosen(only: Sequence[str], *, is_gate: bool = False) -> list[ProgramShape]:
    """Shapes whose family or name holds one of the texts; all, where there is none."""
    return [
        shape
        for shape in SHAPES
        if (shape.in_gate or not is_gate)
        and (not only or any(text.lower() in f"{shape.family} {shape.name}".lower() for text in only))
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.programs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", default=(), metavar="SHAPE")
    parser.add_argument("--collector", nargs="+", default=COLLECTORS, choices=COLLECTORS)
    parser.add_argument("--gate", action="store_true", help="the short selection")
    parser.add_argument("--list", action="store_true", help="print the shapes and end")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, metavar="DIR")
    parser.add_argument("--jobs", type=int, default=2, help="programs that run at once")
    parser.add_argument("--page", type=Path, help="write the table of exits into this page of documentation")
    options = parser.parse_args(arguments)
    shapes = chosen(options.only, is_gate=options.gate)
    if not shapes:
        parser.error(f"no shape is called {' or '.join(options.only)}; --list prints them")
    if options.list:
        print("\n".join(f"{shape.family:<12}{shape.name}" for shape in shapes))
        return 0
    missing = sorted({shape.environment for shape in shapes if not python_of(shape, options.environments)})
    rows = measured(shapes, options.collector, options.environments, options.jobs)
    faults = [
        f"{shape.name}, {collector}: {fault}"
        for shape, collector, figures in rows
        for fault in figures.faults(shape)
    ]
    print("".join(f"not run for want of {options.environments / name}\n" for name in missing), end="")
    print("".join(f"fault: {fault}\n" for fault in faults), end="")
    if options.page:
        write_table(options.page, rows)
    print(json.dumps(_summary(rows, faults, missing)))
    return int(bool(faults))


def measured(
    shapes: Iterable[ProgramShape], collectors: Sequence[Collector], environments: Path, jobs: int
) -> list[Row]:
    """Play the shapes, printing a line for each; in their order."""
    plan = [
        (shape, collector, python)
        for shape in shapes
        if (python := python_of(shape, environments))
        for collector in collectors
    ]
    print(_line("shape", "collector", [name.replace("_", " ") for name in _COLUMNS]), flush=True)

    def play(entry: tuple[ProgramShape, Collector, str]) -> Row:
        shape, collector, python = entry
        figures = played(shape, collector, python)
        values = [str(getattr(figures, name)) for name in _COLUMNS]
        verdict = "  ←" if figures.faults(shape) else ""
        print(_line(shape.name, collector, values) + verdict, flush=True)
        return shape, collector, figures

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(play, plan))


def _line(name: str, collector: str, values: Sequence[str]) -> str:
    return f"{name[:58]:<60}{collector:<10}" + "".join(f"{value:>11}" for value in values)


def _summary(rows: Sequence[Row], faults: Sequence[str], missing: Sequence[str]) -> dict[str, object]:
    figures = [asdict(figures) | {"uncounted": figures.uncounted} for _, _, figures in rows]
    names = (*_COLUMNS, "uncounted", "doubled")
    return {
        "runs": len(rows),
        **{name: sum(int(run[name]) for run in figures) for name in names},
        "faults": len(faults),
        "not_run": list(missing),
    }


if __name__ == "__main__":
    sys.exit(main())

"""Inject faults under load; look whether anything was lost, counted wrong or unseen: `scripts/faults`."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path

from .case import Case
from .processes import Tree
from .run import Outcome, chosen, play, rounds, summary
from .soak import soak

_HERE = Path(__file__).parents[2]


def main(arguments: list[str]) -> int:
    """Play the cases; 1 where one found something."""
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, help="play all again and again, in other orders, for so long"
    )
    parser.add_argument(
        "--seed", type=int, help="that of an earlier run, printed first; by default a new one"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="KIND", help="kinds or names of cases")
    parser.add_argument(
        "--tree", type=Path, default=_HERE, metavar="DIR", help="the checkout whose code is run"
    )
    parser.add_argument("--gate", action="store_true", help="the short selection, under two minutes")
    parser.add_argument("--list", action="store_true", help="print the cases and end")
    parser.add_argument("--notes", action="store_true", help="print what each case noted as well")
    parser.add_argument(
        "--soak", type=float, metavar="MINUTES", help="instead: steady load with watch and queries"
    )
    parser.add_argument("--rate", type=int, default=1000, help="spans a second of --soak")
    options = parser.parse_args(arguments)
    try:
        cases = chosen(options.only, is_gate=options.gate)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        print("\n".join(f"{case.kind:<11}{case.name:<42}{case.seconds:>4} s" for case in cases))
        return 0
    if not (options.tree / "collector" / "llmtrace_collector").is_dir():
        parser.error(f"{options.tree} is no checkout of llmtrace")
    seed = random.SystemRandom().randrange(1 << 30) if options.seed is None else options.seed
    print(f"faults: seed {seed}, code of {options.tree}", flush=True)
    with tempfile.TemporaryDirectory(prefix="llmtrace-faults-") as name:
        tree = Tree(options.tree.resolve(), Path(name))
        if options.soak:
            return soak(tree, Path(name), options.soak, options.rate)
        outcomes = _play_all(cases, tree, seed, options)
    print(json.dumps(summary(outcomes, seed)))
    return 1 if any(outcome.findings for outcome in outcomes) else 0


def _play_all(cases: list[Case], tree: Tree, seed: int, options: argparse.Namespace) -> list[Outcome]:
    outcomes: list[Outcome] = []
    try:
        for number, (case, own_seed) in enumerate(rounds(cases, seed, options.minutes), 1):
            total = "" if options.minutes else f"/{len(cases)}"
            print(f"[{number}{total}] {case.kind}: {case.name} …", file=sys.stderr, flush=True)
            # A seed that was printed for a case plays that case the same.
            is_alone = len(cases) == 1 and options.minutes is None and options.seed is not None
            outcome = play(case, tree, tree.work, seed if is_alone else own_seed)
            outcomes.append(outcome)
            print("\n".join(outcome.lines()), flush=True)
            if options.notes:
                print("\n".join(f"       · {note}" for note in outcome.notes), flush=True)
    except KeyboardInterrupt:
        print("faults: interrupted", file=sys.stderr)
    return outcomes


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

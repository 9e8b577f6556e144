"""Try to read what is not the reader's, with texts of our own or with others'.

    python -m tests.escapes                          every text, both homes of the store: some minutes
    python -m tests.escapes --every 20               every twentieth of each kind: a glance
    python -m tests.escapes --kind errors oracles    these kinds alone
    python -m tests.escapes --home embedded          one home: embedded, or server (the stand-in behind HTTP)
    python -m tests.escapes --file TEXTS.jsonl       others' texts, a JSON object a line: {"text": "SELECT …"}
    python -m tests.escapes --honest                 only what has to go on working
    python -m tests.escapes --record                 write down anew what llmtrace's own parts ask

A collector with two projects is started: one project's key asks, the other project is full of marked
words, and so is a file on the disk. Each text is sent to the endpoint twice, straight to the handle that the
engine has for that project, with the parser switched off, and once more after the other project has got more
rows. No marked word may stand in any answer, header, error or line of the log, no file may come to be, and no
answer may change with the other project's rows. What only the endpoint stops (`file('…')`, INTO OUTFILE) is
counted under `engine lets`. Honest queries have to be answered.

`python -m pydoc tests.escapes.lines` says what else a line may hold. Progress goes to standard error; the
last line is a JSON object. The exit status is 1 when anything escaped, or an honest query was refused.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import honest, recorder
from .attack import Attack, Tally, all_escapes
from .lines import Line, lines_of, own_lines, thinned
from .scene import HOMES, Scene

#: Tests during which llmtrace's own parts ask what they ask.
_ASKING = ("tests/dashboard", "tests/collector/test_commands.py")


@dataclass
class Outcome:
    """What one home let happen."""

    home: str
    tallies: dict[str, Tally]
    honest: int
    refused: list[str]
    in_log: str
    seconds: float

    @property
    def good(self) -> bool:
        """Whether nothing came out and everything honest was answered."""
        return not (all_escapes(self.tallies.values()) or self.refused or self.in_log)


def attack(home: str, lines: Sequence[Line], honest_lines: Sequence[Line]) -> Outcome:
    """Send the lines to a home of the store."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="llmtrace-escapes-") as name, log_in(Path(name)) as log:
        with HOMES[home](Path(name) / home) as scene:
            run = Attack(scene, lines, lambda text: _say(f"{home}: {text}", log))
            refused = [_refused(run, scene, line) for line in honest_lines]
            tallies = run.run()
            marks = scene.marks
        in_log = marks.within(log.written())
    return Outcome(
        home,
        tallies,
        len(honest_lines),
        [text for text in refused if text],
        in_log,
        time.monotonic() - started,
    )


def _refused(run: Attack, scene: Scene, line: Line) -> str:
    """How an honest line was refused; "" when it was answered."""
    key = scene.all_key if honest.needs_every_project(line) else scene.key
    answer = run.send(line.filled(scene.values), key)
    if answer.status == 200:
        return ""
    return f"{line.kind}: {line.text[:200]!r}: {answer.status} {answer.body[:300].decode(errors='replace')}"


class Log:
    """What this process and the collector in it write to standard error, the real one besides."""

    def __init__(self, path: Path, real: int) -> None:
        self._path = path
        self.real = real

    def written(self) -> bytes:
        """All of it so far."""
        return self._path.read_bytes()


@contextmanager
def log_in(folder: Path) -> Iterator[Log]:
    """Standard error in a file of `folder`; at the end it is shown."""
    path = folder / "log.txt"
    real = os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield Log(path, real)
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            sys.stderr.write(path.read_text(errors="replace"))


def _say(text: str, log: Log) -> None:
    os.write(log.real, f"{text}\n".encode())


def table(outcome: Outcome) -> Iterator[str]:
    """The tallies of a home, kind by kind."""
    yield f"\n{outcome.home}: {outcome.seconds:.0f} s"
    heads = ("texts", "refused", "answered", "failed", "engine lets", "escaped")
    widths = (7, 9, 10, 8, 13, 9)
    yield f"{'kind':24}" + "".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True))
    for kind, tally in sorted(outcome.tallies.items()):
        escaped = len(tally.escapes)
        counts = (tally.lines, tally.refused, tally.answered, tally.failed, tally.lets, escaped)
        yield f"{kind:24}" + "".join(f"{count:>{width}}" for count, width in zip(counts, widths, strict=True))
    for escape in all_escapes(outcome.tallies.values()):
        yield f"  ESCAPED {escape.where}: {escape.what}: {escape.line.kind}: {escape.line.text[:300]!r}"
    for text in outcome.refused:
        yield f"  HONEST, REFUSED {text}"
    if outcome.in_log:
        yield f"  IN THE LOG {outcome.in_log}"
    yield f"honest queries: {outcome.honest}, refused: {len(outcome.refused)}"


def summary(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The last line."""
    tallies = [tally for outcome in outcomes for tally in outcome.tallies.values()]
    return {
        "good": all(outcome.good for outcome in outcomes),
        "homes": [outcome.home for outcome in outcomes],
        "texts": sum(tally.lines for tally in tallies),
        "escaped": len(all_escapes(tallies)),
        "engine_lets": sum(tally.lets for tally in tallies),
        "varying": sum(tally.varying for tally in tallies),
        "honest": sum(outcome.honest for outcome in outcomes),
        "honest_refused": sum(len(outcome.refused) for outcome in outcomes),
        "in_log": any(outcome.in_log for outcome in outcomes),
        "seconds": round(sum(outcome.seconds for outcome in outcomes), 1),
    }


def _record() -> int:
    """Run the tests that ask, and put what they asked into the file of honest queries."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "asked.jsonl"
        command = [sys.executable, "-m", "pytest", "-q", "-p", recorder.__name__, *_ASKING]
        status = subprocess.run(command, env={**os.environ, recorder.FILE: str(lines)}, check=False)
        recorder.pack(lines, honest.RECORDED)
    return status.returncode


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.escapes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--file", type=Path, help="texts of others, instead of ours")
    parser.add_argument("--kind", nargs="+", default=[], help="only these kinds of our texts")
    parser.add_argument("--every", type=int, default=1, help="only every n-th text of each kind")
    parser.add_argument("--home", choices=[*HOMES, "both"], default="both")
    parser.add_argument("--honest", action="store_true", help="only honest queries")
    parser.add_argument("--record", action="store_true", help="record the honest queries of llmtrace's parts")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    arguments = _arguments(words)
    if arguments.record:
        return _record()
    texts = list(own_lines() if arguments.file is None else lines_of(arguments.file))
    if arguments.kind:
        texts = [line for line in texts if line.kind in arguments.kind]
    texts = [] if arguments.honest else thinned(texts, arguments.every)
    good = thinned(honest.honest_lines(), arguments.every)
    homes = list(HOMES) if arguments.home == "both" else [arguments.home]
    outcomes = []
    for home in homes:
        outcomes.append(attack(home, texts, good))
        print("\n".join(table(outcomes[-1])), flush=True)
    print(json.dumps(summary(outcomes)))
    return 0 if all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())

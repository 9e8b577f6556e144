"""Rows of the table: runs of emitters, stored together, each call held against its canonical record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from . import canonical, emitter_run, retrieval
from .comparison import Difference, cell
from .emitter_run import ENVIRONMENTS, MODES, EmitterRun, Mode
from .stored_records import ConformanceStore, Row
from .table import Emitter

Outcome = Literal["ok", "failed", "cannot"]


@dataclass
class Cell:
    """A kind of call in a row: what differs, by mode."""

    kind: str
    cannot: str = ""
    """Why the emitter makes no such call."""
    differences: dict[Mode, list[Difference]] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """In one word."""
        if self.cannot:
            return "cannot"
        return "failed" if any(self.differences.values()) else "ok"


@dataclass
class TableRow:
    """An emitter in an environment."""

    emitter: Emitter
    environment: str
    versions: Mapping[str, str]
    cells: dict[str, Cell] = field(default_factory=dict)
    not_run: str = ""
    """Why there is nothing in it."""
    no_sdk: str = ""
    """Why it did not run with our SDK."""

    @property
    def name(self) -> str:
        """The emitter, and its versions."""
        numbers = ", ".join(f"{package} {version}" for package, version in self.versions.items())
        return f"{self.emitter.name} ({numbers})" if numbers else self.emitter.name


def measure(
    store: ConformanceStore,
    rows: Iterable[tuple[Emitter, str]],
    kinds: Sequence[str],
    environments: Path = ENVIRONMENTS,
    progress: Callable[[str], None] = lambda line: None,
    jobs: int = 1,
) -> list[TableRow]:
    """Run emitters, each in an environment, so many programs at once, and compare what is stored of them."""
    measured = [_row(emitter, environment, kinds, environments) for emitter, environment in rows]
    tasks = [(row, mode) for row in measured for mode in _modes(row)]
    runs: dict[int, list[EmitterRun]] = defaultdict(list)
    with ThreadPoolExecutor(jobs) as threads:
        ended = threads.map(lambda task: _run(task[0], task[1], environments), tasks)
        for (row, mode), run in zip(tasks, ended, strict=True):
            runs[id(row)].append(run)
            store.take(run.requests, run.project)
            progress(
                f"{row.name} {mode}: {len(run.exchanges)} requests, {len(run.requests)} of OTLP"
                + (f"; {run.failure.splitlines()[-1]}" if run.failure else "")
            )
    for row in measured:
        if row.not_run:
            progress(f"{row.emitter.name} {row.environment}: {row.not_run}")
        else:
            for run in runs[id(row)]:
                store.take(canonical.send(run.exchanges), _canonical_project(run))
    store.settle()
    for row in measured:
        if not row.not_run:
            _fill(store, row, runs[id(row)])
    return measured


def _row(emitter: Emitter, environment: str, kinds: Sequence[str], environments: Path) -> TableRow:
    row = TableRow(emitter, environment, {})
    row.cells = {kind: Cell(kind, emitter.cannot.get(kind, "")) for kind in kinds}
    if emitter_run.interpreter(emitter, environment, environments) is None:
        row.not_run = emitter.not_installed.get(environment, f"no environment {environment}")
    else:
        row.versions = emitter_run.versions(emitter, environment, environments)
        row.no_sdk = emitter.no_sdk or emitter_run.lacks_for_sdk(emitter, environment, environments)
    return row


def _modes(row: TableRow) -> Sequence[Mode]:
    if row.not_run:
        return ()
    return MODES[:1] if row.no_sdk else MODES


def _run(row: TableRow, mode: Mode, environments: Path) -> EmitterRun:
    asked = [kind for kind in row.emitter.kinds() if kind in row.cells]
    return emitter_run.run(row.emitter, row.environment, mode, asked, environments)


def _canonical_project(run: EmitterRun) -> str:
    return f"canonical-{run.project}"


def _fill(store: ConformanceStore, row: TableRow, runs: Sequence[EmitterRun]) -> None:
    for run in runs:
        expected: dict[str, list[Row]] = defaultdict(list)
        for record in store.records(_canonical_project(run)):
            exchange = run.exchanges[int(record["SessionId"])]
            if exchange.kind != "retry" or exchange.status == 200:
                expected[exchange.kind].append(record)
        actual: dict[str | None, list[Row]] = defaultdict(list)
        for record in store.records(run.project):
            actual[run.kind_at(int(record["Start"]))].append(record)
        for kind, of_kind in row.cells.items():
            if of_kind.cannot:
                continue
            if kind == "vector_query":
                spans = [span for span in store.spans(run.project) if run.kind_at(int(span["Start"])) == kind]
                of_kind.differences[run.mode] = _retrieval_differences(run, spans)
            else:
                of_kind.differences[run.mode] = _differences(run, kind, expected[kind], actual[kind])


def _retrieval_differences(run: EmitterRun, spans: Sequence[Row]) -> list[Difference]:
    """A retrieval is no call of a model: what is expected of it the program says."""
    call = run.calls.get("vector_query")
    if call is None or call["error"]:
        return _differences(run, "vector_query", (), ())
    return [
        Difference(name, "what the program asked", text)
        for name, text in retrieval.differences(call, spans).items()
    ]


def _differences(
    run: EmitterRun, kind: str, expected: Sequence[Row], actual: Sequence[Row]
) -> list[Difference]:
    call = run.calls.get(kind)
    if call is None:
        return [Difference("call", "a call", run.failure.splitlines()[-1] if run.failure else "nothing")]
    if bool(call["error"]) != (kind == "error"):
        return [Difference("call", "an error" if kind == "error" else "an answer", call["error"] or "none")]
    if not expected:
        return [Difference("call", "a request to the provider", "none")]
    return cell(expected, actual)

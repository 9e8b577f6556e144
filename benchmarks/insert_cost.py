"""The fixed cost of an insert: the engine's CPU for one of eight spans, mostly analysis of what decodes them.

    python -m benchmarks.insert_cost [--rounds N] [--against DIR] [--spans 8] [--full 8192]

One engine holds this checkout's schema, the bare one of `programs/bare.sql` and with `--against` another
checkout's, each in a database of its own without merges. Every round inserts the same spans into each in
turn, and asks for the pipeline of every view that an insert goes through. The last line of stdout is one JSON
object:

  fixed_ms, bare_ms, against_fixed_ms      CPU of an insert of `--spans` spans, medians of all rounds
  full_ms, bare_full_ms, against_full_ms   the same of `--full` spans (0: leave it out)
  views_ms, against_views_ms               CPU of analysis, plan and pipeline of each view alone
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import chdb
import jinja2
from tests.collector.otlp import SECOND, realistic, traces

from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.span_traits import traits_of

from .checkout import HERE, Checkout, read_line
from .one_engine import Schema
from .programs.two_schemas import create

_TABLE = re.compile(r"INSERT INTO [\w.]+ ")
_RESOURCE: dict[str, object] = {"service.name": "shop", "service.version": "1.2.3", "host.name": "web-1"}
_BARE = HERE / "benchmarks" / "programs" / "bare.sql"


def cpu_ms() -> float:
    """CPU of this process, in user mode and in the kernel."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1000


class Subject:
    """One schema in the engine, and what an insert of each segment into it says to the engine."""

    def __init__(
        self, store: Path, database: str, creates: Sequence[str], inserts: Mapping[str, Sequence[str]]
    ) -> None:
        connect: Callable[[str], Any] = chdb.connect
        self._handle = connect(str(store))
        self.inserts = inserts
        self._count = 0
        self.database = database
        self._run(f"CREATE DATABASE {database}")
        self._run(f"USE {database}")
        create(self._handle, list(creates))
        self._run("SYSTEM STOP MERGES")

    def _run(self, sql: str) -> bytes:
        return bytes(self._handle.query(sql, "TabSeparatedRaw").bytes() or b"")

    def insert(self, segment: Path) -> float:
        """CPU (ms) of inserting a segment, with finding out what its spans have."""
        self._count += 1
        token = literal(f"benchmark-{segment.stem}-{self._count}")
        began = cpu_ms()
        if self.database == "here":
            traits_of(segment)
        for statement in self.inserts[segment.stem]:
            self._run(statement.replace("'benchmark'", token))
        return cpu_ms() - began

    def views(self) -> dict[str, str]:
        """The SELECT of each view that inserts of spans go through."""
        rows = self._run(
            "SELECT name, as_select FROM system.tables WHERE database = currentDatabase() "
            "AND engine = 'MaterializedView' FORMAT JSONEachRow"
        )
        views = {row["name"]: row["as_select"] for row in map(json.loads, rows.splitlines())}
        (*_, insert) = next(iter(self.inserts.values()))
        inlet = insert.split()[2]
        sources = [f"FROM {self.database}.{table}" for table in (inlet.rpartition(".")[2], "otel_traces")]
        return {
            name: select
            for name, select in views.items()
            if any(f"{source}{end}" in f"{select} " for source in sources for end in (" ", ")", "\n"))
        }

    def explain(self, select: str) -> float:
        """CPU (ms) of making a view's pipeline, as an insert makes it."""
        (*_, insert) = next(iter(self.inserts.values()))
        settings = insert.partition(" SETTINGS ")[2].partition(" FORMAT ")[0]
        began = cpu_ms()
        self._run(f"EXPLAIN PIPELINE {select} SETTINGS {settings}")
        return cpu_ms() - began

    def close(self) -> None:
        """Release the engine."""
        self._handle.close()


def subject_of(
    checkout: Checkout, store: Path, database: str, segments: Sequence[Path], stack: ExitStack
) -> Subject:
    """A checkout's schema, and its inserts of these segments, read from stores that it makes."""
    creates: list[str] = []
    inserts = {}
    for segment in segments:
        folder = segment.with_name(f"{database}-{segment.stem}")
        folder.mkdir()
        errors = folder / "stderr.txt"
        arguments = [str(folder / "store"), str(segment), "[[], false]"]
        # It lives as long as the engine: its store holds the file by which the engine reads protobuf.
        child = checkout.start("schema.py", arguments, errors=errors)
        stack.callback(_stop, child)
        read = json.loads(read_line(child, errors))
        schema = Schema(read["database"], read["creates"], tuple(read["inserts"]))
        creates = [schema.moved(statement, database) for statement in schema.creates.values()]
        inserts[segment.stem] = [schema.moved(statement, database) for statement in schema.inserts]
    return Subject(store, database, creates, inserts)


def bare_subject(store: Path, of_ours: Mapping[str, Sequence[str]]) -> Subject:
    """The bare schema; its inserts have the same settings."""
    creates = [text for text in jinja2.Template(_BARE.read_text()).render().split(";\n") if text.strip()]
    inserts = {
        name: [re.sub(_TABLE, "INSERT INTO otlp_traces_in ", texts[-1])] for name, texts in of_ours.items()
    }
    return Subject(store, "bare", creates, inserts)


def write_segment(path: Path, spans: int) -> None:
    """A segment of unique spans of 2 kB."""
    source, now = random.Random(spans), time.time_ns()
    body = traces(
        [realistic(source, 2000, now - source.randrange(600) * SECOND) for _ in range(spans)], _RESOURCE
    )
    path.write_bytes(b"".join(encode(Frame("", now, body.SerializeToString()))))


def _stop(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()


def measure(subjects: Mapping[str, Subject], segment: Path, rounds: int) -> dict[str, float]:
    """Medians of CPU (ms) of an insert, by subject; all of them in turn."""
    used: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds + 1):
        for name in sorted(subjects, reverse=bool(number % 2)):
            cpu = subjects[name].insert(segment)
            if number:  # the first one warms up
                used[name].append(cpu)
    return {name: round(statistics.median(values), 1) for name, values in used.items()}


def measure_views(subject: Subject, rounds: int) -> dict[str, float]:
    """Medians of CPU (ms) of each view's analysis, plan and pipeline."""
    views = subject.views()
    used: dict[str, list[float]] = {name: [] for name in views}
    for number in range(rounds + 1):
        for name, select in views.items():
            cpu = subject.explain(select)
            if number:
                used[name].append(cpu)
    return {name: round(statistics.median(values), 1) for name, values in used.items()}


def figures(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that is measured."""
    sizes = {name: spans for name, spans in (("fixed", options.spans), ("full", options.full)) if spans}
    segments = {name: folder / f"{name}.seg" for name in sizes}
    for name, segment in segments.items():
        write_segment(segment, sizes[name])
    with ExitStack() as stack:
        store, files = folder / "engine", list(segments.values())
        here = subject_of(Checkout.of(HERE), store, "here", files, stack)
        subjects = {"": here, "bare_": bare_subject(store, here.inserts)}
        if options.against:
            subjects["against_"] = subject_of(Checkout.of(options.against), store, "against", files, stack)
        for subject in subjects.values():
            stack.callback(subject.close)
        result: dict[str, Any] = {"spans": options.spans, "rounds": options.rounds}
        for name, segment in segments.items():
            rounds = options.rounds if name == "fixed" else max(options.rounds // 3, 5)
            for prefix, cost in measure(subjects, segment, rounds).items():
                result["bare_ms" if (prefix, name) == ("bare_", "fixed") else f"{prefix}{name}_ms"] = cost
        for prefix, subject in subjects.items():
            if prefix != "bare_":
                result[f"{prefix}views_ms"] = measure_views(subject, max(options.rounds // 2, 5))
        return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=21, help="inserts of each kind (21)")
    parser.add_argument("--spans", type=int, default=8, help="spans of a small insert (8)")
    parser.add_argument("--full", type=int, default=8192, help="spans of a full segment (8192); 0: without")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout, measured in turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmtrace-insert-") as folder:
        print(json.dumps(figures(options, Path(folder))))


if __name__ == "__main__":
    main()

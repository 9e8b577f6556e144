"""Two checkouts' schemas in one engine: the sharpest comparison of what their inserts cost.

One process holds both schemas, each in its own database, and gets the same segments in turn for both, each
until the merges that it causes are done; its CPU is the engine's. What is Python's is measured by itself:
both checkouts' collectors run, get the same requests in turn, and the CPU of their Python threads is compared
(endpoints, log, tasks; without the thread that waits in the engine for each insert). A pair is both together,
in CPU a span.

What background tasks make the engine's own threads do is in neither: that is what pairs of whole floods are
for.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from llmtrace_collector.settings import CollectorSettings
from llmtrace_collector.sql_values import literal

from .checkout import HERE, Checkout, ask, read_line
from .collector_process import CollectorProcess
from .engine_alone import segments
from .flood import Plan, send_in_turn
from .ingest_pairs import Comparison, Figures
from .ingest_run import Run, say
from .paired import Pair, Verdict
from .quiet import Patience, cpu_seconds, until_quiet
from .span_load import SPANS_PER_REQUEST, PartOfLoad

#: Requests of a pair: for the engine, so that merges happen within it; for Python, which needs fewer.
_ENGINE_REQUESTS, _PYTHON_REQUESTS = 256, 64

#: Nothing but merges can be waited for in an engine without a collector.
_WINDOW = 0.5


@dataclass(frozen=True)
class Schema:
    """A checkout's schema as statements. `database` is where they put it."""

    database: str
    creates: Mapping[str, str]
    inserts: tuple[str, ...]

    def moved(self, statement: str, database: str) -> str:
        """The statement with another database before every name of ours."""
        names = "|".join(map(re.escape, self.creates))
        qualified = rf"(?<![\w.`])`?{re.escape(self.database)}`?\.(?=`?(?:{names})\b)"
        # Texts in quotes stay as they are: attributes may be called as the database is.
        return re.sub(
            rf"'(?:[^'\\]|\\.)*'|{qualified}",
            lambda match: match[0] if match[0].startswith("'") else f"{database}.",
            statement,
        )


def read_schema(checkout: Checkout, run: Run, segment: Path) -> tuple[Schema, subprocess.Popen[str]]:
    """The schema of a checkout, read from a store that it makes; with the process that holds this store."""
    folder = run.folder()
    errors = folder / "stderr.txt"
    redaction = json.dumps([run.fields.get("redact", []), run.fields.get("drop_content", False)])
    child = checkout.start("schema.py", [str(folder / "store"), str(segment), redaction], errors=errors)
    schema = json.loads(read_line(child, errors))
    return Schema(schema["database"], schema["creates"], tuple(schema["inserts"])), child


class OneEngine:
    """An engine in a process of its own, which inserts segments into any of its schemas."""

    def __init__(self, directory: Path, schemas: Mapping[str, Schema], example: Path) -> None:
        self._store = directory / "engine"
        self._errors = directory / "engine.txt"
        self._schemas = schemas
        self._example = example
        self._count = 0
        self._child = Checkout.of(HERE).start("two_schemas.py", [str(self._store)], errors=self._errors)
        self._process = psutil.Process(self._child.pid)
        for database, schema in schemas.items():
            creates = [schema.moved(statement, database) for statement in schema.creates.values()]
            self._run({"database": database, "creates": creates})

    def _run(self, order: Mapping[str, object]) -> None:
        ask(self._child, json.dumps(order), self._errors)

    def insert(self, database: str, segment: Path) -> float:
        """CPU (s) of inserting a segment into a schema, the merges that follow included."""
        self._count += 1
        schema = self._schemas[database]
        statements = [
            schema.moved(statement, database)
            .replace(literal(str(self._example)), literal(str(segment)))
            .replace("'benchmark'", literal(f"benchmark-{self._count}"))
            for statement in schema.inserts
        ]
        used = cpu_seconds(self._process)
        self._run({"database": database, "statements": statements})
        meter = [lambda: cpu_seconds(self._process)]
        return until_quiet(meter, self._store, Patience(window=_WINDOW, idle=_WINDOW, more=1.0)).cpu[0] - used

    def close(self) -> None:
        """End the process."""
        _stop(self._child)


def compare_in_one_engine(run: Run, comparison: Comparison) -> tuple[Figures, Verdict]:
    """What an insert and the Python in front of it cost more than in the other checkout, merges included."""
    checkouts = {"here": Checkout.of(HERE), "against": comparison.against}
    engine_us: dict[str, list[float]] = {name: [] for name in checkouts}
    python_us: dict[str, list[float]] = {name: [] for name in checkouts}
    with ExitStack() as stack:
        engine = stack.enter_context(_engine(run, checkouts))
        collectors = {
            name: stack.enter_context(CollectorProcess(checkout, run.folder(), run.fields))
            for name, checkout in checkouts.items()
        }

        def pair(number: int) -> Pair:
            names = list(checkouts) if number % 2 else list(reversed(checkouts))
            part = PartOfLoad(run.load, number * _ENGINE_REQUESTS, _ENGINE_REQUESTS)
            for name, cpu in _insert_in_turn(engine, names, part, run).items():
                engine_us[name].append(cpu / part.spans * 1e6)
            part = PartOfLoad(run.load, number * _PYTHON_REQUESTS, _PYTHON_REQUESTS)
            in_turn = {name: collectors[name] for name in names}
            plan = Plan(run.senders, patience=run.patience)
            for name, result in send_in_turn(in_turn, part, plan).items():
                python_us[name].append(result.python / part.spans * 1e6)
            old, new = (engine_us[name][-1] + python_us[name][-1] for name in ("against", "here"))
            say(f"pair {number + 1}: {old:.1f} and here {new:.1f} us of CPU a span")
            return Pair(old, new)

        verdict = comparison.run(pair)
    figures: Figures = {"span_bytes": run.load.span_bytes}
    for prefix, name in (("", "here"), ("against_", "against")):
        figures[f"{prefix}engine_us_per_span"] = round(_mean(engine_us[name]), 2)
        figures[f"{prefix}python_us_per_span"] = round(_mean(python_us[name]), 2)
    return figures | comparison.figures(verdict), verdict


def spans_needed(pairs: int) -> int:
    """Spans of a load that is enough for so many pairs."""
    return pairs * _ENGINE_REQUESTS * SPANS_PER_REQUEST


@contextmanager
def _engine(run: Run, checkouts: Mapping[str, Checkout]) -> Iterator[OneEngine]:
    """An engine with the schemas of all checkouts."""
    folder = run.folder()
    example = folder / "example.seg"
    with ExitStack() as stack:
        first = next(segments(PartOfLoad(run.load, 0, 1), folder / "segments", 1 << 30))
        example.write_bytes(first.read_bytes())
        schemas = {}
        for name, checkout in checkouts.items():
            schemas[name], child = read_schema(checkout, run, example)
            stack.callback(_stop, child)
        engine = OneEngine(folder, schemas, example)
        stack.callback(engine.close)
        yield engine


def _insert_in_turn(engine: OneEngine, names: Sequence[str], load: PartOfLoad, run: Run) -> dict[str, float]:
    """CPU (s) by schema of a load's segments, each inserted into one schema and then into the other."""
    used = dict.fromkeys(names, 0.0)
    size = CollectorSettings(data_dir=run.directory).segment_bytes
    for segment in segments(load, run.folder(), size):
        for name in names:
            used[name] += engine.insert(name, segment)
        names = names[::-1]
    return used


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _stop(child: subprocess.Popen[str]) -> None:
    """End a program of ours."""
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()

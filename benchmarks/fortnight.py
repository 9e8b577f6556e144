"""Days of traffic in a store, made inside the engine: what watch's expectations are made of.

Each flow is a service that answers by a retrieval, a tool and a call of a model. Its traces by the minute,
with a day, a night and weekends, come from `traffic`, or from SQL for many flows (`fill_many`); `fill` makes
spans of them. Rollups, defaults and indexes are the shipped ones. `watch_reports` say that the collector was
up.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmtrace_analysis.detect.detectors.series import FloatArray, IntArray
from llmtrace_collector.store.store import Store

DAY = 1440
"""Minutes."""

_TABLE = """CREATE TABLE benchmark_minutes (
    Minute UInt32, Flow UInt32, Project String, Service String, Provider String, Model String, Traces UInt32,
    Slow Float64, Late Float64, Failing Float64, ToolFailing Float64, Tokens Float64,
    Steps UInt8
) ENGINE = Memory"""

#: Minutes that one INSERT makes spans of, at one flow and trace a minute.
_AT_ONCE = 20 * DAY


@dataclass(frozen=True)
class Flow:
    """Who answers with what."""

    service: str = "shop"
    model: str = "gpt-4o-mini"
    provider: str = "openai"
    project: str = "default"
    has_steps: bool = True
    """Whether it retrieves and uses a tool."""


@dataclass(frozen=True)
class Fault:
    """What is otherwise in some minutes of a flow."""

    since: int
    """Minute (Unix time / 60)."""
    until: int
    traffic: float = 1.0
    slow: float = 1.0
    """Factor of the model's duration."""
    late: float = 0.0
    """Seconds that the retrieval takes more."""
    failing: float | None = None
    """Share of calls."""
    tool_failing: float | None = None
    tokens: float = 1.0
    """Factor of the tokens of input."""


def traffic(since: int, minutes: int, peak: float, seed: int) -> IntArray:
    """Traces by the minute: a day, a night, weekends, and bursts. `peak`: at the busiest time."""
    rng = np.random.default_rng(seed)
    load = season(np.arange(since, since + minutes))
    bursts = np.zeros(minutes)
    for minute in range(1, minutes):
        bursts[minute] = 0.8 * bursts[minute - 1] + 0.1 * rng.normal()
    counts: IntArray = rng.poisson(peak * load * np.exp(bursts))
    return counts


def season(minutes: IntArray) -> FloatArray:
    """The share of the peak at minutes (Unix time / 60)."""
    of_day = (1 + np.cos(2 * np.pi * (minutes % DAY - 14 * 60) / DAY)) / 2
    weekend = (minutes // DAY + 3) % 7 >= 5
    load: FloatArray = (0.2 + 0.8 * of_day) * np.where(weekend, 0.5, 1.0)
    return load


def fill(store: Store, flow: Flow, since: int, counts: IntArray, faults: Sequence[Fault] = ()) -> None:
    """Put the traces of a flow into a store, from the minute `since` on."""
    until = since + len(counts)
    columns = {name: np.full(len(counts), value) for name, value in _USUAL.items()}
    traces = counts.astype(np.float64)
    for fault in faults:
        part = slice(max(fault.since - since, 0), max(fault.until - since, 0))
        traces[part] *= fault.traffic
        columns["Slow"][part] *= fault.slow
        columns["Late"][part] += fault.late
        columns["Tokens"][part] *= fault.tokens
        for name, share in (("Failing", fault.failing), ("ToolFailing", fault.tool_failing)):
            if share is not None:
                columns[name][part] = share
    labels = {
        "Flow": zlib.crc32(f"{flow.project} {flow.model}".encode()),
        "Project": flow.project,
        "Service": flow.service,
    }
    labels |= {"Provider": flow.provider, "Model": flow.model, "Steps": int(flow.has_steps)}
    rows = (
        {
            "Minute": since + place,
            "Traces": round(traces[place]),
            **labels,
            **{name: float(values[place]) for name, values in columns.items()},
        }
        for place in range(len(counts))
    )
    _table(store)
    store.insert_rows("benchmark_minutes", rows)
    _spans(store, since, until, _AT_ONCE)


_LOAD = (
    f"(0.6 + 0.4 * cos(2 * pi() * (minute % {DAY} - 840) / {DAY})) "
    f"* if((intDiv(minute, {DAY}) + 3) % 7 >= 5, 0.5, 1)"
)

_USUAL = {"Slow": 1.0, "Late": 0.0, "Failing": 0.004, "ToolFailing": 0.004, "Tokens": 1.0}


def fill_many(
    store: Store, flows: int, since: int, until: int, rate: float, *, is_flat: bool = False
) -> None:
    """Traces of many flows, `rate` a minute of each at the busiest time, or at all times, from one minute to
    another.
    """
    _table(store)
    load = "1" if is_flat else _LOAD
    store.engine.execute(f"""INSERT INTO benchmark_minutes
        WITH {load} AS load
        SELECT {since} + intDiv(number, {flows}) AS minute, number % {flows} AS flow,
            concat('project-', toString(flow % 4)), concat('service-', toString(intDiv(flow, 4))), 'openai',
            concat('model-', toString(flow)),
            toUInt32(floor({rate} * load + cityHash64(minute, flow) % 1000 / 1000)),
            1, 0, 0.004, 0.004, 1, 1
        FROM numbers(toUInt64({until - since}) * {flows})""")
    _spans(store, since, until, max(int(_AT_ONCE / (flows * max(rate, 1))), 1))


def fill_reports(store: Store, since: int, until: int) -> None:
    """Say that watch, and so the collector, was up in these minutes."""
    store.engine.execute(
        "INSERT INTO watch_reports (At) SELECT fromUnixTimestamp64Milli(toInt64(number * 10000)) "
        f"FROM numbers({since * 6}, {(until - since) * 6})"
    )


def _table(store: Store) -> None:
    store.engine.execute("DROP TABLE IF EXISTS benchmark_minutes SYNC")
    store.engine.execute(_TABLE)


def _spans(store: Store, since: int, until: int, at_once: int) -> None:
    text = (Path(__file__).parent / "fortnight.sql").read_text()
    for first in range(since, until, at_once):
        part = text.replace("{since}", str(first)).replace("{until}", str(min(first + at_once, until)))
        store.engine.execute(part)
    store.engine.execute("DROP TABLE benchmark_minutes SYNC")

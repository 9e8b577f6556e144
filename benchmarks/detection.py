"""What the detectors find of planted faults and how soon, and how often they raise a false incident.

    python -m benchmarks.detection [--seed 1] [--other-seed N] [--world both] [--sensitivity 1] [--quick]
    python -m benchmarks.detection --curve [--plot curve.svg]
    python -m benchmarks.detection --csv FILE [FILE ...]

Traffic of one model, its tool and its retrieval step is simulated call by call (`simulated_traffic.py`), with
a day, a night and weekends. In each world a first week teaches what is usual and is not counted. Every
series, measure and rule is watched, and every incident of a calm week is a false one. Each kind of fault of
`planted_faults.py` is planted at random times; it is found when an incident of its own measure and series
opens before it is over. The second world has other parameters, drawn by a seed that is printed. The last line
of stdout is one JSON object:

  false_incidents_per_week   in the calm weeks, of all series together; `of_the_model`: of the model's own
  found, planted             faults found, by kind, and how many of each kind were planted
  median_delay_minutes       of those found, from the start of the fault to the end of the minute that opens
  calm_weeks, sensitivity    how many weeks were calm, and what the detectors were asked for
  series_minute_ms           milliseconds that a series and minute takes
  second_world               the same of the second world, and its seed
  curve                      with --curve: false incidents and faults found for several sensitivities

With --csv, values of a file of one's own (timestamp, value) are calm, and faults are planted into its second
half. The figures are then alarms of `llmtrace detect score`, and delays count rows.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmtrace_analysis.detect.detectors.series import FloatArray
from llmtrace_analysis.detect.streaming.detector_bank import DetectorBank, Event
from llmtrace_analysis.detect.streaming.sensitivity import Sensitivity

from .curve_plot import write_curve
from .planted_faults import FAULTS, Fault, plan
from .simulated_traffic import (
    COLUMNS,
    GROUPS,
    ROWS,
    START,
    WATCHED,
    WEEK,
    Traffic,
    World,
    simulate,
    to_buckets,
)

#: What `--curve` asks for: false incidents a week.
_CURVE = (0.1, 0.3, 1.0, 3.0, 10.0)

#: An incident may open so many minutes after the end of a fault: its last minute is judged then.
_GRACE = 1


@dataclass(frozen=True)
class Size:
    """How much is simulated."""

    calm_worlds: int = 5
    calm_weeks: int = 4
    faults_of_a_kind: int = 24
    fault_worlds: int = 9


#: A few seconds, for the tests.
QUICK = Size(calm_worlds=1, calm_weeks=1, faults_of_a_kind=1, fault_worlds=1)


@dataclass(frozen=True)
class Outcome:
    """What one sensitivity gave in one world."""

    false: Mapping[str, int]
    """False incidents by series, measure, direction and kind."""
    weeks: int
    delays: Mapping[str, Sequence[int]]
    """Minutes until a fault was found, by kind, of those found."""
    planted: int
    series_minute_ms: float

    def figures(self) -> dict[str, Any]:
        """As they are printed last."""
        of_the_model = sum(number for name, number in self.false.items() if name.startswith("model"))
        return {
            "false_incidents_per_week": round(sum(self.false.values()) / self.weeks, 2),
            "of_the_model": round(of_the_model / self.weeks, 2),
            "calm_weeks": self.weeks,
            "found": {name: len(delays) for name, delays in self.delays.items()},
            "planted": self.planted,
            "median_delay_minutes": {
                name: statistics.median(delays) if delays else None for name, delays in self.delays.items()
            },
            "series_minute_ms": round(self.series_minute_ms, 4),
        }


def simulated(world: World, seed: int, size: Size) -> list[Traffic]:
    """Calm worlds, then those with faults."""
    minutes = WEEK * (1 + size.calm_weeks)
    traffics = [simulate(world, seed * 1000 + index, minutes) for index in range(size.calm_worlds)]
    dealt: list[list[str]] = [[] for _ in range(size.fault_worlds)]
    for index, name in enumerate(name for name in FAULTS for _ in range(size.faults_of_a_kind)):
        dealt[index % size.fault_worlds].append(name)
    for index, names in enumerate(dealt):
        faults = plan(np.random.default_rng(seed * 1000 + 100 + index), names, WEEK)
        minutes = faults[-1].end + 120
        traffics.append(simulate(world, seed * 1000 + 200 + index, minutes, faults))
    return traffics


def detect(traffics: Sequence[Traffic], sensitivity: Sensitivity) -> tuple[list[list[Event]], float]:
    """Events of every traffic, and the seconds that a series and minute took. All are rows of one bank."""
    rows = len(ROWS)
    bank = DetectorBank(
        np.concatenate([np.array(GROUPS) + len(ROWS) * index for index in range(len(traffics))]), sensitivity
    )
    minutes = max(traffic.minutes for traffic in traffics)
    columns: dict[str, FloatArray] = {}
    for name in COLUMNS:
        values = columns[name] = np.full((minutes, rows * len(traffics)), np.nan)
        for index, traffic in enumerate(traffics):
            values[: traffic.minutes, index * rows : (index + 1) * rows] = traffic.buckets[name]
    events: list[list[Event]] = [[] for _ in traffics]
    began = time.process_time()
    for minute in range(minutes):
        result = bank.advance(
            START + minute, to_buckets({name: values[minute] for name, values in columns.items()})
        )
        for event in result.events:
            events[event.series // rows].append(event)
    return events, (time.process_time() - began) / (minutes * rows * len(traffics))


def outcome(traffics: Sequence[Traffic], sensitivity: Sensitivity) -> Outcome:
    """Watch all of it, and hold what opened against what was planted."""
    events, seconds = detect(traffics, sensitivity)
    false: dict[str, int] = {}
    delays: dict[str, list[int]] = {name: [] for name in FAULTS}
    weeks = 0
    for traffic, opened in zip(traffics, events, strict=True):
        if traffic.faults:
            for fault in traffic.faults:
                delays[fault.name] += _delay(fault, opened)
            continue
        weeks += traffic.minutes // WEEK - 1
        for event in opened:
            if event.opened - START >= WEEK:
                name = f"{ROWS[event.series % len(ROWS)]}: {event.measure} {event.direction}, {event.kind}"
                false[name] = false.get(name, 0) + 1
    planted = sum(len(traffic.faults) for traffic in traffics) // len(FAULTS)
    return Outcome(false, max(weeks, 1), delays, planted, 1000 * seconds)


def _delay(fault: Fault, events: Sequence[Event]) -> list[int]:
    """Minutes until it was found; nothing where it was not."""
    kind = FAULTS[fault.name]
    for event in events:
        at = event.opened - START
        if (
            fault.start <= at < fault.end + _GRACE
            and event.series % len(ROWS) in kind.rows
            and event.measure in kind.measures
        ):
            return [at - fault.start + 1]
    return []


def _say(text: str) -> None:
    print(text, flush=True)


def _table(title: str, result: Outcome) -> None:
    figures = result.figures()
    _say(
        f"\n{title}: {figures['false_incidents_per_week']} false incidents a week, {result.weeks} calm weeks"
    )
    for name, number in sorted(result.false.items()):
        _say(f"  {number:3} {name}")
    _say(f"  {'fault':34}{'found of ' + str(result.planted):>12}{'median delay, min':>20}")
    for name, delays in result.delays.items():
        delay = figures["median_delay_minutes"][name]
        _say(f"  {name:34}{len(delays):>12}{'-' if delay is None else delay:>20}")


def _curve(traffics: Sequence[Traffic], plot: Path | None) -> list[dict[str, Any]]:
    points = []
    _say(f"\n  {'asked for':>12}{'nats':>8}{'false a week':>14}{'found':>10}{'median delay':>14}")
    for asked in _CURVE:
        sensitivity = Sensitivity(asked, WATCHED)
        result = outcome(traffics, sensitivity)
        planted = result.planted * len(FAULTS)
        delays = [delay for of_kind in result.delays.values() for delay in of_kind]
        point = {
            "sensitivity": asked,
            "false_incidents_per_week": result.figures()["false_incidents_per_week"],
            "found_share": round(len(delays) / planted, 4),
            "median_delay_minutes": statistics.median(delays) if delays else None,
            "found": result.figures()["found"],
        }
        points.append(point)
        _say(
            f"  {asked:>12}{sensitivity.threshold:>8.1f}{point['false_incidents_per_week']:>14}"
            f"{len(delays):>6} of {planted}{point['median_delay_minutes']:>10}"
        )
    if plot is not None:
        write_curve(plot, [(p["false_incidents_per_week"], p["found_share"]) for p in points])
    return points


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, watch, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--other-seed", type=int, help="of the second world; drawn where it is not given")
    parser.add_argument("--world", choices=("first", "second", "both"), default="both")
    parser.add_argument("--sensitivity", type=float, default=Sensitivity.false_incidents_a_week)
    parser.add_argument("--quick", action="store_true", help="one calm week and a fault of each kind")
    parser.add_argument("--curve", action="store_true", help="several sensitivities, in the first world")
    parser.add_argument("--plot", type=Path, help="with --curve: write it as SVG")
    parser.add_argument("--csv", type=Path, nargs="+", help="files of one's own instead of a simulation")
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else Size()
    if options.csv:
        from .detection_csv import of_files

        print(json.dumps(of_files(options.csv, _say)))
        return
    result: dict[str, Any] = {"seed": options.seed, "sensitivity": options.sensitivity}
    other_seed = options.other_seed if options.other_seed is not None else secrets.randbelow(10**6)
    worlds = {"first": World(), "second": World.other(other_seed)}
    for name, world in worlds.items():
        if options.world not in (name, "both") or (options.curve and name == "second"):
            continue
        _say(f"{name} world, seed {options.seed if name == 'first' else other_seed}: {world}")
        traffics = simulated(world, options.seed if name == "first" else other_seed + 500, size)
        if options.curve:
            result["curve"] = _curve(traffics, options.plot)
            continue
        measured = outcome(traffics, Sensitivity(options.sensitivity, WATCHED))
        _table(f"{name} world", measured)
        figures = measured.figures()
        result |= figures if name == "first" else {"second_world": {"seed": other_seed} | figures}
        sys.stdout.flush()
    print(json.dumps(result))


if __name__ == "__main__":
    main()

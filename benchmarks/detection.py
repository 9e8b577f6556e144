"""What the detectors find of planted faults, and how often they raise a false incident.

    python -m benchmarks.detection
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from llmtrace_analysis.detect.streaming.detector_bank import DetectorBank, Event
from llmtrace_analysis.detect.streaming.minute_buckets import MinuteBuckets
from llmtrace_analysis.detect.streaming.sensitivity import Sensitivity

from .simulated_traffic import FAULTS, GROUPS, ROWS, START, WEEK, Fault, Traffic, World, plan, simulate

def worlds(world: World, seed: int, calm: int, calm_weeks: int, faults_each: int, fault_worlds: int) -> list[Traffic]:
    result = [simulate(world, seed + index, WEEK * (1 + calm_weeks)) for index in range(calm)]
    dealt: list[list[str]] = [[] for _ in range(fault_worlds)]
    for index, name in enumerate(name for name in FAULTS for _ in range(faults_each)):
        dealt[index % fault_worlds].append(name)
    for index, names in enumerate(dealt):
        rng = np.random.default_rng(seed + 1000 + index)
        planned = plan(rng, names, WEEK)
        minutes = -(-(planned[-1].end + 720) // 1440) * 1440
        result.append(simulate(world, seed + 2000 + index, minutes, planned))
    return result


def detect(traffics: Sequence[Traffic], sensitivity: Sensitivity) -> list[list[Event]]:
    rows = len(ROWS)
    groups = np.concatenate([np.array(GROUPS) + 3 * i for i in range(len(traffics))])
    bank = DetectorBank(groups, sensitivity)
    names = [item.name for item in fields(MinuteBuckets)]
    longest = max(t.minutes for t in traffics)
    data = {}
    for name in names:
        data[name] = np.full((longest, rows * len(traffics)), np.nan)
        for i, t in enumerate(traffics):
            data[name][: t.minutes, i * rows : (i + 1) * rows] = t.buckets[name]
    events: list[list[Event]] = [[] for _ in traffics]
    for minute in range(longest):
        result = bank.advance(START + minute, MinuteBuckets(*(data[name][minute] for name in names)))
        for event in result.events:
            events[event.series // rows].append(event)
    return events


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--world", type=int, default=0)
    parser.add_argument("--calm", type=int, default=5)
    parser.add_argument("--weeks", type=int, default=4)
    parser.add_argument("--each", type=int, default=24)
    parser.add_argument("--fault-worlds", type=int, default=9)
    parser.add_argument("--sensitivity", type=float, default=2.0)
    parser.add_argument('--show', action='store_true')
    a = parser.parse_args()
    world = World.other(a.world) if a.world else World()
    began = time.perf_counter()
    traffics = worlds(world, a.seed, a.calm, a.weeks, a.each, a.fault_worlds)
    print("simulated", time.perf_counter() - began)
    began = time.perf_counter()
    events = detect(traffics, Sensitivity(a.sensitivity, 1))
    print("detected", time.perf_counter() - began)
    false: dict[str, int] = {}
    for traffic, of in zip(traffics, events, strict=True):
        if not traffic.faults:
            for e in of:
                if e.opened - START >= WEEK:
                    key = f"{ROWS[e.series % 6]} {e.measure} {e.direction} {e.kind}"
                    false[key] = false.get(key, 0) + 1
                    if a.show: print(ROWS[e.series%6], e.kind,e.measure,e.direction,(e.opened-START)//1440,(e.opened-START)%1440/60, e.opened-e.start, e.value,e.expected,e.low,e.high,e.score)
    print("false per", a.calm * a.weeks, "weeks", sum(false.values()))
    for k, v in sorted(false.items()): print("   ", v, k)
    found = {name: [] for name in FAULTS}
    kinds = {name: [] for name in FAULTS}
    other = 0
    for traffic, of in zip(traffics, events, strict=True):
        for fault in traffic.faults:
            kind = FAULTS[fault.name]
            hits = [e for e in of if fault.start <= e.opened - START < fault.end + 2 and e.series % 6 in kind.rows and e.measure in kind.measures]
            if hits:
                found[fault.name].append(hits[0].opened - START - fault.start + 1)
                kinds[fault.name].append(hits[0].kind)
    for name, d in found.items():
        k = {x: kinds[name].count(x) for x in set(kinds[name])}
        print(f"{name:32} {len(d):3}  {statistics.median(d) if d else 0:6}  {k}")


if __name__ == "__main__":
    main()

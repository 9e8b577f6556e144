"""`python -m benchmarks.detection`: its figures come out, for the simulation and for a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.curve_plot import write_curve
from benchmarks.detection import main
from benchmarks.planted_faults import FAULTS, plan
from benchmarks.simulated_traffic import WEEK, World, simulate


def test_a_week_and_a_fault_of_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--quick", "--world", "first"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["planted"] == 1
    assert figures["false_incidents_per_week"] <= 4
    assert figures["found"].keys() == figures["median_delay_minutes"].keys() == FAULTS.keys()
    loud = [number for name, number in figures["found"].items() if "x1.3" not in name]
    assert sum(loud) >= len(loud) - 2


def test_a_file_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "own.csv"
    values = 100 + 5 * np.random.default_rng(1).normal(size=900)
    file.write_text("".join(f"{300 * number},{value}\n" for number, value in enumerate(values)))
    main(["--csv", str(file)])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["found"]["x6, 5 rows"] == figures["planted"]["x6, 5 rows"] == 8


def test_a_world_is_its_seeds_and_faults_change_what_they_should() -> None:
    rng = np.random.default_rng(1)
    (fault,) = plan(rng, ["traffic x3, 1 h"], WEEK)
    calm, again, struck = (simulate(World(), 5, WEEK + 720, faults) for faults in ((), (), (fault,)))
    assert np.array_equal(calm.buckets["latency_mean"], again.buckets["latency_mean"], equal_nan=True)
    during = slice(fault.start, fault.end)
    ratio = struck.buckets["calls"][during, 0].sum() / calm.buckets["calls"][during, 0].sum()
    assert ratio == pytest.approx(3, rel=0.15)


def test_the_curve_is_drawn(tmp_path: Path) -> None:
    write_curve(tmp_path / "curve.svg", [(0.0, 0.9), (1.0, 0.95), (12.0, 1.0)])
    assert (tmp_path / "curve.svg").read_text().count("polyline") == 1

"""`llmtrace detect score`: a row for each row, by the rows before it, whatever people's files look like."""

from __future__ import annotations

import csv
import io
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrace_analysis.detect.streaming.conformal import Conformal, RestPeriod, SortedWindow
from llmtrace_analysis.detect.streaming.series_scorer import SeriesScorer
from llmtrace_cli.detect.csv_series import read_series
from llmtrace_cli.main import cli

START = datetime(2026, 1, 5, tzinfo=UTC)


def score(text: str, *options: str) -> Result:
    """Run the command with a text on standard input."""
    return CliRunner().invoke(cli, ["detect", "score", "-", *options], input=text.encode())


def rows_of(result: Result) -> list[dict[str, str]]:
    """The rows that it wrote."""
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


def series(values: list[float], seconds: float = 300.0) -> str:
    """A file with a line of names."""
    times = [(START + timedelta(seconds=seconds * number)).isoformat() for number in range(len(values))]
    return "timestamp,value\n" + "".join(
        f"{time},{value}\n" for time, value in zip(times, values, strict=True)
    )


def noisy(number: int, seed: int = 1) -> list[float]:
    """A day and a night, in steps of five minutes."""
    rng = np.random.default_rng(seed)
    hours = np.arange(number) / 12
    return [float(v) for v in 100 + 30 * np.sin(2 * np.pi * hours / 24) + rng.normal(0, 3, number)]


def test_an_outlier_is_an_alarm_and_its_neighbours_are_not() -> None:
    values = noisy(2500)
    values[2400] = 400.0
    rows = rows_of(score(series(values)))
    assert len(rows) == 2500
    assert [n for n, row in enumerate(rows) if row["alarm"] == "1" and n > 2300] == [2400]
    assert float(rows[2400]["score"]) > 0.98
    assert 60 < float(rows[2400]["low"]) < float(rows[2400]["expected"]) < float(rows[2400]["high"]) < 140


def test_a_night_at_noon_is_an_alarm() -> None:
    """The value is an everyday one; the time of day is not."""
    values = noisy(2500)
    highest = max(range(2300, 2500), key=lambda n: values[n] - abs(n - 2380) * 0.01)
    values[highest : highest + 12] = [70.0] * 12
    rows = rows_of(score(series(values)))
    assert any(row["alarm"] == "1" for row in rows[highest : highest + 12])


NUMBERS = st.floats(-1e300, 1e300) | st.sampled_from([math.nan, 0.0, 1.0, 1.0, 1.0])


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, 60.0, 60.0, 3600.0, 86_400.0, 1e6]), NUMBERS), max_size=120
    ),
    st.integers(0, 120),
)
def test_a_row_is_scored_by_the_rows_before_it_alone(steps: list[tuple[float, float]], cut: int) -> None:
    """Whatever comes later; with gaps, times that come twice, missing values and any spacing."""
    time, rows = 1.7e9, []
    for step, value in steps:
        time += step
        rows.append((time, value))
    whole, part = SeriesScorer(), SeriesScorer()
    scored = [whole.score(*row) for row in rows]
    for first, other in zip(scored, (part.score(*row) for row in rows[:cut]), strict=False):
        assert repr(first) == repr(other)
    assert all(0.0 <= first.score <= 1.0 for first in scored)
    assert all(not first.alarm for first, (_, value) in zip(scored, rows, strict=True) if math.isnan(value))


def test_the_beginning_of_a_file_is_scored_as_it_is_in_the_whole() -> None:
    lines = series(noisy(600)).splitlines(keepends=True)
    whole = score("".join(lines)).stdout.splitlines()
    assert score("".join(lines[:301])).stdout.splitlines() == whole[:301]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2_000_000_000), NUMBERS), min_size=1, max_size=40), st.booleans())
def test_every_row_comes_back_in_its_order_with_its_own_timestamp(
    rows: list[tuple[int, float]], header: bool
) -> None:
    text = ("time,val\n" if header else "") + "".join(
        f"{time},{'' if math.isnan(value) else value}\n" for time, value in rows
    )
    written = rows_of(score(text))
    assert [row["timestamp"] for row in written] == [str(time) for time, _ in rows]
    assert all(0.0 <= float(row["score"]) <= 1.0 and row["alarm"] in "01" for row in written)


@pytest.mark.parametrize("seconds", [1, 60, 3600, 86_400])
def test_any_spacing_is_taken(seconds: int) -> None:
    values = noisy(400)
    values[380] = 1000.0
    rows = rows_of(score(series(values, seconds)))
    assert rows[380]["alarm"] == "1"


def test_a_constant_is_nothing_and_a_step_from_it_is() -> None:
    rows = rows_of(score(series([5.0] * 300 + [6.0] + [5.0] * 20)))
    assert {row["score"] for row in rows[:300]} == {"0.0"}
    assert [n for n, row in enumerate(rows) if row["alarm"] == "1"] == [300]
    assert (rows[100]["expected"], rows[100]["low"], rows[100]["high"]) == ("5.0", "5.0", "5.0")


@pytest.mark.parametrize(
    "text",
    [
        "timestamp,value\n2026-01-05 00:00:00,1\n",
        "Time;Value\n2026-01-05T00:00:00Z;1,0\n",
        "\ufeffvalue,timestamp\n1,2026-01-05T00:00:00+00:00\n",
        '"ds","y"\n"2026-01-05","1"\n',
        "2026-01-05T00:00:00.000,1\n",
        "name,date,p95\nx,2026/01/05 00:00,1\n",
        "1767571200,1\n",
        "\n\n1767571200000,1\n\n",
        "when\tlatency\n01/05/2026 00:00\t1.0e0\n",
    ],
)
def test_files_have_many_forms(text: str) -> None:
    options = {"value_column": "p95"} if "p95" in text else {}
    (row,) = read_series(io.StringIO(text), **options)
    assert (row.time, row.value) == (1767571200.0, 1.0)


@pytest.mark.parametrize("missing", ["", "NaN", "null", "N/A", " "])
def test_a_missing_value_has_a_row_too(missing: str) -> None:
    (row,) = rows_of(score(f"2026-01-05,{missing}\n"))
    assert (row["value"], row["score"], row["alarm"]) == ("", "0.0", "0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the file is empty"),
        ("timestamp\n1\n", "line 1: there is one column"),
        ("timestamp,value\n1,2\n3\n", "line 3: 1 column, but column 2 is needed"),
        ("timestamp,value\n1,2\nyesterday,2\n", "line 3: 'yesterday' is no time"),
        ("timestamp,value\n1,two\n", "line 2: 'two' is no number"),
        ("timestamp,value\n1,1_000\n", "line 2: '1_000' is no number"),
        ('timestamp,value\n1,"2\n', "line 2"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(text: str, message: str) -> None:
    result = score(text)
    assert result.exit_code == 1
    assert message in result.stderr


def test_a_column_that_is_not_there_is_said_with_those_that_are() -> None:
    result = score("a,b\n1,2\n", "--value-column", "c")
    assert result.exit_code == 1
    assert "there is no column 'c'; --value-column takes one of: a, b" in result.stderr
    assert (
        rows_of(score("a,b\n1,2\n", "--timestamp-column", "2", "--value-column", "a"))[0]["timestamp"] == "2"
    )


def test_rows_leave_as_they_come() -> None:
    """Each before the next is asked for: `tail -f` works."""
    asked: list[int] = []

    def lines() -> object:
        for number in range(3):
            asked.append(number)
            yield f"{number},1\n"

    rows = read_series(lines())  # type: ignore[arg-type]
    next(rows)
    assert asked == [0]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("1,2\n2,3\n")
    run = CliRunner().invoke
    assert run(cli, ["detect", "score", str(source), "-o", str(target)]).exit_code == 0
    before = target.read_text()
    assert before.splitlines()[0] == "timestamp,value,score,expected,low,high,alarm"
    assert len(before.splitlines()) == 3
    source.write_text("1,2\n2,three\n")
    result = run(cli, ["detect", "score", str(source), "-o", str(target)])
    assert result.exit_code == 1
    assert f"{source}: line 2: 'three' is no number" in result.stderr
    assert target.read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_a_file_that_is_not_there_is_said() -> None:
    result = CliRunner().invoke(cli, ["detect", "score", "nowhere.csv"])
    assert result.exit_code == 1
    assert "nowhere.csv" in result.stderr


@given(st.lists(st.floats(-1e6, 1e6), max_size=60), st.floats(-1e6, 1e6), st.integers(1, 20))
def test_the_window_knows_its_nearest_numbers(numbers: list[float], number: float, size: int) -> None:
    window = SortedWindow(size)
    for item in numbers:
        window.add(item)
    last = numbers[-size:]
    assert window.ordered == sorted(last)
    nearest = sorted(abs(item - number) for item in last)[:3]
    assert window.distance(number) == pytest.approx(sum(nearest) / 3 if len(last) >= 3 else 0.0)


def test_chances_are_ranks_and_tell_far_out_from_a_record() -> None:
    rng = np.random.default_rng(1)
    conformal = Conformal(4000)
    chances = [conformal.chance(float(number)) for number in rng.exponential(1.0, 3000)]
    assert np.mean(np.array(chances[500:]) < 0.05) == pytest.approx(0.05, abs=0.015)
    record, far = deepcopy_chance(conformal, 12.0), deepcopy_chance(conformal, 1000.0)
    assert far < record / 100


def deepcopy_chance(conformal: Conformal, number: float) -> float:
    """The chance of a number that does not join the others."""
    from copy import deepcopy

    return deepcopy(conformal).chance(number)


def test_what_was_as_unusual_just_now_is_no_news() -> None:
    rest = RestPeriod()
    news = [rest.is_news(nats, 5, 0.7) for nats in (1.0, 3.0, 3.5, 4.3, 1.0, 1.0, 1.0, 1.0, 1.0)]
    # 4.3 is five steps back then, and the ones in between are as unusual as the new first.
    assert news == [True, True, False, True, False, False, False, False, False]

"""The harness itself: it finds what is lost, doubled and unseen, and plays by its seed."""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector.otlp import llm, traces

from . import injectors
from .case import Case, Scene
from .injectors import flip_bits
from .oracles import settle
from .processes import Tree
from .run import CASES, Outcome, chosen, play, rounds, summary
from .senders import post, send_spans

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with contextlib.ExitStack() as stack:
        (tmp_path / "case").mkdir()
        yield Scene(tmp_path / "case", Tree(ROOT, tmp_path), random.Random(1), stack)


def test_what_is_lost_and_what_is_stored_twice_are_findings(scene: Scene) -> None:
    collector = scene.collector()
    assert collector.start(), collector.output[-1000:]
    ids = send_spans(collector.port, 20)
    settle(scene, collector, [], acknowledged=ids)
    assert scene.findings == []
    assert scene.figures["acknowledged"] == scene.figures["stored"] == 20

    again = llm(name="fault")
    for number in range(2):  # two requests, so that neither is known as a repetition
        again.start_time_unix_nano += number
        assert post(collector.port, traces([again]).SerializeToString())
    time.sleep(1)
    settle(scene, collector, [], acknowledged=[*ids, again.span_id.hex(), "00" * 8], count_seconds=0)
    assert any("1 spans are stored twice" in finding for finding in scene.findings)
    assert any("1 of 22 acknowledged spans are gone" in finding for finding in scene.findings)
    assert scene.figures["unseen"] == 1


def test_a_case_that_breaks_off_is_a_finding_and_its_folder_goes(tmp_path: Path) -> None:
    def break_off(scene: Scene) -> None:
        (scene.folder / "file").touch()
        raise OSError("the disk of the harness")

    outcome = play(Case("breaks off", "harness", break_off), Tree(ROOT, tmp_path), tmp_path, 7)
    assert "broke off: OSError: the disk of the harness" in outcome.findings[0]
    assert list(tmp_path.iterdir()) == []
    assert "breaks off (seed 7)" in summary([outcome], 3)["findings"][0]


def test_what_the_machine_does_not_permit_is_skipped_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    injectors.missing.cache_clear()
    try:
        case = next(case for case in CASES if "faketime" in case.needs)
        outcome = play(case, Tree(ROOT, tmp_path), tmp_path, 7)
    finally:
        injectors.missing.cache_clear()
    assert outcome.skipped == "faketime is not installed (apt-get install faketime)"
    assert summary([outcome], 3)["injected"] == {}
    assert "skipped: faketime is not installed" in "\n".join(outcome.lines())


def test_the_seed_decides_order_and_choices(tmp_path: Path) -> None:
    cases = chosen([])
    assert list(rounds(cases, 5, None)) == list(rounds(cases, 5, None))
    assert [case for case, _ in rounds(cases, 5, None)] == CASES
    assert [seed for _, seed in rounds(cases, 5, None)] != [seed for _, seed in rounds(cases, 6, None)]
    file = tmp_path / "file"
    file.write_bytes(bytes(1000))
    offsets = flip_bits(file, random.Random(3), 2, after=500)
    assert sum(byte.bit_count() for byte in file.read_bytes()) == 2
    file.write_bytes(bytes(1000))
    assert flip_bits(file, random.Random(3), 2, after=500) == offsets
    assert min(offsets) >= 500


def test_minutes_bound_a_run() -> None:
    short = Case("short", "k", lambda scene: None, seconds=1)
    long = Case("long", "k", lambda scene: None, seconds=500)
    assert {case.name for case, _ in rounds([short, long], 1, 0.02)} == {"short"}


def test_cases_are_told_apart_and_unknown_ones_are_refused() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.kind for case in chosen(["EIO"])} == {"EIO"}
    with pytest.raises(ValueError, match="there is no case and no kind 'nonsense'"):
        chosen(["nonsense"])


def test_the_selection_of_the_gate_is_bounded() -> None:
    assert sum(case.seconds for case in chosen([], is_gate=True)) <= 140


def test_figures_add_up() -> None:
    first, second = Outcome(CASES[0], 1), Outcome(CASES[0], 2)
    first.figures.update(acknowledged=5, lost=1)
    second.figures.update(acknowledged=7)
    result = summary([first, second], 9)
    assert (result["acknowledged"], result["lost"], result["seed"]) == (12, 1, 9)
    assert result["injected"] == {CASES[0].kind: 2}

"""docs/conformance.md is what a run of the whole table writes: its rows, its form, its versions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.frameworks.running import ROOT

from .conformance_page import ROWS_HEADING
from .emitters import EMITTERS
from .table import KIND_NAMES

PAGE = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
LOCKS = {
    file.stem: file
    for folder in ("tests/venvs", "tests/conformance/environments")
    for file in (ROOT / folder).glob("*.lock")
}
ROWS = [(emitter, name) for emitter in EMITTERS for name in emitter.environments or ("",)]


def _cells(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its head."""
    section = PAGE.split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_row_is_on_the_page_in_the_tables_order() -> None:
    names = [f"{number} {emitter.name}" for number, (emitter, _) in enumerate(ROWS, 1)]
    assert [cells[0] for cells in _cells("## Table")] == names
    assert [cells[0] for cells in _cells(ROWS_HEADING)] == names
    assert [cells[1] for cells in _cells(ROWS_HEADING)] == [name or "–" for _, name in ROWS]


def test_every_cell_says_how_it_went() -> None:
    outcome = re.compile(r"ok|cannot|not run|\d+( / (\d+|–))?")
    for (emitter, _), cells in zip(ROWS, _cells("## Table"), strict=True):
        assert len(cells) == 1 + len(KIND_NAMES)
        for kind, cell in zip(KIND_NAMES, cells[1:], strict=True):
            assert outcome.fullmatch(cell), (emitter.name, kind, cell)
            assert (cell == "cannot") == (kind in emitter.cannot) or cell == "not run"


def test_the_figures_are_those_of_the_table() -> None:
    text = [cell for cells in _cells("## Table") for cell in cells[1:] if cell not in ("cannot", "not run")]
    ran = sum("not run" not in cells for cells in _cells("## Table"))
    stated = re.search(r"Of (\d+) cells of (\d+) rows (\d+) are ok and (\d+) fail", PAGE)
    assert stated is not None
    ok = text.count("ok")
    assert tuple(map(int, stated.groups())) == (len(text), ran, ok, len(text) - ok)


@pytest.mark.parametrize("number", range(len(ROWS)), ids=[f"{e.name} {name}" for e, name in ROWS])
def test_the_versions_are_those_that_are_pinned(number: int) -> None:
    emitter, environment = ROWS[number]
    versions = _cells(ROWS_HEADING)[number][2]
    if environment not in LOCKS:
        assert (
            not emitter.packages or emitter.program.endswith(".mjs") or environment in emitter.not_installed
        )
        return
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", LOCKS[environment].read_text("utf-8"), re.MULTILINE))
    assert versions == (", ".join(f"{name} {pins[name]}" for name in emitter.packages) or "–")


def test_every_program_and_environment_is_used() -> None:
    folder = Path(__file__).parent
    environments = {name for _, name in ROWS}
    assert {file.stem for file in (folder / "environments").glob("*.in")} <= environments
    programs = {file.name for file in (folder / "programs").glob("*_calls.*")} - {"emit_calls.py"}
    assert {emitter.program for emitter, _ in ROWS} >= programs

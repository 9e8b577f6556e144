"""Some of the program shapes, the judge of them, and the table in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.frameworks.running import ROOT

from .__main__ import main
from .judge import LabelledCall, judged
from .programs_page import BEGIN, END, table, write_table
from .receiver import ArrivedSpan, Report
from .running import played, python_of
from .shape import COLLECTORS, Collector, Figures, ProgramShape
from .shapes import SHAPES

_DOCS = ROOT / "docs" / "sdk.md"


@pytest.mark.parametrize("collector", ["up", "down"])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.in_gate], ids=lambda shape: shape.name)
def test_no_call_is_lost_unseen_or_anothers(shape: ProgramShape, collector: Collector) -> None:
    figures = played(shape, collector, python_of(shape))
    assert figures.faults(shape) == []
    if collector == "down":
        assert not figures.sent


def test_the_judge_sees_what_is_wrong() -> None:
    spans = [
        ArrivedSpan("t1", "s1", "", "root", "", "ann"),
        ArrivedSpan("t1", "s2", "s1", "chat", "fine", "ann"),
        ArrivedSpan("t1", "s3", "s1", "chat", "another's", "bob"),
        ArrivedSpan("t1", "s4", "s1", "chat", "nobody's", ""),
        ArrivedSpan("t2", "s5", "", "chat", "without parent", "ann"),
        ArrivedSpan("t2", "s6", "s1", "chat", "in another trace", "ann"),
        ArrivedSpan("t3", "s7", "", "chat", "leaked user", "ann"),
        ArrivedSpan("t3", "s8", "s9", "chat", "leaked parent", ""),
        ArrivedSpan("t4", "s10", "", "chat", "spooled", ""),
        ArrivedSpan("t4", "s10", "", "chat", "spooled", ""),
    ]
    below = ("fine", "another's", "nobody's", "without parent", "in another trace")
    calls = [LabelledCall(name, "ann", "root") for name in below]
    calls += [
        LabelledCall(name, "", "") for name in ("leaked user", "leaked parent", "spooled", "lost", "gone")
    ]
    reports = [
        Report(9, 8, 1, 0, 0, killed=False),
        Report(5, 3, 0, 2, 0, killed=False),
    ]
    figures = judged(calls, spans, reports, sent={*below, "leaked user", "leaked parent"})
    assert figures == Figures(
        calls=10,
        sent=7,
        spooled=1,
        lost=2,
        counted=1,
        wrong_user=1,
        no_user=1,
        leaked=2,
        orphaned=2,
        doubled=1,
    )
    assert figures.uncounted == 1
    assert judged(calls, spans, reports, sent=set(), ended={"another"}).orphaned == 0
    faults = figures.faults(SHAPES[0])
    assert [fault.rsplit(" ", 1)[0] for fault in faults] == [
        "lost", "uncounted", "wrong user", "no user", "leaked", "orphaned", "doubled"
    ]  # fmt: skip
    (killed,) = [Report(5, 3, 0, 2, 0, killed=True)]
    assert judged(calls[-1:], (), [killed], sent=set()).counted == 2


def test_names_of_shapes_are_their_own() -> None:
    assert len({shape.name for shape in SHAPES}) == len(SHAPES)


def test_the_page_has_a_row_for_each_shape_that_belongs_there() -> None:
    section = _DOCS.read_text("utf-8").split(BEGIN)[1].split(END)[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[1:]] == [shape.name for shape in SHAPES if shape.in_docs]
    for row in rows[1:]:
        for cell in row[1:]:
            assert re.fullmatch(r"not run|(\d+ (sent|spooled|counted)(, |$))+", cell), row


def test_the_page_is_written_in_its_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    shape = next(shape for shape in SHAPES if shape.in_docs)
    rows = [(shape, COLLECTORS[0], Figures(calls=5, sent=2, spooled=1, lost=2, counted=1))]
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    write_table(page, rows)
    text = page.read_text("utf-8")
    assert text == f"before\n{BEGIN}\n\n{table(rows)}\n{END}\nafter\n"
    assert f"| {shape.name} | 2 sent, 1 spooled, 1 counted, 1 lost | not run | not run |" in text
    page.write_text("no place", "utf-8")
    with pytest.raises(ValueError, match="no place for the table"):
        write_table(page, rows)


def test_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--only", "celery"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed
    assert all(line.startswith("workers") for line in listed)
    with pytest.raises(SystemExit):
        main(["--only", "no such shape"])
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "python -m tests.programs --only" in capsys.readouterr().out

"""A small selection of faults against these sources. `scripts/faults` plays all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from .case import Case
from .processes import Tree
from .run import chosen, play

#: Always the same choices here: a change passes or fails by what it changed. `scripts/faults` looks further.
SEED = 20261130


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """These sources."""
    return Tree(Path(__file__).parents[2], tmp_path_factory.mktemp("tree"))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", chosen([], is_gate=True), ids=lambda case: case.name)
def test_nothing_is_lost_counted_wrong_or_unseen(case: Case, tree: Tree, tmp_path: Path) -> None:
    print(f"seed {SEED}")
    outcome = play(case, tree, tmp_path, SEED)
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert not outcome.findings, "\n".join([*outcome.lines(), *outcome.notes])

"""A fixed part of the conformance table: the tracers whose environments the gate makes.

`scripts/conformance` runs all of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.frameworks.running import needs

from .emitters import EMITTERS
from .measured_rows import TableRow, measure
from .stored_records import ConformanceStore
from .summary import unexplained
from .table import KIND_NAMES

#: All programs run in the first test.
pytestmark = [needs("emitters"), needs("tracers"), pytest.mark.timeout(900)]

ROWS = [
    (emitter, name)
    for emitter in EMITTERS
    for name in emitter.environments
    if name in ("emitters", "tracers")
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TableRow]]:
    with ConformanceStore(tmp_path_factory.mktemp("conformance")) as store:
        yield {row.emitter.name: row for row in measure(store, ROWS, KIND_NAMES, jobs=2)}
        assert store.refused == []


@pytest.mark.parametrize("name", [emitter.name for emitter, _ in ROWS])
def test_each_call_is_one_record_that_says_what_ours_does(rows: dict[str, TableRow], name: str) -> None:
    row = rows[name]
    assert not row.not_run
    differing = {kind: unexplained(row, cell) for kind, cell in row.cells.items()}
    assert {kind: fields for kind, fields in differing.items() if fields} == {}


@pytest.mark.parametrize("name", [emitter.name for emitter, _ in ROWS])
def test_what_an_emitter_is_said_to_do_wrong_it_still_does(rows: dict[str, TableRow], name: str) -> None:
    """Of its newest version; what only an older one does is held by the whole run."""
    row = rows[name]
    differing = {
        (kind, difference.field)
        for kind, cell in row.cells.items()
        for difference in cell.differences.get("alone", ())
    }
    if len(row.emitter.environments) == 1:
        for kind, field in row.emitter.defects:
            assert any(other == field and kind in ("*", where) for where, other in differing), (kind, field)

"""Random texts: the guard knows every table and function that the engine reads in what it lets through."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.query_fuzz.engine_view import EngineView, view_of
from tests.query_fuzz.rounds import ROUND, Session

_SEED, _TEXTS = 20_261_129, 2_000


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    opened = Session(tmp_path_factory.mktemp("fuzz"))
    yield opened
    opened.close()


def test_guard_and_engine_see_the_same(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(_TEXTS // ROUND):
        print(f"seed {_SEED + number}")
        session.run(_SEED + number, ROUND)
    tally = session.comparison.tally
    assert tally.differences == []
    assert tally.texts == _TEXTS
    assert tally.passed > 0.3 * _TEXTS
    # Most of what passes is SQL for the engine, too, and much of it makes sense.
    assert tally.not_parsed < 0.02 * tally.passed
    assert tally.resolved > 0.25 * tally.passed


@pytest.mark.parametrize(
    ("sql", "tables", "functions"),
    [
        ("SELECT file('x'), a FROM api_keys AS a", {"api_keys"}, {"file"}),
        ("WITH w AS (SELECT * FROM scores) SELECT upper('a') FROM w", {"scores", "w"}, {"upper"}),
        ("SELECT 1 FROM numbers(3), otel_traces WHERE 1 IN (SELECT 1 FROM otel_logs)", None, None),
    ],
)
def test_what_the_engine_says_is_read(
    session: Session, sql: str, tables: set[str] | None, functions: set[str] | None
) -> None:
    view = session.engine.parsed(sql)
    assert view is not None
    assert view.tables == (tables or {"otel_traces", "otel_logs"})
    assert view.functions == (functions or {"numbers", "in"})
    assert session.engine.parsed("SELECT (") is None


def test_a_difference_is_noticed(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session.engine, "parsed", lambda sql: view_of(""))
    assert "only the guard sees': ['scores']" in session.comparison.compare("SELECT 1 FROM scores")
    more = EngineView(frozenset({"scores", "api_keys"}), frozenset({"file"}))
    monkeypatch.setattr(session.engine, "parsed", lambda sql: more)
    assert "tables that only the engine sees" in session.comparison.compare("SELECT 2 FROM scores")

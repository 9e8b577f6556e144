"""What an upgrade that is refused or interrupted leaves, and what it leaves alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from llmtrace_collector.store.engine import EmbeddedEngine, StoreError, StoreMismatch
from llmtrace_collector.store.schema import description as described
from llmtrace_collector.store.schema import reconcile, versions
from llmtrace_collector.store.schema.description import Description, Statement
from llmtrace_collector.store.schema.upgrade import _Plan

from .stores.opening import killed_at, opened, statements, unpack

_FUNCTIONS = "SELECT name, create_query FROM system.functions WHERE origin = 'SQLUserDefined' ORDER BY name"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of this release; tests copy it."""
    folder = tmp_path_factory.mktemp("made") / "store"
    opened(folder).close()
    return folder


@pytest.fixture
def new(prepared: Path, tmp_path: Path) -> Path:
    """A store of this release of a test's own."""
    return Path(shutil.copytree(prepared, tmp_path / "new", symlinks=True))


def describe_with(monkeypatch: pytest.MonkeyPatch, name: str, text: str, other: str) -> None:
    """Let the description of one entry be another, and a function with it."""
    describe = described.describe

    def changed(*arguments: Any, **named: Any) -> Description:
        whole = describe(*arguments, **named)
        return Description(
            (*whole.functions, "CREATE OR REPLACE FUNCTION llmtrace_is_llm AS (operation) -> 7"),
            tuple(
                Statement(item.entry, item.sql.replace(text, other)) if item.entry.name == name else item
                for item in whole.statements
            ),
        )

    monkeypatch.setattr(reconcile, "describe", changed)


def test_a_refused_upgrade_changes_no_function_and_nothing_of_others(
    new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = EmbeddedEngine(new)
    functions = engine.execute(_FUNCTIONS)
    for name in ("llmtrace_scratch_2", "llmtrace_scratch_pad"):
        engine.execute(f"CREATE DATABASE {name}")
    engine.execute("CREATE DATABASE llmtrace_scratch_1234567890123456789")
    engine.close()
    describe_with(monkeypatch, "span_cost", "price.Currency AS", "noSuchFunction(price.Currency) AS")
    with pytest.raises(
        StoreMismatch, match=r"cannot be brought up to date: .*noSuchFunction.*nothing was changed"
    ):
        opened(new)
    engine = EmbeddedEngine(new)
    assert engine.execute(_FUNCTIONS) == functions
    databases = engine.execute("SELECT name FROM system.databases WHERE name LIKE '%scratch%' ORDER BY name")
    assert databases == b"llmtrace_scratch_2\nllmtrace_scratch_pad\n"
    engine.close()


def test_what_the_user_may_not_do_is_said(new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute = EmbeddedEngine.execute

    def refuse(self: EmbeddedEngine, sql: str, *arguments: Any, **named: Any) -> bytes:
        if sql.startswith("CREATE DATABASE"):
            raise StoreError("Code: 497. DB::Exception: Not enough privileges", 497)
        return execute(self, sql, *arguments, **named)

    monkeypatch.setattr(EmbeddedEngine, "execute", refuse)
    describe_with(monkeypatch, "span_cost", "", "")
    with pytest.raises(
        StoreMismatch, match=r"Not enough privileges; nothing was changed\..* docs/scale\.md lists"
    ):
        opened(new)


def test_a_state_that_is_not_what_was_described_is_not_recorded(
    new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        describe_with(patched, "incidents", "SELECT", "SELECT 1 AS one,")
        patched.setattr(_Plan, "_read", lambda self: None)
        with pytest.raises(StoreMismatch, match=r"llmtrace\.incidents is not what llmtrace has just made"):
            opened(new)
    engine = EmbeddedEngine(new)
    newest = "SELECT Digest, State FROM llmtrace.store_versions ORDER BY Number DESC, At DESC LIMIT 1"
    assert engine.execute(newest) == f"\tfrom {versions.SCHEMA_NUMBER}\n".encode()
    engine.close()


def test_an_upgrade_that_was_begun_is_not_opened_by_an_older_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = unpack(tmp_path)
    assert killed_at(monkeypatch, old, lambda sql, number: sql.startswith("ALTER TABLE llmtrace.otel_traces"))
    with monkeypatch.context() as patched:
        patched.setattr(versions, "SCHEMA_NUMBER", versions.SCHEMA_NUMBER - 1)
        with pytest.raises(StoreMismatch, match="which is older"):
            opened(old)
    migrated: list[int] = []

    def migrations(number: int) -> list[str]:
        migrated.append(number)
        return []

    monkeypatch.setattr("llmtrace_collector.store.schema.upgrade.data_migrations", migrations)
    opened(old).close()
    assert migrated == [60]


def test_what_was_erased_meanwhile_stays_erased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = unpack(tmp_path)
    begun = "CREATE TABLE IF NOT EXISTS llmtrace.store_versions"
    assert killed_at(monkeypatch, old, lambda sql, number: sql.startswith(begun))
    engine = EmbeddedEngine(old)
    assert engine.execute("SELECT sum(Calls) FROM llmtrace.usage_10s_next") == b"8\n"
    days = engine.execute("SELECT DISTINCT _partition_id FROM default.usage_10s").decode().split()
    for day in days:
        engine.execute(f"ALTER TABLE default.usage_10s DROP PARTITION ID '{day}'")
    engine.close()
    store = opened(old)
    assert store.read("SELECT count() FROM usage_10s") == b"0\n"
    store.close()


def test_a_creation_that_is_killed_goes_on(
    new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stop in (2, 30):
        assert killed_at(monkeypatch, tmp_path / "store", lambda sql, number, stop=stop: number == stop)  # type: ignore[misc]
    store, whole = opened(tmp_path / "store"), None
    ours = statements(store)
    store.close()
    whole = opened(new)
    assert ours == statements(whole)
    whole.close()

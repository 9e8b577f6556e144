"""Memory that large reads have freed goes back to the system."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from llmtrace_collector.store.engine import EmbeddedEngine, StoreError
from llmtrace_collector.store.freed_memory import FreedMemory


def test_it_is_given_back_once_for_each_growth() -> None:
    purged: list[int] = []
    freed = FreedMemory(lambda: purged.append(1))
    freed.after_read()
    assert not purged
    ballast = bytearray(100 << 20)
    freed.after_read()
    freed.after_read()
    assert len(purged) == 1
    del ballast
    freed.after_read()
    ballast = bytearray(100 << 20)
    freed.after_read()
    assert len(purged) == 2
    del ballast


def test_a_reader_of_a_project_leaves_no_memory_behind(tmp_path: Path) -> None:
    engine = EmbeddedEngine(tmp_path / "store")
    hungry = "SELECT length(groupArray(repeat('x', 1000))) FROM numbers(30000)"
    too_hungry = "SELECT uniqExact(number) FROM numbers(100000000)"
    try:
        assert engine.read(hungry, project="a").strip() == b"30000"
        before = psutil.Process().memory_info().rss
        for _ in range(3):
            with pytest.raises(StoreError, match=r"Query memory limit") as refused:
                engine.read(too_hungry, project="a")
            assert refused.value.code == 241
        assert psutil.Process().memory_info().rss - before < 100 << 20
        # A reader of every project has more of it.
        assert engine.read("SELECT uniqExact(number) FROM numbers(4000000)").strip() == b"4000000"
        with pytest.raises(StoreError):
            engine.read("SELECT uniqExact(number) FROM numbers(4000000)", project="a")
    finally:
        engine.close()


def test_only_what_readers_of_a_project_free_is_given_back_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes 35 ms, and never costs a read its answer."""
    engine = EmbeddedEngine(tmp_path / "store")
    execute, purged = engine.execute, []

    def fails(sql: str, *_: object) -> bytes:
        purged.append(sql)
        raise StoreError("no")

    monkeypatch.setattr(engine, "execute", fails)
    try:
        ballast = bytearray(100 << 20)
        assert engine.read("SELECT 1") == engine.read_all("SELECT 1") == b"1\n"
        assert not purged
        assert engine.read("SELECT 1", project="a") == b"1\n"
        assert purged == ["SYSTEM JEMALLOC PURGE"]
        assert "is not given back yet: no" in caplog.text
        del ballast
    finally:
        monkeypatch.setattr(engine, "execute", execute)
        engine.close()

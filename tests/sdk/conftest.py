"""Every SDK test runs strict: a failure that production would swallow fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import llmtrace
from llmtrace.testing import Captured, capture


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("LLMTRACE_STRICT", "1")
    monkeypatch.setenv("LLMTRACE_SPOOL_DIR", str(tmp_path / "spool"))
    yield
    llmtrace.shutdown(timeout=1)


@pytest.fixture
def traces() -> Iterator[Captured]:
    with capture() as captured:
        yield captured

"""Every SDK test runs strict: a failure that production would swallow fails the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import llmtrace
from llmtrace.testing import Captured, capture


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LLMTRACE_STRICT", "1")
    yield
    llmtrace.shutdown(timeout=1)


@pytest.fixture
def traces() -> Iterator[Captured]:
    with capture() as captured:
        yield captured

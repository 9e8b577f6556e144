"""One collector per test module: the embedded engine opens one directory per process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .running import Served, settings


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector without keys on loopback, shared by the module's tests."""
    door = Served(settings(tmp_path_factory.mktemp("collector")))
    yield door
    door.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fresh data directory."""
    return tmp_path / "data"

"""One store for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtrace_collector.store.store import Store, open_store
from tests.collector.prefilled import prefill

from .running import Collector


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    embedded_store = open_store(f"chdb://{prefill(tmp_path_factory.mktemp('frameworks') / 'store')}")
    yield embedded_store
    embedded_store.close()


@pytest.fixture
def collector(store: Store, tmp_path: Path) -> Iterator[Collector]:
    with Collector(store, tmp_path) as running_collector:
        yield running_collector

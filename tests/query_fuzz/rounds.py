"""Rounds of texts, each of a seed of its own, over one small store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import chdb
from hypothesis import HealthCheck, Phase, given, seed, settings

from llmtrace_collector.store.database import DATABASE
from tests.collector.prefilled import prefill

from .comparison import Comparison
from .engine_view import Engine
from .grammar import texts

#: Texts of one seed.
ROUND = 500


class Session:
    """An empty store in `folder`, and what was found with it."""

    def __init__(self, folder: Path) -> None:
        connect: Callable[[str], Any] = chdb.connect
        self._handle = connect(str(prefill(folder / "store")))
        self._handle.query(f"USE {DATABASE}")
        self.engine = Engine(self._handle)
        self.comparison = Comparison(self.engine)

    def run(self, number: int, count: int) -> None:
        """Compare `count` texts of the seed `number`."""
        left = count

        @seed(number)
        @settings(
            max_examples=count,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=[*HealthCheck],
        )
        @given(texts())
        def compare(text: str) -> None:
            nonlocal left
            left -= 1
            self.comparison.compare(text)

        compare()
        # hypothesis repeats no example: it may run out of short ones.
        self.comparison.tally.texts += max(left, 0)

    def close(self) -> None:
        """End the engine."""
        self._handle.close()

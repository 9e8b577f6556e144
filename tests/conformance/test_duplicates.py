"""Real emitters beside each other, a part of what `python -m tests.conformance.duplicates` runs: misses and
false merges of calls that two of them tell of.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtrace_collector.store.store import Store, open_store
from tests.collector.prefilled import prefill
from tests.frameworks.running import ROOT, needs
from tests.sdk.naive import FOLDER, recordings

from .duplicates import PROGRAMS, measure, measure_scenes, plan, tellings
from .emitting import emit
from .record_count import total
from .replay import chat_calls

pytestmark = [
    needs("tracers"),
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recorded traffic at {FOLDER}"),
]

PYTHON = ROOT / ".venvs" / "tracers" / "bin" / "python"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{prefill(tmp_path_factory.mktemp('duplicates') / 'store')}")
    yield opened
    opened.close()


@pytest.mark.parametrize("number", range(len(PROGRAMS)), ids=[program[1] for program in PROGRAMS])
def test_calls_that_two_tracers_tell_of(store: Store, tmp_path: Path, number: int) -> None:
    framework, tracers, providers = PROGRAMS[number]
    recorded = list(recordings())
    planned = plan(chat_calls(recorded), number, share=0.06)
    emitted = emit(PYTHON, recorded, framework, tracers, planned.groups, providers=providers)
    for hides_ids in (False, True):
        project = f"{number} {hides_ids}"
        counts = measure(store, tmp_path, emitted, planned.kinds, project, hides_ids=hides_ids)
        every = total(list(counts.values()))
        assert (every.false_merges, every.lost) == ([], [])
        # One of so few is more than 1 %: the whole run holds that.
        assert len(counts["pairs"].missed) <= 1
        assert counts["pairs"].pairs >= 8
    pairs = tellings(emitted, planned.kinds)
    for name, count in measure_scenes(store, tmp_path, pairs, 3, f"{number}").items():
        assert (count.false_merges, count.lost) == ([], []), name

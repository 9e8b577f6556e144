"""One MLflow run per experiment run, brought up to date pass by pass; safe to stop and repeat anywhere."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from .runs.run_contents import contents, run_key
from .runs.run_data import Rows, RunData, RunKey, RunReader
from .tracking import Experiment, MlflowRefused, TrackedRun, Tracking

logger = logging.getLogger(__name__)

#: A run without a new span for this long is finished.
QUIET_SECONDS = 60.0
#: Between full passes only this much of the past is searched for changes.
WINDOW_SECONDS = 3600.0
#: A full pass finds what a window cannot show: late spans, new prices for old calls, changes made in MLflow.
FULL_PASS_SECONDS = 300.0
#: A run is written at most every 1/200 of the time it has been followed for, a minute at the most: the
#: charts of a long run stay at a few thousand points, and those of a young one follow every pass.
GAP_SHARE = 1 / 200
GAP_LIMIT_SECONDS = 60.0


@dataclass(frozen=True)
class SyncResult:
    """What one pass did, in runs. `refused` counts those that MLflow would not take as they are."""

    created: int = 0
    updated: int = 0
    finished: int = 0
    refused: int = 0


@dataclass
class _Memory:
    """What passes remember of each other; thrown away after a failure, when MLflow may hold anything."""

    full_pass_at: float
    since: int
    usage: dict[RunKey, str] = field(default_factory=dict)
    scores: dict[RunKey, str] = field(default_factory=dict)
    scores_stored: int = -1
    experiments: dict[str, Experiment] = field(default_factory=dict)
    runs: dict[str, dict[str, TrackedRun]] = field(default_factory=dict)
    pending: dict[RunKey, str] = field(default_factory=dict)


class MlflowSync:
    """Keeps MLflow's runs equal to the store's. One writer per MLflow server: run it in one collector.

    `rows` is `Store.rows`, `url` the tracking server, `trace_url` a link with `{trace_id}` in it; `clock`
    gives Unix seconds. Raises ValueError for a `url` that is not http(s).
    """

    def __init__(
        self, rows: Rows, url: str, trace_url: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._reader = RunReader(rows)
        self._tracking = Tracking(url)
        self._trace_url = trace_url
        self._clock = clock
        self._memory: _Memory | None = None
        self._closed = threading.Event()
        self._first_seen: dict[RunKey, float] = {}
        self._written: dict[RunKey, float] = {}
        #: Runs that are skipped (refused, or their spans are gone) while their fingerprint is this one.
        self._skipped: dict[RunKey, str] = {}

    def sync(self) -> SyncResult:
        """One pass: bring every run that changed since the last pass up to date.

        Blocks; one call at a time. Raises MlflowUnavailable when the server does not answer and StoreError
        when the store does not: nothing is lost, the next call starts over from what MLflow really holds.
        """
        if self._closed.is_set():
            return SyncResult()
        memory, self._memory = self._memory, None
        now = self._clock()
        if memory is None or now - memory.full_pass_at >= FULL_PASS_SECONDS:
            memory = self._scan_all(now)
        else:
            self._scan_window(memory)
        counts: Counter[str] = Counter()
        for key in sorted(memory.pending):
            if self._closed.is_set():
                return SyncResult(**counts)
            if not self._too_early(key, now):
                self._update_run(memory, key, memory.pending.pop(key), now, counts)
        self._finish_quiet(memory, now, counts)
        # Reached only by a whole pass: a broken one is not remembered.
        self._memory = memory
        return SyncResult(**counts)

    def close(self) -> None:
        """End the work, from any thread: a pass stops after the run that it is at, later ones do nothing."""
        self._closed.set()

    def _scan_all(self, now: float) -> _Memory:
        """Start afresh: what MLflow holds against what the store holds."""
        # MLflow first: when it does not answer, the store is spared the work.
        self._tracking.check()
        memory = _Memory(full_pass_at=now, since=max(0, int(now - WINDOW_SECONDS)))
        # The window is read before everything is, so that what arrives in between shows as a change.
        self._scan_window(memory)
        memory.pending.clear()
        usage, scores = self._reader.usage_changes(0), self._reader.score_changes(0)
        for key in sorted(usage):
            fingerprint = f"{usage[key]}|{scores.get(key, '')}"
            run = self._tracked(memory, key)
            known = run.fingerprint if run else None
            if fingerprint not in (known, self._skipped.get(key)):
                memory.pending[key] = fingerprint
        for followed in (self._first_seen, self._written, self._skipped):
            for key in followed.keys() - usage.keys():
                del followed[key]
        return memory

    def _scan_window(self, memory: _Memory) -> None:
        """Note the runs that changed since the last scan. Their whole fingerprint is left to a full pass."""
        usage = self._reader.usage_changes(memory.since)
        changed = {key for key, fingerprint in usage.items() if memory.usage.get(key) != fingerprint}
        stored = self._reader.scores_stored()
        if stored != memory.scores_stored:
            scores = self._reader.score_changes(memory.since)
            changed |= {key for key, fingerprint in scores.items() if memory.scores.get(key) != fingerprint}
            memory.scores, memory.scores_stored = scores, stored
        memory.usage = usage
        memory.pending.update(dict.fromkeys(changed, ""))

    def _too_early(self, key: RunKey, now: float) -> bool:
        followed = now - self._first_seen.setdefault(key, now)
        since_written = now - self._written.get(key, float("-inf"))
        return since_written < min(GAP_LIMIT_SECONDS, followed * GAP_SHARE)

    def _update_run(
        self, memory: _Memory, key: RunKey, fingerprint: str, now: float, counts: Counter[str]
    ) -> None:
        """Create or update one run."""
        run = self._tracked(memory, key)
        experiment = memory.experiments.get(key.experiment)
        if (experiment and experiment.deleted) or (run and run.deleted):
            # Somebody deleted it in MLflow: it stays deleted until somebody restores it there.
            return
        run_data = self._reader.run_data(key)
        if run_data is None:
            self._skipped[key] = fingerprint
            return
        try:
            if run is None:
                run = self._create(memory, run_data)
                counts["created"] += 1
            if self._tracking.log(run, contents(run_data, self._trace_url), fingerprint):
                counts["updated"] += 1
        except MlflowRefused as error:
            counts["refused"] += 1
            if key not in self._skipped:
                logger.warning("MLflow refused run %s: %s; the others go on.", run_key(key), error)
            self._skipped[key] = fingerprint
            return
        self._skipped.pop(key, None)
        self._written[key] = now
        run.received_ms, run.ended_ms = run_data.received_ms, run_data.ended_ms
        if run.status != "RUNNING" and not _quiet(run, now):
            self._tracking.reopen(run)

    def _create(self, memory: _Memory, run_data: RunData) -> TrackedRun:
        name = run_data.key.experiment
        experiment = memory.experiments.get(name)
        if experiment is None:
            experiment = memory.experiments[name] = self._tracking.create_experiment(name)
        run = self._tracking.create(experiment.experiment_id, run_data)
        memory.runs[name][run_key(run_data.key)] = run
        return run

    def _tracked(self, memory: _Memory, key: RunKey) -> TrackedRun | None:
        """The run in MLflow, looked for by its key before any is created."""
        if key.experiment not in memory.runs:
            experiment = self._tracking.experiment(key.experiment)
            if experiment is not None:
                memory.experiments[key.experiment] = experiment
            runs = self._tracking.runs(experiment.experiment_id) if experiment else {}
            memory.runs[key.experiment] = runs
        return memory.runs[key.experiment].get(run_key(key))

    def _finish_quiet(self, memory: _Memory, now: float, counts: Counter[str]) -> None:
        """End the runs that no span has reached for a while."""
        waiting = {run_key(key) for key in memory.pending}
        for runs in memory.runs.values():
            for key, run in runs.items():
                if run.status == "RUNNING" and not run.deleted and key not in waiting and _quiet(run, now):
                    self._tracking.finish(run)
                    counts["finished"] += 1


def _quiet(run: TrackedRun, now: float) -> bool:
    return now * 1000 - run.received_ms >= QUIET_SECONDS * 1000

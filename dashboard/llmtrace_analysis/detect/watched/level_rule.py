"""The rule of everything that is watched by the minute: replays the past, then goes on a minute at a time.

It reads the store in a thread and with a connection of its own; an evaluation asks only for what that has
come to. Until the past is replayed nothing is opened or resolved by it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from llmtrace.common.supervised import SupervisedThread
from llmtrace_analysis.detect.findings import RULES
from llmtrace_analysis.detect.incident_lifecycle import Finding, QuietPeriod
from llmtrace_analysis.detect.label_margins import LabelMargins
from llmtrace_analysis.detect.streaming.sensitivity import Sensitivity
from llmtrace_collector.store.incident import Incident, fingerprint

from .evidence import evidence
from .kind_bank import Opened
from .kinds import DELAY_SECONDS
from .minute_by_minute import MinuteByMinute
from .replay import MOST_DAYS, run
from .troubles import Trouble
from .wording import RULE_NAMES, is_ours, rule_and_dimensions, trouble_finding

logger = logging.getLogger(__name__)

#: An incident that goes on is seen every so many minutes: each time it is written again.
_SEEN_MINUTES = 5

#: How often a replay says how far it is, seconds.
_SAY_SECONDS = 10.0

#: Rules that the ten-second rule has too, which says when what it saw itself is over.
_SHARED = frozenset(RULES.values())


class _Ending(Exception):
    """The watch ends."""


@dataclass(frozen=True)
class _State:
    """What an evaluation sees."""

    until: int
    """The minute before which all are judged."""
    troubles: tuple[tuple[Trouble, tuple[Opened, ...]], ...]
    """Those that are open, with their events so far."""


class LevelRule:
    """Series that are not as expected at this time: shifts, drifts, silences, failures, newcomers."""

    def __init__(
        self,
        open_reader: Callable[[], Client],
        purposes: Sequence[str],
        sensitivity: Sensitivity,
        utc_offset_minutes: int = 0,
        replay_days: float = MOST_DAYS,
    ) -> None:
        """`open_reader` connects to the store; called again after the store was not to be reached."""
        self._open_reader = open_reader
        self._client: Client | None = None
        self._purposes = tuple(purposes)
        self._sensitivity = sensitivity
        self._utc_offset = utc_offset_minutes
        self._replay_minutes = int(replay_days * 1440)
        self._watched: MinuteByMinute | None = None
        self._since = self._replayed_to = 0
        self._state: _State | None = None
        self._evidence: dict[int, tuple[str, ...]] = {}
        self._answered: set[int] = set()
        self._said_at = 0.0
        self._labels = LabelMargins()
        self._margins: dict[str, float] = {}
        self.thread = SupervisedThread(
            "watched series", self._step, expected=(ClickHouseError, HTTPError, OSError)
        )

    @property
    def series_count(self) -> int:
        """How many series are watched."""
        return 0 if self._watched is None else len(self._watched.series)

    @property
    def trouble_count(self) -> int:
        """How many troubles are open."""
        return 0 if self._state is None else len(self._state.troubles)

    @property
    def judged_until(self) -> float:
        """Unix time (seconds) up to which all is judged; 0 before the past is replayed."""
        return 0.0 if self._state is None else 60.0 * self._state.until

    @property
    def replayed_share(self) -> float:
        """How much of the past is replayed, 0 to 1."""
        if self._state is not None:
            return 1.0
        return (self._replayed_to - self._since) / self._replay_minutes if self._since else 0.0

    def advance(self, now: float) -> None:
        """Judge every minute that is complete at `now` (Unix seconds), the past first. Raises what the store
        does; what was judged by then stays.
        """
        until = int(now - DELAY_SECONDS) // 60
        try:
            client = self._reader()
            if self._watched is None:
                self._since = self._replayed_to = until - self._replay_minutes
                self._watched = MinuteByMinute(
                    self._since, self._sensitivity, self._purposes, self._utc_offset
                )
            self._demand(client, now)
            for _ in run(client, self._watched, until, self._note_progress, frozenset(self._answered)):
                """Over before anybody was told."""
            self._find_evidence(client)
        except BaseException:
            self.close()
            raise
        # That the store answered says that the collector is up.
        self._answered = {minute for minute in self._answered if minute > until - 60} | {int(now) // 60}
        if self._state is None:
            logger.info(
                "watched_series_ready series=%d days=%.1f", self.series_count, self._replay_minutes / 1440
            )
        self._state = _State(
            self._watched.until,
            tuple((trouble, tuple(trouble.events)) for trouble in self._watched.troubles.open),
        )

    def findings(self, client: Client, incidents: Sequence[Incident], now: float) -> list[Finding]:
        """See `Rule`. Until the past is replayed, those of ours that are open as they are."""
        state = self._state
        unresolved = [incident for incident in incidents if incident.state != "resolved"]
        if state is None:
            return [_as_it_is(incident) for incident in unresolved if is_ours(incident)]
        known = {incident.fingerprint for incident in unresolved}
        findings = []
        for trouble, events in state.troubles:
            # An incident goes on under the name it was opened with.
            main = next((opened for opened in events if _fingerprint(opened) in known), events[0])
            end = 60.0 * state.until
            seen = [60.0 * (opened.event.opened + 1) for opened in events]
            latest = end - end % (60 * _SEEN_MINUTES)
            if latest > max(seen):
                seen.append(latest)
            traces = self._evidence.get(trouble.number, ())
            findings.append(trouble_finding(trouble, main, tuple(sorted(seen)), traces))
        return findings

    def quiet_periods(self, now: float) -> dict[str, QuietPeriod]:
        """Over as soon as the detectors say so. None before the past is replayed."""
        if self._state is None:
            return {}
        quiet = QuietPeriod(60.0 * self._state.until, 0.0)
        return dict.fromkeys(set(RULE_NAMES.values()) - _SHARED, quiet)

    def close(self) -> None:
        """Close the connection; the next advance opens another."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _step(self) -> float | None:
        now = time.time()
        try:
            self.advance(now)
        except _Ending:
            return None
        return 60.0 - (now - DELAY_SECONDS) % 60.0

    def _reader(self) -> Client:
        if self._client is None:
            self._client = self._open_reader()
        return self._client

    def _note_progress(self, minute: int) -> None:
        if self.thread.is_stopping:
            raise _Ending
        self._replayed_to = minute
        self.thread.rest()
        if self._state is None and time.monotonic() - self._said_at >= _SAY_SECONDS:
            self._said_at = time.monotonic()
            logger.info(
                "watched_series_replaying share=%.2f series=%d", self.replayed_share, self.series_count
            )

    def _demand(self, client: Client, now: float) -> None:
        """Have labels move the thresholds of the series that there are so far."""
        margins = {
            name: margin.nats for name, margin in self._labels.read(client, now).items() if margin.nats
        }
        if self._watched is not None and (margins or self._margins):
            self._watched.demand(margins)
        self._margins = margins

    def _find_evidence(self, client: Client) -> None:
        """Look for the traces of what opened, once."""
        troubles = self._watched.troubles.open if self._watched is not None else []
        numbers = {trouble.number for trouble in troubles}
        self._evidence = {number: ids for number, ids in self._evidence.items() if number in numbers}
        for trouble in troubles:
            if trouble.number not in self._evidence:
                self._evidence[trouble.number] = evidence(client, trouble.events[0], self._purposes)


def _fingerprint(opened: Opened) -> str:
    return fingerprint(*rule_and_dimensions(opened))


def _as_it_is(incident: Incident) -> Finding:
    return Finding(
        rule=incident.rule,
        kind="anomaly",
        project=incident.project,
        dimensions=incident.dimensions,
        metric=incident.metric,
        severity="critical" if incident.severity == "critical" else "warning",
        title=incident.title,
        summary=incident.summary,
        observed=incident.observed or 0.0,
        expected_low=incident.expected_low or 0.0,
        expected_high=incident.expected_high or 0.0,
        unit=incident.unit,
        seen=(),
        openings=(),
        is_going_on=True,
    )

"""Spend that no span explains, as incidents: one for each provider, for as long as its checks find some."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from llmtrace.common.health import HealthReason
from llmtrace.common.supervised import SupervisedThread
from llmtrace_analysis.billing_settings import BillingSource
from llmtrace_analysis.collector_client import CollectorClient
from llmtrace_analysis.cost import usage_api
from llmtrace_analysis.cost.reconcile import ours, reconcile
from llmtrace_analysis.cost.unseen import Thresholds, UnseenDay, closed_days, unseen_days
from llmtrace_analysis.detect import store_queries
from llmtrace_analysis.detect.incident_lifecycle import Finding, QuietPeriod, advance, to_report
from llmtrace_analysis.queries.scope import BILLED_PURPOSES, Scope
from llmtrace_collector.store.incident import Incident

logger = logging.getLogger(__name__)

#: A silent check is enough to end an incident: it judges whole days.
_QUIET_SECONDS = 0.01
#: After a check that failed, the next; and from when on that is a reason not to be ready, in checks missed.
_RETRY_SECONDS = 900.0
_MOST_MISSED = 3
_LEAST_PATIENCE = 86_400.0
#: Rows that a summary names.
_NAMED_ROWS = 3
_CRITICAL_FACTOR = 10.0
_FAILURES = (
    usage_api.UsageApiError, usage_api.UsageApiUnavailable, ClickHouseError, HTTPError, OSError,
)  # fmt: skip
_FIRST_CALL = "SELECT toUnixTimestamp(min(Time)) FROM usage_hour"


def rule_of(provider: str) -> str:
    """The name of the rule, of each provider its own: one may be checked while another cannot be."""
    return f"spend.unseen_{provider}"


def finding_of(
    provider: str, days: Sequence[UnseenDay], thresholds: Thresholds, now: float
) -> Finding | None:
    """What is to be said of a provider's days at `now` (Unix seconds); None where it is not enough."""
    over = [day for day in days if day.exceeds(thresholds)]
    if not over:
        return None
    worst = max(over, key=lambda day: (day.unseen, day.unpriced_tokens))
    amount = f"${worst.unseen:,.2f}" if worst.unseen else f"{worst.unpriced_tokens:,.0f} tokens"
    unpriced = (
        f" {worst.unpriced_tokens:,.0f} tokens more are of models without a price."
        if worst.unpriced_tokens and worst.unseen
        else ""
    )
    further = f" So it was on {len(over)} of {len(days)} days." if len(days) > 1 else ""
    return Finding(
        rule=rule_of(provider),
        kind="budget",
        project="",
        dimensions={"provider": provider},
        metric="unseen_spend",
        severity="critical" if worst.unseen >= _CRITICAL_FACTOR * max(thresholds.usd, 0.01) else "warning",
        title=f"Unseen spend at {provider}: {amount} on {worst.day} that no span explains",
        summary=(
            f"{worst.share:.0%} of the ${worst.billed:,.2f} that {provider} billed for {worst.day} (UTC)."
            f"{unpriced}{further} Most of it: {'; '.join(_named(worst))}. "
            f"llmtrace cost reconcile {provider} --from {worst.day} shows all."
        ),
        observed=worst.unseen,
        expected_low=0.0,
        expected_high=thresholds.usd,
        unit="usd",
        seen=(now,),
        openings=(now,),
    )


def _named(day: UnseenDay) -> list[str]:
    texts = []
    for row in day.rows.head(_NAMED_ROWS).to_dict("records"):
        key = _printable(row["key_name"] or row["key"])
        who = f"key {key}, " if key else ""
        texts.append(f"{who}{_printable(row['model'])}: ${row['unseen_cost']:,.2f} ({row['cause']})")
    return texts


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:120]


class UnseenSpendCheck:
    """Asks usage APIs now and then, in a thread of its own, and holds what they say against the ledger.

    A check that fails changes nothing: what was found stands until a later one says otherwise.
    """

    def __init__(
        self,
        sources: Sequence[BillingSource],
        open_reader: Callable[[], Client],
        thresholds: Thresholds,
        *,
        check_hours: float,
        delay_hours: float,
        days: int,
    ) -> None:
        """`open_reader` connects to the store, each time anew."""
        self._sources: dict[str, list[BillingSource]] = {}
        for source in sources:
            self._sources.setdefault(source.provider, []).append(source)
        self._open_reader = open_reader
        self._thresholds = thresholds
        self._check_seconds = check_hours * 3600
        self._delay_hours, self._days = delay_hours, days
        self._lock = threading.Lock()
        self._findings: dict[str, Finding | None] = {}
        self._checked_at: dict[str, float] = {}
        self._failures: dict[str, str] = {}
        self._started_at = time.time()
        self.thread = SupervisedThread("unseen spend", self._step)

    def check(self, now: float) -> bool:
        """Check every provider at `now` (Unix seconds); False where one could not be checked."""
        results = [self._checked(provider, sources, now) for provider, sources in self._sources.items()]
        return all(results)

    def findings(self, client: Client, incidents: Sequence[Incident], now: float) -> list[Finding]:
        """What the last checks that succeeded say."""
        with self._lock:
            return [finding for finding in self._findings.values() if finding is not None]

    def quiet_periods(self, now: float) -> dict[str, QuietPeriod]:
        """Over with the first silent check; nothing is over before there was one."""
        with self._lock:
            return {
                rule_of(provider): QuietPeriod(at, _QUIET_SECONDS)
                for provider, at in self._checked_at.items()
            }

    def reasons(self) -> list[HealthReason]:
        """Why watch is not well: providers that could not be asked for long."""
        patience = max(_LEAST_PATIENCE, _MOST_MISSED * self._check_seconds)
        now = time.time()
        with self._lock:
            return [
                HealthReason("billing-check", f"{provider} could not be asked what it billed: {reason}")
                for provider, reason in self._failures.items()
                if now - self._checked_at.get(provider, self._started_at) >= patience
            ]

    def _step(self) -> float:
        """Check all; the seconds until the next time."""
        return self._check_seconds if self.check(time.time()) else min(_RETRY_SECONDS, self._check_seconds)

    def _checked(self, provider: str, sources: Sequence[BillingSource], now: float) -> bool:
        try:
            days = self._judged(provider, sources, datetime.fromtimestamp(now, UTC))
        except _FAILURES as error:
            reason = " ".join(str(error).split())[:300]
            with self._lock:
                is_news = self._failures.get(provider) != reason
                self._failures[provider] = reason
            if is_news:
                logger.warning("billing_not_checked provider=%s reason=%s", provider, reason)
            return False
        finding = finding_of(provider, days, self._thresholds, now)
        with self._lock:
            self._findings[provider], self._checked_at[provider] = finding, now
            self._failures.pop(provider, None)
        logger.info(
            "billing_checked provider=%s days=%d unseen_usd=%.4f",
            provider, len(days), sum(day.unseen for day in days),
        )  # fmt: skip
        return True

    def _judged(self, provider: str, sources: Sequence[BillingSource], now: datetime) -> list[UnseenDay]:
        since, until = closed_days(now, self._days, self._delay_hours)
        client = self._open_reader()
        try:
            # What was billed before there was anything to trace it with is no news.
            since = max(since, _first_day(client))
            if since >= until:
                return []
            billed = usage_api.billed(sources, since, until, lambda text: logger.debug("%s", text))
            traced = ours(client, _scope(since, until), provider)
        finally:
            client.close()
        return unseen_days(reconcile(billed, traced, provider, accounts_of(sources)))


def accounts_of(sources: Sequence[BillingSource]) -> Mapping[str, tuple[str, ...]]:
    """Key id or name → accounts, of all sources of a provider."""
    return {key: accounts for source in sources for key, accounts in source.accounts.items()}


def write_incident(
    client: Client, collector: CollectorClient, provider: str, finding: Finding | None, now: float
) -> str | None:
    """Open, update or resolve the provider's incident by one check; what was done, None where nothing was.

    Raises as the store and the collector do.
    """
    incidents = store_queries.incidents(client, now)
    quiet_periods = {rule_of(provider): QuietPeriod(now, _QUIET_SECONDS)}
    findings = [] if finding is None else [finding]
    changes = advance(findings, incidents, quiet_periods, now, rest_seconds=0.0, update_seconds=0.0)
    for change in changes:
        collector.put_incident(change.incident.incident_id, to_report(change))
    return changes[0].action if changes else None


def _first_day(client: Client) -> date:
    """The first whole UTC day of the store."""
    seconds = client.query(_FIRST_CALL).result_rows[0][0] or time.time()
    return datetime.fromtimestamp(float(seconds), UTC).date() + timedelta(days=1)


def _scope(since: date, until: date) -> Scope:
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (since, until))
    return Scope(start, end, purposes=BILLED_PURPOSES)

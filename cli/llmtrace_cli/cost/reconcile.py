"""`llmtrace cost reconcile`: what a provider billed against what was traced."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmtrace.common.time_zones import UTC_ZONE, UnknownZone, start_of, time_zone
from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.extras import needs
from llmtrace_cli.query.output import output_options, write
from llmtrace_cli.query.store_reader import collector_option, connection, store_reader
from llmtrace_cli.terminal import say

from .options import make_scope

if TYPE_CHECKING:
    import pandas as pd

    from llmtrace_analysis.billing_settings import BillingSource
    from llmtrace_analysis.cost.unseen import UnseenDay
    from llmtrace_analysis.settings import WatchSettings

_PROVIDERS = ("openai", "anthropic", "azure", "openrouter")
_TABLE_COLUMNS = [
    "day", "key", "account", "model", "requests_invoice", "requests_ledger", "input_tokens_invoice",
    "input_tokens_ledger", "output_tokens_invoice", "output_tokens_ledger", "billed_cost", "unseen_cost",
    "cause",
]  # fmt: skip
_FAILED = 1


def _zone(context: click.Context, _: click.Parameter, value: str) -> str:
    try:
        time_zone(value)
    except UnknownZone as error:
        raise click.BadParameter(str(error)) from None
    return value


@click.command(
    epilog="""\b
Examples:
  llmtrace cost reconcile openai
  llmtrace cost reconcile anthropic --from 2026-11-01 --to 2026-12-01 --fail-above 5
  llmtrace cost reconcile openai usage.csv
  llmtrace cost reconcile azure export.csv --format csv -o differences.csv --incident
"""
)
@click.argument("provider", type=click.Choice(_PROVIDERS))
@click.argument(
    "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False, default=None
)
@click.option(
    "--from",
    "since",
    type=click.DateTime(["%Y-%m-%d"]),
    help="First day.  [default: the file's; without a file, 7 closed days]",
)
@click.option(
    "--to",
    "until",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day after the last.  [default: the file's; without a file, that of watch.billing_delay_hours ago]",
)
@click.option(
    "--time-zone",
    "zone",
    metavar="NAME",
    default=UTC_ZONE,
    callback=_zone,
    show_default=True,
    help="Time zone of the file's days.",
)
@click.option("--all", "everything", is_flag=True, help="Show the rows that agree too.")
@click.option(
    "--fail-above",
    type=click.FloatRange(min=0),
    metavar="USD",
    help="Exit with status 1 where more than this is billed and no span explains it.",
)
@click.option(
    "--incident",
    "writes_incident",
    is_flag=True,
    help="Open an incident from watch.unseen_usd a day on, and resolve it when there is less.",
)
@collector_option
@output_options
@click.pass_context
def reconcile(
    context: click.Context,
    /,
    provider: str,
    file: Path | None,
    since: datetime | None,
    until: datetime | None,
    zone: str,
    everything: bool,
    fail_above: float | None,
    writes_incident: bool,
    fmt: str,
    output: Path | None,
    url: str | None,
) -> None:
    """Hold what a provider billed against the ledger, by day, key and model, with likely causes of gaps.

    FILE is a usage export (CSV) or answers of the usage API saved as JSON. Without it the API is asked, by
    [[watch.billing]] of the settings, else with the key in OPENAI_ADMIN_KEY, ANTHROPIC_ADMIN_KEY,
    AZURE_MANAGEMENT_TOKEN or OPENROUTER_MANAGEMENT_KEY.

    The ledger's side is all calls but simulated ones: a load test's and an evaluation's are billed too.
    """
    with needs("analysis"):
        from llmtrace_analysis.cost import reconcile as matching
        from llmtrace_analysis.cost.unseen import unseen_days
        from llmtrace_analysis.queries.scope import BILLED_PURPOSES
        from llmtrace_analysis.watch.unseen_spend import accounts_of
    settings = read_settings(context, "analysis").watch
    sources = [source for source in settings.billing if source.provider == provider]
    first, end = (None if moment is None else moment.date() for moment in (since, until))
    if file is None:
        theirs, first, end = _asked(provider, sources, settings, first, end, zone)
    else:
        theirs = _of_file(provider, file, first, end)
        days = [date.fromisoformat(day) for day in theirs["day"]]
        first, end = first or min(days), end or max(days) + timedelta(days=1)
    scope = make_scope(start_of(first, zone), start_of(end, zone), purposes=BILLED_PURPOSES, zone=zone)
    with store_reader(context, url) as client:
        ledger = matching.ours(client, scope, provider)
        rows = matching.reconcile(theirs, ledger, provider, accounts_of(sources))
        days_of = unseen_days(rows)
        if writes_incident:
            _write_incident(context, url, provider, days_of)
    chosen = rows if everything else rows[~rows["matches"].astype(bool)]
    write(chosen[_TABLE_COLUMNS] if fmt == "table" else chosen, fmt, output, empty="no differences")
    agree = int(rows["matches"].sum())
    say(f"{agree} of {len(rows)} rows of day, key and model agree", err=True)
    unseen = _say_unseen(days_of)
    if fail_above is not None and unseen > fail_above:
        sys.exit(_FAILED)


def _of_file(provider: str, file: Path, first: date | None, end: date | None) -> pd.DataFrame:
    with needs("analysis"):
        from llmtrace_analysis.cost import invoices
    try:
        theirs = invoices.read(provider, file)
    except invoices.UnreadableExport as error:
        raise click.ClickException(str(error)) from error
    if first is not None:
        theirs = theirs[theirs["day"] >= first.isoformat()]
    if end is not None:
        theirs = theirs[theirs["day"] < end.isoformat()]
    if theirs.empty:
        raise click.ClickException(f"{file} has no rows" + (" of these days" if first or end else ""))
    return theirs


def _asked(
    provider: str,
    sources: Sequence[BillingSource],
    settings: WatchSettings,
    first: date | None,
    end: date | None,
    zone: str,
) -> tuple[pd.DataFrame, date, date]:
    """What the usage API says of the days, and which those are."""
    with needs("analysis"):
        from llmtrace_analysis.billing_settings import BillingSource
        from llmtrace_analysis.cost import usage_api
        from llmtrace_analysis.cost.unseen import closed_days
    if zone != UTC_ZONE:
        raise click.UsageError("usage APIs have days of UTC: --time-zone is for files")
    _, closed = closed_days(datetime.now(UTC), 1, settings.billing_delay_hours)
    end = end or closed
    first = first or end - timedelta(days=7)
    if first >= end:
        raise click.UsageError(f"the period ends ({end}) before it starts")
    asked = list(sources) or [BillingSource.model_validate({"provider": provider})]
    try:
        theirs = usage_api.billed(asked, first, end, lambda text: say(text, err=True))
    except (usage_api.UsageApiError, usage_api.UsageApiUnavailable) as error:
        raise click.ClickException(str(error)) from error
    if end > closed:
        say(f"days from {closed} on are not closed: providers report late", err=True)
    return theirs, first, end


def _say_unseen(days: Sequence[UnseenDay]) -> float:
    """Say what is billed and not explained; its USD."""
    billed, unseen = sum(day.billed for day in days), sum(day.unseen for day in days)
    tokens = sum(day.unpriced_tokens for day in days)
    more = f", and {tokens:,.0f} tokens of models without a price" if tokens else ""
    say(f"billed: {billed:,.2f} USD; no span explains {unseen:,.2f} USD of it{more}", err=True)
    return unseen


def _write_incident(
    context: click.Context, url: str | None, provider: str, days: Sequence[UnseenDay]
) -> None:
    with needs("analysis"):
        from llmtrace_analysis.collector_client import CollectorRefused, CollectorUnavailable, connect
        from llmtrace_analysis.cost.unseen import Thresholds
        from llmtrace_analysis.watch.unseen_spend import finding_of, write_incident
    settings = read_settings(context, "analysis").watch
    thresholds = Thresholds(settings.unseen_usd, settings.unseen_share, settings.unseen_tokens)
    now = time.time()
    finding = finding_of(provider, days, thresholds, now)
    collector = connect(connection(context, url))
    try:
        with store_reader(context, url) as client:
            action = write_incident(client, collector, provider, finding, now)
    except (CollectorRefused, CollectorUnavailable) as error:
        raise click.ClickException(f"the incident could not be written: {error}") from error
    finally:
        collector.close()
    words = {"open": "opened", "update": "updated", "resolve": "resolved"}
    if action is not None:
        title = "" if finding is None else f": {finding.title}"
        say(f"incident {words[action]}{title}", err=True)

"""`llmtrace cost forecast|whatif|reserved|export`: from what was spent to what to do."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtrace.common.time_zones import day_of, start_of
from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.extras import needs
from llmtrace_cli.query.output import output_options, write
from llmtrace_cli.query.store_reader import collector_option, store_reader
from llmtrace_cli.terminal import say

from .options import currency_option, make_scope, purpose_option, scope_options, zone_option

if TYPE_CHECKING:
    from llmtrace_analysis.cost.focus_columns import Version as FocusVersion


@click.command(
    epilog="""\b
Examples:
  llmtrace cost forecast
  llmtrace cost forecast --project shop --confidence 0.8 --format json
  llmtrace cost forecast --backtest
"""
)
@click.option(
    "--history", type=click.IntRange(7, 790), default=90, show_default=True, help="Days to learn from."
)
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 0.99),
    default=0.9,
    show_default=True,
    help="How often the interval should hold what comes.",
)
@click.option("--backtest", is_flag=True, help="Show how forecasts of two weeks would have done so far.")
@click.option("--project", default="", help="Only this project.")
@click.option("--model", default="", help="Only this model.")
@click.option("--user", default="", help="Only this user.")
@purpose_option
@zone_option
@currency_option
@collector_option
@output_options
@click.pass_context
def forecast(
    context: click.Context,
    /,
    history: int,
    confidence: float,
    backtest: bool,
    currency: str,
    fmt: str,
    output: Path | None,
    url: str | None,
    **filters: Any,
) -> None:
    """Forecast what this month will have cost at its end, with an interval.

    `stated_share` is the part of the history's cost that answers state; the rest is computed, that of
    `estimated_share` with tokens that are estimated from text.
    """
    with needs("analysis"):
        import pandas as pd

        from llmtrace_analysis.cost import currency as money
        from llmtrace_analysis.cost import report
        from llmtrace_analysis.cost.planning import forecast as forecasts
        from llmtrace_analysis.cost.stated_costs import stated_share
    zone = str(filters["zone"])
    today = day_of(datetime.now(UTC), zone)
    scope = make_scope(start_of(today - timedelta(days=history), zone), start_of(today, zone), **filters)
    rates = read_settings(context, "analysis").dashboard.exchange_rates
    with store_reader(context, url) as client:
        try:
            costs = report.daily_costs(client, scope, currency=currency, rates=rates)
        except money.NoRate as error:
            raise click.UsageError(str(error)) from error
    daily = costs["cost"]
    try:
        if backtest:
            data = forecasts.backtest(daily, today, confidence=confidence)
        else:
            month_forecast = forecasts.month_end(daily, today, confidence, zone=zone, currency=currency)
            shares = {
                f"{kind}_share": stated_share(costs[f"{kind}_cost"].sum(), daily.sum())
                for kind in ("stated", "estimated")
            }
            data = pd.DataFrame([{**dataclasses.asdict(month_forecast), **shares}])
    except forecasts.TooLittleHistory as error:
        raise click.ClickException(str(error)) from error
    write(data, fmt, output)


@click.command(
    epilog="""\b
Examples:
  llmtrace cost whatif openai/gpt-4o-mini
  llmtrace cost whatif openai/gpt-4o@batch anthropic/claude-haiku-4-5 --model gpt-4o --from 30d
  llmtrace cost whatif openai/gpt-4o --cached 0.6
"""
)
@click.argument("candidates", nargs=-1, required=True, metavar="PROVIDER/MODEL[@TIER]...")
@click.option(
    "--cached",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the fresh input that a prompt cache would serve.",
)
@scope_options
@output_options
@click.pass_context
def whatif(
    context: click.Context,
    /,
    candidates: tuple[str, ...],
    cached: float,
    fmt: str,
    output: Path | None,
    url: str | None,
    **scope: Any,
) -> None:
    """Replay the period's real token mix on other models, tiers or with caching."""
    with needs("analysis"):
        from llmtrace_analysis.cost.planning import what_if as replays
    try:
        wanted = [dataclasses.replace(replays.candidate(spec), cached=cached) for spec in candidates]
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with store_reader(context, url) as client:
        tokens = replays.mix(client, make_scope(**scope))
    write(replays.replay(tokens, wanted), fmt, output)


@click.command(
    epilog="""\b
Examples:
  llmtrace cost reserved --price 1.0 --tpm 2500 --model gpt-4o --from 30d
  llmtrace cost reserved --price 1.0 --tpm 2500 --output-weight 4 --step 15 --format json
"""
)
@click.option("--price", type=click.FloatRange(min=0), required=True, help="USD per unit and hour.")
@click.option(
    "--tpm", type=click.FloatRange(min=1), required=True, help="Tokens per minute that a unit serves."
)
@click.option(
    "--output-weight",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Input tokens that one output token counts as in --tpm.",
)
@click.option(
    "--step", type=click.IntRange(min=1), default=1, show_default=True, help="Units are sold in such steps."
)
@scope_options
@output_options
@click.pass_context
def reserved(
    context: click.Context,
    /,
    price: float,
    tpm: float,
    output_weight: float,
    step: int,
    fmt: str,
    output: Path | None,
    url: str | None,
    **scope: Any,
) -> None:
    """Compare pay-as-you-go with reserved capacity (PTU) for the period's real load, hour by hour."""
    with needs("analysis"):
        from llmtrace_analysis.cost.planning import reserved_capacity as capacity
    unit = capacity.Unit(price, tpm, output_weight, step)
    with store_reader(context, url) as client:
        hours = capacity.load(client, make_scope(**scope))
    table = capacity.compare(hours, unit)
    write(table, fmt, output)
    best, even = capacity.best(table), capacity.break_even(hours, unit)
    say(f"cheapest: {best['units']:.0f} units, saving {best['saving']:.2f} USD", err=True)
    if even == even:
        never = "; it never pays" if even > 1 else ""
        say(f"a unit breaks even at {even:.0%} utilisation{never}", err=True)


@click.command(
    epilog="""\b
Examples:
  llmtrace cost export --from 2026-11-01 --to 2026-12-01 --format csv -o focus.csv
  llmtrace cost export --focus-version 1.4 --time-zone Asia/Shanghai --currency CNY --format csv
  llmtrace cost export --account acct-1 --account-name Research --format parquet -o focus.parquet
"""
)
@click.option(
    "--focus-version",
    "version",
    type=click.Choice(("1.2", "1.4")),
    default="1.2",
    show_default=True,
    help="Version of the specification.",
)
@click.option("--account", default="llmtrace", show_default=True, help="BillingAccountId of the rows.")
@click.option("--account-name", default="llmtrace", show_default=True, help="BillingAccountName of the rows.")
@currency_option
@scope_options
@output_options
@click.pass_context
def export(
    context: click.Context,
    /,
    account: str,
    account_name: str,
    version: FocusVersion,
    currency: str,
    fmt: str,
    output: Path | None,
    url: str | None,
    **scope: Any,
) -> None:
    """Export priced usage and fixed lines as rows of FOCUS, with every mandatory column."""
    with needs("analysis"):
        from llmtrace_analysis.cost import currency as money
        from llmtrace_analysis.cost import focus, focus_columns, prices_in_use
    chosen = make_scope(**scope)
    rates = read_settings(context, "analysis").dashboard.exchange_rates
    billed = focus.Account(account, account_name)
    with store_reader(context, url) as client:
        try:
            data = focus.export(client, chosen, billed, version, currency=currency, rates=rates)
        except money.NoRate as error:
            raise click.UsageError(str(error)) from error
        missing = prices_in_use.unpriced(client, chosen)
    broken = focus_columns.violations(data, version)
    if broken:
        raise click.ClickException(f"the rows break FOCUS {version}: " + "; ".join(broken))
    write(data, fmt, output)
    say(f"days and months are those of {chosen.zone}", err=True)
    if len(missing):
        say(f"{int(missing['calls'].sum())} calls without a price have no row", err=True)

"""`llmtrace cost`: what calls cost, by what, and what to do about it."""

from pathlib import Path
from typing import Any

import click

from llmtrace.common.time_zones import UTC_ZONE
from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.extras import needs
from llmtrace_cli.query.output import output_options, write
from llmtrace_cli.query.store_reader import store_reader
from llmtrace_cli.terminal import say

from .capacity import accounts, fixed, latency
from .duplicates import duplicates
from .limits import limits
from .options import currency_option, dimensions, make_scope, scope_options
from .plans import export, forecast, reserved, whatif
from .prices import adjustments, close, prices, reprice
from .reconcile import reconcile
from .savings import advice, caches, repeats, waste
from .stated import stated


@click.group(
    epilog="""\b
Examples:
  llmtrace cost report --by model,user
  llmtrace cost report --by day,model --from 2026-11 --format csv -o november.csv
  llmtrace cost waste --from 7d
  llmtrace cost forecast
"""
)
def cost() -> None:
    """Report what calls cost. Amounts are USD; calls without a price are counted apart, never as 0."""


@cost.command(
    epilog="""\b
Examples:
  llmtrace cost report
  llmtrace cost report --by model,user --from 2026-11-01 --to 2026-12-01
  llmtrace cost report --by session --from 24h --format json
  llmtrace cost report --by prompt --score solved --success 0.5
  llmtrace cost report --by month --from 2026-01 --currency EUR
"""
)
@click.option(
    "--by", default="", callback=dimensions, help="Dimensions with commas between: model,user,service,day,…"
)
@click.option("--score", help="Report what a successful outcome costs, by the score of this name.")
@click.option(
    "--success", type=float, default=0.5, show_default=True, help="Least score of an outcome that succeeded."
)
@currency_option
@scope_options
@output_options
@click.pass_context
def report(
    context: click.Context,
    /,
    by: list[str],
    score: str | None,
    success: float,
    currency: str,
    fmt: str,
    output: Path | None,
    url: str | None,
    **scope: Any,
) -> None:
    """Report calls, tokens and cost by any dimension.

    Dimensions: project, provider, model, response_model, tier, context, service, operation, user, account,
    tag, experiment, run, prompt, prompt_version, purpose, stated_by, estimated, hour, day, month; and from
    single calls session, trace.
    """
    with needs("analysis"):
        from llmtrace_analysis.cost import currency as money
        from llmtrace_analysis.cost import fixed_costs, prices_in_use
        from llmtrace_analysis.cost import report as cost_report
        from llmtrace_analysis.cost.priced_usage import UnknownDimension
        from llmtrace_analysis.cost.stated_costs import stated_share
    if score and currency != money.USD:
        raise click.UsageError("costs per success are in USD alone: write --currency USD")
    rates = read_settings(context, "analysis").dashboard.exchange_rates
    chosen = make_scope(**scope)
    with store_reader(context, url) as client:
        try:
            data = (
                cost_report.per_success(client, chosen, score, success, by)
                if score
                else cost_report.report(client, chosen, by, currency=currency, rates=rates)
            )
        except (UnknownDimension, money.NoRate) as error:
            raise click.UsageError(str(error)) from error
        missing = prices_in_use.unpriced(client, chosen)
        partly = prices_in_use.partly_unpriced(client, chosen)
        inferred = prices_in_use.inferred(client, chosen)
        total = cost_report.report(client, chosen).iloc[0]
        try:
            paid = fixed_costs.amortised(fixed_costs.lines(client), chosen, rates)["cost"].sum()
        except money.NoRate as error:
            raise click.UsageError(str(error)) from error
    if fmt == "table" and not score:
        data = data[
            [*by, "calls", "unpriced_calls", "input_tokens", "cache_read_tokens", "output_tokens", "cost"]
        ]
    write(data, fmt, output)
    if {"day", "month", "hour"} & {*by} or chosen.zone != UTC_ZONE:
        say(f"days and months are those of {chosen.zone}", err=True)
    if stated_calls := int(total["stated_calls"]):
        share = stated_share(float(total["stated_cost"]), float(total["cost"]))
        calls = f"{stated_calls:,} of {int(total['calls']):,} calls"
        part = "" if share is None else f", {share:.0%} of the cost"
        say(f"stated by answers: {calls}{part}; see: llmtrace cost stated", err=True)
    if estimated_calls := int(total["estimated_calls"]):
        share = stated_share(float(total["estimated_cost"]), float(total["cost"]))
        part = "" if share is None else f", ≈ {share:.1%} of the cost"
        say(
            f"estimated: {estimated_calls:,} calls told no tokens; theirs are estimated from text{part}",
            err=True,
        )
    if paid:
        say(f"fixed lines, apart: {paid:,.2f} USD in this period; see: llmtrace cost fixed list", err=True)
    for row in inferred.to_dict(orient="records"):
        wrote = f"wrote {row['reported']!r}" if row["reported"] else "named none"
        say(
            f"inferred: {row['calls']:,.0f} calls count as {row['provider']}'s by their model's name; their "
            f"emitter {wrote}",
            err=True,
        )
    for row in missing.to_dict(orient="records"):
        say(
            f"unpriced: {row['calls']} calls of {row['provider'] or 'an unnamed provider'}/{row['model']}"
            f"{' in tier ' + row['tier'] if row['tier'] else ''}; give it a price: llmtrace cost prices set",
            err=True,
        )
    for row in partly.to_dict(orient="records"):
        tier = f" in tier {row['tier']}" if row["tier"] else ""
        say(
            f"priced in part: {row['provider']}/{row['model']}{tier} has no price for {row['parts']}; "
            "give it one: llmtrace cost prices set",
            err=True,
        )


for command in (forecast, whatif, reserved, reconcile, export, prices, reprice, close, adjustments,
    limits, accounts, latency, fixed, stated, duplicates, waste, repeats, caches, advice):  # fmt: skip
    cost.add_command(command)

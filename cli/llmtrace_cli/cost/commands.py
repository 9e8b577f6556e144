"""`llmtrace cost`: what calls cost, by what, and what to do about it."""

from pathlib import Path
from typing import Any

import click

from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.extras import needs
from llmtrace_cli.query.output import output_options, write
from llmtrace_cli.query.store_reader import store_reader
from llmtrace_cli.terminal import say

from .capacity import accounts, fixed, latency, limits
from .options import make_scope, scope_options
from .plans import export, forecast, reconcile, reserved, whatif
from .prices import adjustments, close, prices, reprice


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


def names(_: click.Context, __: click.Parameter, value: str) -> list[str]:
    """The words of a list with commas."""
    return [word.strip() for word in value.split(",") if word.strip()]


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
    "--by", default="", callback=names, help="Dimensions with commas between: model,user,service,day,…"
)
@click.option("--score", help="Report what a successful outcome costs, by the score of this name.")
@click.option(
    "--success", type=float, default=0.5, show_default=True, help="Least score of an outcome that succeeded."
)
@click.option(
    "--currency",
    default="USD",
    show_default=True,
    metavar="CODE",
    help="Currency of the costs, at the rates under [[dashboard.exchange_rates]].",
)
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
    tag, experiment, run, prompt, prompt_version, purpose, hour, day, month; and from single calls session,
    trace.
    """
    with needs("analysis"):
        from llmtrace_analysis.cost import currency as money
        from llmtrace_analysis.cost import fixed_costs, prices_in_use
        from llmtrace_analysis.cost import report as cost_report
        from llmtrace_analysis.cost.priced_usage import UnknownDimension
    if score and currency != money.USD:
        raise click.UsageError("costs per success are in USD alone: leave --currency out")
    rates = read_settings(context, "analysis").dashboard.exchange_rates
    chosen = make_scope(**scope)
    with store_reader(context, url) as client:
        try:
            data = (
                cost_report.per_success(client, chosen, score, success, by)
                if score
                else cost_report.report(client, chosen, by, currency=currency.upper(), rates=rates)
            )
        except (UnknownDimension, money.NoRate) as error:
            raise click.UsageError(str(error)) from error
        missing = prices_in_use.unpriced(client, chosen)
        paid = fixed_costs.amortised(fixed_costs.lines(client), chosen)["cost"].sum()
    if fmt == "table" and not score:
        data = data[
            [*by, "calls", "unpriced_calls", "input_tokens", "cache_read_tokens", "output_tokens", "cost"]
        ]
    write(data, fmt, output)
    if paid:
        say(f"fixed lines, apart: {paid:,.2f} USD in this period; see: llmtrace cost fixed list", err=True)
    for row in missing.to_dict(orient="records"):
        say(
            f"unpriced: {row['calls']} calls of {row['provider'] or 'an unnamed provider'}/{row['model']}"
            f"{' in tier ' + row['tier'] if row['tier'] else ''}; give it a price: llmtrace cost prices set",
            err=True,
        )


@cost.command(
    epilog="""\b
Examples:
  llmtrace cost waste
  llmtrace cost waste --from 7d --format json
"""
)
@scope_options
@output_options
@click.pass_context
def waste(context: click.Context, /, fmt: str, output: Path | None, url: str | None, **scope: Any) -> None:
    """Report money that bought nothing, and what was saved.

    Failed calls whose tokens were billed, repeated attempts, streams left before their end, exact repeats
    of a prompt, long inputs with next to no answer; and cache reads, batch tiers, answers out of a cache.
    """
    with needs("analysis"):
        import pandas as pd

        from llmtrace_analysis.cost.planning import waste as wasted
    chosen = make_scope(**scope)
    with store_reader(context, url) as client:
        spent = wasted.waste(client, chosen)
        saved = wasted.savings(client, chosen)
    spent.insert(0, "sort", "waste")
    saved = saved.rename(columns={"tokens": "input_tokens", "saved": "cost"}).drop(columns="unpriced_tokens")
    saved.insert(0, "sort", "saving")
    write(pd.concat([spent, saved], ignore_index=True), fmt, output)


for command in (forecast, whatif, reserved, reconcile, export, prices, reprice, close, adjustments,
    limits, accounts, latency, fixed):  # fmt: skip
    cost.add_command(command)

"""`llmtrace cost accounts|latency|fixed`: who fails how often, and capacity that is paid anyway."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from llmtrace_cli.admin.client import managing
from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.extras import needs
from llmtrace_cli.query.output import output_options, write
from llmtrace_cli.query.store_reader import collector_option, connection, store_reader
from llmtrace_cli.terminal import say

from .options import make_scope, moment, scope_options


def _reader(name: str, help_text: str, example: str) -> click.Command:
    """A command that writes one frame of `cost.planning.capacity` over a scope."""

    @click.command(name, help=help_text, epilog=f"\b\nExamples:\n  {example}\n")
    @scope_options
    @output_options
    @click.pass_context
    def command(
        context: click.Context, /, fmt: str, output: Path | None, url: str | None, **scope: Any
    ) -> None:
        with needs("analysis"):
            from llmtrace_analysis.cost.planning import capacity
        with store_reader(context, url) as client:
            write(getattr(capacity, name)(client, make_scope(**scope)), fmt, output)

    return command


accounts = _reader(
    "accounts",
    "Report calls, failure rate and cost by account: the mark of an API key, which cannot be turned back.",
    "llmtrace cost accounts --from 7d",
)
latency = _reader(
    "latency",
    "Report the measured latency of pay-as-you-go and reserved capacity side by side, by model.",
    "llmtrace cost latency --from 7d --model gpt-4o",
)


@click.group(
    epilog="""\b
Examples:
  llmtrace cost fixed set ptu-1 --kind reserved --name 'PTU East' --units 50 --price 1.0 --from 2026-11-01
  llmtrace cost fixed list --from 2026-11
"""
)
def fixed() -> None:
    """Keep capacity that is paid whether used or not: reserved units, GPU hours, hosting. Shown apart."""


@fixed.command(
    "set",
    epilog="""\b
Examples:
  llmtrace cost fixed set ptu-1 --kind reserved --name 'PTU East' --units 50 --price 1.0 --from 2026-11-01
  llmtrace cost fixed set gpus --kind gpu --name '2 x H200' --units 2 --price 3.5 --from 2026-11-01
  llmtrace cost fixed set year --kind reserved --name 'one year' --price 60000 --period total
    --from 2026-01-01 --to 2027-01-01 --model azure.ai.openai/gpt-4o-ptu
""",
)
@click.argument("line", metavar="ID")
@click.option(
    "--kind",
    type=click.Choice(("reserved", "gpu", "hosting", "cache_storage", "other")),
    required=True,
    help="What sort of capacity it is.",
)
@click.option("--name", required=True, help="What it is, for people.")
@click.option("--units", type=float, default=1.0, show_default=True, help="How many units.")
@click.option("--price", type=click.FloatRange(min=0), required=True, help="Of a unit and period.")
@click.option(
    "--currency",
    default="USD",
    show_default=True,
    metavar="CODE",
    help="Currency of the price, at the rates under [[dashboard.exchange_rates]].",
)
@click.option(
    "--period",
    type=click.Choice(("hour", "month", "total")),
    default="hour",
    show_default=True,
    help="What one price pays for; total: all the time from --from to --to.",
)
@click.option("--from", "since", callback=moment, required=True, help="Day from which it is paid, UTC.")
@click.option("--to", "until", callback=moment, help="Day from which it is paid no more.  [default: none]")
@click.option("--project", default="", help="The project that pays it.  [default: none alone]")
@click.option(
    "--model", default="", metavar="PROVIDER/MODEL", help="Calls of this model cost nothing by the token."
)
@click.option("--note", default="", help="Why, for those who read it later.")
@collector_option
@click.pass_context
def set_fixed_cost(
    context: click.Context,
    /,
    line: str,
    since: datetime,
    until: datetime | None,
    model: str,
    currency: str,
    url: str | None,
    **fields: Any,
) -> None:
    """Keep a fixed line, or replace the one with this id."""
    provider, slash, name = model.partition("/")
    if model and not (slash and name):
        raise click.UsageError("write --model PROVIDER/MODEL")
    body = {
        **fields,
        "currency": currency.upper(),
        "provider": provider,
        "model": name,
        "valid_from": since.date().isoformat(),
        "valid_to": None if until is None else until.date().isoformat(),
        "actor": getpass.getuser(),
    }
    with managing(connection(context, url)) as collector:
        line_id = collector.set_fixed_cost(line, body)
    say(f"kept: {line_id}")


@fixed.command(
    epilog="""\b
Examples:
  llmtrace cost fixed remove ptu-1
"""
)
@click.argument("line", metavar="ID")
@collector_option
@click.pass_context
def remove(context: click.Context, /, line: str, url: str | None) -> None:
    """Take a fixed line out of every report; to end one, set it again with --to."""
    with needs("analysis"):
        from llmtrace_analysis.cost import fixed_costs
    with store_reader(context, url) as client:
        costs = fixed_costs.lines(client)
    matches = costs[costs["id"] == line].to_dict(orient="records")
    if not matches:
        raise click.ClickException(f"there is no fixed line {line!r}; 'llmtrace cost fixed list' shows them")
    body = {
        **{
            key: matches[0][key] for key in ("kind", "name", "project", "provider", "model", "units", "price")
        },
        "valid_from": datetime.fromtimestamp(int(matches[0]["start"]), UTC).date().isoformat(),
        "removed": True,
        "actor": getpass.getuser(),
    }
    with managing(connection(context, url)) as collector:
        collector.set_fixed_cost(line, body)
    say(f"removed: {line}")


@fixed.command(
    "list",
    epilog="""\b
Examples:
  llmtrace cost fixed list --from 2026-11
  llmtrace cost fixed list --from 2026-11 --by-day --format csv
""",
)
@click.option("--by-day", is_flag=True, help="One row a day, not one for the period.")
@scope_options
@output_options
@click.pass_context
def list_fixed_costs(
    context: click.Context, /, by_day: bool, fmt: str, output: Path | None, url: str | None, **scope: Any
) -> None:
    """List fixed lines with what they cost in the period, spread evenly over the time they are paid for."""
    with needs("analysis"):
        from llmtrace_analysis.cost import fixed_costs
        from llmtrace_analysis.cost.currency import NoRate
    chosen = make_scope(**scope)
    rates = read_settings(context, "analysis").dashboard.exchange_rates
    with store_reader(context, url) as client:
        try:
            data = fixed_costs.amortised(fixed_costs.lines(client), chosen, rates)
        except NoRate as error:
            raise click.UsageError(str(error)) from error
    if not by_day:
        keys = ["id", "kind", "name", "project", "provider", "model", "units"]
        data = data.groupby(keys, as_index=False)[["hours", "cost"]].sum()
    write(data, fmt, output)

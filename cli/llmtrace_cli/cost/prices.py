"""`llmtrace cost prices` and `reprice`: what the book says, and changing it without losing the old one."""

from __future__ import annotations

import getpass
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from llmtrace_cli.admin.client import managing
from llmtrace_cli.extras import needs
from llmtrace_cli.query.output import output_options, write
from llmtrace_cli.query.store_reader import Command, collector_option, connection, store_reader
from llmtrace_cli.terminal import say
from llmtrace_collector.attributes.counts import COUNTS
from llmtrace_collector.attributes.field import UNITS

from .options import make_scope, moment, scope_options


@click.group(
    epilog="""\b
Examples:
  llmtrace cost prices list
  llmtrace cost prices set openai/my-finetune --input 3 --output 12 --from 2026-11-01
  llmtrace cost prices books
"""
)
def prices() -> None:
    """Read and set prices. Every change makes a new book; the old ones are kept."""


@prices.command(
    "list",
    epilog="""\b
Examples:
  llmtrace cost prices list
  llmtrace cost prices list --book 'genai-prices 0.2.3/2' --format csv
""",
)
@click.option("--book", help="Name of a book.  [default: the one in effect]")
@collector_option
@output_options
@click.pass_context
def list_prices(
    context: click.Context, /, book: str | None, fmt: str, output: Path | None, url: str | None
) -> None:
    """List the prices of every model seen, USD per million tokens; unpriced models too."""
    with store_reader(context, url) as client:
        with needs("analysis"):
            from llmtrace_analysis.cost import price_books
        data = _read(client, book)
        say(f"book: {book or price_books.in_effect(client)}", err=True)
    write(data.drop(columns=["start", "end", "context_to"]), fmt, output)


@prices.command(
    "books",
    epilog="""\b
Examples:
  llmtrace cost prices books
""",
)
@collector_option
@output_options
@click.pass_context
def list_books(context: click.Context, /, fmt: str, output: Path | None, url: str | None) -> None:
    """List the books that are kept, newest first."""
    with needs("analysis"):
        from llmtrace_analysis.cost import price_books
    with store_reader(context, url) as client:
        write(price_books.books(client), fmt, output)


@prices.command(
    epilog="""\b
Examples:
  llmtrace cost prices diff 'genai-prices 0.2.3/2' 'genai-prices 0.2.3/2 own 1a2b3c4d'
"""
)
@click.argument("before")
@click.argument("after")
@collector_option
@output_options
@click.pass_context
def diff(
    context: click.Context, /, before: str, after: str, fmt: str, output: Path | None, url: str | None
) -> None:
    """Show the prices that differ between two books."""
    with needs("analysis"):
        from llmtrace_analysis.cost import price_books
    with store_reader(context, url) as client:
        write(price_books.differences(_read(client, before), _read(client, after)), fmt, output)


#: Options of `prices set` for what not every model charges → the field of the collector's price.
_MORE = {
    **{
        field.price.label.replace(" ", "-"): field.price.setting(field.unit)
        for field in COUNTS
        if field.price is not None and (field.price.part_of or field.price.alone or field.unit != "tokens")
    },
    "request": "per_request",
}

#: The field of a price → what it is for.
_PRICED = {
    field.price.setting(field.unit): f"Per {UNITS[field.unit].priced}."
    for field in COUNTS
    if field.price is not None and UNITS[field.unit].priced
}


def _more_options(command: Command) -> Command:
    for name, field in reversed(_MORE.items()):
        what = _PRICED.get(field, "For each.")
        command = click.option(f"--{name}", field, type=click.FloatRange(min=0), help=what)(command)
    return command


@prices.command(
    "set",
    epilog="""\b
Examples:
  llmtrace cost prices set openai/gpt-4o --input 2.0 --cache-read 1.0 --output 8.0 --from 2026-11-01
  llmtrace cost prices set openai/gpt-4o --input 1.0 --output 4.0 --tier batch
  llmtrace cost prices set alibaba/qwen-max --input 2.4 --output 9.6 --currency CNY
  llmtrace cost prices set /my-local-model --input 0 --output 0 --note 'own hardware'
""",
)
@click.argument("model", metavar="PROVIDER/MODEL")
@click.option(
    "--input", "input_price", type=click.FloatRange(min=0), required=True, help="Per million tokens."
)
@click.option(
    "--output", "output_price", type=click.FloatRange(min=0), required=True, help="Per million tokens."
)
@_more_options
@click.option(
    "--currency",
    default="USD",
    show_default=True,
    metavar="CODE",
    help="Currency of these prices, at the rates under [[dashboard.exchange_rates]].",
)
@click.option("--tier", default="", help="Only calls of this service tier (batch, flex, priority).")
@click.option("--from", "since", callback=moment, help="Day from which it holds, UTC.  [default: always]")
@click.option("--note", default="", help="Why, for those who read the books later.")
@collector_option
@click.pass_context
def set_price(
    context: click.Context,
    /,
    model: str,
    input_price: float,
    output_price: float,
    currency: str,
    tier: str,
    since: datetime | None,
    note: str,
    url: str | None,
    **more: float | None,
) -> None:
    """Set a price of your own, for calls from a day on; it goes before the public list. What is not given
    costs what the more general kind of token costs."""
    provider, slash, name = model.partition("/")
    if not slash or not name:
        raise click.UsageError("write PROVIDER/MODEL; /MODEL sets the price for every provider")
    body = {
        "provider": provider,
        "model": name,
        "input_per_million": input_price,
        "output_per_million": output_price,
        **more,
        "currency": currency.upper(),
        "service_tier": tier,
        "actor": getpass.getuser(),
        "note": note,
        **from_day(since),
    }
    with managing(connection(context, url)) as collector:
        book = collector.set_price(body)
    say(f"in effect: {book}")


def from_day(since: datetime | None) -> dict[str, str]:
    """The day from which something holds, as the collector takes it; nothing for always."""
    return {} if since is None else {"valid_from": since.date().isoformat()}


@prices.command(
    epilog="""\b
Examples:
  llmtrace cost prices update --dry-run
  llmtrace cost prices update
  llmtrace cost prices update --file negotiated.csv --note 'contract of 2027'
"""
)
@click.option(
    "--file",
    "source",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Prices of your own to take with it: CSV or JSON with the columns of 'prices list'.",
)
@click.option("--dry-run", is_flag=True, help="Show the difference and change nothing.")
@click.option("--note", default="", help="Why, for those who read the books later.")
@collector_option
@output_options
@click.pass_context
def update(
    context: click.Context,
    /,
    source: Path | None,
    dry_run: bool,
    note: str,
    fmt: str,
    output: Path | None,
    url: str | None,
) -> None:
    """Take the price list that the collector has installed, and prices from a file, as a new book.

    The difference is shown first. Older books are kept: 'llmtrace cost reprice --book BOOK' goes back.
    """
    with needs("analysis"):
        from llmtrace_analysis.cost import price_books
    own_prices = [] if source is None else _from_file(source, note)
    with managing(connection(context, url)) as collector:
        prepared = collector.update_prices(own_prices, dry_run=True)
    with store_reader(context, url) as client:
        before = price_books.in_effect(client)
        if prepared == before:
            say(f"nothing new: {before} is in effect", err=True)
            return
        changes = price_books.differences(_read(client, before), _read(client, prepared)) if before else None
    if changes is not None:
        write(changes, fmt, output)
    if dry_run:
        say(f"would take effect: {prepared}", err=True)
        return
    with managing(connection(context, url)) as collector:
        taken = collector.update_prices(own_prices)
    say(f"in effect: {taken}; go back with: llmtrace cost reprice --book '{before}'", err=True)


def _from_file(source: Path, note: str) -> list[dict[str, Any]]:
    """Rows of a file as the collector takes them. Raises click.ClickException."""
    with needs("analysis"):
        from llmtrace_analysis.cost import price_books
    try:
        rows = price_books.read_prices(source)
    except (ValueError, KeyError, OSError) as error:
        raise click.ClickException(f"{source} holds no prices: {error}") from error
    return [{**row, "actor": getpass.getuser(), "note": note or source.name} for row in rows]


@prices.command(
    epilog="""\b
Examples:
  llmtrace cost prices discount 10 --from 2026-12-01
  llmtrace cost prices discount 25 --provider openai --model gpt-4o --project shop
  llmtrace cost prices discount 0 --provider openai --from 2027-01-01 --note 'contract ends'
"""
)
@click.argument("percent", type=click.FloatRange(0, 100))
@click.option("--project", default="", help="Only this project's calls.")
@click.option("--provider", default="", help="Only this provider's models.")
@click.option("--model", default="", help="Only this model.")
@click.option("--from", "since", callback=moment, help="Day from which it holds, UTC.  [default: always]")
@click.option("--note", default="", help="Why, for those who read the books later.")
@collector_option
@click.pass_context
def discount(
    context: click.Context,
    /,
    percent: float,
    project: str,
    provider: str,
    model: str,
    since: datetime | None,
    note: str,
    url: str | None,
) -> None:
    """Set a discount on list prices, for calls from a day on; 0 ends it. The most specific one holds."""
    body = {
        "percent": percent,
        "project": project,
        "provider": provider,
        "model": model,
        "actor": getpass.getuser(),
        "note": note,
        **from_day(since),
    }
    with managing(connection(context, url)) as collector:
        book = collector.set_discount(body)
    say(f"in effect: {book}")


@click.command(
    epilog="""\b
Examples:
  llmtrace cost reprice --book 'genai-prices 0.2.3/2' --dry-run
  llmtrace cost reprice --book 'genai-prices 0.2.3/2' --note 'the discount was wrong'
"""
)
@click.option("--book", required=True, help="Name of the book, as 'llmtrace cost prices books' shows it.")
@click.option("--dry-run", is_flag=True, help="Show the difference and change nothing.")
@click.option("--note", default="", help="Why, for those who read the books later.")
@scope_options
@output_options
@click.pass_context
def reprice(
    context: click.Context,
    /,
    book: str,
    dry_run: bool,
    note: str,
    fmt: str,
    output: Path | None,
    url: str | None,
    **scope: Any,
) -> None:
    """Show what another book would change, by day and model; put it into effect unless --dry-run."""
    with needs("analysis"):
        from llmtrace_analysis.cost import price_books
    chosen = make_scope(**scope)
    with store_reader(context, url) as client:
        try:
            changes = price_books.reprice(client, chosen, price_books.in_effect(client), book)
        except price_books.NoSuchBook as error:
            raise click.ClickException(str(error)) from error
    write(changes, fmt, output)
    say(f"difference in this period: {changes['difference'].sum():+.6f} USD", err=True)
    if not dry_run:
        with managing(connection(context, url)) as collector:
            selected = collector.select_book(book, getpass.getuser(), note)
        say(f"in effect: {selected}", err=True)


@click.command(
    epilog="""\b
Examples:
  llmtrace cost close 2026-10
"""
)
@click.argument("month", metavar="YYYY-MM")
@collector_option
@click.pass_context
def close(context: click.Context, /, month: str, url: str | None) -> None:
    """Freeze the figures of a month that is over; what changes later is an adjustment."""
    with managing(connection(context, url)) as collector:
        totals = collector.close_month(month, getpass.getuser())
    say(f"closed {month}: {totals['cost']:.2f} USD in {totals['rows']} rows")


@click.command(
    epilog="""\b
Examples:
  llmtrace cost adjustments
  llmtrace cost adjustments --format csv -o adjustments.csv
"""
)
@collector_option
@output_options
@click.pass_context
def adjustments(context: click.Context, /, fmt: str, output: Path | None, url: str | None) -> None:
    """Show what changed in closed months since: late calls, other prices."""
    with needs("analysis"):
        from llmtrace_analysis.cost import closed_months
    with store_reader(context, url) as client:
        write(closed_months.adjustments(client), fmt, output)


def _read(client: Any, book: str | None) -> Any:
    from llmtrace_analysis.cost import price_books

    try:
        return price_books.prices(client, book or price_books.in_effect(client))
    except price_books.NoSuchBook as error:
        raise click.ClickException(str(error)) from error

"""`llmtrace cost prices` and `reprice`: what the book says, and changing it without losing the old one."""

from __future__ import annotations

import getpass
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from llmtrace_cli.context import read_settings
from llmtrace_cli.cost_options import (
    collector_option,
    ledger_client,
    make_scope,
    moment,
    output_options,
    scope_options,
    write,
)
from llmtrace_cli.extras import needs


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
  llmtrace cost prices list --book 'genai-prices 0.2.3' --format csv
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
    with ledger_client(context, url) as client:
        with needs("dashboard"):
            from llmtrace_dashboard.cost import books
        data = _read(client, book)
        click.echo(f"book: {book or books.in_effect(client)}", err=True)
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
    with needs("dashboard"):
        from llmtrace_dashboard.cost import books
    with ledger_client(context, url) as client:
        write(books.books(client), fmt, output)


@prices.command(
    epilog="""\b
Examples:
  llmtrace cost prices diff 'genai-prices 0.2.3' 'genai-prices 0.2.3 own 1a2b3c4d'
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
    with needs("dashboard"):
        from llmtrace_dashboard.cost import books
    with ledger_client(context, url) as client:
        write(books.differences(_read(client, before), _read(client, after)), fmt, output)


@prices.command(
    "set",
    epilog="""\b
Examples:
  llmtrace cost prices set openai/gpt-4o --input 2.0 --cache-read 1.0 --output 8.0 --from 2026-11-01
  llmtrace cost prices set /my-local-model --input 0 --output 0 --note 'own hardware'
""",
)
@click.argument("model", metavar="PROVIDER/MODEL")
@click.option(
    "--input", "input_price", type=click.FloatRange(min=0), required=True, help="USD per million tokens."
)
@click.option(
    "--output", "output_price", type=click.FloatRange(min=0), required=True, help="USD per million tokens."
)
@click.option(
    "--cache-read", type=click.FloatRange(min=0), help="USD per million tokens.  [default: --input]"
)
@click.option(
    "--cache-write", type=click.FloatRange(min=0), help="USD per million tokens.  [default: --input]"
)
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
    cache_read: float | None,
    cache_write: float | None,
    since: datetime | None,
    note: str,
    url: str | None,
) -> None:
    """Set a price of your own; it holds at once, for calls from its day on. /MODEL is of any provider."""
    provider, slash, name = model.partition("/")
    if not slash or not name:
        raise click.UsageError(f"{model!r} names no model; write provider/model, or /model for any provider")
    body: dict[str, Any] = {
        "provider": provider,
        "model": name,
        "input_per_million": input_price,
        "output_per_million": output_price,
        "cache_read_per_million": cache_read,
        "cache_write_per_million": cache_write,
        "actor": getpass.getuser(),
        "note": note,
    }
    if since is not None:
        body["valid_from"] = since.date().isoformat()
    click.echo(f"in effect: {_send(context, url, 'PUT', '/v1/prices', body)['book']}")


@click.command(
    epilog="""\b
Examples:
  llmtrace cost reprice --book 'genai-prices 0.2.3' --dry-run
  llmtrace cost reprice --book 'genai-prices 0.2.3' --note 'the discount was wrong'
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
    with needs("dashboard"):
        from llmtrace_dashboard.cost import books, ledger
    chosen = make_scope(**scope)
    with ledger_client(context, url) as client:
        try:
            changes = books.reprice(client, chosen, books.in_effect(client), book)
        except (books.NoSuchBook, ledger.UnknownDimension) as error:
            raise click.ClickException(str(error)) from error
    write(changes, fmt, output)
    click.echo(f"difference in this period: {changes['difference'].sum():+.6f} USD", err=True)
    if not dry_run:
        body = {"book": book, "actor": getpass.getuser(), "note": note}
        click.echo(f"in effect: {_send(context, url, 'POST', '/v1/prices/book', body)['book']}", err=True)


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
    told = _send(context, url, "POST", "/v1/cost/close", {"month": month, "actor": getpass.getuser()})
    click.echo(f"closed {month}: {told['cost']:.2f} USD in {told['rows']} rows")


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
    with needs("dashboard"):
        from llmtrace_dashboard.cost import closing
    with ledger_client(context, url) as client:
        write(closing.adjustments(client), fmt, output)


def _read(client: Any, book: str | None) -> Any:
    from llmtrace_dashboard.cost import books

    try:
        return books.prices(client, book or books.in_effect(client))
    except books.NoSuchBook as error:
        raise click.ClickException(str(error)) from error


def _send(context: click.Context, url: str | None, method: str, path: str, body: dict[str, Any]) -> Any:
    """Write to the collector; its answer."""
    settings = read_settings(context, "dashboard").dashboard
    with needs("dashboard"):
        import httpx
    address = (url or settings.collector_url).rstrip("/")
    headers = {"Authorization": f"Bearer {settings.writing_key() or ''}"}
    try:
        answer = httpx.request(method, address + path, json=body, headers=headers, timeout=30)
    except httpx.HTTPError as error:
        raise click.ClickException(f"the collector at {address} did not answer ({error})") from error
    if not answer.is_success:
        raise click.ClickException(f"the collector refused: {answer.json().get('detail', answer.text)}")
    return answer.json()

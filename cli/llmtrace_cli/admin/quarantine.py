"""`llmtrace collector quarantine`: what the store refused, and what of the log is damaged."""

import json
from typing import Any

import click

from llmtrace_cli.terminal import say

from .client import own_collector


@click.group(
    epilog="""\b
Examples:
  llmtrace collector quarantine list
  llmtrace collector quarantine show traces-01763600000000000000-4be0a1c2d3e4.3-4
  llmtrace collector quarantine replay --all
  llmtrace collector quarantine delete traces-01763600000000000000-4be0a1c2d3e4.at-20480
"""
)
def quarantine() -> None:
    """Look at acknowledged requests that the store refused or the log lost, and try them again."""


@quarantine.command(
    "list",
    epilog="""\b
Examples:
  llmtrace collector quarantine list
""",
)
@click.pass_context
def list_segments(context: click.Context) -> None:
    """Name what was set aside: refused by the store, or damaged in the log, with the reason."""
    with own_collector(context) as collector:
        segments = collector.quarantine()
    for segment in segments:
        reason = " ".join(segment["reason"].split())[:160]
        say(f"{segment['name']}  {segment['bytes']} bytes  {reason}")


@quarantine.command(
    epilog="""\b
Examples:
  llmtrace collector quarantine show traces-01763600000000000000-4be0a1c2d3e4.3-4
"""
)
@click.argument("name")
@click.pass_context
def show(context: click.Context, name: str) -> None:
    """Print the whole reason and the requests in a segment: project, time, size, rows.

    Of a damaged place of the log, how much it held as far as that is known.
    """
    with own_collector(context) as collector:
        click.echo(json.dumps(collector.quarantined(name), indent=2))


@quarantine.command(
    epilog="""\b
Examples:
  llmtrace collector quarantine replay traces-01763600000000000000-4be0a1c2d3e4.3-4
  llmtrace collector quarantine replay --all
"""
)
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Every segment of the quarantine that can be read.")
@click.pass_context
def replay(context: click.Context, name: str | None, everything: bool) -> None:
    """Give a segment to the store again, exactly once; what it refuses again comes back."""
    if (name is None) != everything:
        raise click.UsageError("name one segment, or say --all")
    with own_collector(context) as collector:
        segments = [name] if name is not None else _replayable(collector.quarantine())
        for segment in segments:
            collector.replay(segment)
            say(f"{segment} is queued")


def _replayable(entries: list[dict[str, Any]]) -> list[str]:
    """The names of those whose requests are kept; a damaged place of the log cannot be read."""
    return [entry["name"] for entry in entries if entry["bytes"] and "has_bytes" not in entry]


@quarantine.command(
    epilog="""\b
Examples:
  llmtrace collector quarantine delete traces-01763600000000000000-4be0a1c2d3e4.at-20480
  llmtrace collector quarantine delete traces-01763600000000000000-4be0a1c2d3e4.3-4 --yes
"""
)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def delete(context: click.Context, name: str, yes: bool) -> None:
    """Delete an entry for good; it stays counted as quarantined."""
    with own_collector(context) as collector:
        entry = collector.quarantined(name)
        say(" ".join(str(entry["reason"]).split()))
        if not yes:
            click.confirm(f"delete {name}, {entry['bytes']:,} bytes, for good?", abort=True, err=True)
        collector.delete_quarantined(name)
        say(f"{name} is deleted")

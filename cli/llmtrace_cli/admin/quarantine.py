"""`llmtrace collector quarantine`: what the store refused."""

import json

import click

from llmtrace_cli.terminal import say

from .client import own_collector


@click.group(
    epilog="""\b
Examples:
  llmtrace collector quarantine list
  llmtrace collector quarantine show traces-01763600000000000000-4be0a1c2d3e4.3-4
  llmtrace collector quarantine replay --all
"""
)
def quarantine() -> None:
    """Look at acknowledged requests that the store refused, and try them again."""


@quarantine.command(
    "list",
    epilog="""\b
Examples:
  llmtrace collector quarantine list
""",
)
@click.pass_context
def list_segments(context: click.Context) -> None:
    """Name what was set aside, with the store's reason."""
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
    """Print the whole reason and the requests in a segment: project, time, size, rows."""
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
@click.option("--all", "everything", is_flag=True, help="Every segment of the quarantine.")
@click.pass_context
def replay(context: click.Context, name: str | None, everything: bool) -> None:
    """Give a segment to the store again, exactly once; what it refuses again comes back."""
    if (name is None) != everything:
        raise click.UsageError("name one segment, or say --all")
    with own_collector(context) as collector:
        segments = [segment["name"] for segment in collector.quarantine()] if name is None else [name]
        for segment in segments:
            collector.replay(segment)
            say(f"{segment} is queued")

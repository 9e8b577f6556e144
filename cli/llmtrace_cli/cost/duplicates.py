"""`llmtrace cost duplicates`: which spans tell of one call, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from llmtrace_cli.extras import needs
from llmtrace_cli.query.output import output_options, write
from llmtrace_cli.query.store_reader import store_reader
from llmtrace_cli.terminal import say

from .options import make_scope, scope_options


@click.command(
    epilog="""\b
Examples:
  llmtrace cost duplicates
  llmtrace cost duplicates --from 7d --format csv
  llmtrace cost duplicates --explain 4bf92f3577b34da6a3ce929d0e0e4736
"""
)
@click.option("--explain", "trace", metavar="TRACE", help="Say of each call of one trace what decided.")
@scope_options
@output_options
@click.pass_context
def duplicates(
    context: click.Context,
    /,
    trace: str | None,
    fmt: str,
    output: Path | None,
    url: str | None,
    **scope: Any,
) -> None:
    """List calls that several instrumentations tell of, by what decided that they are one.

    `duplicate` and `repeats` are not counted again; `retry` is an attempt of a call that was made again, by
    whatever it is known. `ambiguous` spans count: they may be one call, but more than one pairing of them is
    possible.
    """
    with needs("analysis"):
        from llmtrace_analysis.cost import duplicates as merged_calls
    chosen = make_scope(**scope)
    with store_reader(context, url) as client:
        data = merged_calls.explain(client, trace) if trace else merged_calls.summary(client, chosen)
    if trace:
        write(data, fmt, output, empty=f"no calls of a trace {trace}")
        return
    write(data, fmt, output, empty="no call is told of by two spans")
    undecided = int(data.loc[data["decision"] == "ambiguous", "spans"].sum())
    if undecided:
        say(
            f"{undecided:,} spans may be calls that others tell of too: each counts; see --explain TRACE",
            err=True,
        )

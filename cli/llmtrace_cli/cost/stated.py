"""`llmtrace cost stated`: what others say that calls cost, against the price book."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtrace_cli.extras import needs
from llmtrace_cli.query.output import output_options, write
from llmtrace_cli.query.store_reader import store_reader
from llmtrace_cli.terminal import say

from .options import dimensions, make_scope, scope_options

if TYPE_CHECKING:
    import pandas as pd


@click.command(
    epilog="""\b
Examples:
  llmtrace cost stated
  llmtrace cost stated --from 7d --by model --over 5
  llmtrace cost stated --all --format csv -o stated.csv
  llmtrace cost stated --model x-ai/grok-4 --format json
"""
)
@click.option(
    "--by",
    default="provider,model,account",
    show_default=True,
    callback=dimensions,
    help="Dimensions with commas between, as of 'llmtrace cost report'.",
)
@click.option(
    "--over",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    metavar="PERCENT",
    help="List what differs by more than this part of the greater one.",
)
@click.option("--all", "every", is_flag=True, help="List all, what has no price in the book too.")
@scope_options
@output_options
@click.pass_context
def stated(
    context: click.Context,
    /,
    by: list[str],
    over: float,
    every: bool,
    fmt: str,
    output: Path | None,
    url: str | None,
    **scope: Any,
) -> None:
    """List where a cost that was stated differs from the computed one.

    The biller's own figure (OpenRouter, Perplexity, xAI) goes before every other. What a gateway or a
    framework states (LiteLLM, OpenInference, Langfuse, MLflow, Logfire …) goes before the public price list,
    and not before a price that was set; a 0 of theirs says that no price was known, and is not used.
    """
    with needs("analysis"):
        from llmtrace_analysis.cost import stated_costs
        from llmtrace_analysis.cost.priced_usage import UnknownDimension
    chosen = make_scope(**scope)
    with store_reader(context, url) as client:
        try:
            data = stated_costs.stated_costs(client, chosen, by)
        except UnknownDimension as error:
            raise click.UsageError(str(error)) from error
        unused = stated_costs.unused(client, chosen)
    listed = data if every else stated_costs.differing(data, over / 100)
    write(listed, fmt, output, empty=_nothing(data, over))
    for row in unused.to_dict(orient="records"):
        say(_unused_line(row), err=True)


def _nothing(data: pd.DataFrame, over: float) -> str:
    if data.empty:
        return "no call states a cost"
    return f"no stated cost differs from the computed one by more than {over:g} %"


def _unused_line(row: Mapping[Hashable, Any]) -> str:
    calls = f"{row['calls']:,} calls of {row['provider'] or 'an unnamed provider'}/{row['model']}"
    if row["refused"]:
        return f"refused: {calls}: what {row['stated_by']} states can be no cost in USD"
    return f"not used: {calls}: {row['stated_by']} states 0, and may know no price"

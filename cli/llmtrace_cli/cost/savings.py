"""`llmtrace cost waste|repeats|caches|advice`: what bought nothing, what was saved, what could be."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.extras import needs
from llmtrace_cli.query.output import output_options, write
from llmtrace_cli.query.store_reader import store_reader
from llmtrace_cli.terminal import say

from .options import make_scope, scope_options

_UNITS = {"m": 60, "h": 3600, "d": 86_400}


def lifetime_of(_: click.Context, __: click.Parameter, value: str) -> timedelta:
    """`30m`, `24h` or `7d`. Raises click.BadParameter."""
    number, unit = value[:-1], value[-1:]
    if unit not in _UNITS or not number.isdecimal() or not int(number) or len(number) > 6:
        raise click.BadParameter(f"{value!r} is no lifetime; write 30m, 24h or 7d")
    return timedelta(seconds=int(number) * _UNITS[unit])


_lifetime_option = click.option(
    "--lifetime",
    default="24h",
    show_default=True,
    metavar="TIME",
    callback=lifetime_of,
    help="How long a cache would keep an answer that nobody asks for: 30m, 24h, 7d.",
)


@click.command(
    epilog="""\b
Examples:
  llmtrace cost waste
  llmtrace cost waste --from 7d --format json
  llmtrace cost waste --from 7d --list duplicate
  llmtrace cost waste --list cacheable --lifetime 7d --prompt 9f86d081884c7d65
"""
)
@click.option("--list", "kind", metavar="KIND", help="List the calls of one kind: users, traces, cost.")
@click.option("--prompt", default="", metavar="HASH", help="With --list: only this request.")
@_lifetime_option
@scope_options
@output_options
@click.pass_context
def waste(
    context: click.Context,
    /,
    kind: str | None,
    prompt: str,
    lifetime: timedelta,
    fmt: str,
    output: Path | None,
    url: str | None,
    **scope: Any,
) -> None:
    """Report money that bought nothing, what was saved, and what a cache of answers could save.

    Failed calls whose tokens were billed, repeated attempts, streams left before their end, requests that a
    session sent again without using the answer, long inputs with next to no answer; and prompt caches less
    what writing and keeping cost, batch tiers, answers out of caches.
    """
    with needs("analysis"):
        import pandas as pd

        from llmtrace_analysis.cost import currency as money
        from llmtrace_analysis.cost.planning import savings
        from llmtrace_analysis.cost.planning import waste as wasted
    chosen = make_scope(**scope)
    kinds = (*wasted.KINDS, wasted.CACHEABLE)
    if kind is not None and kind not in kinds:
        raise click.BadParameter(f"there is no kind {kind!r}; there are {', '.join(kinds)}")
    rates = read_settings(context, "analysis").dashboard.exchange_rates
    with store_reader(context, url) as client:
        if kind is not None:
            write(wasted.calls_of_kind(client, chosen, kind, prompt.lower(), lifetime), fmt, output)
            return
        spent = wasted.by_kind(client, chosen, lifetime)
        try:
            saved = savings.savings(client, chosen, rates)
        except money.NoRate as error:
            raise click.UsageError(str(error)) from error
    repeated = spent["kind"] == wasted.CACHEABLE
    spent.insert(0, "sort", repeated.map({True: "possible", False: "waste"}))
    (possible,) = spent[repeated].to_dict(orient="records")
    saved = saved.rename(columns={"tokens": "input_tokens", "saved": "cost"}).drop(columns="unpriced_tokens")
    saved.insert(0, "sort", "saving")
    write(pd.concat([spent, saved], ignore_index=True), fmt, output)
    if possible["calls"]:
        hours = lifetime.total_seconds() / 3600
        say(
            f"cacheable: repeats of {possible['prompts']:,} requests, which a cache would have kept that "
            f"holds an answer for {hours:g} h after it was last asked for; see: llmtrace cost repeats",
            err=True,
        )


@click.command(
    epilog="""\b
Examples:
  llmtrace cost repeats --from 7d
  llmtrace cost repeats --from 7d --lifetime 1h --format csv
  llmtrace cost repeats --kind duplicate
"""
)
@click.option(
    "--kind",
    type=click.Choice(("cacheable", "duplicate")),
    default="cacheable",
    show_default=True,
    help="What a cache would have answered, or what a session sent again without using the answer.",
)
@_lifetime_option
@scope_options
@output_options
@click.pass_context
def repeats(
    context: click.Context,
    /,
    kind: str,
    lifetime: timedelta,
    fmt: str,
    output: Path | None,
    url: str | None,
    **scope: Any,
) -> None:
    """List requests that were sent again: how often, by how many users, at what cost.

    `prompt` is a hash of model, messages, instructions and tools; --list KIND --prompt HASH of 'llmtrace cost
    waste' lists its calls.
    """
    with needs("analysis"):
        from llmtrace_analysis.cost.planning import repeats as repeated
    chosen = make_scope(**scope)
    with store_reader(context, url) as client:
        data = repeated.prompts(client, chosen, kind, lifetime)
    write(data, fmt, output, empty="no request was sent again")


@click.command(
    epilog="""\b
Examples:
  llmtrace cost caches --from 7d
  llmtrace cost caches --first-token --from 7d
"""
)
@click.option(
    "--first-token",
    "first_token",
    is_flag=True,
    help="Show what the providers' prompt caches do to the time of the first token instead.",
)
@scope_options
@output_options
@click.pass_context
def caches(
    context: click.Context, /, first_token: bool, fmt: str, output: Path | None, url: str | None, **scope: Any
) -> None:
    """Report each cache of answers: hit rate, and what it saved in money, time and calls.

    Caches of gateways (LiteLLM, Portkey, Helicone, Cloudflare, OpenRouter), of the inference service, and
    those that the application tells of. Savings are net of the embeddings that looking things up took.
    """
    with needs("analysis"):
        from llmtrace_analysis.cost.planning import answer_caches, prompt_caches
    chosen = make_scope(**scope)
    with store_reader(context, url) as client:
        data = (prompt_caches.first_tokens if first_token else answer_caches.caches)(client, chosen)
    write(data, fmt, output, empty="no call went by a cache")


@click.command(
    epilog="""\b
Examples:
  llmtrace cost advice --from 30d
  llmtrace cost advice --from 30d --service checkout --format json
"""
)
@scope_options
@output_options
@click.pass_context
def advice(context: click.Context, /, fmt: str, output: Path | None, url: str | None, **scope: Any) -> None:
    """Say what would make calls cheaper, and what that would have saved.

    Output limits and stop sequences that were never reached, a smaller model that answered equal requests as
    well, histories that are sent again and not read from a prompt cache.
    """
    with needs("analysis"):
        from llmtrace_analysis.cost.planning import advice as advised
    chosen = make_scope(**scope)
    with store_reader(context, url) as client:
        data = advised.advice(client, chosen)
    write(data, fmt, output, empty="nothing to advise")
    for rule in data["rule"].drop_duplicates():
        say(f"{rule}: {advised.RULES[rule]}", err=True)

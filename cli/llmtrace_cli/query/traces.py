"""`llmtrace traces`: the traces that a search finds."""

from __future__ import annotations

import re
import shlex
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from llmtrace_cli.extras import needs
from llmtrace_cli.terminal import say

from .output import write
from .store_reader import collector_option, store_reader

if TYPE_CHECKING:
    import pandas as pd

    from llmtrace_analysis.queries.scope import Scope
    from llmtrace_analysis.queries.traces import TraceSummary
    from llmtrace_collector.store.search import Search


class _Searching(click.Command):
    """A command whose argument may look like an option: it says what to do about that."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        written = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            taken = next((text for text in written if re.match("-[^-]", text)), "")
            if error.option_name.startswith("--") or not taken:
                raise
            raise click.UsageError(
                f"{taken!r} is taken for an option; a search that begins with a minus goes after --:\n"
                f"  llmtrace traces -- {shlex.quote(taken)}",
                ctx,
            ) from error


@click.command(
    cls=_Searching,
    epilog="""\b
Examples:
  llmtrace traces                                        the newest of the last 24 hours
  llmtrace traces 'refund "late delivery" -status:ok'
  llmtrace traces 'model:gpt-5* cost>0.01 latency>10s' --since 7d
  llmtrace traces 'error:timeout OR has:retry' --since 2026-11-01 --until 2026-11-08
  llmtrace traces 'user:u-4711' --format json --limit 500
  llmtrace traces -- '-purpose:product'                  a search that begins with a minus goes after --

All fields, with an example of each: docs/search.md
""",
)
@click.argument("search", nargs=-1)
@click.option(
    "--since", default="24h", show_default=True, help="Start: so long ago (2h, 7d), or a date or time, UTC."
)
@click.option("--until", help="End, not included, in the same forms.  [default: now]")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Traces at most."
)
@click.option(
    "--format",
    "fmt",
    type=click.Choice(("table", "csv", "json")),
    default="table",
    show_default=True,
    help="Form of the answer.",
)
@collector_option
@click.option("--key", help="Read key.  [default: dashboard.read_key of the settings]")
@click.pass_context
def traces(
    context: click.Context,
    /,
    search: tuple[str, ...],
    since: str,
    until: str | None,
    limit: int,
    fmt: str,
    url: str | None,
    key: str | None,
) -> None:
    """List the traces that SEARCH finds, newest first.

    SEARCH is words, which must all occur in a prompt, an answer, a step's name or an error, and fields like
    model:gpt-5* status:failed cost>0.01 tag:beta. Put it in quotes, so that the shell leaves it alone.
    Traces of evaluations, benchmarks and simulations are left out unless purpose: asks for them.
    A cost leaves out the calls that "unpriced" counts, whose price nobody knows. "estimated" counts those
    whose tokens, and so their cost, are estimated from text.
    """
    with needs("analysis"):
        from llmtrace_analysis.queries import trace_search
    text = " ".join(search)
    chosen = context.get_parameter_source("since") is not ParameterSource.DEFAULT
    asked, scope = _asked(text, since, until, since_always=not chosen)
    notice = f"searching {scope.since:%Y-%m-%d %H:%M} – {scope.until:%Y-%m-%d %H:%M} UTC …"
    with store_reader(context, url, key) as client:
        _progress(notice)
        summaries = trace_search.traces_page(client, scope, asked, limit + 1)
        _progress(" " * len(notice), end="\r")
    write(_frame(summaries[:limit], fmt), fmt, None, "no traces: try a longer --since, or fewer terms")
    if len(summaries) > limit:
        say(f"the newest {limit} are shown; there are more: raise --limit, or add terms", err=True)


def _asked(text: str, since: str, until: str | None, since_always: bool = True) -> tuple[Search, Scope]:
    """The search with the defaults of this command, and its period. Raises click.UsageError."""
    from llmtrace_analysis.queries.scope import Scope
    from llmtrace_analysis.queries.trace_search import TraceFilter, searched
    from llmtrace_collector.store.search import SearchError, read_moment

    now = datetime.now(UTC)
    period = []
    for option, written in (("--since", since), ("--until", until)):
        end = None if written is None else read_moment(written)
        if written is not None and end is None:
            raise click.BadParameter(
                f"{written!r} is no time; write 2h, 7d, 2026-11-01 or 2026-11-01T14:00", param_hint=option
            )
        period.append(end.resolved(now, UTC) if end is not None else now)
    usual = Scope(period[0], period[1])
    try:
        search = TraceFilter(text).search(usual)
    except SearchError as error:
        hint = f"\nDid you mean {error.suggestion} ?" if error.suggestion else ""
        raise click.UsageError(f"{error.message}\n\n{error.underlined(text)}{hint}") from error
    scope = searched(usual, search, UTC, now, since_always=since_always)
    if scope.since >= scope.until:
        raise click.UsageError(f"the period ends ({scope.until:%Y-%m-%d %H:%M}) before it starts")
    return search, scope


def _progress(text: str, end: str = "\r") -> None:
    """A line that the next one writes over, for whoever watches."""
    if sys.stderr.isatty():
        print(text, end=end, file=sys.stderr, flush=True)


_COLUMNS = (
    "trace_id",
    "time",
    "root",
    "service",
    "status",
    "seconds",
    "calls",
    "tokens",
    "cost",
    "unpriced",
    "estimated",
)
_MORE_COLUMNS = (
    "project",
    "purpose",
    "models",
    "user",
    "session",
    "failed_steps",
    "retries",
    "preview",
)


def _frame(summaries: list[TraceSummary], fmt: str) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for trace in summaries:
        started = datetime.fromtimestamp(trace.start_ns / 1e9, UTC)
        row = {
            "trace_id": trace.trace_id,
            "time": f"{started:%Y-%m-%d %H:%M:%S}" if fmt == "table" else started.isoformat(),
            "root": trace.name,
            "service": trace.service,
            "status": trace.status,
            "seconds": round(trace.seconds, 3),
            "calls": trace.calls,
            "tokens": trace.input_tokens + trace.output_tokens,
            "cost": trace.cost if trace.calls else None,
            "unpriced": trace.unpriced,
            "estimated": trace.estimated,
        }
        if fmt != "table":
            row |= {
                "project": trace.project,
                "purpose": trace.purpose,
                "models": ",".join(trace.models) if fmt == "csv" else list(trace.models),
                "user": trace.user,
                "session": trace.session,
                "failed_steps": trace.failed_steps,
                "retries": trace.retries,
                "preview": trace.preview,
            }
        rows.append(row)
    return pd.DataFrame(rows, columns=[*_COLUMNS, *(_MORE_COLUMNS if fmt != "table" else ())])

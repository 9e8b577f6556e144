"""`llmtrace cost limits`: what is used of each limit of providers, and when that will be all."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from llmtrace_cli.extras import needs
from llmtrace_cli.query.output import output_options, write, write_json
from llmtrace_cli.query.store_reader import collector_option, connection, store_reader
from llmtrace_cli.terminal import say

from .options import moment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from llmtrace_analysis.cost.headroom.limit_use import Headroom, LimitUse

#: A bar is so many characters wide.
_WIDTH = 10
_LONGEST = timedelta(days=7)
HOW_TO = """no limit is known: no answer reported one, and none is set. Set yours in llmtrace.toml:

  [[collector.quotas]]
  provider = "openai"
  model = "gpt-4o"
  tokens_per_minute = 800000
  requests_per_minute = 5000
"""


@click.command(
    "limits",
    epilog="""\b
Examples:
  llmtrace cost limits
  llmtrace cost limits --since 24h --project shop
  llmtrace cost limits --since 7d --model gpt-4o --format csv -o limits.csv
  llmtrace cost limits --json
""",
)
@click.option("--since", "--from", "since", callback=moment, help="Start, at most 7d ago.  [default: 1h]")
@click.option("--to", "until", callback=moment, help="End, not included.  [default: now]")
@click.option(
    "--project", default="", help="Only this project's calls: its part of limits that others use too."
)
@click.option("--model", default="", help="Only calls that ask for this model or deployment.")
@click.option("--json", "as_json", is_flag=True, help="All that is known of each limit, as JSON.")
@collector_option
@output_options
@click.pass_context
def limits(
    context: click.Context,
    /,
    since: datetime | None,
    until: datetime | None,
    project: str,
    model: str,
    as_json: bool,
    url: str | None,
    fmt: str,
    output: Path | None,
) -> None:
    """Report what is used of each limit of providers (tokens and requests a minute, provisioned units), the
    tightest first: limits of [[collector.quotas]], else those that answers report in headers.

    The shares are of the busiest minute and of the last one, the greater of what spans add up to and of what
    answers report; of the busiest ten seconds for requests. – is not known.
    """
    with needs("analysis"):
        from llmtrace_analysis.collector_client import CollectorUnavailable, connect
        from llmtrace_analysis.cost.headroom import limit_use
        from llmtrace_analysis.cost.headroom.limits import read_headroom
        from llmtrace_analysis.cost.headroom.quotas import quotas
        from llmtrace_analysis.queries.scope import Scope
    end = until or datetime.now(UTC)
    start = since or end - timedelta(hours=1)
    if end <= start:
        raise click.UsageError("the period ends before it starts")
    if end - start > _LONGEST + timedelta(hours=1):
        raise click.UsageError("limits are of minutes: take seven days at most")
    scope = Scope(start, end, project=project, model=model)
    try:
        with closing(connect(connection(context, url), reading=True)) as collector:
            configured = quotas(collector.quotas())
    except (CollectorUnavailable, ValueError) as error:
        raise click.ClickException(f"the collector cannot be asked for quotas: {error}") from error
    if model:
        configured = [quota for quota in configured if not quota.deployment or quota.deployment == model]
    with store_reader(context, url) as client:
        headroom = read_headroom(client, configured, scope)
    if as_json:
        write_json(limit_use.as_json(headroom), output)
        return
    write(_table(headroom.limits) if fmt == "table" else _rows(headroom.limits), fmt, output, HOW_TO.rstrip())
    _remarks(headroom)


def _rows(limits: Sequence[LimitUse]) -> pd.DataFrame:
    """One row a limit, as figures."""
    import pandas as pd

    columns = (
        "name source measure provider account region model limit window used_now used_peak share_now "
        "share_peak reported_limit reported_share conflict burst burst_limit burst_share minute_lasts "
        "limited untold seconds_to_limit days_to_limit exceeded_together promised"
    ).split()
    rows = [
        {name: getattr(item, name) for name in columns}
        | {"seconds_to_limit": item.seconds_to_limit.after, "days_to_limit": item.days_to_limit.after}
        for item in limits
    ]
    return pd.DataFrame(rows, columns=columns)


def _table(limits: Sequence[LimitUse]) -> pd.DataFrame:
    """One row a limit, as people read it."""
    import pandas as pd

    rows = [
        {
            "limit of": item.name,
            "provider": item.provider,
            "what": item.measure.replace("_", " ")
            + ("" if item.window == 60 else f" in {_window(item.window)}"),
            "limit": _amount(item.limit),
            "from": "headers"
            if item.source == "reported"
            else "settings" + (" (!)" if item.conflict else ""),
            "busiest minute": bar(item.share_peak),
            "now": _percent(item.share_now),
            "10 s": _percent(item.burst_share),
            "429": f"{item.limited:,.0f}",
            "full in": lasts(item),
        }
        for item in limits
    ]
    return pd.DataFrame(rows)


def bar(share: float | None) -> str:
    """A share as ten blocks and a number; – where it is not known."""
    if share is None:
        return "–"
    full = min(_WIDTH, round(share * _WIDTH))
    return f"{'█' * full}{'░' * (_WIDTH - full)} {share:.0%}"


def lasts(item: LimitUse) -> str:
    """When it is all used: at the trend of minutes, else at the growth of days, else never."""
    seconds, days = item.seconds_to_limit, item.days_to_limit
    if seconds.after == 0:
        return "now"
    if seconds.after is not None:
        return f"{seconds.after:.0f} s" if seconds.after < 120 else f"{seconds.after / 60:.0f} min"
    if days.after is not None:
        return f"{days.after:.0f} days"
    return "never" if "never" in (seconds.why, days.why) else "–"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _amount(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _window(seconds: int) -> str:
    return "a day" if seconds == 86_400 else f"{seconds:,} s"


def _remarks(headroom: Headroom) -> None:
    """What a table has no room for, on standard error."""
    for item in headroom.limits:
        what = item.measure.replace("_", " ")
        if item.conflict:
            limits = f"the settings say {_amount(item.limit)} {what}, answers {_amount(item.reported_limit)}"
            say(f"{item.name}: {limits}", err=True)
        if item.exceeded_together or item.promised:
            parts = ", ".join(f"{member.label} {_amount(member.used)}" for member in item.members)
            done = "exceed" if item.exceeded_together else "may exceed"
            say(f"{item.name}: {len(item.members)} {done} their limit together: {parts}", err=True)
        if item.untold:
            say(f"{item.name}: {item.untold:,.0f} calls tell no {what} and are not in it", err=True)
    for caller in headroom.unlimited:
        refused = f", {caller.limited:,.0f} refused (429)" if caller.limited else ""
        calls = f"{caller.requests:,.0f} calls, no limit is known{refused}"
        say(f"{caller.model} ({caller.provider}): {calls}", err=True)

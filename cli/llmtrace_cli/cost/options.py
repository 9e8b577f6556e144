"""What the commands under `llmtrace cost` share: which calls they are about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from llmtrace.semconv import PURPOSE_PRODUCT, PURPOSE_SIMULATED, PURPOSES
from llmtrace_cli.query.store_reader import Command, collector_option
from llmtrace_cli.terminal import say

if TYPE_CHECKING:
    from llmtrace_analysis.queries.scope import Scope

_AGO = re.compile(r"(\d+)([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 168}


def moment(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    """A day (`2026-11-01`), a time (`2026-11-01T14:00`), a month (`2026-11`), or so long ago (`7d`), as an
    aware UTC datetime. Raises click.BadParameter.
    """
    if value is None:
        return None
    if match := _AGO.fullmatch(value):
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        return hour - timedelta(hours=int(match[1]) * _HOURS[match[2]])
    try:
        parsed = datetime.fromisoformat(f"{value}-01" if re.fullmatch(r"\d{4}-\d{2}", value) else value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no time; write 2026-11-01, 2026-11-01T14:00, 2026-11 or 7d"
        ) from None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def purpose_option(command: Command) -> Command:
    """What the calls were for. Until 0.3 a flag `--simulated` is understood too."""
    former = click.option(
        "--simulated", is_flag=True, hidden=True, help="Until 0.3: --purpose product --purpose simulated."
    )
    return click.option(
        "--purpose",
        "purposes",
        multiple=True,
        type=click.Choice((*PURPOSES, "all")),
        default=(PURPOSE_PRODUCT,),
        show_default=True,
        help="Only calls for this; may be repeated.",
    )(former(command))


def scope_options(command: Command) -> Command:
    """Which calls: a period and filters."""
    options = [
        click.option(
            "--from", "since", callback=moment, help="Start, UTC.  [default: the start of this month]"
        ),
        click.option("--to", "until", callback=moment, help="End, UTC, not included.  [default: now]"),
        click.option("--project", default="", help="Only this project."),
        click.option("--service", default="", help="Only this service."),
        click.option("--model", default="", help="Only this model."),
        click.option("--user", default="", help="Only this user."),
        purpose_option,
        collector_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def make_scope(
    since: datetime | None,
    until: datetime | None,
    project: str = "",
    service: str = "",
    model: str = "",
    user: str = "",
    purposes: Sequence[str] = (PURPOSE_PRODUCT,),
    simulated: bool = False,
) -> Scope:
    """The calls that a command is about. Raises click.UsageError when the period is empty."""
    from llmtrace_analysis.queries.scope import Scope, chosen_purposes

    if simulated:
        say(
            f"--simulated goes in 0.3; write --purpose {PURPOSE_PRODUCT} --purpose {PURPOSE_SIMULATED}",
            err=True,
        )
        purposes = (*purposes, PURPOSE_SIMULATED)
    now = datetime.now(UTC)
    # Up to the end of this hour: whole hours are read from the ledger's hours, which outlive the calls.
    end = until or now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    start = since or (end - timedelta(seconds=1)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if start >= end:
        raise click.UsageError(f"the period ends ({end:%Y-%m-%d %H:%M}) before it starts")
    return Scope(start, end, project, service, model, user, chosen_purposes(purposes))

"""What the commands under `llmtrace cost` share: which calls they are about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from llmtrace.common.time_zones import UTC_ZONE, UnknownZone, day_of, month_of, time_zone
from llmtrace.semconv import PURPOSE_PRODUCT, PURPOSE_SIMULATED, PURPOSES
from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.query.store_reader import Command, collector_option
from llmtrace_cli.terminal import say

if TYPE_CHECKING:
    from llmtrace_analysis.queries.scope import Scope

#: Where a command keeps the zone that its days are read by.
_ZONE = "llmtrace.time_zone"
_AGO = re.compile(r"(\d+)([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 168}


def zone_name(context: click.Context, _: click.Parameter, value: str | None) -> str:
    """A time zone's name, that of the settings where none is given; `moment` reads days by it. Raises
    click.BadParameter.
    """
    name = value or read_settings(context, "analysis").dashboard.time_zone
    try:
        time_zone(name)
    except UnknownZone as error:
        raise click.BadParameter(str(error)) from None
    context.meta[_ZONE] = name
    return name


def moment(context: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    """A day (`2026-11-01`), a time (`2026-11-01T14:00`) or a month (`2026-11`) of the zone of --time-zone,
    UTC where there is no such option, or so long ago (`7d`), as an aware UTC datetime. Raises
    click.BadParameter.
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
    zone = time_zone(context.meta.get(_ZONE, UTC_ZONE))
    return (parsed.replace(tzinfo=zone) if parsed.tzinfo is None else parsed).astimezone(UTC)


def dimensions(_: click.Context, __: click.Parameter, value: str) -> list[str]:
    """The words of a list with commas."""
    return [word.strip() for word in value.split(",") if word.strip()]


def zone_option(command: Command) -> Command:
    """Whose days and months these are."""
    return click.option(
        "--time-zone",
        "zone",
        metavar="NAME",
        is_eager=True,
        callback=zone_name,
        help="Time zone of days and months: Asia/Shanghai.  [default: dashboard.time_zone of the settings]",
    )(command)


def currency_option(command: Command) -> Command:
    """The currency of the costs."""
    return click.option(
        "--currency",
        metavar="CODE",
        callback=currency_code,
        help="Currency of the costs, at the rates under [[dashboard.exchange_rates]].  [default: "
        "dashboard.currency of the settings]",
    )(command)


def currency_code(context: click.Context, _: click.Parameter, value: str | None) -> str:
    """The code of a currency in capitals, that of the settings where none is given."""
    return (value or read_settings(context, "analysis").dashboard.currency).upper()


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
        click.option("--from", "since", callback=moment, help="Start.  [default: the start of this month]"),
        click.option("--to", "until", callback=moment, help="End, not included.  [default: now]"),
        zone_option,
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
    zone: str = UTC_ZONE,
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
    start = since or month_of(day_of(end - timedelta(seconds=1), zone), zone)[0]
    if start >= end:
        raise click.UsageError(f"the period ends ({end:%Y-%m-%d %H:%M}) before it starts")
    return Scope(start, end, project, service, model, user, chosen_purposes(purposes), zone)

"""What the commands under `llmtrace cost` share: the period, the way to the store, the form of the answer."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from llmtrace.semconv import PURPOSE_PRODUCT, PURPOSE_SIMULATED, PURPOSES
from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.extras import needs

if TYPE_CHECKING:
    import pandas as pd
    from clickhouse_connect.driver.client import Client

    from llmtrace_analysis.queries.scope import Scope
    from llmtrace_analysis.settings import CollectorConnection

Command = TypeVar("Command", bound=Callable[..., Any])

FORMATS = ("table", "csv", "json", "parquet")

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


def collector_option(command: Command) -> Command:
    """The address of the collector."""
    return click.option(
        "--url", help="Base URL of the collector.  [default: dashboard.collector_url of the settings]"
    )(command)


def purpose_option(command: Command) -> Command:
    """What the calls were for. Until 0.3 a flag `--simulated` is understood too."""
    former = click.option("--simulated", is_flag=True, hidden=True)
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


def output_options(command: Command) -> Command:
    """How to answer, and where."""
    options = [
        click.option(
            "--format",
            "fmt",
            type=click.Choice(FORMATS),
            default="table",
            show_default=True,
            help="Form of the answer.",
        ),
        click.option(
            "--output",
            "-o",
            type=click.Path(path_type=Path, dir_okay=False),
            help="File to write instead of standard output.",
        ),
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
        click.echo(
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


def connection(context: click.Context, url: str | None) -> CollectorConnection:
    """How to reach the collector: as [dashboard] of the settings says, at `url` where that is named."""
    settings = read_settings(context, "analysis").dashboard
    return settings if url is None else settings.model_copy(update={"collector_url": url})


@contextmanager
def cost_reader(context: click.Context, url: str | None) -> Iterator[Client]:
    """A reader of the collector. Raises click.ClickException with a sentence when it cannot be read."""
    collector = connection(context, url)
    with needs("analysis"):
        from clickhouse_connect.driver.exceptions import ClickHouseError

        from llmtrace_analysis.collector_client import connect_reader
    try:
        client = connect_reader(collector)
    except (ClickHouseError, OSError, ValueError) as error:
        raise click.ClickException(
            f"the collector at {collector.collector_url} cannot be read ({_first_line(error)}); "
            "start it with 'llmtrace collector', or name another with --url"
        ) from error
    try:
        yield client
    except ClickHouseError as error:
        raise click.ClickException(f"the collector refused the read: {_first_line(error)}") from error
    finally:
        client.close()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def write(data: pd.DataFrame, fmt: str, output: Path | None) -> None:
    """Write the frame as asked. What is not known is empty (CSV), null (JSON) or – (table)."""
    if fmt == "parquet":
        if output is None and sys.stdout.isatty():
            raise click.UsageError("Parquet is not for reading on a terminal: name a file with --output")
        buffer = io.BytesIO()
        data.to_parquet(buffer, index=False)
        body = buffer.getvalue()
        if output is None:
            click.echo(body, nl=False)
        else:
            output.write_bytes(body)
        return
    text = _TEXTS[fmt](data)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def records(data: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as plain values; what is not known is None."""
    return [
        {str(name): _plain(value) for name, value in row.items()} for row in data.to_dict(orient="records")
    ]


def _plain(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _csv(data: pd.DataFrame) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(data.columns)
    writer.writerows(["" if value is None else value for value in row.values()] for row in records(data))
    return out.getvalue()


def _json(data: pd.DataFrame) -> str:
    return json.dumps(records(data), indent=2) + "\n"


def _table(data: pd.DataFrame) -> str:
    """Columns as wide as they need to be; numbers to the right."""
    rows = [[_cell(name, value) for name, value in row.items()] for row in records(data)]
    if not rows:
        return "no calls\n"
    names = [str(name) for name in data.columns]
    numbers = [data[name].dtype.kind in "iuf" for name in data.columns]
    widths = [max(len(name), *(len(row[n]) for row in rows)) for n, name in enumerate(names)]

    def line(cells: list[str]) -> str:
        placed = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(cells, widths, numbers, strict=True)
        ]
        return "  ".join(placed).rstrip() + "\n"

    return line(names) + line(["-" * width for width in widths]) + "".join(line(row) for row in rows)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6f}" if abs(value) < 1 else f"{value:,.2f}"
    return str(value)


_TEXTS: dict[str, Callable[[pd.DataFrame], str]] = {"table": _table, "csv": _csv, "json": _json}

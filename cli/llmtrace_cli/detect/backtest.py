"""`llmtrace watch backtest`: what the rules would have opened on the stored history."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.extras import needs
from llmtrace_cli.query.store_reader import collector_option, store_reader
from llmtrace_cli.terminal import say

from . import backtest_output

if TYPE_CHECKING:
    from llmtrace_analysis.detect.backtest.outcome import Configuration, LabelUse
    from llmtrace_analysis.settings import WatchSettings

#: Sensitivities that are tried for --wanted: half a decade apart, about what anybody would want.
ROW = (0.1, 0.3, 1.0, 3.0, 10.0)


@click.command(
    epilog="""\b
Examples:
  llmtrace watch backtest                                      30 days with the settings in effect
  llmtrace watch backtest --since 7d --sensitivity 0.3
  llmtrace watch backtest --sensitivity 3 --against-sensitivity 1       two, side by side
  llmtrace watch backtest --against other.toml                 the same with another file's [watch]
  llmtrace watch backtest --wanted 2                           which sensitivity gives 2 incidents a week
  llmtrace watch backtest --labels now --csv > incidents.csv   what today's labels would have changed

\b
It reads the rollups of the store, minute by minute and ten seconds by ten seconds, with the functions that
the watch itself has: each moment is judged by those before it alone, and expected values come from up to 14
days before the start. It writes nothing. Rules with limits of their own (abuse, budgets, unseen spend) are
left out: no sensitivity moves them.

\b
On real history nobody knows which incidents are false; what it prints are all that would have been opened.
Labels say it of some: how many of those labelled useful would have been opened, and how many of the noise.
"""
)
@click.option(
    "--since", default="30d", show_default=True, help="Start: so long ago (2h, 7d), or a date or time, UTC."
)
@click.option("--until", help="End, not included, in the same forms.  [default: now]")
@click.option(
    "--sensitivity",
    type=click.FloatRange(0.01, 1000),
    help="False incidents a week.  [default: watch.sensitivity of the settings]",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Settings file to compare with.",
)
@click.option("--against-sensitivity", type=click.FloatRange(0.01, 1000), help="Sensitivity to compare with.")
@click.option(
    "--wanted",
    type=click.FloatRange(min=0, min_open=True),
    help="Incidents a week to suggest a sensitivity for: tries a row of them, which takes that much longer.",
)
@click.option(
    "--labels",
    type=click.Choice(("then", "now", "none")),
    default="then",
    show_default=True,
    help="Labels that ask for more evidence: as known at each time, as known now, or none.",
)
@click.option("--project", default="", help="Of one project.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--csv", "as_csv", is_flag=True, help="The incidents as CSV.")
@collector_option
@click.option("--key", help="Read key.  [default: dashboard.read_key of the settings]")
@click.pass_context
def backtest(
    context: click.Context,
    /,
    since: str,
    until: str | None,
    sensitivity: float | None,
    against: Path | None,
    against_sensitivity: float | None,
    wanted: float | None,
    labels: str,
    project: str,
    as_json: bool,
    as_csv: bool,
    url: str | None,
    key: str | None,
) -> None:
    """Replay the stored history: list what would have been opened, incidents a week, how long each lasted."""
    if as_json and as_csv:
        raise click.UsageError("--json or --csv, not both")
    settings = read_settings(context, "analysis").watch
    with needs("analysis"):
        from llmtrace_analysis.detect.backtest.replay_all import replay_all
    use = cast("LabelUse", labels)
    main = _configuration(settings, sensitivity, use)
    configurations = [main]
    if against is not None or against_sensitivity is not None:
        other = settings if against is None else _settings_of(against)
        configurations.append(_configuration(other, against_sensitivity, use))
    row = [_configuration(settings, value, use) for value in ROW] if wanted is not None else []
    start, end = _period(since, until)
    with store_reader(context, url, key, project) as client, _progress() as progress:
        outcomes = replay_all(client, start, end, [*configurations, *row], progress)
    asked, tried = outcomes[: len(configurations)], outcomes[len(configurations) :]
    if as_json:
        backtest_output.write_json(asked, tried, wanted)
    elif as_csv:
        backtest_output.write_csv(asked)
    else:
        for line in backtest_output.lines(asked, tried, wanted):
            say(line)


def _configuration(settings: WatchSettings, sensitivity: float | None, labels: LabelUse) -> Configuration:
    from llmtrace_analysis.detect.backtest.outcome import Configuration

    return Configuration(
        sensitivity=settings.sensitivity if sensitivity is None else sensitivity,
        purposes=tuple(settings.purposes),
        lookback_minutes=settings.lookback_minutes,
        rest_seconds=settings.rest_seconds,
        labels=labels,
    )


def _settings_of(file: Path) -> WatchSettings:
    from llmtrace_cli.config import load

    try:
        return load.load(file).watch
    except load.InvalidSettings as error:
        raise click.ClickException(str(error)) from error


def _period(since: str, until: str | None) -> tuple[int, int]:
    """Start and end, Unix seconds, full minutes. Raises click.BadParameter."""
    from llmtrace_collector.store.search import read_moment

    now = datetime.now(UTC)
    moments = []
    for option, written in (("--since", since), ("--until", until)):
        moment = None if written is None else read_moment(written)
        if written is not None and moment is None:
            raise click.BadParameter(
                f"{written!r} is no time; write 2h, 7d, 2026-11-01 or 2026-11-01T14:00", param_hint=option
            )
        at = now if moment is None else min(moment.resolved(now, UTC), now)
        moments.append(int(at.timestamp()) // 60 * 60)
    start, end = moments
    if end - start < 3600:
        raise click.UsageError("the period is shorter than an hour, or ends before it starts")
    return start, end


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """A bar on standard error, where that is a terminal; takes the share that is done."""
    with click.progressbar(length=1000, label="replaying", file=sys.stderr) as bar:

        def advance(share: float) -> None:
            bar.update(int(1000 * share) - bar.pos)

        yield advance

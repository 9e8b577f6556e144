"""`llmtrace alerts rules` and `llmtrace alerts check`."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.durations import seconds_of
from llmtrace_cli.extras import needs
from llmtrace_cli.query.output import output_options, write
from llmtrace_cli.query.store_reader import collector_option, store_reader

if TYPE_CHECKING:
    from llmtrace_analysis.detect.own_rules.history import Stretch
    from llmtrace_analysis.rule_settings import AlertRule

_CONDITIONS = ("above", "below", "warn_above", "warn_below", "rises_by", "falls_by", "objective")


@click.command(
    epilog="""\b
Examples:
  llmtrace alerts rules
  llmtrace alerts rules --format json
"""
)
@output_options
@click.pass_context
def rules(context: click.Context, fmt: str, output: Path | None) -> None:
    """List the alert rules and objectives of the settings ([[watch.rules]])."""
    settings = read_settings(context, "analysis").watch
    with needs("analysis"):
        import pandas as pd
    columns = ["rule", "name", "search", "metric", "window", "condition", "by", "severity", "enabled"]
    listed = [
        (
            rule.rule, rule.name, rule.search, rule.metric if rule.objective is None else "burn rate",
            rule.window, condition(rule), rule.by or "", rule.severity, "yes" if rule.enabled else "no",
        )
        for rule in settings.rules
    ]  # fmt: skip
    write(pd.DataFrame(listed, columns=columns), fmt, output, "no rules: add [[watch.rules]]")


@click.command(
    epilog="""\b
Examples:
  llmtrace alerts check                            every rule, over the last 7 days
  llmtrace alerts check "Calls of a user" --since 30d
  llmtrace --config draft.toml alerts check --since 24h --format csv

\b
A rolling window is tried at every quarter of its length, one of the calendar every hour, an objective every
quarter of an hour. Nothing is written and nobody is told.
"""
)
@click.argument("name", required=False)
@click.option("--since", default="7d", show_default=True, help="How far back: 24h, 7d, 30d.")
@click.option("--project", default="", help="Only this project's calls, traces and scores.")
@output_options
@collector_option
@click.option("--key", help="Read key.  [default: dashboard.read_key of the settings]")
@click.pass_context
def check(
    context: click.Context,
    /,
    name: str | None,
    since: str,
    project: str,
    fmt: str,
    output: Path | None,
    url: str | None,
    key: str | None,
) -> None:
    """Try rules against what is stored: when the rule NAME, or every one, would have been outside."""
    chosen = _chosen(read_settings(context, "analysis").watch.rules, name)
    try:
        seconds = int(seconds_of(since))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from error
    with needs("analysis"):
        import pandas as pd

        from llmtrace_analysis.detect.own_rules.history import stretches
    now = int(datetime.now(UTC).timestamp()) // 10 * 10
    listed: list[Sequence[Any]] = []
    with (
        store_reader(context, url, key, project) as client,
        click.progressbar(chosen, label="rules", file=sys.stderr) as progress,
    ):
        for rule in progress:
            listed += _rows(rule, stretches(client, rule, now - seconds, now))
    columns = ["rule", "group", "since", "until", "level", "worst", "limit"]
    write(pd.DataFrame(listed, columns=columns), fmt, output, f"nothing was outside in {since}")


def condition(rule: AlertRule) -> str:
    """When the rule alerts, as its settings say it."""
    parts = [f"{name} {value:g}" for name in _CONDITIONS if (value := getattr(rule, name)) is not None]
    if rule.rises_by is not None or rule.falls_by is not None:
        parts.append(f"compared with {rule.compared_with}")
    if rule.objective is not None:
        parts.append(f"good: {rule.good}")
    if rule.anomaly:
        parts.append("anomaly")
    if rule.no_data == "alert":
        parts.append("no data")
    return ", ".join(parts)


def _chosen(rules: Sequence[AlertRule], name: str | None) -> list[AlertRule]:
    if name is None:
        return list(rules)
    chosen = [rule for rule in rules if name in (rule.name, rule.rule, rule.slug)]
    if not chosen:
        known = ", ".join(rule.name for rule in rules) or "none: add [[watch.rules]] to llmtrace.toml"
        raise click.BadParameter(f"there is no rule {name!r}; there are: {known}", param_hint="NAME")
    return chosen


def _rows(rule: AlertRule, outside: Sequence[Stretch]) -> Iterator[Sequence[Any]]:
    for stretch in outside:
        first, last = (
            datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")
            for moment in (stretch.since, stretch.until)
        )
        worst, limit = (None if math.isnan(value) else value for value in (stretch.worst, stretch.limit))
        yield rule.name, stretch.group, first, last, stretch.level, worst, limit

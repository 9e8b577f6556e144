"""`llmtrace alerts channels` and `llmtrace alerts test`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.extras import needs
from llmtrace_cli.query.output import output_options, write
from llmtrace_cli.terminal import say

if TYPE_CHECKING:
    from llmtrace_analysis.settings import WatchSettings

_COLUMNS = ("name", "kind", "leads_to", "address_from", "secret_from", "events", "proxy")
_FAILED = 1
#: What an answer does not say.
_NOTES = {
    "teams": "Teams accepts before it shows: look whether both messages are there.",
    "pagerduty": "PagerDuty accepts before it acts: look whether an alert came and was resolved.",
    "jsm": "Jira Service Management accepts before it acts: look whether an alert came and was closed.",
}


@click.command(
    epilog="""\b
Examples:
  llmtrace alerts channels
  llmtrace alerts channels --format json
"""
)
@output_options
@click.pass_context
def channels(context: click.Context, fmt: str, output: Path | None) -> None:
    """List the channels of the settings, webhooks first.

    Addresses and secrets are left out: of an address there is the host, of a secret where it comes from.
    """
    settings = read_settings(context, "analysis")
    with needs("analysis"):
        import pandas as pd

        rows = list(_rows(settings.watch))
    write(pd.DataFrame(rows, columns=list(_COLUMNS)), fmt, output, "no channels: add [[watch.channels]]")


def _rows(settings: WatchSettings) -> Iterator[Sequence[str]]:
    from llmtrace_analysis.alerts.channels.from_settings import channel_names, host_of

    names = channel_names(settings)
    for name, webhook in zip(names, settings.webhooks, strict=False):
        host = name.partition(" ")[2]
        yield name, "webhook", host, "the settings", "the settings", ", ".join(webhook.events), ""
    for channel in settings.channels:
        yield (
            channel.name,
            channel.kind,
            host_of(channel),
            channel.url_origin,
            channel.secret_origin,
            ", ".join(event.removeprefix("incident.") for event in channel.events),
            "yes" if channel.proxy is not None else "",
        )


@click.command(
    "test",
    epilog="""\b
Examples:
  llmtrace alerts test ops
  llmtrace --config prod.toml alerts test pager

\b
Two messages: an incident that is called a test is opened, then resolved, so that nothing stays open at a
pager. Exit status: 0, or 1 where the receiver refused or did not answer.
""",
)
@click.argument("channel")
@click.pass_context
def try_out(context: click.Context, channel: str) -> None:
    """Send a test message to CHANNEL, and print where it went and what was answered."""
    settings = read_settings(context, "analysis").watch
    with needs("analysis"):
        from llmtrace_analysis.alerts.channels.from_settings import (
            ChannelUnusable,
            channel_named,
            channel_names,
        )
        from llmtrace_analysis.alerts.trial import try_channel
    names = channel_names(settings)
    if channel not in names:
        known = ", ".join(names) or "none: add [[watch.channels]] to llmtrace.toml"
        raise click.BadParameter(f"there is no channel {channel!r}; there are: {known}", param_hint="CHANNEL")
    try:
        chosen = channel_named(settings, channel)
    except ChannelUnusable as error:
        raise click.ClickException(str(error)) from error
    outcomes = try_channel(chosen, settings.dashboard_url, time.time())
    for event, outcome in outcomes:
        answer = f"answered {outcome.status}" if outcome.status else "no answer"
        if outcome.ok:
            verdict = f"taken, {answer}" if outcome.status else "taken"
        else:
            verdict = f"not taken, {outcome.error or answer}"
        say(f"{event} → {chosen.redacted_url}: {verdict}, {outcome.duration_ms:.0f} ms")
    if not all(outcome.ok for _, outcome in outcomes):
        sys.exit(_FAILED)
    kind = {row.name: row.kind for row in settings.channels}.get(channel, "webhook")
    if kind in _NOTES:
        say(_NOTES[kind])

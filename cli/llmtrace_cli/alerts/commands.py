"""`llmtrace alerts`: rules of people's own, and whom alerts are sent to."""

from __future__ import annotations

import click

from .channels import channels, try_out
from .rules import check, rules


@click.group(
    epilog="""\b
Examples:
  llmtrace alerts channels        whom alerts are sent to; secrets are not shown
  llmtrace alerts rules           alert rules and objectives of the settings
  llmtrace alerts check           when they would have been outside, over the last 7 days
  llmtrace alerts test ops        send a test message to the channel ops, print what it answered
"""
)
def alerts() -> None:
    """Rules of your own, whom alerts are sent to, and whether they arrive."""


for command in (channels, try_out, rules, check):
    alerts.add_command(command)

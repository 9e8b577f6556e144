"""`llmtrace alerts`: whom alerts are sent to."""

from __future__ import annotations

import click

from .channels import channels, try_out


@click.group(
    epilog="""\b
Examples:
  llmtrace alerts channels        whom alerts are sent to; secrets are not shown
  llmtrace alerts test ops        send a test message to the channel ops, print what it answered
"""
)
def alerts() -> None:
    """Whom alerts are sent to, and whether they arrive."""


for command in (channels, try_out):
    alerts.add_command(command)

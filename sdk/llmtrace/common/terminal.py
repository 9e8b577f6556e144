"""The way to a terminal: a line a call, whatever the values in it hold."""

from __future__ import annotations

import click

from .escaping import visible


def say(line: str, *, err: bool = False) -> None:
    """Print one line, on standard output or standard error; control characters are shown as escapes."""
    click.echo(visible(line), err=err)

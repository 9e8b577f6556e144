"""The command line's way to a terminal: a line a call, whatever the values in it hold."""

from __future__ import annotations

import click

from llmtrace.common.escaping import visible, visible_lines


def say(line: str, *, err: bool = False) -> None:
    """Print one line, on standard output or standard error; control characters are shown as escapes."""
    click.echo(visible(line), err=err)


class Commands(click.Group):
    """The group of all commands: what would steer the terminal is shown as escapes in their errors too."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. An error's own lines stay lines."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            vars(error)["message"] = visible_lines(error.message)
            raise

"""The command line's way to a terminal: `say` prints a line, and errors are shown as lines too."""

from __future__ import annotations

import click

from llmtrace.common.escaping import visible_lines
from llmtrace.common.terminal import say as say


class Commands(click.Group):
    """The group of all commands: what would steer the terminal is shown as escapes in their errors too."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. An error's own lines stay lines."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            vars(error)["message"] = visible_lines(error.message)
            raise

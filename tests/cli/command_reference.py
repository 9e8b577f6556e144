"""docs/cli.md, from the help of every command: `python -m tests.cli.command_reference > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from llmtrace_cli.main import cli

#: Columns of a help text, whatever the terminal's.
WIDTH = 100

_HEAD = """\
# The command line

<!-- Made by `python -m tests.cli.command_reference > docs/cli.md`; a test keeps the two equal. -->

One program, `llmtrace`, starts every part, asks the collector and changes what it keeps. Settings come from
the command line, then the environment, then `llmtrace.toml`, then the defaults; all of them are in
[configuration.md](configuration.md). What is below is what `--help` prints.
"""


def contexts(command: click.Command = cli, parent: click.Context | None = None) -> Iterator[click.Context]:
    """One for each command that help lists: a group first, then what it holds, by name."""
    settings = command.context_settings if parent is None else {}
    name = "llmtrace" if parent is None else command.name
    context = click.Context(
        command, info_name=name, parent=parent, terminal_width=WIDTH, color=False, **settings
    )
    yield context
    if isinstance(command, click.Group):
        for subcommand in (command.get_command(context, item) for item in command.list_commands(context)):
            if subcommand is not None and not subcommand.hidden:
                yield from contexts(subcommand, context)


def reference() -> str:
    """The page: a table of all commands, then the help of each."""
    every = list(contexts())
    lines = [_HEAD, "| command | does |", "|---|---|"]
    for context in every:
        path = context.command_path
        sentence = context.command.get_short_help_str(limit=1000).replace("|", "\\|")
        lines.append(f"| [`{path}`](#{path.replace(' ', '-')}) | {sentence} |")
    for context in every:
        lines += ["", f"## {context.command_path}", "", "```text", context.get_help(), "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")

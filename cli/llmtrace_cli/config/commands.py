"""`llmtrace config`: the settings in effect, and a file to change them in."""

from pathlib import Path

import click

from llmtrace.common.durable_files import make_directory, write_durably
from llmtrace_cli.extras import needs
from llmtrace_cli.terminal import say

from .read_settings import read_settings


@click.group(
    epilog="""\b
Examples:
  llmtrace config init
  llmtrace config show
  llmtrace --config prod.toml config show
"""
)
def config() -> None:
    """Show the settings in effect, or write a file to change them in."""


@config.command(
    epilog="""\b
Examples:
  llmtrace config show
  LLMTRACE_COLLECTOR__PORT=4319 llmtrace config show
"""
)
@click.pass_context
def show(context: click.Context) -> None:
    """Print the settings in effect as TOML; keys and passwords are hidden."""
    settings = read_settings(context, "all")
    with needs("all"):
        from .toml_file import effective
    click.echo(effective(settings), nl=False)


@config.command(
    epilog="""\b
Examples:
  llmtrace config init
  llmtrace config init prod.toml
  llmtrace config init - | less
"""
)
@click.argument("path", type=click.Path(path_type=Path, allow_dash=True), default="llmtrace.toml")
@click.option("--force", is_flag=True, help="Write over a file that exists.")
def init(path: Path, force: bool) -> None:
    """Write a file (./llmtrace.toml) with every setting described and commented out."""
    with needs("all"):
        from .toml_file import template
    if str(path) == "-":
        click.echo(template(), nl=False)
        return
    if path.exists() and not force:
        raise click.ClickException(f"{path} exists; --force writes over it, another name leaves it alone")
    make_directory(path.parent)
    write_durably(path, template().encode())  # keys may be written into it
    say(f"wrote {path}; remove the # before a setting to change it")


@config.command(
    epilog="""\b
Examples:
  llmtrace config reference
  llmtrace config reference > docs/configuration.md
"""
)
def reference() -> None:
    """Print the reference of all settings as Markdown (docs/configuration.md)."""
    with needs("all"):
        from .toml_file import reference as render
    click.echo(render(), nl=False)

"""What every command does first: read the settings, and say plainly when they cannot be used."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtrace_cli.extras import Extra, needs

if TYPE_CHECKING:
    from .settings import PartName, Settings


def read_settings(
    context: click.Context,
    extra: Extra,
    overrides: Mapping[str, Any] | None = None,
    together: "Collection[PartName]" = (),
) -> "Settings":
    """The settings in effect for this invocation.

    `overrides` are the command line's, nested as in the file; those that are None are unset. `together`: the
    parts that the command is going to run, if it runs several.
    Raises click.ClickException on settings that cannot be used.
    """
    with needs(extra):
        from . import load
    try:
        return load.load(config_file(context), _without_unset(overrides or {}), together)
    except load.InvalidSettings as error:
        raise click.ClickException(str(error)) from error


def config_file(context: click.Context) -> Path | None:
    """The file named by --config."""
    file: Path | None = context.find_root().params.get("config_file")
    return file


def _without_unset(overrides: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in overrides.items():
        if isinstance(value, Mapping):
            if inner := _without_unset(value):
                options[name] = inner
        elif value is not None:
            options[name] = value
    return options

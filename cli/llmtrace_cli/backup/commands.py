"""`llmtrace backup` and `llmtrace restore`."""

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmtrace.common.escaping import visible
from llmtrace_cli.config.read_settings import config_file, read_settings
from llmtrace_cli.durations import seconds_of
from llmtrace_cli.extras import needs
from llmtrace_cli.stack.lifeline import SUPERVISOR_PID, follow_supervisor, wait_for_source
from llmtrace_cli.stack.up import SETTINGS_FILE
from llmtrace_cli.terminal import say

if TYPE_CHECKING:
    from llmtrace.common.sealed_files import EncryptionKeys
    from llmtrace_cli.config.settings import Settings

    from .folder import Backup

#: After a backup that failed the next is tried so soon, in seconds.
_PAUSE_SECONDS = 60.0

#: How often a schedule looks at the clock, which may be set.
_CLOCK_SECONDS = 30.0

_DEFAULT_FILE = Path("llmtrace.toml")


def _duration(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    try:
        return None if value is None else seconds_of(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error


@click.command(
    epilog="""\b
Examples:
  llmtrace backup
  llmtrace backup --list
  llmtrace backup --directory /mnt/backups
  llmtrace backup --every 1d
"""
)
@click.option("--list", "listed", is_flag=True, help="Say which there are and make none.")
@click.option("--json", "as_json", is_flag=True, help="With --list: one JSON object a line.")
@click.option("--every", callback=_duration, help="Stay, and make one so often: 12h, 1d.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where.  [default: [backup] directory, else backups in the collector's data_dir]",
)
@click.pass_context
def backup(
    context: click.Context, listed: bool, as_json: bool, every: float | None, directory: Path | None
) -> None:
    """Save everything on this machine: store, MLflow, settings, keys, inference's files.

    Parts may run meanwhile; the collector has to, for the store. What was written is read again before it
    counts, then backups beyond [backup] keep are deleted. With an encryption key all of it is encrypted; the
    key itself is never saved: keep it elsewhere, as the backups. Prints the backup's name.
    """
    settings = read_settings(context, "all", {"backup": {"directory": directory}})
    if listed:
        _list(settings, as_json=as_json)
    elif every is None:
        say(_make(context, settings).name)
    else:
        _schedule(context, settings, every)


def _list(settings: "Settings", *, as_json: bool) -> None:
    from .folder import all_backups
    from .make import directory_of

    backups = all_backups(directory_of(settings))
    for item in backups:
        if as_json:
            say(json.dumps({"folder": str(item.folder), **item.manifest}))
            continue
        if item.holds_store_only:
            say(f"{item.name}  {'':>10}     the store only, by `llmtrace store backup`")
            continue
        parts = ", ".join(item.manifest["parts"])
        without = "".join(f"; without {what}: {why}" for what, why in item.manifest["left_out"].items())
        say(f"{item.name}  {item.size / 1e6:>10,.1f} MB  {parts}{without}")
    if not backups:
        say(f"there are no backups in {directory_of(settings)}", err=True)


def _make(context: click.Context, settings: "Settings") -> "Backup":
    from llmtrace_cli.admin.client import managing

    from .make import make_backup

    def save_store() -> dict[str, object]:
        with managing(settings.connection()) as client:
            return client.back_up()

    done = make_backup(settings, _settings_file(context), _keys(settings), save_store)
    say(f"{done.size / 1e6:,.1f} MB in {done.folder}, verified", err=True)
    for what, why in done.manifest["left_out"].items():
        say(f"warning: without {what}: {why}", err=True)
    return done


def _settings_file(context: click.Context) -> Path | None:
    # Parts that `llmtrace up` starts are given a file of its own making.
    named = os.environ.get(SETTINGS_FILE)
    file = (config_file(context) or _DEFAULT_FILE) if named is None else Path(named)
    return file if file.is_file() else None


def _keys(settings: "Settings | None") -> "EncryptionKeys | None":
    from llmtrace.common.sealed_files import EncryptionUnavailable, load_keys

    try:
        return load_keys(settings.collector.encryption_key_file if settings is not None else None)
    except EncryptionUnavailable as error:
        raise click.ClickException(str(error)) from error


def _schedule(context: click.Context, settings: "Settings", every: float) -> None:
    """Make backups until told to stop. One that fails is said, and tried again."""
    from .folder import all_backups
    from .make import directory_of, due_in

    follow_supervisor()
    wait_for_source(settings.connection().tls_files())
    stamp = "" if SUPERVISOR_PID in os.environ else "%Y-%m-%d %H:%M:%S "
    directory = directory_of(settings)
    try:
        while True:
            wait = due_in(all_backups(directory), every)
            if not wait:
                try:
                    say(f"{time.strftime(stamp)}backup {_make(context, settings).name}")
                except click.ClickException as error:
                    say(f"{time.strftime(stamp)}ERROR {visible(error.message)}", err=True)
                    wait = _PAUSE_SECONDS
            time.sleep(min(wait, _CLOCK_SECONDS) if wait != _PAUSE_SECONDS else wait)
    except KeyboardInterrupt:
        return


@click.command(
    epilog="""\b
Examples:
  llmtrace restore 20261120-103000
  llmtrace restore 20261120-103000 --from /mnt/backups
  llmtrace restore 20261120-103000 --from /mnt/backups --data-dir /var/lib/llmtrace
  llmtrace restore 20261120-103000 --force
"""
)
@click.argument("name")
@click.option(
    "--from",
    "directory",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Where the backup is.  [default: [backup] directory, else backups in the collector's data_dir]",
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where data goes.  [default: .llmtrace]")
@click.option("--force", is_flag=True, help="Set aside what is there, as NAME.before-TIME.")
@click.pass_context
def restore(
    context: click.Context, name: str, directory: Path | None, data_dir: Path | None, force: bool
) -> None:
    """Put a backup back: store, MLflow, keys, inference's files, and the settings where there are none.

    Nothing may run with these settings meanwhile. On a new machine install this release or a later one, copy
    the backup there, set the encryption key where one was in use, restore, then start `llmtrace up`.
    """
    with needs("all"):
        from llmtrace_cli.config import load  # noqa: F401 - whether all is installed

        from .folder import BackupDamaged, all_backups
        from .make import directory_of, progress_bar
        from .restore import restore_parts, restore_settings

    file = config_file(context) or _DEFAULT_FILE
    overrides = {"data_dir": data_dir, "backup": {"directory": directory}}
    settings = read_settings(context, "all", overrides) if file.exists() or directory is None else None
    place = directory if settings is None else directory_of(settings)
    chosen = {item.name: item for item in all_backups(place or Path())}.get(name)
    if chosen is None:
        raise click.ClickException(
            f"there is no backup {name} in {place}: `llmtrace backup --list` names those there are, "
            "--from says where else to look"
        )
    keys = _keys(settings)
    try:
        with progress_bar("verifying", chosen.size) as progress:
            chosen.check(keys, progress)
    except BackupDamaged as error:
        raise click.ClickException(str(error)) from error
    if restore_settings(chosen, file, keys):
        say(f"settings: {file}", err=True)
        settings = None
    settings = settings or read_settings(context, "all", overrides)
    for line in restore_parts(chosen, settings, keys, replace=force):
        say(line, err=True)
    say(f"{name} is back; start with `llmtrace up`")

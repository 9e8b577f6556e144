"""A backup of all parts: written beside, verified, and only then called one."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtrace.common.durable_files import make_directory, sync_directory, write_durably
from llmtrace.common.sealed_files import EncryptionKeys
from llmtrace_cli.terminal import say

from .archive import Progress, Source, digest_of, write_archive
from .folder import MANIFEST, Backup, BackupDamaged, delete_old, new_name
from .parts import FILE_PARTS, copy_database, database, places

if TYPE_CHECKING:
    from llmtrace_cli.config.settings import Settings

#: What the collector does: writes its part to data_dir/backups and gives its manifest; a click.ClickException
#: says why there is none.
SaveStore = Callable[[], Mapping[str, Any]]


def directory_of(settings: Settings) -> Path:
    """Where backups are kept."""
    return settings.backup.directory or settings.collector.data_dir / "backups"


def make_backup(
    settings: Settings, config_file: Path | None, keys: EncryptionKeys | None, save_store: SaveStore
) -> Backup:
    """Save every part, read it all again, and delete backups that are too many.

    Raises click.ClickException, and leaves nothing behind, where a part cannot be saved.
    """
    directory = directory_of(settings)
    make_directory(directory, mode=0o700)
    for draft in directory.glob(".*.new"):  # a crash left it
        shutil.rmtree(draft)
    name = new_name(directory)
    draft = directory / f".{name}.new"
    try:
        draft.mkdir(mode=0o700)
        manifest: dict[str, Any] = {
            "name": name,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "llmtrace": importlib.metadata.version("llmtrace"),
            "encrypted": keys is not None,
            "parts": {},
            "left_out": {},
        }
        _save_store(settings, draft, manifest, save_store)
        for part in FILE_PARTS:
            _save_files(settings, config_file, draft, part, keys, manifest)
        manifest["files"] = _files(draft)
        write_durably(draft / MANIFEST, json.dumps(manifest, indent=1).encode(), mode=0o600)
        for folder in {file.parent for file in draft.rglob("*") if file.is_file()}:
            sync_directory(folder)
        backup = Backup(draft, manifest)
        with progress_bar("verifying", backup.size) as progress:
            backup.check(keys, progress)
        draft.rename(directory / name)
        sync_directory(directory)
    except (OSError, BackupDamaged, ValueError) as error:
        raise click.ClickException(
            f"no backup was made: {error}. Make room or choose another [backup] directory, and run it again"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    for former in delete_old(directory, settings.backup.keep, settings.backup.keep_days):
        say(f"deleted the backup {former}: [backup] keep = {settings.backup.keep}", err=True)
    return Backup(directory / name, manifest)


def _save_store(settings: Settings, draft: Path, manifest: dict[str, Any], save_store: SaveStore) -> None:
    if not settings.collector.store_dsn.startswith("chdb:"):
        manifest["left_out"]["store"] = "it is a ClickHouse server's: use its own BACKUP"
        return
    say("store: the collector writes every table …", err=True)
    saved = save_store()
    folder = settings.collector.data_dir / "backups" / str(saved["name"])
    if not folder.is_dir():
        raise click.ClickException(
            f"the collector's backup is not at {folder}: run this on its machine, with its settings"
        )
    shutil.move(folder, draft / "store")
    rows = sum(saved["tables"].values())
    manifest["schema"] = saved["schema"]
    manifest["parts"]["store"] = {"rows": rows}
    say(f"store: {rows:,} rows", err=True)


def _save_files(
    settings: Settings,
    config_file: Path | None,
    draft: Path,
    part: str,
    keys: EncryptionKeys | None,
    manifest: dict[str, Any],
) -> None:
    copied: Path | None = None
    if part == "settings":
        sources = [] if config_file is None else [Source(config_file, "llmtrace.toml")]
    else:
        sources = list(places(settings)[part].files())
    if part == "mlflow":
        file = database(settings)
        if file is None:
            manifest["left_out"]["mlflow database"] = "it is no file of SQLite's: use its own tools"
        elif file.exists():
            copied = draft / "mlflow.db"
            os.close(os.open(copied, os.O_CREAT | os.O_EXCL, 0o600))
            sources.insert(0, copy_database(file, copied))
    if not sources:
        return
    with progress_bar(part, sum(_size(source.path) for source in sources)) as progress:
        count, size = write_archive(draft / f"{part}.tar", sources, keys, progress)
    if copied is not None:
        copied.unlink()
    manifest["parts"][part] = {"files": count, "bytes": size}


def _files(draft: Path) -> dict[str, dict[str, Any]]:
    files = sorted(file for file in draft.rglob("*") if file.is_file())
    with progress_bar("checksums", sum(map(_size, files))) as progress:
        return {
            str(file.relative_to(draft)): {"bytes": _size(file), "sha256": digest_of(file, progress)}
            for file in files
        }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@contextmanager
def progress_bar(label: str, length: int) -> Iterator[Progress]:
    """A bar on a terminal's standard error, over `length` bytes; what it gives is called with those done."""
    stream = sys.stderr
    if not stream.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=max(length, 1), label=label.ljust(12), file=stream) as bar:
        yield bar.update


def due_in(backups: list[Backup], every: float) -> float:
    """Seconds until the next backup of a schedule is due; 0 when it is."""
    newest = max((backup.made_at for backup in backups if not backup.holds_store_only), default=0.0)
    # A clock that was ahead once must not keep backups from being made.
    return max(0.0, every - abs(time.time() - newest))

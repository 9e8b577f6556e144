"""A backup put back: files into their places, then the store by a collector that is started for that."""

from __future__ import annotations

import fcntl
import os
import shutil
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmtrace.common.durable_files import write_durably
from llmtrace.common.sealed_files import EncryptionKeys, SealBroken
from llmtrace_cli.admin.client import managing
from llmtrace_cli.healthcheck import healthy
from llmtrace_cli.local_servers import free_port
from llmtrace_cli.terminal import say

from .archive import opened
from .folder import STORE_MANIFEST, Backup
from .make import progress_bar
from .parts import FILE_PARTS, database, places

if TYPE_CHECKING:
    from llmtrace_cli.config.settings import Settings

_START_SECONDS = 120.0


def restore_settings(backup: Backup, file: Path, keys: EncryptionKeys | None) -> bool:
    """Write the backup's settings file to `file` where there is none; whether it was."""
    archive = backup.folder / "settings.tar"
    if file.exists() or not archive.exists():
        return False
    with opened(archive, keys) as members:
        for member in members:
            content = members.extractfile(member)
            if content is not None and member.name == "llmtrace.toml":
                file.parent.mkdir(parents=True, exist_ok=True)
                write_durably(file, content.read(), mode=0o600)
                return True
    return False


def restore_parts(
    backup: Backup, settings: Settings, keys: EncryptionKeys | None, *, replace: bool
) -> list[str]:
    """Put every part back, whose files should be as `Backup.check` left them; one line for each.

    Nothing may run on these settings. What is there already is refused, or with `replace` set aside first.
    Raises click.ClickException.
    """
    _demand_stopped(settings)
    _make_way(backup, settings, replace=replace)
    lines = []
    for part in FILE_PARTS:
        file = backup.folder / f"{part}.tar"
        if part == "settings" or not file.exists():
            continue
        with progress_bar(part, file.stat().st_size) as progress:
            count = _extract(file, places(settings)[part].root, settings, keys)
            progress(file.stat().st_size)
        lines.append(f"{part}: {count:,} files")
    os.sync()
    if _store_folder(backup) is not None:
        lines.append(f"store: {_restore_store(backup, settings):,} rows")
    return lines


def _store_folder(backup: Backup) -> Path | None:
    for folder in (backup.folder / "store", backup.folder):
        if (folder / STORE_MANIFEST).exists():
            return folder
    return None


def _demand_stopped(settings: Settings) -> None:
    url = settings.url_of("collector")
    running = healthy(url + "/health/live", 2.0, settings.connection().tls_files())
    with suppress(FileNotFoundError), (settings.collector.data_dir / "store" / "status").open("rb") as status:
        try:
            fcntl.flock(status, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = True
    if running:
        raise click.ClickException(
            f"a collector runs with these settings ({url}): stop it and `llmtrace up` first, or restore "
            "elsewhere by --data-dir"
        )


def _make_way(backup: Backup, settings: Settings, *, replace: bool) -> None:
    """Refuse what a part's files would be put over, or move it aside."""
    present: list[Path] = []
    for part, place in places(settings).items():
        if (backup.folder / f"{part}.tar").exists():
            present += place.holds()
    mlflow = database(settings)
    if mlflow is not None and mlflow.exists() and (backup.folder / "mlflow.tar").exists():
        present += [file for end in ("", "-wal", "-shm") if (file := Path(f"{mlflow}{end}")).exists()]
    if _store_folder(backup) is not None and settings.collector.store_dsn.startswith("chdb:"):
        present += [path for path in _of_store(settings) if path.exists()]
    if not present:
        return
    if not replace:
        raise click.ClickException(
            f"there is data already: {', '.join(map(str, present))}. Restore into an empty place by "
            "--data-dir, or let --force set it aside"
        )
    end = f".before-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    for path in present:
        path.rename(path.with_name(path.name + end))
        say(f"{path} is now {path.name}{end}", err=True)


def _of_store(settings: Settings) -> list[Path]:
    """The embedded store, and what the log knows of it."""
    store = Path(settings.collector.store_dsn.removeprefix("chdb://"))
    return [store, settings.collector.data_dir / "wal"]


def _extract(file: Path, root: Path, settings: Settings, keys: EncryptionKeys | None) -> int:
    """Put the files of an archive below `root`; how many."""
    count = 0
    mlflow = database(settings)
    root.mkdir(parents=True, exist_ok=True)
    try:
        with opened(file, keys) as archive:
            archive.extraction_filter = tarfile.data_filter
            for member in archive:
                if member.name == "mlflow.db" and mlflow is not None:
                    archive.extract(member.replace(name=mlflow.name, deep=False), mlflow.parent)
                else:
                    archive.extract(member, root)
                count += 1
    except (OSError, SealBroken, tarfile.TarError) as error:
        raise click.ClickException(
            f"{file.name} was put back in part only: {error}. Mend that and restore again with --force"
        ) from error
    return count


def _restore_store(backup: Backup, settings: Settings) -> int:
    """Fill the store by a collector of its own port, which is stopped again; the rows that are back."""
    from llmtrace_cli.stack.processes import Process, plan, wait_ready

    source = _store_folder(backup)
    place = settings.collector.data_dir / "backups" / backup.name
    copied = source is not None and not place.exists()
    if source is not None and copied:
        shutil.copytree(source, place)
    quiet: dict[str, Any] = dict.fromkeys(("grpc_port", "tls_certificate", "tls_key", "tls_client_ca"))
    quiet |= {"port": free_port(), "host": "127.0.0.1", "mlflow_url": ""}
    collector = settings.collector.model_copy(update=quiet)
    stack = plan(settings.model_copy(update={"collector": collector}), ["collector"])
    process = Process(stack.parts[0], settings.collector.data_dir / "run" / "restore.log")
    try:
        process.start()
        say("store: a collector reads every table …", err=True)
        if wait_ready(stack.parts, _START_SECONDS, alive=lambda _: process.alive):
            raise click.ClickException(f"the collector does not start:\n{process.tail()}")
        with managing(stack.settings.connection()) as client:
            manifest = client.restore(backup.name)
    finally:
        process.stop()
        stack.file.unlink(missing_ok=True)
        if copied:
            shutil.rmtree(place, ignore_errors=True)
    return int(sum(manifest["tables"].values()))

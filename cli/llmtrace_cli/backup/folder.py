"""The folder of backups: which there are, whether each is whole, and which go for their age."""

from __future__ import annotations

import json
import shutil
import tarfile
import time
from calendar import timegm
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtrace.common.sealed_files import EncryptionKeys, SealBroken

from .archive import Progress, count_files, digest_of

MANIFEST = "backup.json"
#: The manifest of the store alone, as the collector writes it: the whole of a backup of former releases.
STORE_MANIFEST = "manifest.json"
_NAME = "%Y%m%d-%H%M%S"


class BackupDamaged(Exception):
    """A backup is not as it was written; the message says what of it."""


@dataclass(frozen=True)
class Backup:
    """A complete backup: its folder and what its manifest says."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        """Its name, which is the time at which it was begun (UTC)."""
        return self.folder.name

    @property
    def made_at(self) -> float:
        """When it was begun, Unix seconds."""
        return float(timegm(time.strptime(self.name, _NAME)))

    @property
    def holds_store_only(self) -> bool:
        """Whether it is one of `llmtrace store backup`."""
        return "parts" not in self.manifest

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file["bytes"] for file in self.manifest.get("files", {}).values())

    def check(self, keys: EncryptionKeys | None, progress: Progress) -> None:
        """Read all of it again: sizes, SHA-256, and each archive to its end. Raises BackupDamaged."""
        for name, written in self.manifest.get("files", {}).items():
            file = self.folder / name
            if not file.is_file():
                raise BackupDamaged(f"{file} is missing: copy the backup again, or take another")
            if file.stat().st_size != written["bytes"] or digest_of(file, progress) != written["sha256"]:
                raise BackupDamaged(
                    f"{file} is not as it was written: copy the backup again, or take another"
                )
            if name.endswith(".tar"):
                part = name.removesuffix(".tar")
                try:
                    count = count_files(file, keys)
                except (SealBroken, tarfile.TarError) as error:
                    raise BackupDamaged(f"{file} cannot be read: {error}") from error
                if count != self.manifest["parts"][part]["files"]:
                    raise BackupDamaged(f"{file} holds {count} files, and was written with more or fewer")


def all_backups(directory: Path) -> list[Backup]:
    """Every complete backup in a directory, oldest first."""
    backups = []
    for folder in sorted(directory.glob("[0-9]*-[0-9]*")):
        for name in (MANIFEST, STORE_MANIFEST):
            if (folder / name).is_file() and _is_name(folder.name):
                backups.append(Backup(folder, json.loads((folder / name).read_text())))
                break
    return backups


def new_name(directory: Path) -> str:
    """A name for a backup of now that none has yet."""
    while True:
        name = time.strftime(_NAME, time.gmtime())
        if not (directory / name).exists():
            return name
        time.sleep(0.2)


def _is_name(text: str) -> bool:
    try:
        time.strptime(text, _NAME)
    except ValueError:
        return False
    return True


def delete_old(directory: Path, keep: int, keep_days: int) -> list[str]:
    """Delete the backups beyond the newest `keep`, and those older than `keep_days` (0: of any age); their
    names. The newest stays in any case, and so do those of the store alone, which others made.
    """
    backups = [backup for backup in all_backups(directory) if not backup.holds_store_only]
    oldest = time.time() - keep_days * 86_400 if keep_days else 0.0
    going = [
        backup
        for position, backup in enumerate(reversed(backups))
        if position and (position >= keep or backup.made_at < oldest)
    ]
    for backup in reversed(going):
        # Without its manifest it is none: one that is deleted in part is not taken for whole.
        (backup.folder / MANIFEST).unlink()
        shutil.rmtree(backup.folder)
    return [backup.name for backup in reversed(going)]

"""Uploaded files and the files that batches leave, each the property of one API key. On disk, fsynced."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from llmtrace.common.durable_files import sync_directory, write_durably
from llmtrace_inference.protocol.errors import ApiError

logger = logging.getLogger(__name__)

_DAY = 86_400
_MOST_FILES = 10_000
"""Of one key, and of one page of a list."""

Purpose = Literal["batch", "batch_output"]


class StoredFile(BaseModel):
    """What is known of one file. Times in seconds since 1970."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    owner: str
    filename: str
    purpose: Purpose
    bytes: int
    created_at: int
    expires_at: int

    def body(self) -> dict[str, Any]:
        """The file as OpenAI's API shows it."""
        fields = self.model_dump(exclude={"owner"})
        return {**fields, "object": "file", "status": "processed", "status_details": None}


def new_file_id() -> str:
    return f"file-{secrets.token_hex(16)}"


class FileStore:
    """A directory with a `.json` and a `.data` per file; the former is written last and makes it exist.

    Nobody but its owner ever learns that a file is there. Blocks on the disk: call it off the event loop,
    but for `get` and `list`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        days: int,
        bytes_per_owner: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._seconds = days * _DAY
        self._bytes_per_owner = bytes_per_owner
        self._clock = clock
        self._files: dict[str, StoredFile] = {}

    def open(self) -> None:
        """Read what is there; removes what a crash left half-made and what has expired."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._directory.glob("file-*.json")):
            try:
                file = StoredFile.model_validate_json(path.read_bytes())
            except ValidationError as error:
                logger.error("%s is damaged and left alone: %s", path, error)  # noqa: TRY400
                continue
            self._files[file.id] = file
        for path in [*self._directory.glob("file-*.data"), *self._directory.glob("*.new")]:
            if path.stem not in self._files or path.suffix == ".new":
                path.unlink()
        self.drop_expired()

    def get(self, file_id: str, owner: str) -> StoredFile:
        """One file of this owner. Raises ApiError 404."""
        file = self._files.get(file_id)
        if file is None or file.owner != owner or file.expires_at <= self._clock():
            raise ApiError(404, f"there is no file {file_id!r}", code="file_not_found", param="file_id")
        return file

    def list(self, owner: str) -> list[StoredFile]:
        """This owner's files, oldest first."""
        now = self._clock()
        return [f for f in self._files.values() if f.owner == owner and f.expires_at > now]

    def path(self, file: StoredFile) -> Path:
        """Where its content is."""
        return self._directory / f"{file.id}.data"

    def add(
        self, owner: str, filename: str, content: IO[bytes], size: int, expires_in: int | None = None
    ) -> StoredFile:
        """Keep an upload; `expires_in` seconds, else as the settings say. Raises ApiError 413 when full."""
        self.drop_expired()
        files = self.list(owner)
        if len(files) >= _MOST_FILES:
            raise ApiError(
                413,
                f"this key may keep {_MOST_FILES} files: delete some of them",
                code="file_storage_full",
            )
        held = sum(file.bytes for file in files)
        if held + size > self._bytes_per_owner:
            raise ApiError(
                413,
                f"this key may keep {self._bytes_per_owner} bytes of files and has {held} already: "
                "delete some of them",
                code="file_storage_full",
            )
        return self._keep(new_file_id(), owner, filename, "batch", content, expires_in)

    def keep_output(
        self, file_id: str, owner: str, filename: str, content: IO[bytes], expires_in: int | None
    ) -> StoredFile:
        """Keep what a batch made under an id of before. Safe to repeat: the id names the same content."""
        return self._keep(file_id, owner, filename, "batch_output", content, expires_in)

    def _keep(
        self,
        file_id: str,
        owner: str,
        filename: str,
        purpose: Purpose,
        content: IO[bytes],
        expires_in: int | None,
    ) -> StoredFile:
        target = self._directory / f"{file_id}.data"
        write_durably(target, content)
        now = int(self._clock())
        file = StoredFile(
            id=file_id,
            owner=owner,
            filename=filename,
            purpose=purpose,
            bytes=target.stat().st_size,
            created_at=now,
            expires_at=now + (self._seconds if expires_in is None else expires_in),
        )
        write_durably(target.with_suffix(".json"), file.model_dump_json().encode())
        self._files[file_id] = file
        return file

    def remove(self, file: StoredFile) -> None:
        """Delete a file for good."""
        self._files.pop(file.id, None)
        self.path(file).with_suffix(".json").unlink(missing_ok=True)
        self.path(file).unlink(missing_ok=True)
        sync_directory(self._directory)

    def drop_expired(self) -> None:
        """Delete what has expired."""
        now = self._clock()
        for file in [f for f in self._files.values() if f.expires_at <= now]:
            self.remove(file)

"""A process's counters in memory that outlives a kill: one page for each, where the machine has `/dev/shm`.

The file `llmtrace-PID-TOKEN.counters` there is locked as long as its process lives: whose lock another gets,
is dead, in whatever container it ran. Behind the counters lies where the process's file in the spool is, for
what is left there to be put onto disk; see `killed_processes`.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Path = Path("/dev/shm")  # noqa: S108  # with names that cannot be guessed, for this user alone
#: Of one user: memory belongs to the programs.
MOST_FILES: Final = 256
#: generated, sent, dropped, spooled, sampled out, replayed, and whether the process ended as it should.
COUNTERS: Final = 7
PREFIX: Final = "llmtrace-"
#: Files of former versions have none, and no lock.
SUFFIX: Final = ".counters"

LAYOUT: Final = struct.Struct(f"={COUNTERS}q")
_MAGIC: Final = b"counter2"
#: Magic, the view of the file system that the path is meant in, when it was first seen dead (Unix seconds).
_OWNER: Final = struct.Struct("=8s24sq")
_OWNER_OFFSET: Final = 64
_SEEN_DEAD_OFFSET: Final = _OWNER_OFFSET + _OWNER.size - 8
_PATH_OFFSET: Final = _OWNER_OFFSET + _OWNER.size
_FILE_SYSTEM: Final = struct.Struct("=3Q")


class KilledCounters:
    """What a killed process left in shared memory. Nobody else takes it over meanwhile; `close` lets go."""

    def __init__(self, path: Path, descriptor: int, page: bytes) -> None:
        """With a descriptor that holds the lock; see `killed`."""
        self._path = path
        self._descriptor = descriptor
        self.counters: list[int] = list(LAYOUT.unpack_from(page))
        _, self._file_system, seen_dead = _OWNER.unpack_from(page, _OWNER_OFFSET)
        self.seen_dead: int = seen_dead
        """Unix seconds; 0 where nobody has seen before that it is dead."""
        encoded = page[_PATH_OFFSET:].rstrip(b"\0")
        self.process_file: Path | None = Path(os.fsdecode(encoded)) if encoded else None
        """Its file in the spool, as it saw the file system; None where its path is too long."""

    @property
    def sees_our_files(self) -> bool:
        """Whether its path means here what it meant there: a file that is missing is missing there too."""
        return bool(self._file_system == file_system() != bytes(_FILE_SYSTEM.size))

    def note_seen(self, seconds: int) -> None:
        """It was seen dead now. Raises OSError."""
        os.pwrite(self._descriptor, struct.pack("=q", seconds), _SEEN_DEAD_OFFSET)

    def remove(self) -> None:
        """Free the memory. Raises OSError."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the lock."""
        os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class SharedCounters:
    """This process's counters, to be written, and the descriptor that holds their lock."""

    values: memoryview
    lock: int


def create(process_file: Path) -> SharedCounters | None:
    """The counters of this process; None where there is no memory to be had for them."""
    import fcntl

    path = path_of(process_file)
    encoded = os.fsencode(process_file.absolute())
    if _PATH_OFFSET + len(encoded) > mmap.PAGESIZE:
        encoded = b""
    page = bytearray(mmap.PAGESIZE)
    _OWNER.pack_into(page, _OWNER_OFFSET, _MAGIC, file_system(), 0)
    page[_PATH_OFFSET : _PATH_OFFSET + len(encoded)] = encoded
    try:
        if has_files(MOST_FILES) and sharing() >= MOST_FILES:
            return None
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError:
        return None
    try:
        # Before the page is written: without its magic nobody else tries the lock.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Written and not only made longer: a page that does not exist yet could fail when it is touched.
        if os.write(lock, page) == len(page):
            return SharedCounters(_mapped(path), lock)
    except (OSError, ValueError):
        pass  # no memory is left
    os.close(lock)
    path.unlink(missing_ok=True)
    return None


def _mapped(path: Path) -> memoryview:
    """By a descriptor of its own: the mapping copies it, and may outlive the lock in a forked child."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        return memoryview(mmap.mmap(descriptor, mmap.PAGESIZE)).cast("q")
    finally:
        os.close(descriptor)


def read(process_file: Path) -> list[int] | None:
    """The counters of another process of this user; None where there are none any more."""
    for path in _paths_of(process_file):
        with contextlib.suppress(OSError, struct.error):  # gone, or never written: what is on disk counts
            if path.stat().st_uid == os.geteuid():
                return list(LAYOUT.unpack_from(path.read_bytes()))
    return None


def remove(process_file: Path) -> None:
    """Free the memory of a process."""
    for path in _paths_of(process_file):
        with contextlib.suppress(OSError):  # there is none
            path.unlink()


def has_files(count: int) -> bool:
    """Whether there are so many files, of whatever user: what is cheap to know. Raises OSError."""
    with os.scandir(FOLDER) as entries:
        return sum(1 for entry in entries if entry.name.startswith(PREFIX)) >= count


def sharing() -> int:
    """How many processes of this user share their counters, or did when they were killed. Raises OSError."""
    return sum(1 for entry in own_files() if entry.name.endswith(SUFFIX))


def own_files() -> list[os.DirEntry[str]]:
    """This user's files, of living and killed processes. Raises OSError where there is no such memory."""
    user = os.geteuid()
    with os.scandir(FOLDER) as entries:
        return [entry for entry in entries if entry.name.startswith(PREFIX) and _is_of(entry, user)]


def killed(path: Path) -> KilledCounters | None:
    """The counters there, locked, where their process is dead; None where it lives or is not known.

    Raises OSError.
    """
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if has_owner(descriptor):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:  # else another was faster
                return KilledCounters(path, descriptor, os.pread(descriptor, mmap.PAGESIZE, 0))
    except BlockingIOError:
        pass  # its process holds it
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def has_owner(descriptor: int) -> bool:
    """Whether it is a file that its process locks; unfinished ones are not."""
    return os.pread(descriptor, len(_MAGIC), _OWNER_OFFSET) == _MAGIC


def file_system() -> bytes:
    """What tells one view of the file system from others, as containers have; zeros where it is not known."""
    try:
        root, mounts = Path("/").stat(), Path("/proc/self/ns/mnt").stat()
    except OSError:
        return bytes(_FILE_SYSTEM.size)
    return _FILE_SYSTEM.pack(mounts.st_ino, root.st_dev, root.st_ino)


def path_of(process_file: Path) -> Path:
    """Where the counters of the process are that has this file in its spool."""
    return FOLDER / f"{PREFIX}{process_file.stem}{SUFFIX}"


def _paths_of(process_file: Path) -> tuple[Path, Path]:
    """Of this version and of former ones."""
    path = path_of(process_file)
    return path, path.with_suffix("")


def _is_of(entry: os.DirEntry[str], user: int) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_uid == user
    except OSError:  # removed meanwhile
        return False

"""Which files each part of a backup is: where they are on this machine, and where they go back to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .archive import Source

if TYPE_CHECKING:
    from llmtrace_cli.config.settings import Settings

#: The parts that are files, in the order in which they are saved; the store is saved by the collector.
FILE_PARTS: Final = ("settings", "keys", "quarantine", "inference", "mlflow")

_DATABASE: Final = "mlflow.db"


@dataclass(frozen=True)
class Place:
    """Files and folders of a part below `root`, which `names` names; keys of any name by `pattern`."""

    root: Path
    names: tuple[str, ...] = ()
    pattern: str = ""

    def files(self) -> Iterator[Source]:
        """Every file that there is now."""
        for name in self.names:
            path = self.root / name
            if path.is_dir():
                below = (file for file in sorted(path.rglob("*")) if file.is_file() and not file.is_symlink())
                yield from (Source(file, str(file.relative_to(self.root))) for file in below)
            elif path.is_file():
                yield Source(path, name)
        if self.pattern:
            yield from (Source(file, file.name) for file in sorted(self.root.glob(self.pattern)))

    def holds(self) -> list[Path]:
        """What stands in the way of putting the part back."""
        named = [path for name in self.names if (path := self.root / name).exists() and not _is_empty(path)]
        return named + (sorted(self.root.glob(self.pattern)) if self.pattern else [])


def places(settings: Settings) -> Mapping[str, Place]:
    """Where the files of each part but the settings are, MLflow's database apart."""
    collector = settings.collector.data_dir
    return {
        "keys": Place(collector, pattern="*.key"),
        "quarantine": Place(collector / "wal", ("quarantine",)),
        "inference": Place(settings.inference.data_dir, ("files", "batches", "blocks.json")),
        "mlflow": Place(settings.mlflow.directory, ("artifacts",)),
    }


def database(settings: Settings) -> Path | None:
    """MLflow's database, where it is a file of SQLite's."""
    scheme, _, path = settings.mlflow.backend.partition(":///")
    return Path(path) if scheme == "sqlite" and path else None


def copy_database(source: Path, target: Path) -> Source:
    """A copy of MLflow's database as of one moment, while MLflow writes to it."""
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as live,
        closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy, pages=4096, sleep=0.05)
        (outcome,) = copy.execute("PRAGMA quick_check").fetchone()
    if outcome != "ok":
        raise ValueError(f"MLflow's database {source} is damaged ({outcome}): mend it by `sqlite3 .recover`")
    return Source(target, _DATABASE)


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(file.is_file() for file in path.rglob("*"))

"""Backups of the embedded store: every table as a file, written and read back by the engine."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from llmtrace.common.durable_files import sync_directory, sync_file, write_durably
from llmtrace.common.sealed_files import EncryptionKeys
from llmtrace_collector.sql_values import literal

from .catalogue import BY_NAME, CATALOGUE, Kind
from .engine import EmbeddedEngine
from .schema import former
from .schema.description import SchemaSettings, describe
from .schema.upgrade import data_migrations
from .sealed_pipes import readable, written
from .store import Store

#: Which schema a store has is no part of what is in it.
_VERSIONS = "store_versions"

#: What was done in a store stays known: a backup's rows are added, where those of other tables replace.
_AUDIT = "audit_log"

#: What a backup leaves free on its disk, bytes.
_ROOM = 128 << 20

_WHOLE = "insert_deduplicate = 0, max_partitions_per_insert_block = 0, async_insert = 0"


class NoSuchBackup(Exception):
    """There is no complete backup of that name."""


class BackupRefused(Exception):
    """This store cannot be backed up, or not be filled from that backup; the message says why."""


class NoRoom(BackupRefused):
    """The disk would be full of it."""


class BackupIncomplete(Exception):
    """The backup holds fewer rows than it says."""


def new_name() -> str:
    """A name for a backup of now."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime())


class Backups:
    """Backups in `folder`, one folder each, complete once it holds `manifest.json`."""

    def __init__(self, store: Store, folder: Path, keys: EncryptionKeys | None = None) -> None:
        """With `keys` new backups are encrypted; those that are not can be restored as well."""
        self._store = store
        self._folder = folder
        self._keys = keys

    def create(self, name: str) -> dict[str, Any]:
        """Write all tables as they are at one moment; inserts wait meanwhile, in the log."""
        self._check_home()
        self._check_room()
        folder = self._folder / name
        try:
            folder.mkdir(parents=True)
        except FileExistsError as error:
            raise BackupRefused(f"there is a backup {name}: another began in the same second") from error
        tables: dict[str, int] = {}
        columns: dict[str, dict[str, str]] = {}
        try:
            with self._store.paused():
                for table in _tables():
                    file = folder / f"{table}.native.zst"
                    with written(file, self._keys) as target:
                        self._store.engine.execute(
                            f"SELECT * FROM {table} INTO OUTFILE {literal(str(target.absolute()))} TRUNCATE "  # noqa: S608
                            "FORMAT Native"
                        )
                    columns[table] = self._described(f"(SELECT * FROM {table})")  # noqa: S608
                    tables[table] = int(self._store.engine.execute(f"SELECT count() FROM {table}"))  # noqa: S608
            manifest = {"name": name, "schema": self._store.version, "tables": tables, "columns": columns}
            # The manifest says that the backup is whole: it is on disk after all that it names.
            for table in tables:
                with (folder / f"{table}.native.zst").open("rb") as saved:
                    sync_file(saved)
            write_durably(folder / "manifest.json", json.dumps(manifest).encode())
            sync_directory(self._folder)
            for table, rows in tables.items():
                self._check_file(folder / f"{table}.native.zst", columns[table], table, rows)
        except BaseException:
            shutil.rmtree(folder)
            raise
        return {**manifest, "folder": str(folder)}

    def all(self) -> list[dict[str, Any]]:
        """Every complete backup, oldest first."""
        return [json.loads(file.read_text()) for file in sorted(self._folder.glob("*/manifest.json"))]

    def restore(self, name: str) -> dict[str, Any]:
        """Fill an empty store.

        Raises NoSuchBackup or BackupRefused before anything is changed, BackupIncomplete when rows are
        missing afterwards.
        """
        self._check_home()
        folder = self._folder / name
        if (folder / "store").is_dir():  # one of all parts
            folder /= "store"
        if not (folder / "manifest.json").exists():
            raise NoSuchBackup(f"there is no backup {name} in {self._folder}: copy its folder there")
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        if manifest["schema"] > self._store.version:
            raise BackupRefused(
                f"the backup has schema {manifest['schema']}, this collector {self._store.version}, which is "
                "older: restore it with the release that made it, or a later one"
            )
        with self._store.paused():
            execute = self._store.engine.execute
            for table in ("otel_traces", "otel_logs"):
                if int(execute(f"SELECT count() FROM {table}")):  # noqa: S608
                    raise BackupRefused("the store holds data already: restore into a new data_dir")
            saved = _saved(manifest["tables"])
            columns: dict[str, dict[str, str]] = manifest.get("columns", {})
            # What is derived is filled while its sources are, then replaced by what was saved of it, which
            # may reach further back; of what a backup of before does not have it stays empty.
            sources = _sources()
            for table in sorted(_tables(), key=lambda table_name: table_name not in sources):
                file = folder / f"{saved.get(table, '')}.native.zst"
                if table == _AUDIT:
                    self._add_audit_rows(file, columns.get(_AUDIT))
                    continue
                if table in saved or BY_NAME[table].of_shard:
                    execute(f"TRUNCATE TABLE {table} SYNC")
                if manifest["tables"].get(saved.get(table)):
                    self._load(table, file, columns.get(saved[table]))
            for statement in data_migrations(manifest["schema"]):
                execute(statement)
            self._check_rows({table: manifest["tables"][name] for table, name in saved.items()})
        return manifest

    def _load(self, table: str, file: Path, has: dict[str, str] | None, into: str = "") -> None:
        """Insert a file, whose columns may be those of an earlier release, into `table` or a copy of it.

        `has` are its columns and their types, which earlier releases did not write down.
        """
        execute = self._store.engine.execute
        if has is None:
            has = self._described(f"TABLE file({literal(str(file.absolute()))}, 'Native')")
        columns = {}
        for name in self._columns(table):
            successor = former.SUCCESSORS.get((table, name))
            if name in has:
                columns[name] = f"`{name}`"
            elif successor is not None and successor.former in has:
                columns[name] = successor.expression
        names = ", ".join(f"`{name}`" for name in columns)
        # The engine would read the file first to find out what is known, and a pipe can be read once.
        structure = literal(", ".join(f"`{name}` {kind}" for name, kind in has.items()))
        with readable(file, self._keys) as whole:
            execute(
                f"INSERT INTO {into or table} ({names}) SELECT {', '.join(columns.values())} "  # noqa: S608
                f"FROM file({literal(str(whole.absolute()))}, 'Native', {structure}) SETTINGS {_WHOLE}"
            )

    def _columns(self, table: str) -> list[str]:
        """The columns of a table that lie on disk."""
        names = self._store.engine.execute(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
            "AND default_kind NOT IN ('ALIAS', 'EPHEMERAL') ORDER BY position FORMAT TSVRaw",
            {"table": table},
        )
        return names.decode().split()

    def _described(self, source: str) -> dict[str, str]:
        """Column → type of what DESCRIBE can name."""
        text = self._store.engine.execute(f"DESCRIBE {source} FORMAT TSVRaw").decode()
        return {name: kind for name, kind, *_ in (line.split("\t") for line in text.splitlines())}

    def _add_audit_rows(self, file: Path, has: dict[str, str] | None) -> None:
        """Add the backup's audit rows to those of this store, among them that of the restore; each once."""
        execute, loaded = self._store.engine.execute, f"{_AUDIT}_loaded"
        execute(f"DROP TABLE IF EXISTS {loaded} SYNC")
        execute(f"CREATE TABLE {loaded} AS {_AUDIT} ENGINE = Memory")
        self._load(_AUDIT, file, has, into=loaded)
        execute(f"INSERT INTO {_AUDIT} SELECT * FROM {loaded} EXCEPT SELECT * FROM {_AUDIT}")  # noqa: S608
        execute(f"DROP TABLE {loaded} SYNC")

    def _check_rows(self, wanted: dict[str, int]) -> None:
        """Raise BackupIncomplete where a table does not hold what was saved of it."""
        execute = self._store.engine.execute
        # The other engines put rows of one key together while they are written.
        plain = execute(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'MergeTree'"
        )
        for table in set(plain.decode().split()) & set(wanted):
            count = int(execute(f"SELECT count() FROM {table}"))  # noqa: S608
            if count < wanted[table] or (count > wanted[table] and table != _AUDIT):
                raise BackupIncomplete(
                    f"{table} has {count} of the {wanted[table]} rows of the backup: its folder is not "
                    "whole. Copy it again and restore into a new data_dir",
                )

    def _check_file(self, file: Path, columns: dict[str, str], table: str, rows: int) -> None:
        """Raise BackupIncomplete where the engine cannot read all that it wrote."""
        structure = literal(", ".join(f"`{name}` {kind}" for name, kind in columns.items()))
        with readable(file, self._keys) as whole:
            # Of all columns: the rows could be counted without reading them.
            text = self._store.engine.execute(
                f"SELECT count() FROM (SELECT * FROM file({literal(str(whole.absolute()))}, 'Native', "  # noqa: S608
                f"{structure})) SETTINGS optimize_count_from_files = 0"
            )
        if int(text) != rows:
            raise BackupIncomplete(f"{file} holds {int(text)} of the {rows} rows of {table}: back up again")

    def _check_room(self) -> None:
        """Raise NoRoom where the disk would be full of it."""
        text = self._store.engine.execute(
            "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase()"
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        needed, free = int(text) + _ROOM, shutil.disk_usage(self._folder).free
        if free < needed:
            raise NoRoom(
                f"a backup may take {needed / 1e6:.0f} MB and the disk of {self._folder} has "
                f"{free / 1e6:.0f} MB free: make room, or mount another disk there"
            )

    def _check_home(self) -> None:
        if not isinstance(self._store.engine, EmbeddedEngine):
            raise BackupRefused("the store is a ClickHouse server: use its own BACKUP and RESTORE")


def _tables() -> list[str]:
    """The tables that are saved."""
    return sorted(entry.name for entry in CATALOGUE if entry.stores and entry.name != _VERSIONS)


def _sources() -> set[str]:
    """Tables that other tables are filled from while they are written."""
    statements = describe(SchemaSettings(), embedded=True).statements
    filling = (item for item in statements if item.entry.kind is Kind.MATERIALIZED_VIEW)
    return {name for item in filling for name in item.reads if BY_NAME[name].stores}


def _saved(tables: dict[str, int]) -> dict[str, str]:
    """The name that each of our tables has in a backup with these tables."""
    names = ((table, former.TABLES.get(table, table)) for table in _tables())
    return {
        table: table if table in tables else before
        for table, before in names
        if table in tables or before in tables
    }

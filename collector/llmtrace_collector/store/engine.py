"""The store's two homes behind one small interface: the embedded engine and a ClickHouse server."""

from __future__ import annotations

import logging
import os
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import clickhouse_connect
from clickhouse_connect import common
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from llmtrace.common.durable_files import write_durably
from llmtrace.common.sealed_files import EncryptionKeys
from llmtrace_collector.sql_values import QueryParams, encode, literal

from . import access_control
from .access_control import OWNER, scope_of
from .cluster import Cluster
from .database import DATABASE as DATABASE
from .encrypted_disk import EncryptedDisk, demand_plain
from .errors import NOT_ENOUGH_SPACE as NOT_ENOUGH_SPACE
from .errors import NotConfined as NotConfined
from .errors import StoreError as StoreError
from .errors import StoreMismatch as StoreMismatch
from .errors import StoreUnavailable as StoreUnavailable
from .errors import store_error
from .freed_memory import FreedMemory
from .handles import Handles, Session
from .read_limits import READ_LIMITS, is_confined, limits_of

logger = logging.getLogger(__name__)

#: What answers do not say: how many rows were read for them, those of others among them.
READ_ANSWERS: Mapping[str, str] = {"output_format_write_statistics": "0"}

#: The setting by which a server's row policies know whose rows a read may see.
PROJECT_SETTING = "SQL_llmtrace_project"


class StoreEngine(ABC):
    """Runs SQL text. Every method is safe to call from any thread.

    On a cluster, `execute` and inserts work on the tables of one shard and `read` on those of all; `own` and
    `everywhere` are what one of these writes before a table's name to mean the other's.
    """

    cluster: Cluster | None = None
    #: Whether no other process writes to the store.
    alone = False
    own = ""
    everywhere = ""
    #: The database that is read.
    database = DATABASE

    @abstractmethod
    def execute(
        self, sql: str, params: QueryParams | None = None, settings: Mapping[str, str] | None = None
    ) -> bytes:
        """Run one statement with full rights; the bytes are TabSeparated unless the SQL names a FORMAT."""

    @abstractmethod
    def read(
        self,
        sql: str,
        params: QueryParams | None = None,
        fmt: str = "TabSeparated",
        project: str = "",
    ) -> bytes:
        """Run one SELECT of a reader's, read-only and within `limits_of` its scope; the bytes are in format
        `fmt` of ClickHouse's.

        `params` are the values of `{name:Type}` placeholders; the engine encodes them. `project` is the one
        whose rows alone may come out, by the engine's own access control; '' for those of every project, but
        never of what is the collector's own. Raises NotConfined where the engine has no such control.
        """

    @abstractmethod
    def read_all(self, sql: str, params: QueryParams | None = None, fmt: str = "TabSeparated") -> bytes:
        """Run a SELECT of ours, as `read` does, over everything in the store."""

    @abstractmethod
    def insert_messages(
        self, table: str, path: Path, schema: str, message: str, settings: Mapping[str, str]
    ) -> None:
        """Insert a file of length-prefixed protobuf messages as one INSERT; `schema` defines `message`."""

    @abstractmethod
    def examine(self, path: Path, schema: str, message: str, query: str) -> int | None:
        """The number that `query` gives, a SELECT over the file in its `{file}` and `{schema}`; None where
        that would cost more than it saves.
        """

    @abstractmethod
    def insert_bytes(self, table: str, data: bytes, fmt: str) -> None:
        """Insert a small body, which is in ClickHouse format `fmt`."""

    @abstractmethod
    def client(self) -> Client:
        """A new clickhouse-connect client on the same database, for readers in this process."""

    @abstractmethod
    def close(self) -> None:
        """Release every handle."""


def _encoded(params: QueryParams | None) -> dict[str, str]:
    return {name: encode(value) for name, value in (params or {}).items()}


def _settings_clause(settings: Mapping[str, str] | None) -> str:
    return ", ".join(f"{name} = {literal(value)}" for name, value in (settings or {}).items())


class EmbeddedEngine(StoreEngine):
    """chDB: ClickHouse in this process. One process may own a directory.

    The engine's own access control stands behind every read, see access_control.py: which rows a handle sees
    is fixed before a text of others is run on it.
    """

    alone = True

    def __init__(self, path: Path, keys: EncryptionKeys | None = None) -> None:
        """With `keys` everything is on an encrypted disk, see encrypted_disk.py."""
        # chdb loads a 500 MB library: only the home that needs it pays.
        import chdb

        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._folder = engine_path(path)
        if keys is None:
            demand_plain(path)
        self._disk = None if keys is None else EncryptedDisk(path, keys)
        try:
            storage = [] if self._disk is None else self._disk.configuration()
            access_control.write_configuration(path, self._known_as, storage)
        except OSError as error:
            raise StoreUnavailable(f"the embedded store in {path} cannot be written: {error}") from error
        connect: Callable[[str], Any] = chdb.connect
        address = f"{self._folder}?{urlencode(self._options, safe='/')}"
        try:
            with nullcontext() if self._disk is None else self._disk.keys_in_environment():
                self._handles = Handles(lambda: connect(address), _prepare)
        except RuntimeError as error:
            raise StoreUnavailable(
                f"the embedded store in {path} cannot be opened ({error}). One process may own it at a time: "
                "stop the other collector, or give this one another data directory."
            ) from error
        self._freed = FreedMemory(self._purge)
        try:
            self._demand_walls()
        except BaseException:
            self.close()
            raise

    @property
    def _known_as(self) -> str:
        """The directory by the name that the engine has for it."""
        return self._folder.removeprefix("file:")

    @property
    def _options(self) -> dict[str, str]:
        return {"config-file": f"{self._known_as}/{access_control.CONFIG}"}

    @property
    def open_handles(self) -> int:
        """How many handles are open."""
        return self._handles.open

    def _demand_walls(self) -> None:
        """Raise StoreUnavailable where the engine does not go by its configuration."""
        first = self._handles.first
        # What it writes here does not depend on the configuration, and makes the database that follows it.
        first.query(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")
        first.query("SET log_comment = 'nobody'")
        if first.query("SELECT count() FROM system.databases").bytes().strip() != b"0":
            raise StoreUnavailable(
                f"the embedded store in {self.path} does not go by the access control in "
                f"{access_control.CONFIG} beside it, and is not opened without: let no other part of this "
                "process open it first, or move it to a directory of another name"
            )

    def encrypt_plain_parts(self) -> None:
        """Encrypt what was stored before there was a key, where there is one now."""
        if self._disk is not None:
            self._disk.encrypt_plain_parts(self.execute)

    def _query(self, session: Session, sql: str, fmt: str, params: QueryParams | None) -> bytes:
        values = _encoded(params)
        try:
            with self._handles.use(session) as handle:
                data: bytes | None = handle.query(sql, fmt, params=values).bytes()
        except RuntimeError as error:
            raise store_error(str(error)) from error
        finally:
            # Others may have more memory, and what they free is soon used again by their next read.
            if is_confined(session.scope):
                self._freed.after_read()
        return data or b""

    def _purge(self) -> None:
        try:
            self.execute("SYSTEM JEMALLOC PURGE")
        except StoreError as error:
            # The read that it follows has its answer; the allocator gives the memory back later by itself.
            logger.warning("memory of large reads is not given back yet: %s", error)

    def execute(
        self, sql: str, params: QueryParams | None = None, settings: Mapping[str, str] | None = None
    ) -> bytes:
        if settings:
            sql = f"{sql} SETTINGS {_settings_clause(settings)}"
        return self._query(Session(OWNER, reads=False), sql, "TabSeparated", params)

    def read(
        self,
        sql: str,
        params: QueryParams | None = None,
        fmt: str = "TabSeparated",
        project: str = "",
    ) -> bytes:
        return self._query(Session(scope_of(project), reads=True), sql, fmt, params)

    def read_all(self, sql: str, params: QueryParams | None = None, fmt: str = "TabSeparated") -> bytes:
        return self._query(Session(OWNER, reads=True), sql, fmt, params)

    def insert_messages(
        self, table: str, path: Path, schema: str, message: str, settings: Mapping[str, str]
    ) -> None:
        settings = {**settings, "format_schema": f"{self._schema_file(schema)}:{message}"}
        self.execute(
            f"INSERT INTO {table} FROM INFILE {literal(str(path.absolute()))} "
            f"SETTINGS {_settings_clause(settings)} FORMAT Protobuf"
        )

    def _schema_file(self, schema: str) -> Path:
        # From a file of ours: the engine copies a schema given as text to a folder that is not.
        file = self.path.absolute() / "otlp.proto"
        if not file.exists() or file.read_text() != schema:
            write_durably(file, schema.encode())
        return file

    def examine(self, path: Path, schema: str, message: str, query: str) -> int | None:
        named = literal(f"{self._schema_file(schema)}:{message}")
        sql = query.replace("{file}", literal(str(path.absolute()))).replace("{schema}", named)
        return int(self.execute(sql))

    def insert_bytes(self, table: str, data: bytes, fmt: str) -> None:
        self.execute(f"INSERT INTO {table} SETTINGS async_insert = 0 FORMAT {fmt}\n" + data.decode())

    def client(self) -> Client:
        return clickhouse_connect.get_client(
            interface="chdb", path=self._folder, chdb_options=self._options, database=DATABASE
        )

    def close(self) -> None:
        self._handles.close()


def _prepare(handle: Any, session: Session) -> None:
    """Make a fresh handle one of a session, which nothing that is run on it can change if it only reads."""
    handle.query(f"USE {DATABASE}")
    if session.reads:
        settings = {**limits_of(session.scope), **READ_ANSWERS, "log_comment": session.scope}
        handle.query(f"SET {_settings_clause(settings)}")
        handle.query("SET readonly = 1")


def engine_path(path: Path) -> str:
    """How the engine is told of a directory: it reads some characters of a path as those of an address."""
    real = os.path.realpath(path)
    if re.fullmatch(r"[\w/.-]+", real, re.ASCII):
        return real
    # By a descriptor, which stays open as long as this process: another would be another engine's path.
    return f"file:/proc/self/fd/{_descriptor(real, path.stat().st_ino)}"


@cache
def _descriptor(path: str, inode: int) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


class _Sent:
    """An encoded parameter, which clickhouse-connect would escape again were it a str."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


class ServerEngine(StoreEngine):
    """A ClickHouse server over HTTP, or a cluster by way of one of its nodes.

    `reader` is the address of a user whom row policies confine (see row_policies.py): reads for a project are
    that user's, and refused without one.
    """

    def __init__(self, dsn: str, cluster: str = "", reader: str = "", sharded: Collection[str] = ()) -> None:
        self._arguments = {"read": server_arguments(dsn), "write": server_arguments(dsn)}
        self._arguments["confined"] = server_arguments(reader) if reader else self._arguments["read"]
        self._confines = bool(reader)
        # Settings are the server's to judge: the client knows only those of the server that it was made for.
        common.set_setting("invalid_setting_action", "send")
        self._local = threading.local()
        self._settings: dict[str, str] = {}
        self.database = str(self._arguments["read"]["database"])
        if cluster:
            self._join(Cluster(cluster, self.database, sharded))

    def _join(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.own, self.everywhere = f"{cluster.shard_database}.", f"{cluster.database}."
        # Subqueries over Distributed tables are asked once, of all shards, and their result is sent along.
        self._settings = {"distributed_product_mode": "global"}
        first = self._open({**self._arguments["read"], "database": "default"})
        try:
            for statement in cluster.databases():
                first.command(statement)
        except ClickHouseError as error:
            raise store_error(str(error)) from error
        finally:
            first.close()
        self._arguments["write"]["database"] = cluster.shard_database

    def client(self) -> Client:
        return self._open(self._arguments["read"])

    @property
    def credentials(self) -> tuple[str, str]:
        """User and password, by which one node asks another in its place."""
        return str(self._arguments["write"]["username"]), str(self._arguments["write"]["password"])

    def _open(self, arguments: Mapping[str, Any]) -> Client:
        try:
            return clickhouse_connect.get_client(**arguments, autogenerate_session_id=False)
        except ClickHouseError as error:
            raise StoreUnavailable(
                f"the ClickHouse server at {arguments['host']}:{arguments['port']} did not answer: {error}"
            ) from error

    def _client(self, kind: str) -> Client:
        client: Client | None = getattr(self._local, kind, None)
        if client is None:
            client = self._open(self._arguments[kind])
            setattr(self._local, kind, client)
        return client

    def _run(
        self,
        kind: str,
        sql: str,
        params: QueryParams | None,
        settings: Mapping[str, str],
        fmt: str | None,
    ) -> bytes:
        values = {name: _Sent(text) for name, text in _encoded(params).items()}
        try:
            all_settings = {**self._settings, **settings}
            return self._client(kind).raw_query(sql, values, settings=all_settings, fmt=fmt)
        except ClickHouseError as error:
            raise store_error(str(error)) from error

    def execute(
        self, sql: str, params: QueryParams | None = None, settings: Mapping[str, str] | None = None
    ) -> bytes:
        return self._run("write", sql, params, settings or {}, None)

    def read(
        self,
        sql: str,
        params: QueryParams | None = None,
        fmt: str = "TabSeparated",
        project: str = "",
    ) -> bytes:
        scope = scope_of(project)
        settings = {**limits_of(scope), **READ_ANSWERS, "log_comment": scope, "readonly": "1"}
        if not project:
            return self._run("read", sql, params, settings, fmt)
        if not self._confines:
            raise NotConfined(
                "keys of one project cannot read from this ClickHouse server: nothing of the server's own "
                "holds them to their project. Run what `llmtrace store policies` prints on the server and "
                "set collector.store_reader, or use a key of every project",
                _ACCESS_DENIED,
            )
        settings[PROJECT_SETTING] = literal(project)
        return self._run("confined", sql, params, settings, fmt)

    def read_all(self, sql: str, params: QueryParams | None = None, fmt: str = "TabSeparated") -> bytes:
        return self._run("read", sql, params, {**READ_LIMITS, "readonly": "1"}, fmt)

    def insert_messages(
        self, table: str, path: Path, schema: str, message: str, settings: Mapping[str, str]
    ) -> None:
        inline = {
            "format_schema_source": "string",
            "format_schema": schema,
            "format_schema_message_name": message,
        }
        self._insert(table, path.read_bytes(), "Protobuf", {**settings, **inline})

    def examine(self, path: Path, schema: str, message: str, query: str) -> int | None:
        return None  # the server would have to be sent the file a second time

    def insert_bytes(self, table: str, data: bytes, fmt: str) -> None:
        self._insert(table, data, fmt, {"async_insert": "0"})

    def _insert(self, table: str, data: bytes, fmt: str, settings: Mapping[str, str]) -> None:
        try:
            self._client("write").raw_insert(table, insert_block=data, fmt=fmt, settings=dict(settings))
        except ClickHouseError as error:
            raise store_error(str(error)) from error

    def close(self) -> None:
        for kind in self._arguments:
            client: Client | None = getattr(self._local, kind, None)
            if client is not None:
                client.close()


def server_arguments(dsn: str) -> dict[str, Any]:
    """What clickhouse-connect needs to reach `clickhouse://user:password@host:8123/database`."""
    parts = urlsplit(dsn)
    return {
        "host": parts.hostname or "127.0.0.1",
        "port": parts.port or 8123,
        "username": unquote(parts.username or "default"),
        "password": unquote(parts.password or ""),
        "database": parts.path.strip("/") or "default",
        "secure": "secure=true" in parts.query.lower(),
    }


def open_engine(
    dsn: str,
    cluster: str = "",
    reader: str = "",
    sharded: Collection[str] = (),
    encryption_keys: EncryptionKeys | None = None,
) -> StoreEngine:
    """The engine of a DSN: `chdb:///path/to/dir` or `clickhouse://user:password@host:8123/database`.

    `cluster` and `reader` are for a server, see `ServerEngine`; `sharded` is what a cluster's shards hold.
    `encryption_keys` are for an embedded engine. Raises EncryptionUnavailable where it needs others.
    """
    scheme, _, rest = dsn.partition("://")
    if scheme == "chdb" and rest:
        return EmbeddedEngine(Path(unquote(rest)), encryption_keys)
    if scheme in ("clickhouse", "clickhouses") and rest:
        return ServerEngine(dsn, cluster, reader, sharded)
    raise ValueError(
        f"store = {scheme + '://…' if rest else dsn!r} is not a store address: use chdb:///path/to/directory "
        "or clickhouse://user:password@host:8123/database"
    )


#: ClickHouse's error code of what may not be done.
_ACCESS_DENIED = 497

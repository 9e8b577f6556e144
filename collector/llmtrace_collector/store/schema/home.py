"""Where a store's tables and views live: the embedded engine's database, a server's, or a cluster's two."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llmtrace_collector.store.catalogue import BY_NAME
from llmtrace_collector.store.cluster import Cluster
from llmtrace_collector.store.engine import EmbeddedEngine, StoreEngine

from . import former, state

#: Where the embedded store was before it had a database of its own.
FORMER_DATABASE = "default"

#: What a table is called while it is filled to take another's place.
NEXT = "_next"

#: Which partitions have been copied, while any are.
COPIES = "store_copies"

#: The table that the one collector has which changes the schema.
LOCK = "store_lock"


@dataclass(frozen=True)
class Home:
    """The places of a store, and how a statement reaches them."""

    engine: StoreEngine
    #: Raises where what is run may no longer change the store.
    demand_held: Callable[[], None] = lambda: None

    @property
    def cluster(self) -> Cluster | None:
        """The cluster, where it is one."""
        return self.engine.cluster

    @property
    def embedded(self) -> bool:
        """Whether the engine runs in this process, which alone reads and writes then."""
        return isinstance(self.engine, EmbeddedEngine)

    @property
    def former_database(self) -> str:
        """Where the store was before, if anywhere else."""
        return FORMER_DATABASE if self.embedded else ""

    @property
    def everywhere(self) -> str:
        """What a statement says after its object's name to run on every node."""
        return self.cluster.everywhere if self.cluster else ""

    def database(self, name: str) -> str:
        """The database of a table or view."""
        return self.cluster.place(name) if self.cluster else self.engine.database

    def place(self, name: str) -> str:
        """A table or view with its database."""
        return f"{self.database(name)}.{name}"

    def databases(self) -> list[str]:
        """Every database that something of ours is or was in, the own ones first."""
        own = [self.engine.database, *([self.cluster.shard_database] if self.cluster else [])]
        return [*own, self.former_database] if self.former_database else own

    def names(self, database: str) -> frozenset[str]:
        """What of ours is or was in a database."""
        return former.IN_DEFAULT | {former.VERSIONS} if database == self.former_database else _NAMES

    @property
    def versions_place(self) -> str:
        """Where releases before looked for what the store has."""
        return f"{self.former_database or self.engine.database}.{former.VERSIONS}"

    def existing(self) -> dict[str, str]:
        """`DATABASE.NAME` of all that is ours or was → a text that changes when it does."""
        # The engine takes a tenth of a second of CPU to write out our views; the time of the file says as
        # much, but that of another node's not.
        text = "concat(toString(uuid), ' ', toString(metadata_modification_time))"
        return state.fingerprint(
            self.engine,
            dict.fromkeys(self.databases(), _NAMES),
            text=text if self.embedded else "create_table_query",
        )

    def run(self, statement: str, settings: Mapping[str, str] | None = None) -> None:
        """Run a statement of the schema."""
        self.demand_held()
        self.engine.execute(statement, settings=settings)


def digest(existing: dict[str, str]) -> str:
    """SHA-256 of what is there, but for where releases before looked for their versions."""
    text = "\0".join(f"{place}\t{value}" for place, value in sorted(existing.items()))
    return hashlib.sha256(text.encode()).hexdigest()


#: Whatever is ours or was.
_NAMES = frozenset(
    {
        *BY_NAME,
        *(f"{name}{NEXT}" for name in BY_NAME),
        *former.OBJECTS,
        *former.TABLES.values(),
        *former.REPLACED,
        former.VERSIONS,
        COPIES,
    }
)

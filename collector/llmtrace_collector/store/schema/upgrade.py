"""A store of before brought to what the description says, in an order in which it may be interrupted
anywhere: what is begun again finds what was done.

First everything is tried on empty tables, then tables that have to be made anew are filled: the store is as
it was until then. Then releases of before are stopped, tables move and change, what fills them and what reads
them follows, and what nothing uses any more goes last.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.engine import StoreMismatch

from . import former, state, templates, versions
from .catalogue import BY_NAME, Kind
from .changes import Alterations, alterations
from .copies import Copy, copy_of, fill
from .description import Description, Statement
from .home import COPIES, NEXT, Home
from .scratch import Scratch, scratch
from .state import State

logger = logging.getLogger(__name__)

_NO_FILES = {"materialize_ttl_after_modify": "0"}


def upgrade(home: Home, description: Description, plain: Description, number: int) -> None:
    """Bring a store of schema `number` to the description; `plain` is the same without replicas.

    Raises StoreError before anything of the store is changed where the engine refuses what would be done.
    """
    began = home.engine.execute("SELECT toString(now64(3) - INTERVAL 1 MINUTE)").decode().strip()
    with scratch(home, plain) as trials:
        plan = _Plan(home, description, trials.desired())
        plan.attempt(trials)
    for copy in plan.copies:
        logger.info("the store is brought up to date: %s is made anew", copy.source.name)
        fill(home, copy, plan.create_next(copy))
    plan.carry_out()
    if plan.copies and not home.embedded:
        _mark_stale(home, began)
    for statement in data_migrations(number):
        home.run(statement)


def data_migrations(number: int) -> list[str]:
    """The statements that change rows of stores before each of the numbers that are greater than `number`."""
    return [
        statement
        for name in templates.names("data_migrations")
        if int(name.partition("_")[0]) > number
        for statement in templates.statements(templates.render(f"data_migrations/{name}.sql"))
    ]


def _mark_stale(home: Home, began: str) -> None:
    """Have the rollup made again where spans came meanwhile: others insert into a server."""
    home.run(
        "INSERT INTO usage_stale (Minute, Reason) SELECT DISTINCT toStartOfMinute(toDateTime(Timestamp)), "  # noqa: S608, quoted
        f"'upgrade' FROM otel_traces WHERE StoredAt >= {literal(began)}"
    )


@dataclass(frozen=True)
class _Plan:
    """What there is to do."""

    home: Home
    description: Description
    desired: Mapping[str, State]

    @cached_property
    def live(self) -> dict[str, State]:
        """What the store has, by name: in its own place, else where it was before."""
        states: dict[str, State] = {}
        for database in reversed(self.home.databases()):
            for name, has in state.read(self.home.engine, database, self.home.names(database)).items():
                places = (self.home.former_database, self.home.database(name))
                if database in places or name in former.OBJECTS:
                    states[name] = has
        return states

    @cached_property
    def copies(self) -> list[Copy]:
        """Tables that are made anew."""
        copies = []
        for statement in self._tables:
            name = statement.entry.name
            source = self._source(name)
            wanted = self.desired[name]
            if source is None or not wanted.keeps_rows:
                continue
            if source.keys != wanted.keys or source.name != name:
                copies.append(copy_of(source, wanted))
        return copies

    @cached_property
    def altered(self) -> dict[str, Alterations]:
        """What is said to each of the other tables."""
        copied = {copy.wanted.name for copy in self.copies}
        return {
            name: alterations(
                source,
                self.desired[name],
                former.COLUMNS.get(name, ()),
                former.INDEXES.get(name, ()),
            )
            for name in (statement.entry.name for statement in self._tables)
            if name not in copied and (source := self._source(name)) is not None
        }

    @property
    def _tables(self) -> list[Statement]:
        return [item for item in self.description.statements if item.entry.kind is Kind.TABLE]

    def _source(self, name: str) -> State | None:
        """The table that is, or becomes, `name`."""
        has = self.live.get(name)
        before = self.live.get(former.TABLES.get(name, ""))
        return before if has is None and before is not None and before.keeps_rows else has

    def attempt(self, trials: Scratch) -> None:
        """Try everything on empty tables. Raises StoreError where something cannot be."""
        for statement in self.description.statements:
            self._demand_ours(statement)
        trials.attempt(
            (self.live[name], self.desired[name], plan)
            for name, plan in self.altered.items()
            if plan.early or plan.late
        )
        for copy in self.copies:
            trial = f"{trials.database}.{copy.wanted.name}"
            for command in copy.additions:
                self.home.run(f"ALTER TABLE {trial} {command}")
            self.home.run(copy.insert(trial, copy.source.place, "0"))

    def _demand_ours(self, statement: Statement) -> None:
        """Raise StoreMismatch where something else has a name of ours."""
        entry = statement.entry
        has = self.live.get(entry.name)
        if has is None or has.database == self.home.former_database:
            return
        is_table = has.engine not in ("View", "MaterializedView")
        replaced = entry.kind is Kind.VIEW and entry.name in former.REPLACED
        if is_table != (entry.kind is Kind.TABLE) and not replaced:
            raise StoreMismatch(
                f"{has.place} is in the way: llmtrace keeps a {entry.kind.value} of that name, and this one "
                "is not llmtrace's. Rename it, or give llmtrace a database of its own"
            )

    def create_next(self, copy: Copy) -> list[str]:
        """The statements of the table that takes another's place."""
        name, everywhere = copy.wanted.name, self.home.everywhere
        body = next(item.body for item in self._tables if item.entry.name == name)
        if self.home.cluster is not None:
            # The old table has the path of this name until it is dropped.
            body = body.replace(f"/{name}'", f"/{name}_{versions.SCHEMA_NUMBER}'")
        statements = [f"CREATE TABLE IF NOT EXISTS {copy.next}{everywhere}{body}"]
        return statements + [f"ALTER TABLE {copy.next}{everywhere} {command}" for command in copy.additions]

    def carry_out(self) -> None:
        """Do it."""
        run, home = self.home.run, self.home
        run(versions.stop_former_releases(home.versions_place, home.everywhere))
        for function in self.description.create_functions(home.everywhere):
            run(function)
        self._drop_former_filling()
        self._move()
        for name, plan in self.altered.items():
            self._alter(name, plan.early)
            if plan.added:
                items = ", ".join(f"MATERIALIZE COLUMN `{column}`" for column in plan.added)
                run(f"ALTER TABLE {home.place(name)}{home.everywhere} {items}")
        for statement in self.description.statements:
            if statement.entry.kind is Kind.TABLE and self._source(statement.entry.name) is None:
                run(statement.create(home.database(statement.entry.name), everywhere=home.everywhere))
        self._fill()
        self._read()
        for name, plan in self.altered.items():
            self._alter(name, plan.late)
            if plan.late and BY_NAME[name].read_everywhere:
                self._spread(name)
        self._clean_up()

    def _drop_former_filling(self) -> None:
        """What fills tables by names that they will not have; nothing is inserted where tables move."""
        for name, has in self.live.items():
            gone = name in former.OBJECTS or has.database == self.home.former_database
            if has.engine == "MaterializedView" and gone:
                self.home.run(f"DROP VIEW IF EXISTS {has.place}{self.home.everywhere} SYNC")

    def _move(self) -> None:
        """Tables into the store's own database, and those that were made anew into their places."""
        run, home = self.home.run, self.home
        for name, has in self.live.items():
            if has.database == home.former_database and name in self.altered:
                run(f"RENAME TABLE {has.place} TO {home.place(name)}")
        for copy in self.copies:
            place = home.place(copy.wanted.name)
            if copy.source.place == place:
                run(f"EXCHANGE TABLES {place} AND {copy.next}{home.everywhere}")
            else:
                run(f"RENAME TABLE {copy.next} TO {place}{home.everywhere}")

    def _alter(self, name: str, commands: tuple[str, ...]) -> None:
        for command in commands:
            self.home.engine.execute(
                f"ALTER TABLE {self.home.place(name)}{self.home.everywhere} {command}", settings=_NO_FILES
            )

    def _fill(self) -> None:
        """Materialized views, each changed in one step, so that no row is inserted without it."""
        for statement in self.description.statements:
            if statement.entry.kind is not Kind.MATERIALIZED_VIEW:
                continue
            name = statement.entry.name
            place = f"{self.home.place(name)}{self.home.everywhere}"
            has, wanted = self.live.get(name), self.desired[name]
            if has is None or has.database == self.home.former_database:
                self.home.run(statement.create(self.home.database(name), everywhere=self.home.everywhere))
                continue
            if has.target != wanted.target:
                self.home.run(f"DROP VIEW IF EXISTS {place} SYNC")
                self.home.run(statement.create(self.home.database(name), everywhere=self.home.everywhere))
            elif (has.select, has.columns) != (wanted.select, wanted.columns):
                select = statement.select(self.home.database(name))
                self.home.run(f"ALTER TABLE {place} MODIFY QUERY {select}")

    def _read(self) -> None:
        """Views, and the tables through which a cluster's shards are read; each is replaced in one step."""
        home = self.home
        for statement in self.description.statements:
            entry = statement.entry
            has, wanted = self.live.get(entry.name), self.desired[entry.name]
            if entry.kind is Kind.VIEW and (
                has is None
                or has.database != wanted.database
                or (has.select, has.columns, has.comment) != (wanted.select, wanted.columns, wanted.comment)
            ):
                run_in = home.database(entry.name)
                home.run(statement.create(run_in, replace=True, everywhere=home.everywhere))
            if entry.read_everywhere:
                self._spread(entry.name)

    def _spread(self, name: str) -> None:
        """The table through which all shards' rows of a table or view are read."""
        home = self.home
        if home.cluster is None:
            return
        has = state.read(home.engine, home.engine.database, [name]).get(name)
        wanted = [(column.name, column.type) for column in self.desired[name].columns]
        if has is None or [(column.name, column.type) for column in has.columns] != wanted:
            home.run(home.cluster.distributed(name, "CREATE OR REPLACE TABLE"))

    def _clean_up(self) -> None:
        """What nothing uses any more."""
        home = self.home
        existing = home.existing()
        for place in sorted(existing):
            database, _, name = place.partition(".")
            moved = database == home.former_database and name != former.VERSIONS
            renamed = name in former.TABLES.values() and name not in BY_NAME
            temporary = name == COPIES or name.endswith(NEXT)
            if moved or renamed or temporary or name in former.OBJECTS:
                home.run(f"DROP TABLE IF EXISTS {place}{home.everywhere} SYNC")

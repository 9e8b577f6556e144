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
from llmtrace_collector.store.catalogue import BY_NAME, Kind
from llmtrace_collector.store.engine import StoreError, StoreMismatch, StoreUnavailable

from . import former, state, templates, versions
from .changes import Alterations, alterations
from .copies import Copy, copy_of, fill
from .description import Description, Statement
from .home import COPIES, NEXT, Home
from .scratch import Scratch, scratch
from .state import State

logger = logging.getLogger(__name__)

_NO_FILES = {"materialize_ttl_after_modify": "0"}


#: ClickHouse's code of what a user may not do.
_DENIED = 497


def refusal(error: StoreError, after: str) -> StoreMismatch:
    """What the engine said against bringing a store up to date; `after` says how the store is now."""
    text = " ".join(str(error).split())
    rights = " docs/scale.md lists the grants that the store's user needs." if error.code == _DENIED else ""
    return StoreMismatch(
        f"this store cannot be brought up to date: {text}; {after}. The release that wrote it goes on with "
        f"it where nothing was changed; else a backup of before goes into another data directory.{rights}",
        error.code,
    )


def upgrade(home: Home, description: Description, plain: Description, number: int) -> None:
    """Bring a store of schema `number` to the description; `plain` is the same without replicas.

    Raises StoreMismatch where the engine refuses what would be done, which it is asked before anything of the
    store is changed, and where the store is not what it should be in the end.
    """
    try:
        plan, began = _prepare(home, description, plain)
    except (StoreUnavailable, StoreMismatch):
        raise
    except StoreError as error:
        raise refusal(error, "nothing was changed") from error
    try:
        versions.begin(home, description, number)
        plan.carry_out()
        if plan.copies and not home.embedded:
            _mark_stale(home, began)
        for statement in data_migrations(number):
            home.run(statement)
    except (StoreUnavailable, StoreMismatch):
        raise
    except StoreError as error:
        raise refusal(error, "what was begun goes on at the next start") from error
    remaining = _Plan(home, description, plan.desired).remaining()
    if remaining:
        raise StoreMismatch(
            f"{', '.join(remaining)} is not what llmtrace has just made of it: another program changes this "
            "store at the same time. Start llmtrace again once that has ended"
        )


def _prepare(home: Home, description: Description, plain: Description) -> tuple[_Plan, str]:
    """Try what there is to do, and fill tables that are made anew; since when (the engine's clock)."""
    began = home.engine.execute("SELECT toString(now64(3) - INTERVAL 1 MINUTE)").decode().strip()
    with scratch(home, plain) as trials:
        plan = _Plan(home, description, trials.desired())
        plan.attempt(trials)
    for copy in plan.copies:
        logger.info("the store is brought up to date: %s is made anew", copy.source.name)
        fill(home, copy, plan.create_next(copy))
    return plan, began


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
            raise versions.in_the_way([has.place], f"a {entry.kind.value}")

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
            place = f"{self.home.place(name)}{self.home.everywhere}"
            self.home.run(f"ALTER TABLE {place} {command}", _NO_FILES)

    def remaining(self) -> list[str]:
        """What is not as it should be, by place."""
        names = {copy.wanted.name for copy in self.copies}
        names |= {name for name, plan in self.altered.items() if plan != Alterations()}
        for statement in self.description.statements:
            name, kind = statement.entry.name, statement.entry.kind
            has, wanted = self.live.get(name), self.desired[name]
            if (
                has is None
                or has.database != wanted.database
                or (kind is not Kind.TABLE and (has.select, has.target) != (wanted.select, wanted.target))
            ):
                names.add(name)
        return sorted(self.home.place(name) for name in names)

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

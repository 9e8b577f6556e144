"""The description as the engine makes it, in a database that is dropped again: what a store should be, in the
engine's own words. What an upgrade would do is tried there before the store is touched.

Functions are the server's and not a database's, and older collectors may still call theirs: here they have
other names, which views and defaults do not keep, since the engine writes functions out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.catalogue import BY_NAME
from llmtrace_collector.store.cluster import TOKEN_SECONDS
from llmtrace_collector.store.engine import StoreError

from . import state
from .changes import Alterations
from .description import Description
from .home import Home
from .state import State

#: What others left behind is dropped after so long (seconds): they were killed.
_ABANDONED_SECONDS = 3600


class CannotBring(StoreError):
    """The engine does not make of a table what the description says; the message says of which."""


@dataclass(frozen=True)
class Scratch:
    """A database in which the whole description was made, on this node alone."""

    home: Home
    database: str

    def desired(self) -> dict[str, State]:
        """What is described, as the engine has it, by name; what is read stands in the store's databases."""
        states = state.read(self.home.engine, self.database, BY_NAME)
        return {name: self._moved(has) for name, has in states.items()}

    def attempt(self, plans: Iterable[tuple[State, State, Alterations]]) -> None:
        """Try on empty tables how each first becomes the second. Raises StoreError where the engine refuses
        it, CannotBring where something else comes of it.
        """
        wanted = {}
        for live, desired, plan in plans:
            trial = f"{live.name}_trial"
            wanted[trial] = desired
            self.home.run(live.create(f"{self.database}.{trial}"))
            for command in (*plan.early, *plan.late):
                self.home.run(f"ALTER TABLE {self.database}.{trial} {command}")
        for trial, done in state.read(self.home.engine, self.database, wanted).items():
            _demand_equal(done, wanted[trial])

    def _moved(self, has: State) -> State:
        database = self.home.database(has.name)
        settings = dict(has.settings)
        if self.home.cluster and has.keeps_rows:
            window = settings.pop("non_replicated_deduplication_window")
            settings["replicated_deduplication_window"] = window
            settings["replicated_deduplication_window_seconds"] = str(TOKEN_SECONDS)
        return replace(
            has,
            database=database,
            select=has.select.replace(f"{self.database}.", f"{database}."),
            target=has.target.replace(f"{self.database}.", f"{database}."),
            settings=settings,
        )


def _demand_equal(done: State, desired: State) -> None:
    ours = {column.name for column in desired.columns}
    columns = tuple(column for column in done.columns if column.name in ours)
    if columns != desired.columns or not set(desired.indexes) <= set(done.indexes):
        raise CannotBring(f"table {desired.place} cannot be brought to what this release needs: {columns}")


@contextmanager
def scratch(home: Home, description: Description) -> Iterator[Scratch]:
    """The description, made; dropped in the end."""
    _drop_abandoned(home)
    number = time.time_ns()
    database = f"{_database_stem(home)}{number}"
    names = description.function_names
    trial = {name: f"{_function_stem(home)}{number}_{name}" for name in names}
    called = re.compile(rf"\b(?:{'|'.join(sorted(names))})\b")

    def renamed(sql: str) -> str:
        return called.sub(lambda match: trial[match.group()], sql)

    home.run(f"CREATE DATABASE {database}")
    try:
        for function in description.functions:
            home.run(renamed(function))
        for statement in description.statements:
            home.run(renamed(statement.create(database)))
        yield Scratch(home, database)
    finally:
        for name in reversed(trial.values()):
            home.run(f"DROP FUNCTION IF EXISTS {name}")
        home.run(f"DROP DATABASE IF EXISTS {database} SYNC")


def _database_stem(home: Home) -> str:
    return f"{home.engine.database}_scratch_"


def _function_stem(home: Home) -> str:
    return f"trial_{home.engine.database}_"


def _drop_abandoned(home: Home) -> None:
    """Drop what killed processes left; only names that are ours to the last digit."""
    for table, stem, rest, drop in (
        ("functions", _function_stem(home), "_llmtrace_.*", "DROP FUNCTION IF EXISTS {}"),
        ("databases", _database_stem(home), "", "DROP DATABASE IF EXISTS {} SYNC"),
    ):
        names = home.engine.execute(
            f"SELECT name FROM system.{table} WHERE startsWith(name, {literal(stem)}) FORMAT TSVRaw"  # noqa: S608
        )
        for name in names.decode().splitlines():
            ours = re.fullmatch(rf"{re.escape(stem)}(\d{{19}}){rest}", name)
            # The embedded engine has one process: what is there was left by one that ended.
            if ours and (home.embedded or time.time() - int(ours[1]) / 1e9 > _ABANDONED_SECONDS):
                home.run(drop.format(name))

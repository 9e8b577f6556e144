"""Which schema a store has, which this program makes, and whether the two fit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import llmtrace
from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.engine import StoreError, StoreMismatch

from . import former
from .description import Description
from .home import COPIES, NEXT, Home

#: Raised with every change of the description (see tests/collector/snapshots/schema).
SCHEMA_NUMBER = 102

#: The least number that can be brought forward (all so far), and the release that brings older ones there.
OLDEST_NUMBER, OLDEST_RELEASE = 1, "0.1.0"

_OURS = f"{llmtrace.__version__} (schema {SCHEMA_NUMBER})"

_TABLE = "store_versions"


@dataclass(frozen=True)
class StoreVersion:
    """What a store says of its schema: its number, who brought it there, and the digests of the description
    and of what the engine then held.
    """

    number: int
    release: str = ""
    digest: str = ""
    state: str = ""

    @property
    def origin(self) -> int:
        """The number from which an upgrade to `number` began that has not ended yet, else `number`."""
        return int(self.state.removeprefix(_FROM)) if self.state.startswith(_FROM) else self.number


#: What the state of a store begins with whose upgrade was begun.
_FROM = "from "

#: The columns by which the tables of versions are known as ours.
_COLUMNS = frozenset({"Number", "Release", "Digest", "State"})
_FORMER_COLUMNS = frozenset({"Version", "AppliedAt"})


def current(home: Home, existing: dict[str, str]) -> StoreVersion | None:
    """The version of a store in which `existing` is; None for one that is empty.

    Raises StoreMismatch where there is something by a name of ours and nothing says that the store is ours.
    """
    versions = home.place(_TABLE)
    if versions in existing:
        _demand_columns(home, versions, _COLUMNS)
        text = home.engine.execute(
            "SELECT Number AS number, Release AS release, Digest AS digest, State AS state "  # noqa: S608, ours
            f"FROM {versions} ORDER BY Number DESC, At DESC LIMIT 1 FORMAT JSONEachRow"
        )
        if text.strip():
            return StoreVersion(**json.loads(text))
    if home.versions_place in existing:
        _demand_columns(home, home.versions_place, _FORMER_COLUMNS)
        version = _former(home)
        if version.number:
            _demand_known(existing)
        return version
    if existing.keys() - {versions}:
        raise in_the_way(existing.keys() - {versions})
    return None


def in_the_way(places: Iterable[str], what: str = "something") -> StoreMismatch:
    """The refusal of a store in which others have names of ours."""
    return StoreMismatch(
        f"{', '.join(sorted(places))} is in the way: llmtrace keeps {what} of that name, and this one is not "
        "llmtrace's. Rename it, or give llmtrace a database of its own"
    )


def _demand_columns(home: Home, place: str, columns: frozenset[str]) -> None:
    """Raise StoreMismatch where a table of versions is another's."""
    database, _, table = place.partition(".")
    names = home.engine.execute(
        "SELECT name FROM system.columns "  # noqa: S608, quoted
        f"WHERE database = {literal(database)} AND table = {literal(table)} FORMAT TSVRaw"
    )
    if not columns <= set(names.decode().splitlines()):
        raise in_the_way([place])


def _demand_known(existing: Iterable[str]) -> None:
    """Raise StoreMismatch where something has a name of ours that the releases before did not use."""
    known = {former.VERSIONS, _TABLE, COPIES, *former.IN_DEFAULT, *former.ON_SERVER}
    others = [
        place for place in existing if place.partition(".")[2] not in known and not place.endswith(NEXT)
    ]
    if others:
        raise in_the_way(others)


def _former(home: Home) -> StoreVersion:
    """The version as releases before wrote it; that of an upgrade that was begun is not known."""
    try:
        text = home.engine.execute(f"SELECT max(Version) FROM {home.versions_place}")  # noqa: S608, ours
    except StoreError as error:
        if error.code != _THROWN:
            raise
        return StoreVersion(0)
    return StoreVersion(int(text))


#: ClickHouse's code of what `throwIf` throws.
_THROWN = 395


def demand_fitting(version: StoreVersion | None) -> None:
    """Raise StoreMismatch for a store that a later release has brought to what this one does not know, and
    for one that only an earlier one can bring forward.
    """
    if version is None:
        return
    if 0 < version.origin < OLDEST_NUMBER:
        raise StoreMismatch(
            f"this store has schema {version.origin}, which is too old for llmtrace {_OURS}: start llmtrace "
            f"{OLDEST_RELEASE} on it once, which brings it forward, and then this release"
        )
    if version.number > SCHEMA_NUMBER:
        raise StoreMismatch(
            f"this store was written by llmtrace {version.release} (schema {version.number}), and this is "
            f"llmtrace {_OURS}, which is older: start that release or a later one"
        )


def stop_former_releases(place: str, everywhere: str = "") -> str:
    """The statement by which releases that know of no `store_versions` stop at start: what they look into, at
    `place`, throws.
    """
    sentence = (
        f"this store was written by llmtrace {_OURS}, and this program is older: start that release or a "
        "later one"
    )
    return (
        f"CREATE OR REPLACE VIEW {place}{everywhere} AS "  # noqa: S608, quoted
        f"SELECT toUInt32(throwIf(number = 0, {literal(sentence)})) AS Version, now() AS AppliedAt "
        f"FROM numbers(1) COMMENT {literal(sentence)}"
    )


def changed_at(home: Home) -> float:
    """When the schema was last changed, as Unix seconds in the engine's clock; 0 for one as it was made."""
    text = home.engine.execute(
        "SELECT if(count() > 1, toUnixTimestamp64Milli(max(At)), 0) "  # noqa: S608, ours
        f"FROM {home.place(_TABLE)}"
    )
    return int(text) / 1000


def begin(home: Home, description: Description, origin: int) -> None:
    """Note that the store is on its way from the schema `origin` to this program's, so that an older program
    does not open what an interrupted upgrade left.
    """
    (table,) = (item for item in description.statements if item.entry.name == _TABLE)
    home.run(table.create(home.database(_TABLE), everywhere=home.everywhere))
    record(home, "", f"{_FROM}{origin}")


def record(home: Home, description_digest: str, state_digest: str) -> None:
    """Note that the store has this program's schema."""
    values = ", ".join(map(literal, (llmtrace.__version__, description_digest, state_digest)))
    home.run(
        f"INSERT INTO {home.place(_TABLE)} (Number, Release, Digest, State) "  # noqa: S608, quoted
        f"VALUES ({SCHEMA_NUMBER}, {values})"
    )

"""Parts of tables that are broken: those that the engine set aside when it opened the store, and those that
it still reads from, until it comes to the bytes that are not what they were.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.errors import StoreError
from llmtrace_collector.store.store import Store

from .day_counts import SET_ASIDE

#: The engine's errors that speak of damaged files: ATTEMPT_TO_READ_AFTER_EOF, CANNOT_READ_ALL_DATA,
#: CHECKSUM_DOESNT_MATCH, CANNOT_OPEN_FILE, FILE_DOESNT_EXIST, INCORRECT_DATA, NO_FILE_IN_DATA_PART,
#: BAD_SIZE_OF_FILE_IN_DATA_PART, CORRUPTED_DATA, CANNOT_DECOMPRESS, UNKNOWN_CODEC and some that follow.
_DAMAGE = (26, 27, 32, 33, 40, 76, 107, 117, 226, 228, 246, 261, 271, 432)

#: A part's name in what the engine says: `reading from part …/store/a47/a478…/30-20261130_3_3_0/`.
_PART = re.compile(r"(?:([0-9a-f-]{36})\)?/)?([\w-]+_\d+_\d+_\d+(?:_\d+)?)\b")

#: Of each part that its engine gave up on, at least one of these reasons is said.
_BROKEN = ("broken", "broken-on-start", "covered-by-broken", "unexpected", "clone", "noquorum")


@dataclass(frozen=True)
class BrokenPart:
    """A part of `table` that is not what was written. `detached`: the engine does not read from it any more;
    `partition` is '' where that is not known, `where` its folder, `reason` the engine's.
    """

    table: str
    name: str
    partition: str
    where: str
    reason: str
    detached: bool

    @property
    def key(self) -> str:
        """By which it is noted as dealt with."""
        return f"{self.table}/{self.name}"


def broken_on_start(store: Store) -> list[BrokenPart]:
    """What the engine set aside as broken and nobody has dealt with yet, but for what lies in other parts
    too: merges leave those that they read for a while. Raises StoreError.
    """
    reasons = ", ".join(map(literal, _BROKEN))
    rows = _rows(
        store,
        "SELECT table, name, ifNull(partition_id, '') AS partition, path, ifNull(reason, '') AS reason, "  # noqa: S608
        "toInt64(ifNull(min_block_number, -1)) AS first, toInt64(ifNull(max_block_number, -1)) AS last "
        f"FROM system.detached_parts WHERE database = currentDatabase() AND reason IN ({reasons}) "
        "AND concat(table, '/', name) NOT IN "
        f"(SELECT Detail FROM row_adjustments WHERE Reason = {literal(SET_ASIDE)}) ORDER BY table, name",
    )
    if not rows:
        return []
    active = _rows(
        store,
        "SELECT table, partition_id AS partition, toInt64(min_block_number) AS first, "
        "toInt64(max_block_number) AS last FROM system.parts "
        "WHERE active AND database = currentDatabase()",
    )
    return [
        BrokenPart(row["table"], row["name"], row["partition"], row["path"], row["reason"], detached=True)
        for row in rows
        if not _is_covered(row, active)
    ]


def _is_covered(broken: Mapping[str, Any], active: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the blocks of a part lie in others, without a gap."""
    reached = broken["first"] - 1
    for part in sorted(active, key=lambda part: part["first"]):
        same = part["table"] == broken["table"] and part["partition"] == broken["partition"]
        if same and part["first"] <= reached + 1:
            reached = max(reached, part["last"])
    return bool(reached >= broken["last"] >= 0)


def note_set_aside(store: Store, parts: Iterable[BrokenPart]) -> None:
    """Note that somebody has dealt with these parts. Raises StoreError."""
    store.insert_rows("row_adjustments", [{"Reason": SET_ASIDE, "Detail": part.key} for part in parts])


def active_parts(store: Store, *, quiet_seconds: int = 0) -> list[tuple[str, str]]:
    """Table and name of the parts of our tables, those that were written at least so long ago, oldest check
    first being the caller's to arrange. Raises StoreError.
    """
    rows = _rows(
        store,
        "SELECT table, name FROM system.parts WHERE active AND database = currentDatabase() "  # noqa: S608
        f"AND modification_time <= now() - {quiet_seconds} ORDER BY modification_time, table, name",
    )
    return [(row["table"], row["name"]) for row in rows]


def check_part(store: Store, table: str, name: str) -> BrokenPart | None:
    """Read a whole part and compare it with its checksums; None when it is whole, or gone. Raises StoreError
    where that cannot be said.
    """
    try:
        text = store.engine.execute(
            f"CHECK TABLE {table} PART {literal(name)} "
            "SETTINGS check_query_single_value_result = 0, max_threads = 1 FORMAT JSONEachRow"
        )
    except StoreError as error:
        if error.code == _NO_SUCH_PART:
            return None
        raise
    for row in map(json.loads, text.splitlines()):
        if not row["is_passed"]:
            place = _rows(
                store,
                "SELECT partition_id, path FROM system.parts WHERE active AND database = currentDatabase() "  # noqa: S608
                f"AND table = {literal(table)} AND name = {literal(name)}",
            )
            if not place:
                return None  # merged away meanwhile
            return BrokenPart(
                table, name, place[0]["partition_id"], place[0]["path"], row["message"][:1000], detached=False
            )
    return None


class DamageReports:
    """What the engine says of damaged files while it reads and merges, in `system.errors`."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}

    def suspects(self, store: Store) -> list[tuple[str, str]]:
        """Table and name of the parts that were spoken of since this was last asked. Raises StoreError."""
        codes = ", ".join(map(str, _DAMAGE))
        suspects: dict[tuple[str, str], None] = {}
        for row in _rows(
            store,
            f"SELECT code, toInt64(value) AS times, last_error_message AS said FROM system.errors "  # noqa: S608
            f"WHERE code IN ({codes})",
        ):
            if row["times"] <= self._seen.get(row["code"], 0):
                continue
            self._seen[row["code"]] = row["times"]
            for table_id, name in _PART.findall(row["said"]):
                for table in _tables(store, table_id, name):
                    suspects[table, name] = None
        return list(suspects)


def _tables(store: Store, table_id: str, name: str) -> list[str]:
    """The tables that have a part of this name, that with the id alone where one is known."""
    known = f"uuid = toUUID({literal(table_id)})" if table_id else "1"
    rows = _rows(
        store,
        "SELECT table FROM system.parts WHERE active AND database = currentDatabase() "  # noqa: S608
        f"AND name = {literal(name)} AND table IN "
        f"(SELECT name FROM system.tables WHERE database = currentDatabase() AND {known})",
    )
    return [row["table"] for row in rows]


def unreadable(parts: Iterable[BrokenPart]) -> Mapping[str, list[str]]:
    """Table → names of its parts that cannot be read but are still there."""
    names: dict[str, list[str]] = {}
    for part in parts:
        if not part.detached:
            names.setdefault(part.table, []).append(part.name)
    return names


#: NO_SUCH_DATA_PART.
_NO_SUCH_PART = 232


def _rows(store: Store, sql: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.engine.execute(f"{sql} FORMAT JSONEachRow").splitlines()]

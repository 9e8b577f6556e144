"""Which schema a store has, which this program makes, and whether the two fit."""

from __future__ import annotations

import json
from dataclasses import dataclass

import llmtrace
from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.engine import StoreError, StoreMismatch

from .home import Home

#: Raised with every change of the description (see tests/collector/snapshots/schema).
SCHEMA_NUMBER = 100

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


def current(home: Home, existing: dict[str, str]) -> StoreVersion | None:
    """The version of a store in which `existing` is; None for one that is empty."""
    if home.place(_TABLE) in existing:
        text = home.engine.execute(
            "SELECT Number AS number, Release AS release, Digest AS digest, State AS state "  # noqa: S608, ours
            f"FROM {home.place(_TABLE)} ORDER BY Number DESC, At DESC LIMIT 1 FORMAT JSONEachRow"
        )
        if text.strip():
            return StoreVersion(**json.loads(text))
    if home.versions_place in existing:
        return _former(home)
    return StoreVersion(0) if any(place != home.place(_TABLE) for place in existing) else None


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
    if 0 < version.number < OLDEST_NUMBER:
        raise StoreMismatch(
            f"this store has schema {version.number}, which is too old for llmtrace {_OURS}: start llmtrace "
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


def record(home: Home, description_digest: str, state_digest: str) -> None:
    """Note that the store has this program's schema."""
    values = ", ".join(map(literal, (llmtrace.__version__, description_digest, state_digest)))
    home.run(
        f"INSERT INTO {home.place(_TABLE)} (Number, Release, Digest, State) "  # noqa: S608, quoted
        f"VALUES ({SCHEMA_NUMBER}, {values})"
    )

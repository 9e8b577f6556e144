"""The hours of the ledger, rebuilt from the spans."""

from __future__ import annotations

from .engine import Engine, literal


def rebuild_hours(engine: Engine, day: str) -> None:
    """Rebuild `usage_hour` for one day (`YYYY-MM-DD`) beside the live table and swap it in as a whole.

    The rows are made by the text of the materialized view that fills the table, which is written once.
    """
    select = engine.execute(
        "SELECT as_select FROM system.tables WHERE database = currentDatabase() "
        "AND name = 'usage_hour_mv' FORMAT TSVRaw"
    ).decode()
    engine.execute("CREATE OR REPLACE TABLE usage_hour_rebuild AS usage_hour")
    of_day = f"WHERE toDate(Time) = toDate({literal(day)})"
    engine.execute(f"INSERT INTO usage_hour_rebuild SELECT * FROM ({select}) {of_day}")  # noqa: S608 - our text
    engine.execute(
        f"ALTER TABLE usage_hour REPLACE PARTITION {literal(day)} FROM usage_hour_rebuild",
        settings={"allow_replace_partition_from_empty_source": "1"},
    )
    engine.execute("DROP TABLE usage_hour_rebuild SYNC")

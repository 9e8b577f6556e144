"""Days of the rollups, which are those of UTC whatever zone the engine's clock is in, and the projects that
have all spans of one.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta

from llmtrace_collector.store.engine import StoreEngine
from llmtrace_collector.store.schema.description import render_rollup

DAY = 86_400


def day_of(moment: int) -> str:
    """The day (`YYYY-MM-DD`) of a moment in Unix seconds."""
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def day_bounds(day: str) -> tuple[int, int]:
    """Begin and end of a day (`YYYY-MM-DD`), Unix seconds."""
    begin = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
    return int(begin.timestamp()), int((begin + timedelta(days=1)).timestamp())


def whole_projects(engine: StoreEngine, begin: int, emptied: Collection[str] = ()) -> list[str]:
    """Projects that have spans on the day of `begin` (Unix seconds) and have all since then: their time is
    not over. A project without any may have had some, so what is made of them stays; `emptied` are those of
    which that is known to be otherwise.
    """
    first, end = day_bounds(day_of(begin))
    rows = engine.execute(render_rollup("whole_projects", begin=begin, first=first, end=end))
    return sorted({*(json.loads(row)[0] for row in rows.splitlines()), *emptied})

"""The search language: text -> checked tree -> one SQL condition over spans or traces (docs/search.md).

    search = parse("model:gpt-5* cost>0.01 refund")
    condition = search.condition("traces", within=Period(since, until))
    client.query(f"SELECT TraceId FROM {condition.source} WHERE {condition.sql}", parameters=condition.params)

Readers of every kind may import it: analysis, dashboard, command line, and the collector's MLflow part.
"""

from .completions import Completion, completions
from .conditions import Condition, Over
from .errors import SearchError
from .fields import Field, Kind, fields
from .parse import parse
from .query import Search
from .times import ALWAYS, Period, read_moment

__all__ = [
    "ALWAYS",
    "Completion",
    "Condition",
    "Field",
    "Kind",
    "Over",
    "Period",
    "Search",
    "SearchError",
    "completions",
    "fields",
    "parse",
    "read_moment",
]

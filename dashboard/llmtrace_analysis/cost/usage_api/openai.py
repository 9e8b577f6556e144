"""OpenAI: `/v1/organization/usage/…` of each family, and `/v1/organization/costs`, by day."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pandas as pd

from llmtrace_analysis.billing_settings import BillingSource

from .client import Query, UsageApiClient, UsageApiError
from .pages import Page, follow, last_id, next_page

_FAMILIES = ("completions", "embeddings", "images", "audio_speeches", "audio_transcriptions", "moderations")
_BY = ("model", "project_id", "api_key_id")
_COSTS_BY = ("line_item", "project_id", "api_key_id")
#: Buckets of a page: the most for usage.
_LIMIT = "31"


def pages(client: UsageApiClient, source: BillingSource, since: date, until: date) -> list[Page]:
    """All pages of all families, then of costs."""
    period = [("start_time", _seconds(since)), ("end_time", _seconds(until)), ("bucket_width", "1d")]
    answers: list[Page] = []
    for family in _FAMILIES:
        client.progress(f"{client.url}: usage of {family}")
        by = (*_BY, "batch") if family == "completions" else _BY
        answers += _all(client, f"/v1/organization/usage/{family}", [*period, *_grouped(by)])
    client.progress(f"{client.url}: costs")
    try:
        answers += _all(client, "/v1/organization/costs", [*period, *_grouped(_COSTS_BY)])
    except UsageApiError as error:
        if error.status != 400:
            raise
        # Costs have keys only of late.
        answers += _all(client, "/v1/organization/costs", [*period, *_grouped(_COSTS_BY[:2])])
    return answers


def key_names(client: UsageApiClient, usage: pd.DataFrame) -> dict[str, str]:
    """Names of the keys, each with what is shown of it: `ci (sk-proj-…abcd)`."""
    names = {}
    for project in sorted({project for project in usage["project"] if project}):
        path = f"/v1/organization/projects/{project}/api_keys"
        for page in follow(client, lambda after, path=path: client.get(path, _list_query(after)), last_id):
            for key in page.get("data", ()):
                shown = key.get("redacted_value")
                name = key.get("name") or ""
                names[str(key.get("id"))] = (
                    f"{name} ({shown})" if name and shown else name or str(shown or "")
                )
    return names


def _all(client: UsageApiClient, path: str, query: Query) -> list[Page]:
    limited = [*query, ("limit", _LIMIT)]
    return list(
        follow(
            client, lambda page: client.get(path, [*limited, *([("page", page)] if page else [])]), next_page
        )
    )


def _list_query(after: str) -> Query:
    return [("limit", "100"), *([("after", after)] if after else [])]


def _grouped(names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [("group_by", name) for name in names]


def _seconds(day: date) -> str:
    return str(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()))

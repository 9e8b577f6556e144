"""OpenAI: `/v1/organization/usage/…` of each family, and `/v1/organization/costs`, by day."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pandas as pd

from llmtrace_analysis.billing_settings import BillingSource

from .client import UsageApiClient, UsageApiError
from .pages import Page, items_of, pages_of

_FAMILIES = ("completions", "embeddings", "images", "audio_speeches", "audio_transcriptions", "moderations")
_BY = ("model", "project_id", "api_key_id")
_COSTS_BY = ("line_item", "project_id", "api_key_id")
#: Buckets of a page: the most for usage.
_LIMIT = "31"


def pages(client: UsageApiClient, source: BillingSource, since: date, until: date) -> list[Page]:
    """All pages of all families, then of costs."""
    period = [
        ("start_time", _seconds(since)),
        ("end_time", _seconds(until)),
        ("bucket_width", "1d"),
        ("limit", _LIMIT),
    ]
    answers: list[Page] = []
    for family in _FAMILIES:
        client.progress(f"{client.url}: usage of {family}")
        by = (*_BY, "batch") if family == "completions" else _BY
        answers += pages_of(client, f"/v1/organization/usage/{family}", [*period, *_grouped(by)])
    client.progress(f"{client.url}: costs")
    try:
        answers += pages_of(client, "/v1/organization/costs", [*period, *_grouped(_COSTS_BY)])
    except UsageApiError as error:
        if error.status != 400:
            raise
        # Costs have keys only of late.
        answers += pages_of(client, "/v1/organization/costs", [*period, *_grouped(_COSTS_BY[:2])])
    return answers


def key_names(client: UsageApiClient, usage: pd.DataFrame) -> dict[str, str]:
    """Names of the keys, each with what is shown of it: `ci (sk-proj-…abcd)`."""
    names = {}
    for project in sorted({project for project in usage["project"] if project}):
        path = f"/v1/organization/projects/{project}/api_keys"
        for key in items_of(client, path, [("limit", "100")], "after"):
            name, redacted = str(key.get("name") or ""), str(key.get("redacted_value") or "")
            names[str(key.get("id"))] = f"{name} ({redacted})" if name and redacted else name or redacted
    return names


def _grouped(names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [("group_by", name) for name in names]


def _seconds(day: date) -> str:
    return str(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()))

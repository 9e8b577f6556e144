"""Anthropic: `usage_report/messages` and `cost_report` of the organisation, by day."""

from __future__ import annotations

from datetime import date

import pandas as pd

from llmtrace_analysis.billing_settings import BillingSource

from .client import UsageApiClient
from .pages import Page, items_of, pages_of

_BY = ("api_key_id", "workspace_id", "model", "service_tier")
_COSTS_BY = ("workspace_id", "description")


def pages(client: UsageApiClient, source: BillingSource, since: date, until: date) -> list[Page]:
    """All pages of usage, then of costs."""
    period = [
        ("starting_at", f"{since.isoformat()}T00:00:00Z"),
        ("ending_at", f"{until.isoformat()}T00:00:00Z"),
        ("bucket_width", "1d"),
        ("limit", "31"),
    ]
    answers: list[Page] = []
    for report, by in (("usage_report/messages", _BY), ("cost_report", _COSTS_BY)):
        client.progress(f"{client.url}: {report}")
        query = [*period, *(("group_by[]", name) for name in by)]
        answers += pages_of(client, f"/v1/organizations/{report}", query)
    return answers


def key_names(client: UsageApiClient, usage: pd.DataFrame) -> dict[str, str]:
    """Names of the keys, each with what is shown of it: `ci (sk-ant-api03-R2D...igAA)`."""
    names = {}
    for key in items_of(client, "/v1/organizations/api_keys", [("limit", "1000")], "after_id"):
        name, hint = str(key.get("name") or ""), str(key.get("partial_key_hint") or "")
        names[str(key.get("id"))] = f"{name} ({hint})" if name and hint else name or hint
    return names

"""Azure: Cost Management's query of one scope, by day. It may group by two columns: one question tells the
resources of meters, another their units."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial
from urllib.parse import urlsplit

from llmtrace_analysis.billing_settings import BillingSource

from .client import UsageApiClient, UsageApiError
from .pages import Page, follow

_VERSION = "2025-03-01"
#: The most days that a daily question may be about.
_MOST_DAYS = 31


def pages(client: UsageApiClient, source: BillingSource, since: date, until: date) -> list[Page]:
    """All pages of both questions, for each month's length of days."""
    if not source.scope:
        raise UsageApiError("Azure wants a scope: set `scope`, /subscriptions/ID or a resource group's path")
    path = f"/{source.scope.strip('/')}/providers/Microsoft.CostManagement/query?api-version={_VERSION}"
    answers: list[Page] = []
    start = since
    while start < until:
        end = min(until, start + timedelta(days=_MOST_DAYS))
        for grouping in (("Meter", "ResourceId"), ("Meter", "UnitOfMeasure")):
            client.progress(f"{client.url}: {' and '.join(grouping)} from {start} to {end}")
            ask = partial(_ask, client, path, _question(start, end, grouping))
            answers += follow(client, ask, _next_link)
        start = end
    return answers


def _ask(client: UsageApiClient, path: str, question: Page, link: str) -> Page:
    return client.post(_path(link) if link else path, question)


def _question(since: date, until: date, grouping: tuple[str, str]) -> Page:
    last = until - timedelta(days=1)
    return {
        "type": "ActualCost",
        "timeframe": "Custom",
        "timePeriod": {"from": f"{since.isoformat()}T00:00:00Z", "to": f"{last.isoformat()}T23:59:59Z"},
        "dataset": {
            "granularity": "Daily",
            "aggregation": {
                "totalCost": {"name": "CostUSD", "function": "Sum"},
                "usage": {"name": "UsageQuantity", "function": "Sum"},
            },
            "grouping": [{"type": "Dimension", "name": name} for name in grouping],
        },
    }


def _next_link(page: Page) -> str:
    return str((page.get("properties") or {}).get("nextLink") or "")


def _path(link: str) -> str:
    """Path and query of a link: the token goes nowhere but where the settings say."""
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path

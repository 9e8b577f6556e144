"""OpenRouter: `/api/v1/activity` of the last 30 closed UTC days, of each key and of all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from typing import Any

import pandas as pd

from llmtrace_analysis.billing_settings import BillingSource

from .client import UsageApiClient, UsageApiError
from .pages import Page, follow

_ACTIVITY = "/api/v1/activity"
_AMOUNTS = (
    "usage", "byok_usage_inference", "requests", "prompt_tokens", "completion_tokens", "reasoning_tokens",
)  # fmt: skip
#: Keys of a page of their list.
_KEYS_OF_PAGE = 100


def pages(client: UsageApiClient, source: BillingSource, since: date, until: date) -> list[Page]:
    """What each key used, then what is in the total and of none of them: of keys that are deleted, or of the
    chat page."""
    total = _items(client.get(_ACTIVITY), since, until)
    try:
        keys = list(_keys(client))
    except UsageApiError as error:
        client.progress(f"usage is not told by key: {error}")
        keys = []
    answers: list[Page] = []
    rest: dict[tuple[str, ...], dict[str, Any]] = {}
    for item in total:
        rest[_what(item)] = _added(rest.get(_what(item), {}), item, 1)
    for number, key in enumerate(keys, 1):
        client.progress(f"{client.url}: key {number} of {len(keys)}")
        items = _items(client.get(_ACTIVITY, [("api_key_hash", key)]), since, until)
        answers.append({"data": items, "api_key_hash": key})
        for item in items:
            rest[_what(item)] = _added(rest.get(_what(item), {}), item, -1)
    left = [item for item in rest.values() if item["prompt_tokens"] > 0 or item["requests"] > 0]
    return [*answers, {"data": left}]


def key_names(client: UsageApiClient, usage: pd.DataFrame) -> dict[str, str]:
    """Names of the keys by their hashes."""
    return _keys(client)


def _keys(client: UsageApiClient) -> dict[str, str]:
    names: dict[str, str] = {}

    def ask(offset: str) -> Page:
        return client.get("/api/v1/keys", [("offset", offset or "0"), ("include_disabled", "true")])

    def after(page: Page) -> str:
        items = page.get("data") or []
        names.update({str(key.get("hash")): str(key.get("name") or key.get("label") or "") for key in items})
        return str(len(names)) if len(items) >= _KEYS_OF_PAGE else ""

    for _ in follow(client, ask, after):
        pass
    return names


def _items(page: Page, since: date, until: date) -> list[dict[str, Any]]:
    first, end = since.isoformat(), until.isoformat()
    return [item for item in page.get("data") or () if first <= str(item.get("date", first))[:10] < end]


def _what(item: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(item.get(name) or "") for name in ("date", "model_permaslug", "model", "endpoint_id"))


def _added(before: Mapping[str, Any], item: Mapping[str, Any], sign: int) -> dict[str, Any]:
    sums: defaultdict[str, Any] = defaultdict(float, before)
    names = {name: item[name] for name in ("date", "model_permaslug", "model", "endpoint_id") if name in item}
    return {**names, **{name: sums[name] + sign * (item.get(name) or 0) for name in _AMOUNTS}}

"""A month of made-up calls: as spans of a store, as exports of providers, and as answers of their usage APIs.

The shapes are those that the providers document.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from llmtrace.common.time_zones import UTC_ZONE, day_of
from llmtrace.testing import Answer
from llmtrace.testing.replay import Received
from llmtrace.wire.accounts import account
from llmtrace_analysis.cost.billed_prices import list_cost

SINCE, UNTIL = date(2026, 10, 1), date(2026, 11, 1)
ADMIN_KEY = "sk-admin-of-the-tests"
SCOPE = "/subscriptions/00000000-0000-0000-0000-000000000000"
_RESOURCES = f"{SCOPE}/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/"
_PAGE_ROWS = 40
_NAMES = {"a": "shop", "b": "batches", "planted": "forgotten notebook"}
_MODELS: Mapping[str, Sequence[tuple[str, str]]] = {
    "openai": [("gpt-4o", "gpt-4o-2024-08-06"), ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
               ("text-embedding-3-small", "text-embedding-3-small")],
    "anthropic": [("claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
                  ("claude-haiku-4-5", "claude-haiku-4-5-20251001")],
    "azure": [("gpt-4o", "gpt-4o-2024-08-06"), ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")],
    "openrouter": [("openai/gpt-4o", "openai/gpt-4o"), ("openai/gpt-4o-mini", "openai/gpt-4o-mini")],
}  # fmt: skip
#: A model that no program of the month asks for.
PLANTED_MODEL = {
    "openai": "o3-2025-04-16", "anthropic": "claude-opus-4-1-20250805", "azure": "o3-2025-04-16",
    "openrouter": "openai/o3",
}  # fmt: skip
PROVIDERS = tuple(_MODELS)


@dataclass(frozen=True)
class Call:
    """One call that a provider bills; `input` has the cached and written tokens in it, all of an hour's."""

    provider: str
    key: str
    at: datetime
    asked: str
    model: str
    input: int
    cached: int
    written: int
    output: int
    tier: str = ""

    @property
    def day(self) -> str:
        return f"{self.at:%Y-%m-%d}"

    @property
    def cost(self) -> float:
        amounts = {
            "input_tokens": self.input, "cache_read_tokens": self.cached, "cache_write_tokens": self.written,
            "output_tokens": self.output,
        }  # fmt: skip
        cost = list_cost(self.provider, self.model, self.day, amounts, self.tier)
        assert cost is not None, (self.provider, self.model)
        return cost


def key_id(provider: str, name: str) -> str:
    """What the provider calls a key: an id, of OpenRouter its hash, of Azure the resource."""
    if provider == "azure":
        return _RESOURCES + name
    if provider == "openrouter":
        return hashlib.sha256(_secret(provider, name).encode()).hexdigest()
    return {"openai": "key_", "anthropic": "apikey_"}[provider] + name


def mark(provider: str, name: str) -> str:
    """The account of spans whose calls had this key."""
    marked = account({"authorization": f"Bearer {_secret(provider, name)}"}, {})
    assert marked is not None
    return marked


def _secret(provider: str, name: str) -> str:
    return f"sk-{provider}-{name}-0123456789"


def month(provider: str, seed: int = 1, keys: Sequence[str] = ("a", "b")) -> list[Call]:
    """Calls of every day, of two keys, at midnight and just before it too, cached and in batches."""
    choose = random.Random(seed)
    calls = []
    for offset in range((UNTIL - SINCE).days):
        midnight = datetime(SINCE.year, SINCE.month, SINCE.day, tzinfo=UTC) + timedelta(days=offset)
        for key in keys:
            for asked, model in _MODELS[provider]:
                for second in (0, choose.randrange(1, 86_399), 86_399):
                    calls.append(
                        _call(choose, provider, key, midnight + timedelta(seconds=second), asked, model)
                    )
    return calls


def _call(choose: random.Random, provider: str, key: str, at: datetime, asked: str, model: str) -> Call:
    is_embedding = "embedding" in model
    size = choose.randrange(1_000, 9_000)
    cached = 0 if is_embedding or choose.random() < 0.5 else choose.randrange(size // 2)
    written = choose.randrange(size // 4) if provider == "anthropic" else 0
    output = 0 if is_embedding else choose.randrange(10, 900)
    tier = "batch" if key == "b" and provider in ("openai", "anthropic") and not is_embedding else ""
    return Call(provider, key, at, asked, model, size, cached, written, output, tier)


def planted(provider: str, calls: Sequence[Call]) -> tuple[list[Call], list[Call]]:
    """Calls of a key that nobody traces, and of a model that nobody traces, each of three days."""
    days = [call for call in calls if call.at.day in (5, 6, 7) and call.key == "a" and call.at.hour == 0]
    of_key = [replace(call, key="planted", input=call.input + 77_777, tier="") for call in days]
    model = PLANTED_MODEL[provider]
    of_model = [replace(call, asked=model, model=model, input=call.input + 55_555, tier="") for call in days]
    return of_key, of_model


# As spans


def spans(calls: Iterable[Call], providers: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Rows of `otel_traces`; of some calls two attempts failed before, which nobody bills."""
    rows = []
    for number, call in enumerate(calls, 1):
        name = {"azure": "azure.ai.openai"}.get(call.provider, call.provider)
        attributes = {
            "gen_ai.operation.name": "embeddings" if "embedding" in call.model else "chat",
            "gen_ai.provider.name": name,
            "gen_ai.request.model": call.asked,
            "gen_ai.response.model": call.model,
            "llmtrace.account": mark(call.provider, call.key),
        }
        usage = {
            "gen_ai.usage.input_tokens": call.input,
            "gen_ai.usage.cache_read.input_tokens": call.cached,
            "gen_ai.usage.cache_creation.input_tokens": call.written,
            "gen_ai.usage.output_tokens": call.output,
        }
        usage_texts = {key: str(value) for key, value in usage.items() if value}
        tier = {"openai.response.service_tier": call.tier} if call.tier else {}
        rows.append(_row(number, 9, call.at, {**attributes, **usage_texts, **tier}))
        if number % 40 == 0:
            failed = {**attributes, "http.response.status_code": "503", "error.type": "503"}
            early = [call.at - timedelta(seconds=seconds) for seconds in (4, 2)]
            rows += [_row(number, 1 + n, at, failed, failed=True) for n, at in enumerate(early)]
    return rows


def _row(
    trace: int, span: int, at: datetime, attributes: Mapping[str, str], *, failed: bool = False
) -> dict[str, Any]:
    question = json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"question {trace}"}]}])
    return {
        "Timestamp": at.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "Duration": 10**8,
        "TraceId": f"{trace:032x}",
        "SpanId": f"{trace * 100 + span:016x}",
        "ParentSpanId": f"{trace * 100:016x}",
        "SpanKind": "Client",
        "ScopeName": "llmtrace",
        "ServiceName": "shop",
        "StatusCode": "Error" if failed else "Unset",
        "InputMessages": question,
        "SpanAttributes": dict(attributes),
    }


# As exports


def export(provider: str, calls: Iterable[Call], zone: str = UTC_ZONE) -> str:
    """The CSV that the provider's page gives, its days those of a zone."""
    rows: dict[tuple[str, ...], list[Call]] = defaultdict(list)
    for call in calls:
        rows[str(day_of(call.at, zone)), call.key, call.model, call.tier].append(call)
    lines = [_HEADERS[provider]]
    for (day, key, model, tier), of_row in sorted(rows.items()):
        lines += _LINES[provider](day, key, model, tier, of_row)
    return "\n".join(lines) + "\n"


def _total(calls: Iterable[Call], name: str) -> Any:
    return sum(getattr(call, name) for call in calls)


def _openai_line(day: str, key: str, model: str, tier: str, calls: list[Call]) -> list[str]:
    figures = [len(calls), *(_total(calls, name) for name in ("input", "cached", "output"))]
    words = [f"{day}T00:00:00+00:00", key_id("openai", key), model, tier == "batch"]
    return [",".join(map(str, [*words, *figures]))]


def _anthropic_line(day: str, key: str, model: str, tier: str, calls: list[Call]) -> list[str]:
    fresh = sum(call.input - call.cached - call.written for call in calls)
    figures = [fresh, _total(calls, "written"), 0, _total(calls, "cached"), _total(calls, "output")]
    return [",".join(map(str, [day, model, _NAMES[key], tier or "standard", *figures]))]


def _azure_line(day: str, key: str, model: str, tier: str, calls: list[Call]) -> list[str]:
    resource = key_id("azure", key)
    fresh = sum(call.input - call.cached for call in calls)
    month_first = f"{day[5:7]}/{day[8:10]}/{day[:4]}"
    kinds = {"Inp": fresh, "cchd Inp": _total(calls, "cached"), "Outp": _total(calls, "output")}
    whole = max(1, sum(kinds.values()))
    cost = _total(calls, "cost")
    return [
        f"{month_first},{meter(model, kind)},{tokens / 1000:.4f},1K,{cost * tokens / whole:.8f},{resource}"
        for kind, tokens in kinds.items()
        if tokens
    ]


def meter(model: str, kind: str) -> str:
    """A meter's name as Azure writes it: `gpt 4o 0806 Inp glbl Tokens`."""
    name, _, dated = model.partition("-20")
    words = name.replace("-", " ")
    return f"{words} {dated[3:].replace('-', '')} {kind} glbl Tokens"


def _openrouter_line(day: str, key: str, model: str, tier: str, calls: list[Call]) -> list[str]:
    return [
        f"gen-{number},{call.at:%Y-%m-%d %H:%M:%S}.123,{call.cost:.8f},{call.input},{call.output},0,"
        f"{model},OpenAI,{_NAMES[key]}"
        for number, call in enumerate(calls)
    ]


_HEADERS = {
    "openai": "start_time_iso,api_key_id,model,batch,num_model_requests,input_tokens,input_cached_tokens,"
    "output_tokens",
    "anthropic": "usage_date_utc,model_version,api_key,usage_type,usage_input_tokens_no_cache,"
    "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
    "usage_output_tokens",
    "azure": "Date,MeterName,Quantity,UnitOfMeasure,CostInBillingCurrency,ResourceId",
    "openrouter": "generation_id,created_at,cost_total,tokens_prompt,tokens_completion,tokens_reasoning,"
    "model_permaslug,provider_name,api_key_name",
}
_LINES: Mapping[str, Callable[[str, str, str, str, list[Call]], list[str]]] = {
    "openai": _openai_line, "anthropic": _anthropic_line, "azure": _azure_line,
    "openrouter": _openrouter_line,
}  # fmt: skip


def export_key(provider: str, name: str) -> str:
    """How the export names a key."""
    return _NAMES[name] if provider in ("anthropic", "openrouter") else key_id(provider, name)


# As answers of usage APIs


class UsageApi:
    """Answers as the provider's usage API does what was billed for these calls."""

    def __init__(self, provider: str, calls: Iterable[Call], page_days: int = 16) -> None:
        self.provider = provider
        self.calls = list(calls)
        self.keys = sorted({call.key for call in self.calls})
        self._by_day: dict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            self._by_day[call.day].append(call)
        self._page_days = page_days
        #: Whether costs cannot be grouped by key, as they could not at first.
        self.keyless_costs = False

    def __call__(self, request: Received) -> Answer:
        """The answer to a request; 401 without the admin key."""
        sent = request.headers.get("x-api-key", request.headers.get("authorization", ""))
        if sent.removeprefix("Bearer ") != ADMIN_KEY:
            return Answer.json({"error": {"message": f"wrong key {sent}"}}, status=401)
        parts = urlsplit(request.path)
        query = parse_qs(parts.query)
        answer = getattr(self, f"_{self.provider}")(parts.path, query, request)
        return (
            Answer.json({"error": "no such group or path"}, status=400)
            if answer is None
            else Answer.json(answer)
        )

    def _openai(self, path: str, query: Mapping[str, list[str]], _: Received) -> Any:
        if path.endswith("/api_keys"):
            assert path == "/v1/organization/projects/proj_1/api_keys"
            items = [
                {"id": key_id("openai", key), "name": _NAMES[key], "redacted_value": f"sk-proj-***{key}"}
                for key in self.keys
            ]
            return _list_page(items, query, "after")
        first, last = (
            datetime.fromtimestamp(int(query[name][0]), UTC) for name in ("start_time", "end_time")
        )
        family = path.removeprefix("/v1/organization/")
        if family == "costs":
            if self.keyless_costs and "api_key_id" in query["group_by"]:
                return None
            results = self._openai_costs
        elif family.startswith("usage/"):
            embeds = family == "usage/embeddings"

            def results(day: str) -> list[Any]:
                return self._openai_usage(day, embeds) if family in _OPENAI_FAMILIES else []
        else:
            return None
        page = _days_page(first, last, query, results, self._page_days)
        for bucket in page["data"]:
            bucket["start_time"] = int(
                datetime.fromisoformat(bucket.pop("day")).replace(tzinfo=UTC).timestamp()
            )
            bucket |= {"object": "bucket", "end_time": bucket["start_time"] + 86_400}
        return page

    def _openai_usage(self, day: str, embeds: bool) -> list[Any]:
        results = []
        for (key, model, tier), calls in self._grouped(day):
            if ("embedding" in model) == embeds:
                result = {
                    "input_tokens": _total(calls, "input"), "num_model_requests": len(calls),
                    "project_id": "proj_1", "api_key_id": key_id("openai", key), "model": model,
                }  # fmt: skip
                if not embeds:
                    result |= {
                        "output_tokens": _total(calls, "output"),
                        "input_cached_tokens": _total(calls, "cached"),
                        "batch": tier == "batch",
                    }  # fmt: skip
                results.append(result)
        return results

    def _openai_costs(self, day: str) -> list[Any]:
        costs: dict[tuple[str | None, str], float] = defaultdict(float)
        for (key, model, _), calls in self._grouped(day):
            of_key = None if self.keyless_costs else key_id("openai", key)
            for call in calls:
                parts = {"input": _part(call, output=0, cached=0, input=call.input - call.cached),
                         "cached input": _part(call, output=0, input=call.cached),
                         "output": _part(call, input=0, cached=0)}  # fmt: skip
                for kind, cost in parts.items():
                    costs[of_key, f"{model}, {kind}"] += cost
        return [
            {"object": "organization.costs.result", "amount": {"value": cost, "currency": "usd"},
             "line_item": item, "project_id": "proj_1", "api_key_id": of_key}
            for (of_key, item), cost in costs.items()
        ]  # fmt: skip

    def _anthropic(self, path: str, query: Mapping[str, list[str]], _: Received) -> Any:
        if path == "/v1/organizations/api_keys":
            items = [
                {"id": key_id("anthropic", key), "name": _NAMES[key], "partial_key_hint": f"sk-ant-...{key}"}
                for key in self.keys
            ]
            return _list_page(items, query, "after_id")
        results = {
            "/v1/organizations/usage_report/messages": self._anthropic_usage,
            "/v1/organizations/cost_report": self._anthropic_costs,
        }.get(path)
        if results is None:
            return None
        first, last = (datetime.fromisoformat(query[name][0]) for name in ("starting_at", "ending_at"))
        page = _days_page(first, last, query, results, self._page_days)
        for bucket in page["data"]:
            bucket["starting_at"] = f"{bucket.pop('day')}T00:00:00Z"
        return page

    def _anthropic_usage(self, day: str) -> list[Any]:
        return [
            {
                "uncached_input_tokens": sum(call.input - call.cached - call.written for call in calls),
                "cache_creation": {
                    "ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": _total(calls, "written"),
                },
                "cache_read_input_tokens": _total(calls, "cached"),
                "output_tokens": _total(calls, "output"),
                "server_tool_use": {"web_search_requests": 0},
                "api_key_id": key_id("anthropic", key),
                "workspace_id": None, "model": model, "service_tier": tier or "standard",
            }
            for (key, model, tier), calls in self._grouped(day)
        ]  # fmt: skip

    def _anthropic_costs(self, day: str) -> list[Any]:
        costs: dict[tuple[str, str, str], float] = defaultdict(float)
        for (_, model, tier), calls in self._grouped(day):
            for call in calls:
                fresh = call.input - call.cached - call.written
                parts = {
                    "uncached_input_tokens": _part(call, output=0, cached=0, written=0, input=fresh),
                    "cache_read_input_tokens": _part(call, output=0, written=0, input=call.cached),
                    "cache_creation.ephemeral_5m_input_tokens": _part(
                        call, output=0, cached=0, input=call.written
                    ),
                    "output_tokens": _part(call, input=0, cached=0, written=0),
                }
                for kind, cost in parts.items():
                    costs[model, tier, kind] += cost
        return [
            {
                "amount": f"{cost * 100:.6f}", "currency": "USD", "cost_type": "tokens", "workspace_id": None,
                "description": f"{model} Usage", "model": model, "service_tier": tier or "standard",
                "token_type": kind,
            }
            for (model, tier, kind), cost in costs.items()
        ]  # fmt: skip

    def _azure(self, path: str, query: Mapping[str, list[str]], request: Received) -> Any:
        if request.method != "POST" or path != f"{SCOPE}/providers/Microsoft.CostManagement/query":
            return None
        question = json.loads(request.body)
        first, last = (question["timePeriod"][name][:10] for name in ("from", "to"))
        grouping = [group["name"] for group in question["dataset"]["grouping"]]
        assert len(grouping) <= 2, "a query has two groupings at most"
        rows = []
        for line in export("azure", [call for call in self.calls if first <= call.day <= last]).splitlines()[
            1:
        ]:
            day, name, quantity, unit, cost, resource = line.split(",")
            named = {"Meter": name, "ResourceId": resource.lower(), "UnitOfMeasure": unit}
            number = int(day[6:] + day[:2] + day[3:5])
            rows.append([float(cost), float(quantity), number, *(named[group] for group in grouping), "USD"])
        rows.append(
            [9.5, 24, int(first.replace("-", "")), "D2 v3", "/subscriptions/s/virtualmachines/m", "USD"]
        )
        skipped = int(query.get("$skiptoken", ["0"])[0])
        link = f"https://management.azure.com{path}?api-version=2025-03-01&$skiptoken={skipped + _PAGE_ROWS}"
        columns = ["CostUSD", "UsageQuantity", "UsageDate", *grouping, "Currency"]
        properties = {
            "columns": [{"name": column, "type": "String"} for column in columns],
            "rows": rows[skipped : skipped + _PAGE_ROWS],
            "nextLink": link if skipped + _PAGE_ROWS < len(rows) else None,
        }
        return {"id": "query", "type": "Microsoft.CostManagement/query", "properties": properties}

    def _openrouter(self, path: str, query: Mapping[str, list[str]], _: Received) -> Any:
        if path == "/api/v1/keys":
            hashes = {key_id("openrouter", key): key for key in self.keys if key != "planted"}
            items = [
                {"hash": of_key, "name": _NAMES[key], "label": "sk-or-v1-…"} for of_key, key in hashes.items()
            ]
            return {"data": items}
        if path != "/api/v1/activity":
            return None
        wanted = query.get("api_key_hash", [None])[0]
        rows: dict[tuple[str, str], list[Call]] = defaultdict(list)
        for call in self.calls:
            if wanted in (None, key_id("openrouter", call.key)):
                rows[call.day, call.model].append(call)
        return {
            "data": [
                {
                    "date": day, "model": model, "model_permaslug": model, "endpoint_id": "e",
                    "usage": _total(calls, "cost"), "provider_name": "OpenAI", "byok_usage_inference": 0,
                    "requests": len(calls), "prompt_tokens": _total(calls, "input"),
                    "completion_tokens": _total(calls, "output"), "reasoning_tokens": 0,
                }
                for (day, model), calls in rows.items()
            ]
        }  # fmt: skip

    def _grouped(self, day: str) -> list[tuple[tuple[str, str, str], list[Call]]]:
        groups: dict[tuple[str, str, str], list[Call]] = defaultdict(list)
        for call in self._by_day.get(day, ()):
            groups[call.key, call.model, call.tier].append(call)
        return sorted(groups.items())


_OPENAI_FAMILIES = ("usage/completions", "usage/embeddings")


def _part(call: Call, **changes: int) -> float:
    return replace(call, **changes).cost  # type: ignore[arg-type]  # numbers of tokens alone are changed


def _days_page(
    first: datetime,
    last: datetime,
    query: Mapping[str, list[str]],
    results: Callable[[str], list[Any]],
    page_days: int,
) -> dict[str, Any]:
    days = [first + timedelta(days=offset) for offset in range((last - first).days)]
    start = int(query.get("page", ["page_0"])[0].removeprefix("page_"))
    end = start + page_days
    more = end < len(days)
    buckets = [{"day": f"{day:%Y-%m-%d}", "results": results(f"{day:%Y-%m-%d}")} for day in days[start:end]]
    return {"data": buckets, "has_more": more, "next_page": f"page_{end}" if more else None}


def _list_page(items: list[Any], query: Mapping[str, list[str]], after: str) -> dict[str, Any]:
    """One thing a page."""
    ids = [item["id"] for item in items]
    start = ids.index(query[after][0]) + 1 if after in query else 0
    return {"data": items[start : start + 1], "has_more": start + 1 < len(items), "last_id": ids[start]}

"""What a recorded answer states itself, read without the SDK: its total of tokens, its bill, its list price.

Usage is looked for wherever it may be, by the names of totals alone; the list has extractors of its own.
"""

from __future__ import annotations

import gzip
import json
import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot

from tests.sdk.naive import Recording

#: How formats spell the sum of input and output.
TOTALS = ("total_tokens", "totalTokens", "totalTokenCount", "total_token_count")

#: Where formats keep usage.
_USAGES = ("usage", "usageMetadata", "usage_metadata", "meta")

#: Parts of paths, and the list's name of the format.
_FLAVORS = (
    ("/chat/completions", "chat"),
    ("/completions", "chat"),
    ("/responses", "responses"),
    ("/embeddings", "embeddings"),
    ("/embed", "embeddings"),
    ("/images/", "images"),
    ("/messages", "anthropic"),
    ("/publishers/anthropic/", "anthropic"),
)

#: Tiers that have no price of their own.
_STANDARD = (None, "", "auto", "default", "standard", "on_demand", "standard_only")


@dataclass(frozen=True)
class Evidence:
    """What an answer states; None for what it does not."""

    total: int | None = None
    bill: float | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    searches: int = 0
    file_searches: int = 0


def evidence(recording: Recording) -> Evidence:
    """What the answer of one exchange states. An answer that is no JSON states nothing."""
    bodies = [body for body in answered(recording) if isinstance(body, dict)]
    if recording.status >= 400 or not bodies:
        return Evidence()
    usage: dict[str, Any] = {}
    total = bill = model = None
    outermost: dict[str, Any] = {}
    for body in bodies:
        if not str(body.get("type")).startswith("message_"):
            # Anthropic's events add to one another; of others the last tells it all.
            usage = {} if next(_usages(body), None) else usage
        for usage_object in _usages(body):
            usage.update({key: value for key, value in usage_object.items() if value is not None})
            stated = next(
                (usage_object[key] for key in TOTALS if isinstance(usage_object.get(key), int)), None
            )
            total = stated or total
        for holder in _holders(body):
            model = holder.get("model") or holder.get("modelVersion") or model
            outermost.update({key: holder[key] for key in _DECIDING if holder.get(key) is not None})
    bill = _bill(usage, recording.headers)
    context = _context({**outermost, **usage})
    last = bodies[-1].get("response")
    output = (last if isinstance(last, dict) else bodies[-1]).get("output")
    items = output if isinstance(output, list) else []
    files = sum(isinstance(item, dict) and item.get("type") == "file_search_call" for item in items)
    return Evidence(total, bill, usage, model, context, _searches(bodies), files)


_DECIDING = ("service_tier", "serviceTier", "output", "tool_usage")


def _holders(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield body
    for key in ("message", "response", "interaction"):
        if isinstance(body.get(key), dict):
            yield body[key]


def _usages(body: Any) -> Iterator[dict[str, Any]]:
    """Usage of an answer or of an event, the outermost last."""
    for holder in _holders(body):
        listed = holder.get("choices")
        choices = listed if isinstance(listed, list) else []
        for place in [*choices, holder.get("x_groq"), holder]:
            for key in _USAGES:
                if isinstance(place, dict) and isinstance(place.get(key), dict):
                    yield place[key]
    if isinstance(body.get("amazon-bedrock-invocationMetrics"), dict):
        return
    if isinstance(body.get("metadata"), dict) and isinstance(body["metadata"].get("usage"), dict):
        yield body["metadata"]["usage"]


def _bill(usage: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    cost = usage.get("cost")
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    if usage.get("is_byok") and not cost:  # paid to the provider behind
        cost = (usage.get("cost_details") or {}).get("upstream_inference_cost")
    if cost is None and isinstance(usage.get("cost_in_usd_ticks"), int):
        cost = usage["cost_in_usd_ticks"] / 1e10
    if cost is None and headers.get("x-litellm-response-cost"):
        cost = headers["x-litellm-response-cost"]
    return None if cost is None else float(cost)


def _context(fields: Mapping[str, Any]) -> dict[str, str]:
    """What the list asks beside model and usage."""
    tier = fields.get("service_tier") or fields.get("serviceTier")
    if isinstance(tier, dict):
        tier = tier.get("type")
    words = [str(tier)] if tier not in _STANDARD else []
    return context_of_tier("+".join([*words, "fast"] if fields.get("speed") == "fast" else words)) or {}


def context_of_tier(tier: str) -> dict[str, str] | None:
    """A tier of ours in the calculator's words."""
    context = {}
    for word in filter(None, tier.split("+")):
        if word == "batch":
            context["processing"] = word
        elif word == "fast":
            context["speed"] = context["service_tier"] = word
        else:
            context["service_tier"] = word
    return context or None


def _searches(bodies: list[dict[str, Any]]) -> int:
    """Searches of the web: of OpenAI's Responses those that searched, not those that opened a page; Gemini
    bills each query from version 3 on, and before it each grounded answer."""
    queries = [
        query
        for body in bodies
        for candidate in body.get("candidates") or []
        for query in (candidate.get("groundingMetadata") or {}).get("webSearchQueries") or []
        if query  # an empty one is asked nowhere
    ]
    if queries:
        version = str(bodies[-1].get("modelVersion")).removeprefix("gemini-")
        return 1 if version.startswith(("1", "2")) else len(queries)
    holder = bodies[-1].get("response") if isinstance(bodies[-1].get("response"), dict) else bodies[-1]
    assert isinstance(holder, dict)
    requests = ((holder.get("tool_usage") or {}).get("web_search") or {}).get("num_requests")
    if isinstance(requests, int):
        return requests
    output = holder.get("output")
    items = [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []
    calls = [item for item in items if item.get("type") == "web_search_call"]
    return sum((call.get("action") or {}).get("type", "search") == "search" for call in calls)


def listed_cost(
    recording: Recording, stated: Evidence, at: datetime, asked: str | None
) -> tuple[float | None, str]:
    """USD by the list's own reading of the answer and its calculator, or None and why it has none."""
    flavors = [flavor for mark, flavor in _FLAVORS if mark in recording.path] or ["default"]
    url = str(recording.record["url"])
    body = {"usage": stated.usage, "usageMetadata": stated.usage, "meta": stated.usage, "model": stated.model}
    usage: Usage | None = None
    reason = "the list has no reading of it"
    for flavor in [*flavors, "default"]:
        try:
            owner = get_snapshot().find_provider(None, None, url)
            _, usage = owner.extract_usage(body, api_flavor=flavor)
            break
        except (LookupError, ValueError, AttributeError) as error:  # of an enum that is a number, too
            reason = f"the list does not read it: {error}"
    if usage is None:
        return None, reason
    counted = {"web_searches": stated.searches, "storage_searches": stated.file_searches}
    usage = Usage(**{**_fields(usage), **{name: count for name, count in counted.items() if count}})
    # Bedrock's answers do not say where the model ran.
    names = (asked, stated.model) if ".amazonaws.com" in url else (stated.model, asked)
    for model in names:
        if not model:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                price = calc_price(
                    usage,
                    model,
                    provider_api_url=url,
                    genai_request_timestamp=at,
                    price_context=dict(stated.context) or None,
                )
        except (LookupError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            continue
        return float(price.total_price), ""
    return None, reason


def _fields(usage: Usage) -> dict[str, Any]:
    return {key: value for key, value in vars(usage).items() if value is not None and not key.startswith("_")}


def answered(recording: Recording) -> list[Any]:
    """The answer as JSON: one value, or the events of a stream."""
    raw = recording.answered
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    if "amazon.eventstream" in recording.headers.get("content-type", ""):
        return list(_aws_events(raw))
    text = raw.decode("utf-8", "replace").strip()
    try:
        whole = json.loads(text)
    except ValueError:
        lines = [line.removeprefix("data:").strip() for line in text.splitlines()]
        return [value for line in lines if line.startswith("{") for value in _parsed(line)]
    return whole if isinstance(whole, list) else [whole]


def _parsed(line: str) -> Iterator[Any]:
    try:
        yield json.loads(line)
    except ValueError:
        return


def _aws_events(raw: bytes) -> Iterator[Any]:
    """Payloads of an AWS event stream, those of InvokeModel unwrapped."""
    import base64

    while len(raw) >= 16:
        total, headers = struct.unpack(">II", raw[:8])
        for payload in _parsed(raw[12 + headers : total - 4].decode("utf-8", "replace")):
            if isinstance(payload, dict) and isinstance(payload.get("bytes"), str):
                yield from _parsed(base64.b64decode(payload["bytes"]).decode("utf-8", "replace"))
            else:
                yield payload
        raw = raw[total:]

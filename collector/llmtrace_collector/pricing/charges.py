"""The formula of cost, written once: what of a call is charged, in which bucket, at whose price.

The store keeps inclusive counts: cached, audio and image tokens are parts of input, reasoning tokens of
output. Buckets are disjoint and add up to all of a call, so nothing is charged twice. The views, the reports
and the what-if read the same table, in SQL or in Python.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from llmtrace import semconv
from llmtrace_collector.sql_values import literal, literals


@dataclass(frozen=True)
class Bucket:
    """A part of usage with a price of its own.

    `counts` less `less` are its units, never fewer than none. Where the book has no price for it, that of
    the first of `otherwise` that has one holds; where none has, it costs nothing.
    """

    name: str
    counts: tuple[str, ...]
    less: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Its name in words: `cache write 1h`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z0-9])", " ", self.name).lower()

    @property
    def cost(self) -> str:
        """Its column of cost."""
        return f"{self.name}Cost"

    @property
    def price(self) -> str:
        """Its column of the price book: USD per token, request or search."""
        return f"{self.name}Price"


#: Columns of counts in the rollups; `Requests` is made of `Calls` and `UnknownUsage`.
COUNTS = (
    "InputTokens",
    "CacheReadTokens",
    "CacheWriteTokens",
    "OutputTokens",
    "ReasoningTokens",
    "CacheWrite1hTokens",
    "AudioInputTokens",
    "ImageInputTokens",
    "CacheReadAudioTokens",
    "CacheReadImageTokens",
    "AudioOutputTokens",
    "ImageOutputTokens",
    "WebSearches",
    "FileSearches",
)

BUCKETS = (
    Bucket(
        "Input",
        ("InputTokens", "CacheReadAudioTokens", "CacheReadImageTokens"),
        ("CacheReadTokens", "CacheWriteTokens", "AudioInputTokens", "ImageInputTokens"),
    ),
    Bucket("CacheRead", ("CacheReadTokens",), ("CacheReadAudioTokens", "CacheReadImageTokens"), ("Input",)),
    Bucket("CacheWrite", ("CacheWriteTokens",), ("CacheWrite1hTokens",), ("Input",)),
    Bucket("CacheWrite1h", ("CacheWrite1hTokens",), (), ("CacheWrite", "Input")),
    Bucket("AudioInput", ("AudioInputTokens",), ("CacheReadAudioTokens",), ("Input",)),
    Bucket("ImageInput", ("ImageInputTokens",), ("CacheReadImageTokens",), ("Input",)),
    Bucket("CacheReadAudio", ("CacheReadAudioTokens",), (), ("CacheRead", "AudioInput", "Input")),
    Bucket("CacheReadImage", ("CacheReadImageTokens",), (), ("CacheRead", "ImageInput", "Input")),
    Bucket("Output", ("OutputTokens",), ("ReasoningTokens", "AudioOutputTokens", "ImageOutputTokens")),
    Bucket("Reasoning", ("ReasoningTokens",), (), ("Output",)),
    Bucket("AudioOutput", ("AudioOutputTokens",), (), ("Output",)),
    Bucket("ImageOutput", ("ImageOutputTokens",), (), ("Output",)),
    Bucket("Request", ("Requests",)),
    Bucket("WebSearch", ("WebSearches",)),
    Bucket("FileSearch", ("FileSearches",)),
)

#: Columns of the price book.
PRICES = tuple(bucket.price for bucket in BUCKETS)

#: How a row of usage finds the price that holds for it; `{time}` is the column of its time.
_PRICE_JOIN = """usage.Provider = price.Provider AND usage.Model = price.Model
    AND usage.ResponseModel = price.ResponseModel AND usage.ServiceTier = price.ServiceTier
    AND usage.{time} >= price.ValidFrom AND usage.{time} < price.ValidTo
    AND usage.ContextClass >= price.ContextFrom AND usage.ContextClass < price.ContextTo"""

_DISCOUNT_JOIN = """usage.Project = discount.Project AND usage.Provider = discount.Provider
    AND usage.Model = discount.Model
    AND usage.{time} >= discount.ValidFrom AND usage.{time} < discount.ValidTo"""


def priced(
    source: str, prices: str = "price_now", discounts: str = "discount_now", time: str = "Time"
) -> str:
    """What stands after FROM: rows of `source` as `usage`, each with its `price` and discount `Factor`."""
    # One join a level: with two, the engine would give `usage.*` other names.
    discounted = (
        f"SELECT usage.*, discount.Factor AS Factor\nFROM {source} AS usage\n"
        f"LEFT JOIN {discounts} AS discount\n    ON {_DISCOUNT_JOIN.format(time=time)}"
    )
    return f"({discounted}) AS usage\nLEFT JOIN {prices} AS price\n    ON {_PRICE_JOIN.format(time=time)}"


def columns(known: str = "price.Priced", summed: bool = False) -> str:
    """Select items of every charge over rows `usage` joined with `price`, as `priced` has them.

    `known` says whether the row's cost can be told at all: it is NULL where not. Rows that are `summed` have
    the columns of `unit_sums`. `ListCost` is what it would be without a discount, `CacheSavings` what cache
    reads saved against fresh input.
    """
    factor = "ifNull(usage.Factor, 1)"
    lists = {bucket.cost: f"{_units(bucket, summed)} * {_price(bucket)}" for bucket in BUCKETS}
    items = [f"if({known}, {text} * {factor}, NULL) AS {name}" for name, text in lists.items()]
    items.append(f"if({known}, {' + '.join(lists.values())}, NULL) AS ListCost")
    items.append(f"if({known}, ({' + '.join(lists.values())}) * {factor}, NULL) AS Cost")
    saved = f"{_count('CacheReadTokens', summed)} * ({_price(BUCKETS[0])} - {_price(BUCKETS[1])})"
    items.append(f"if({known}, {saved} * {factor}, NULL) AS CacheSavings")
    return ",\n    ".join(items)


def unit_sums(weight: str = "") -> str:
    """Select items of rows `usage` added up, each as often as `weight` says: where a bucket's units are a
    difference, the greater of what it counts and what that is less.

    So units are never fewer than none in any row, and sums are the same however rows are grouped.
    """
    times = f"{weight} * " if weight else ""
    sums = []
    for bucket in BUCKETS:
        if bucket.less:
            counted, less = (" + ".join(map(_count, names)) for names in (bucket.counts, bucket.less))
            sums.append(f"sum({times}greatest({counted}, {less})) AS {bucket.name}Whole")
    return ", ".join(sums)


def quantities() -> str:
    """Select items of what every bucket is charged for, over `summed` rows as in `columns`: its units, and
    their cost by the list (`CacheReadQuantity`, `CacheReadList`)."""
    items = []
    for bucket in BUCKETS:
        items.append(f"{_units(bucket, summed=True)} AS {bucket.name}Quantity")
        items.append(f"{bucket.name}Quantity * {_price(bucket)} AS {bucket.name}List")
    return ",\n    ".join(items)


def unit_prices() -> str:
    """Select items of the unit prices that hold, fallbacks filled in and discounts not."""
    return ",\n    ".join(f"{_price(bucket)} AS {bucket.price}" for bucket in BUCKETS)


def amount(counts: Mapping[str, float], prices: Mapping[str, float | None]) -> float:
    """The list cost in USD of `counts` (COUNTS and `Requests`) at `prices` (names of buckets), as the views
    compute it."""
    total = 0.0
    for bucket in BUCKETS:
        units = sum(counts.get(name, 0) for name in bucket.counts)
        units = max(0.0, units - sum(counts.get(name, 0) for name in bucket.less))
        tried = (prices.get(name) for name in (bucket.name, *bucket.otherwise))
        total += units * next((price for price in tried if price is not None), 0.0)
    return total


def _price(bucket: Bucket) -> str:
    tried = ", ".join(f"price.{name}Price" for name in (bucket.name, *bucket.otherwise))
    return f"coalesce({tried}, 0)"


def _units(bucket: Bucket, summed: bool = False) -> str:
    less = "".join(f" - {_count(name, summed)}" for name in bucket.less)
    if summed and less:
        return f"(toFloat64(usage.{bucket.name}Whole){less})"
    first, *more = (_count(name, summed) for name in bucket.counts)
    text = " + ".join([f"toFloat64({first})", *more])
    return f"greatest({text}{less}, 0)" if less else text if len(bucket.counts) == 1 else f"({text})"


def _count(name: str, summed: bool = False) -> str:
    prefix = "Sum" if summed else ""
    if name == "Requests":
        return f"(usage.{prefix}Calls - usage.{prefix}UnknownUsage)"
    return f"usage.{prefix}{name}"


#: Lengths of input at which calls are told apart; prices by context length change at one of them.
CONTEXT_BOUNDS = (0, 32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288)


def context_class(tokens: str) -> str:
    """The greatest bound that the input exceeds; a bound that is not known falls into the class below."""
    bounds = ", ".join(map(str, CONTEXT_BOUNDS))
    return f"toUInt32(arrayMax(arrayFilter(bound -> bound < greatest(ifNull({tokens}, 0), 1), [{bounds}])))"


#: Columns of a span that only costs need: name → attributes that may carry it, first come first.
SPAN_COUNTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "CacheWrite1hTokens": (
            semconv.USAGE_CACHE_WRITE_1H,
            "langfuse.observation.usage_details.input_cache_creation_1h",
        ),
        "AudioInputTokens": (
            semconv.USAGE_AUDIO_INPUT_TOKENS,
            "gen_ai.usage.details.input_audio_tokens",
            "llm.token_count.prompt_details.audio",
        ),
        "ImageInputTokens": (semconv.USAGE_IMAGE_INPUT_TOKENS, "gen_ai.usage.details.input_image_tokens"),
        "CacheReadAudioTokens": (
            semconv.USAGE_CACHE_READ_AUDIO,
            "gen_ai.usage.details.cache_audio_read_tokens",
        ),
        "CacheReadImageTokens": (semconv.USAGE_CACHE_READ_IMAGE,),
        "AudioOutputTokens": (
            semconv.USAGE_AUDIO_OUTPUT_TOKENS,
            "gen_ai.usage.details.output_audio_tokens",
            "llm.token_count.completion_details.audio",
        ),
        "ImageOutputTokens": (semconv.USAGE_IMAGE_OUTPUT_TOKENS,),
        "WebSearches": (semconv.USAGE_WEB_SEARCHES, "gen_ai.usage.details.web_search_requests"),
        "FileSearches": (semconv.USAGE_FILE_SEARCHES,),
    }
)

#: Attributes that name the service tier; what answered goes before what was asked for.
_TIERS = (
    semconv.OPENAI_RESPONSE_SERVICE_TIER,
    "gen_ai.openai.response.service_tier",
    semconv.ANTHROPIC_RESPONSE_SERVICE_TIER,
    semconv.RESPONSE_SERVICE_TIER,
    semconv.OPENAI_REQUEST_SERVICE_TIER,
    "gen_ai.openai.request.service_tier",
    semconv.ANTHROPIC_REQUEST_SERVICE_TIER,
    semconv.REQUEST_SERVICE_TIER,
)
#: The tier of answers that came from a gateway's cache: no model ran.
RESPONSE_CACHE = "response_cache"
_STANDARD = ("auto", "default", "standard", "on_demand", "standard_only")


def span_columns() -> list[tuple[str, str, str]]:
    """Columns of `otel_traces` that costs are made of: name, type and `DEFAULT`."""
    tier = f"lower({_first_of(_TIERS)})"
    cached = f"{_attribute(semconv.RESPONSE_CACHE_HIT)} = 'true', {literal(RESPONSE_CACHE)}"
    tier = f"multiIf(NOT IsLlm, '', {cached}, {tier} IN ({literals(_STANDARD)}), '', {tier})"
    definitions = [
        ("ServiceTier", "LowCardinality(String)", tier),
        ("Account", "LowCardinality(String)", f"if(IsLlm, {_attribute(semconv.ACCOUNT)}, '')"),
    ]
    for name, keys in SPAN_COUNTS.items():
        definitions.append((name, "UInt64", f"if(IsLlm, toUInt64OrZero({_first_of(keys)}), 0)"))
    return definitions


def _first_of(keys: tuple[str, ...]) -> str:
    if len(keys) == 1:
        return _attribute(keys[0])
    tried = "".join(f"{_attribute(key)} != '', {_attribute(key)}, " for key in keys[:-1])
    return f"multiIf({tried}{_attribute(keys[-1])})"


def _attribute(key: str) -> str:
    return f"SpanAttributes[{literal(key)}]"

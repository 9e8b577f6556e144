"""Cost in SQL against the price list's own calculator, for every model that the list has."""

from __future__ import annotations

import random
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, Provider

from llmtrace_analysis.cost import report
from llmtrace_analysis.queries.scope import Scope
from llmtrace_collector.accounting.price_book import PriceBook, book_row, choose_book
from llmtrace_collector.pricing.charges import CONTEXT_BOUNDS
from llmtrace_collector.pricing.tariffs import Listing, list_model
from llmtrace_collector.settings import ModelPrice
from llmtrace_collector.store.store import Store, open_store

#: Service tiers as spans name them → what the price list's calculator wants to hear.
TIERS = {
    "": None,
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "default": {"service_tier": "default"},
}


#: The calculator's units beside plain text → where spans tell of them.
ATTRIBUTES = {
    "cache_write_1h_tokens": "llmtrace.usage.cache_write_1h.input_tokens",
    "input_audio_tokens": "gen_ai.usage.audio.input_tokens",
    "input_image_tokens": "gen_ai.usage.image.input_tokens",
    "cache_audio_read_tokens": "llmtrace.usage.cache_read_audio.input_tokens",
    "cache_image_read_tokens": "llmtrace.usage.cache_read_image.input_tokens",
    "output_audio_tokens": "gen_ai.usage.audio.output_tokens",
    "output_image_tokens": "gen_ai.usage.image.output_tokens",
    "output_reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "web_searches": "llmtrace.usage.web_searches",
    "storage_searches": "llmtrace.usage.file_searches",
}


@dataclass(frozen=True)
class Call:
    """One random call of a model of the list."""

    owner: Provider
    model: ModelInfo
    tier: str
    at: datetime
    input: int
    cache_read: int
    cache_write: int
    output: int
    extra: dict[str, int]

    @property
    def name(self) -> str:
        return f"{self.owner.id}/{self.model.id}"

    def expected(self) -> float:
        """The calculator's word."""
        usage = Usage(
            input_tokens=self.input,
            cache_read_tokens=self.cache_read,
            cache_write_tokens=self.cache_write,
            output_tokens=self.output,
            requests=1,
            **self.extra,
        )
        price = self.model.calc_price(
            usage, self.owner, genai_request_timestamp=self.at, price_context=TIERS[self.tier]
        )
        return float(price.total_price)

    def row(self) -> dict[str, object]:
        """The call as a stored span; the name stands for provider and model together."""
        return {
            "Timestamp": self.at.strftime("%Y-%m-%d %H:%M:%S"),
            "TraceId": "t",
            "SpanId": "s",
            "SpanKind": "Client",
            "UserId": f"{self.at.isoformat()} {self.input} {self.output}",
            "SpanAttributes": {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": self.owner.id,
                "gen_ai.request.model": self.name,
                "gen_ai.usage.input_tokens": str(self.input),
                "gen_ai.usage.cache_read.input_tokens": str(self.cache_read),
                "gen_ai.usage.cache_write.input_tokens": str(self.cache_write),
                "gen_ai.usage.output_tokens": str(self.output),
                "openai.response.service_tier": self.tier,
                **{ATTRIBUTES[name]: str(count) for name, count in self.extra.items()},
            },
        }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"chdb://{tmp_path_factory.mktemp('prices')}", 3650)
    yield opened
    opened.close()


def draw(source: random.Random, owner: Provider, model: ModelInfo, tier: str) -> Call:
    """Random usage: around the bounds of context classes as often as anywhere else."""
    total = source.choice(
        [source.randrange(0, 5000), source.randrange(0, 700_000),
         max(0, source.choice(CONTEXT_BOUNDS) + source.randrange(-1, 2))]
    )  # fmt: skip
    read = source.randrange(0, total + 1) if source.random() < 0.5 else 0
    write = source.randrange(0, total - read + 1) if source.random() < 0.5 else 0
    # A day is a partition, and one insert takes a hundred of them.
    day = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=source.randrange(0, 800, 9))
    at = day + timedelta(seconds=source.randrange(0, 86_400))
    output = source.randrange(0, 20_000)
    return Call(
        owner, model, tier, at, total, read, write, output, _extra(source, total, read, write, output)
    )


def _extra(source: random.Random, total: int, read: int, write: int, output: int) -> dict[str, int]:
    """Parts of the usage that have prices of their own, never more than the whole."""

    def some(most: int) -> int:
        return source.randrange(0, most + 1) if most > 0 and source.random() < 0.5 else 0

    cached_audio = some(read)
    cached_image = some(read - cached_audio)
    fresh = total - read - write
    audio = some(fresh)
    image = some(fresh - audio)
    spoken = some(output)
    drawn = some(output - spoken)
    return {
        "cache_write_1h_tokens": some(write),
        "cache_audio_read_tokens": cached_audio,
        "cache_image_read_tokens": cached_image,
        "input_audio_tokens": audio + cached_audio,
        "input_image_tokens": image + cached_image,
        "output_audio_tokens": spoken,
        "output_image_tokens": drawn,
        "output_reasoning_tokens": some(output - spoken - drawn),
        "web_searches": some(5),
        "storage_searches": some(5),
    }


def test_every_model_of_the_list_costs_what_its_calculator_says(store: Store) -> None:
    source = random.Random(7)
    books, calls, unlisted = [], [], Counter[str]()
    partly: dict[str, tuple[str, ...]] = {}
    for owner in get_snapshot().providers:
        for model in owner.models:
            for tier in TIERS if model.price_variants else [""]:
                listing = list_model(owner, model, tier)
                if listing is None:
                    unlisted[", ".join(sorted(_units(model)))] += 1
                    continue
                if listing.gaps:
                    partly[f"{owner.id}/{model.id}"] = listing.gaps
                if _of_time(listing):
                    continue
                pair = {"Provider": _stored(owner.id), "Model": f"{owner.id}/{model.id}",
                        "ResponseModel": "", "ServiceTier": _tier(tier)}  # fmt: skip
                books += [book_row("test", pair, tariff) for tariff in listing.tariffs]
                calls += [draw(source, owner, model, tier) for _ in range(4)]
    store.insert_rows("price_book", books)
    choose_book(store, "test", "tests", "")
    store.insert_rows("otel_traces", [call.row() for call in calls])

    expected: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for call in calls:
            expected[(call.name, _tier(call.tier), str(call.row()["UserId"]))] += call.expected()
    for table in ("cost_hour", "call_cost"):
        rows = store.rows(
            f"SELECT Model, ServiceTier, UserId, sum(Cost) AS cost, min(Priced) AS priced, count() AS n "
            f"FROM {table} GROUP BY Model, ServiceTier, UserId"
        )
        assert len(rows) == len(expected)
        wrong = [
            (row, expected[key])
            for row in rows
            for key in [(row["Model"], row["ServiceTier"], row["UserId"])]
            if not row["priced"] or row["cost"] != pytest.approx(expected[key], rel=1e-9, abs=1e-12)
        ]
        assert not wrong, f"{len(wrong)} of {len(rows)} in {table}, first: {wrong[:3]}"

    # Reports add up before they price: over the whole time, all lengths and tiers, the sum is the same.
    client = store.client
    scope = Scope(datetime(2024, 12, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
    reported = report.report(client, scope, ["model"]).set_index("model")["cost"].to_dict()
    client.close()
    by_model: defaultdict[str, float] = defaultdict(float)
    for (name, _, _), amount in expected.items():
        by_model[name] += amount
    assert reported == {name: pytest.approx(amount, rel=1e-9) for name, amount in by_model.items()}

    models = {call.name for call in calls}
    print(
        f"{len(models)} models, {len(calls)} calls equal; not billed by tokens or requests: {dict(unlisted)}"
    )
    for name, gaps in sorted(partly.items()):
        print(f"{name}: {'; '.join(gaps)}")
    assert len(models) > 2000


def _units(model: ModelInfo) -> set[str]:
    prices = model.prices if isinstance(model.prices, list) else [model.prices]
    return {
        key
        for price in prices
        for key, value in vars(getattr(price, "prices", price)).items()
        if value is not None
    } or {"no price"}


def _of_time(listing: Listing) -> bool:
    return any("time of day" in gap for gap in listing.gaps)


def _tier(name: str) -> str:
    """The standard tier has no name in the store."""
    return "" if name == "default" else name


def _stored(provider: str) -> str:
    """The store keeps the conventions' spelling of a provider."""
    from llmtrace_collector.attributes.names import PROVIDER_NAMES

    return PROVIDER_NAMES.get(provider, provider)


def test_hours_are_rebuilt_to_the_same_figures(store: Store) -> None:
    text = (
        "SELECT sum(Calls) AS calls, sum(InputTokens) AS tokens, round(sum(Cost), 6) AS cost FROM cost_hour"
    )
    before = store.rows(text)
    assert before[0]["calls"] > 0
    (day,) = store.rows("SELECT toString(toDate(max(Time))) AS day FROM usage_hour")
    for table in ("usage_10s", "usage_hour_closed"):
        store.engine.execute(f"ALTER TABLE {table} DROP PARTITION '{day['day']}'")
    assert store.rows(text) != before
    store.rebuild_usage(day["day"])
    assert store.rows(text) == before


def test_books_are_kept_and_going_back_to_one_changes_every_cost_at_once(store: Store) -> None:
    spent = "SELECT Priced, sum(Cost) AS cost FROM cost_hour WHERE Model = 'house-model' GROUP BY Priced"
    call = Call(get_snapshot().providers[0], get_snapshot().providers[0].models[0], "",
                datetime(2026, 11, 1, tzinfo=UTC), 1000, 0, 0, 100, {})  # fmt: skip
    row = call.row()
    attributes = row["SpanAttributes"]
    assert isinstance(attributes, dict)
    attributes["gen_ai.request.model"] = "house-model"
    store.insert_rows("otel_traces", [row])
    first = PriceBook(store, ())
    first.sync(activate=True)
    assert store.rows(spent) == [{"Priced": False, "cost": None}]
    own = (ModelPrice(model="house-model", input_per_million=2, output_per_million=10),)
    second = PriceBook(store, own)
    second.sync()
    (priced,) = store.rows(spent)
    assert priced == {"Priced": True, "cost": pytest.approx(1000 * 2e-6 + 100 * 10e-6)}
    choose_book(store, first.book, "tests", "back")
    assert store.rows(spent) == [{"Priced": False, "cost": None}]
    # A restart with the same prices does not undo the choice.
    PriceBook(store, own).sync()
    assert store.rows(spent) == [{"Priced": False, "cost": None}]
    choose_book(store, second.book, "tests", "forward")
    assert store.rows(spent) == [priced]

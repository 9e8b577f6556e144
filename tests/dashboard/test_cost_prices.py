"""Cost in SQL against the price list's own calculator, for every model that the list has."""

from __future__ import annotations

import random
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, Provider

from llmtrace_analysis.cost import report
from llmtrace_analysis.queries.scope import Scope
from llmtrace_collector.accounting.price_book import PriceBook, book_row, choose_book
from llmtrace_collector.pricing.charges import BUCKETS, CONTEXT_BOUNDS, DAY_BOUNDS, DAY_END
from llmtrace_collector.pricing.tariffs import list_model
from llmtrace_collector.settings import ModelPrice
from llmtrace_collector.store.store import Store, open_store

#: Six times of the day and the year, most of them at a bound: of hours, of days from which prices hold.
TIMES = (
    datetime(2025, 1, 15, 0, 29, 59, tzinfo=UTC),
    datetime(2025, 6, 30, 0, 30, tzinfo=UTC),
    datetime(2025, 12, 1, 3, 59, 59, tzinfo=UTC),
    datetime(2026, 4, 1, 8, 15, tzinfo=UTC),
    datetime(2026, 10, 14, 16, 29, 59, tzinfo=UTC),
    datetime(2026, 11, 30, 16, 30, tzinfo=UTC),
)

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
    "output_citation_tokens": "llmtrace.usage.citation.output_tokens",
    "input_video_tokens": "gen_ai.usage.video.input_tokens",
    "cache_video_read_tokens": "llmtrace.usage.cache_read_video.input_tokens",
    "output_video_tokens": "gen_ai.usage.video.output_tokens",
    "web_searches": "llmtrace.usage.web_searches",
    "storage_searches": "llmtrace.usage.file_searches",
    "rerank_searches": "llmtrace.usage.rerank_searches",
    "input_audio_seconds": "llmtrace.usage.audio_input_seconds",
    "input_characters": "llmtrace.usage.speech_characters",
}


@dataclass(frozen=True)
class Call:
    """One random call of a model of the list."""

    owner: Provider
    model: ModelInfo
    tier: str
    context: dict[str, str]
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
            audio_seconds=self.extra["input_audio_seconds"],  # all of it is input
            **self.extra,
        )
        price = self.model.calc_price(
            usage, self.owner, genai_request_timestamp=self.at, price_context=self.context or None
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


def tiers(model: ModelInfo) -> dict[str, dict[str, str]]:
    """Every tier that a model has a price for, as spans name it → what the calculator wants to hear; the
    standard one, one that nobody has, and all of them at once."""
    variants = [variant.when for variant in model.price_variants or []]
    named = {"+".join(when.values()): when for when in variants if "default" not in when.values()}
    together = {key: value for when in named.values() for key, value in when.items()}
    if len(named) > 1:
        named["+".join(together.values())] = together
    return {"": {}, "unheard-of": {"service_tier": "unheard-of"}, **named} if named else {"": {}}


def draw(
    source: random.Random, owner: Provider, model: ModelInfo, tier: str, context: dict[str, str], at: datetime
) -> Call:
    """Random usage: around the bounds of context classes as often as anywhere else."""
    total = source.choice(
        [source.randrange(0, 5000), source.randrange(0, 700_000),
         max(0, source.choice(CONTEXT_BOUNDS) + source.randrange(-1, 2))]
    )  # fmt: skip
    read = source.randrange(0, total + 1) if source.random() < 0.5 else 0
    write = source.randrange(0, total - read + 1) if source.random() < 0.5 else 0
    output = source.randrange(0, 20_000)
    extra = _extra(source, total, read, write, output)
    return Call(owner, model, tier, context, at, total, read, write, output, extra)


def _extra(source: random.Random, total: int, read: int, write: int, output: int) -> dict[str, int]:
    """Parts of the usage that have prices of their own, never more than the whole."""

    def some(most: int) -> int:
        return source.randrange(0, most + 1) if most > 0 and source.random() < 0.5 else 0

    cached_audio = some(read)
    cached_image = some(read - cached_audio)
    cached_video = some(read - cached_audio - cached_image)
    fresh = total - read - write
    audio = some(fresh)
    image = some(fresh - audio)
    video = some(fresh - audio - image)
    spoken = some(output)
    drawn = some(output - spoken)
    filmed = some(output - spoken - drawn)
    cited = some(output - spoken - drawn - filmed)
    return {
        "cache_write_1h_tokens": some(write),
        "cache_audio_read_tokens": cached_audio,
        "cache_image_read_tokens": cached_image,
        "input_audio_tokens": audio + cached_audio,
        "input_image_tokens": image + cached_image,
        "output_audio_tokens": spoken,
        "output_image_tokens": drawn,
        "output_reasoning_tokens": some(output - spoken - drawn - filmed - cited),
        "output_citation_tokens": cited,
        "cache_video_read_tokens": cached_video,
        "input_video_tokens": video + cached_video,
        "output_video_tokens": filmed,
        "rerank_searches": some(5),
        "web_searches": some(5),
        "storage_searches": some(5),
        "input_audio_seconds": some(4000),
        "input_characters": some(9000),
    }


def test_every_model_of_the_list_costs_what_its_calculator_says_at_six_times(store: Store) -> None:
    source = random.Random(7)
    books, calls, unlisted = [], [], Counter[str]()
    for owner in get_snapshot().providers:
        for model in owner.models:
            for tier, context in tiers(model).items():
                listing = list_model(owner, model, tier)
                if listing is None:
                    units = _units(model)
                    assert not units & _COUNTED, f"{owner.id}/{model.id} has a price of what is counted"
                    unlisted[", ".join(sorted(units))] += 1
                    continue
                # What is not counted is no token, request or search.
                assert {gap.split()[0] for gap in listing.gaps} <= _NOT_COUNTED, listing.gaps
                pair = {"Provider": _stored(owner.id), "Model": f"{owner.id}/{model.id}",
                        "ResponseModel": "", "ServiceTier": tier}  # fmt: skip
                books += [book_row("test", pair, tariff) for tariff in listing.tariffs]
                calls += [draw(source, owner, model, tier, context, at) for at in TIMES]
    store.insert_rows("price_book", books)
    choose_book(store, "test", "tests", "")
    store.insert_rows("otel_traces", [call.row() for call in calls])

    expected: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for call in calls:
            expected[(call.name, call.tier, str(call.row()["UserId"]))] += call.expected()
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
    assert len(models) > 2000


#: Units of the list that the store counts, and those of media that it does not.
_COUNTED = {bucket.listed_as for bucket in BUCKETS if bucket.listed_as}
_NOT_COUNTED = {
    "input_document_kpages",
    "input_annotated_document_kpages",
    "input_text_messages_kcount",
}


def test_the_default_tier_is_the_standard_one() -> None:
    """The store has one name for both, so they need one price."""
    for owner in get_snapshot().providers:
        for model in owner.models:
            if any("default" in variant.when.values() for variant in model.price_variants or []):
                standard, default = list_model(owner, model), list_model(owner, model, "default")
                assert standard is not None
                assert default is not None
                for tariff, other in zip(standard.tariffs, default.tariffs, strict=True):
                    assert tariff.prices == other.prices, f"{owner.id}/{model.id}"


def test_prices_change_with_the_time_of_day_at_bounds_that_calls_are_told_apart_by() -> None:
    listed = [
        (owner, model, list_model(owner, model))
        for owner in get_snapshot().providers
        for model in owner.models
    ]
    by_time = [listing for _, _, listing in listed if listing and len({t.day for t in listing.tariffs}) > 1]
    assert len(by_time) >= 5
    for listing in by_time:
        for valid in {tariff.valid for tariff in listing.tariffs}:
            days = sorted(tariff.day for tariff in listing.tariffs if tariff.valid == valid)
            assert [first for first, _ in days] == list(DAY_BOUNDS)
            assert [last for _, last in days] == [*DAY_BOUNDS[1:], DAY_END]


def _units(model: ModelInfo) -> set[str]:
    prices = model.prices if isinstance(model.prices, list) else [model.prices]
    return {
        key
        for price in prices
        for key, value in vars(getattr(price, "prices", price)).items()
        if value is not None
    } or {"no price"}


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
    call = Call(get_snapshot().providers[0], get_snapshot().providers[0].models[0], "", {},
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

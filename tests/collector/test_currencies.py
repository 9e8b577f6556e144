"""Prices of one's own in other currencies: in the book they are US dollars, each day's at its rate."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from llmtrace_collector.accounting.price_book import book_name
from llmtrace_collector.pricing.converted import in_usd
from llmtrace_collector.pricing.currencies import ExchangeRate, has_rate
from llmtrace_collector.pricing.tariffs import ALWAYS, Tariff
from llmtrace_collector.settings import ModelPrice

RATES = (
    ExchangeRate(currency="CNY", per_usd=7.0, since=date(2026, 1, 1)),
    ExchangeRate(currency="EUR", per_usd=0.9, since=date(2020, 1, 1)),
    ExchangeRate(currency="CNY", per_usd=8.0, since=date(2026, 7, 1)),
)


def seconds(year: int, month: int, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


def test_a_price_has_a_tariff_for_each_rate() -> None:
    first, second = in_usd(Tariff({"Input": 14.0, "Output": 28.0}, source="own"), "CNY", RATES)
    assert first.valid == (seconds(2026, 1), seconds(2026, 7))
    assert second.valid == (seconds(2026, 7), ALWAYS[1])
    assert first.prices == {"Input": 2.0, "Output": 4.0}
    assert second.prices == {"Input": 1.75, "Output": 3.5}
    assert second.source == "own, 8 CNY for a dollar"


@pytest.mark.parametrize(
    ("valid", "pieces"),
    [
        ((seconds(2026, 3), seconds(2026, 4)), [(seconds(2026, 3), seconds(2026, 4))]),
        ((seconds(2026, 7), seconds(2026, 8)), [(seconds(2026, 7), seconds(2026, 8))]),
        (
            (seconds(2026, 6), seconds(2026, 8)),
            [(seconds(2026, 6), seconds(2026, 7)), (seconds(2026, 7), seconds(2026, 8))],
        ),
        # What a price was worth before the first rate is not known.
        ((seconds(2025, 1), seconds(2025, 6)), []),
        ((seconds(2025, 6), seconds(2026, 2)), [(seconds(2026, 1), seconds(2026, 2))]),
    ],
)
def test_tariffs_end_where_rates_and_prices_do(valid: tuple[int, int], pieces: list[tuple[int, int]]) -> None:
    assert [tariff.valid for tariff in in_usd(Tariff({"Input": 1.0}, valid), "CNY", RATES)] == pieces


def test_dollars_need_no_rate_and_others_do() -> None:
    tariff = Tariff({"Input": 1.0})
    assert in_usd(tariff, "USD", ()) == (tariff,)
    assert in_usd(tariff, "CNY", ()) == ()
    assert has_rate("USD", ())
    assert has_rate("CNY", RATES)
    assert not has_rate("JPY", RATES)


def test_a_book_is_another_where_a_rate_that_it_uses_is() -> None:
    dollars = ModelPrice(model="m", input_per_million=1, output_per_million=2)
    yuan = dollars.model_copy(update={"currency": "CNY"})
    # Books of dollars are called as before there were others.
    assert book_name([dollars]) == book_name([dollars], rates=RATES)
    assert len({book_name([dollars]), book_name([yuan]), book_name([yuan], rates=RATES)}) == 3
    assert book_name([yuan], rates=RATES) == book_name(
        [yuan], rates=[rate for rate in RATES if rate.currency == "CNY"]
    )


@pytest.mark.parametrize("written", ["Azure", "azure_openai", "azure.ai.openai", "az.ai.openai"])
def test_a_price_is_of_the_provider_however_it_is_written(written: str) -> None:
    price = {"model": "m", "input_per_million": 1, "output_per_million": 1}
    assert ModelPrice.model_validate({**price, "provider": written}).provider == "azure.ai.openai"
    assert ModelPrice.model_validate({**price, "provider": "Our Server"}).provider == "Our Server"
    assert ModelPrice.model_validate(price).provider == ""

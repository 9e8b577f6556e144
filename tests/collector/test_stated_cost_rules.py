"""Which of a stated and a computed cost holds, in every view of cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.pricing import charges
from llmtrace_collector.pricing.tariffs import listing
from llmtrace_collector.store.store import Store, open_store

LISTED = {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
UNLISTED = {"gen_ai.provider.name": "openai", "gen_ai.request.model": "nobody-lists-this"}
TOKENS = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100}
#: USD of TOKENS by the list.
COMPUTED = 0.0035

#: What is stated, by whom, and whether that is the cost: of a model that the list has as of others.
RULES: dict[str, tuple[object, str, bool]] = {
    "a biller's cost": (0.25, "openrouter", True),
    "a biller's 0": (0.0, "x_ai", True),
    "an estimate": (0.25, "litellm", True),
    "a 0 of what knows no price": (0.0, "litellm", False),
    "no cost": ("NaN", "openrouter", False),
    "nothing": ("", "", False),
}
#: Calls that a sampled span of the tests stands for.
WEIGHT = 4


def _stored_calls(store: Store) -> dict[str, tuple[dict[str, Any], float | None, bool]]:
    """Calls by service, one for each rule and model → what its row should say: cost, and whether stated."""
    expected: dict[str, tuple[dict[str, Any], float | None, bool]] = {}
    for name, (cost, by, holds) in RULES.items():
        for model in (LISTED, UNLISTED):
            values: dict[str, object] = {**model, **TOKENS, "llmtrace.sample.weight": WEIGHT}
            if by:
                values |= {"llmtrace.usage.stated_cost": cost, "llmtrace.usage.stated_by": by}
            computed = COMPUTED if model is LISTED else None
            used = float(str(cost)) if holds else computed
            expected[f"{name} {model['gen_ai.request.model']}"] = (values, used, holds)
    store.insert_rows("otel_traces", [_row(service, values) for service, (values, *_) in expected.items()])
    return expected


def _row(service: str, values: dict[str, object]) -> dict[str, Any]:
    attributes = {"gen_ai.operation.name": "chat", **{key: str(value) for key, value in values.items()}}
    return {
        "Timestamp": "2026-11-20 12:00:00",
        "ServiceName": service,
        "SpanId": service,
        "SpanKind": "Client",
        "SpanAttributes": attributes,
    }


def test_which_cost_holds(tmp_path: Path) -> None:
    """In the views of calls, of ten seconds and of hours alike, sampled calls as often as they stand for."""
    store = open_store(f"chdb://{tmp_path / 'store'}", 3650)
    try:
        expected = _stored_calls(store)
        PriceBook(store, ()).sync()
        for view, weight in (
            ("call_cost", 1),
            ("span_cost", 1),
            ("usage_cost", WEIGHT),
            ("cost_hour", WEIGHT),
        ):
            name = "SpanId" if view == "span_cost" else "ServiceName"
            rows = store.rows(f"SELECT {name} AS name, Cost, ComputedCost, Stated, Priced FROM {view}")
            assert {row["name"] for row in rows} == set(expected)
            for row in rows:
                values, used, holds = expected[row["name"]]
                listed = values["gen_ai.request.model"] == "gpt-4o"
                assert row["Cost"] == _near(used, weight), (view, row)
                assert row["ComputedCost"] == _near(COMPUTED if listed else None, weight), (view, row)
                assert (row["Stated"], row["Priced"]) == (holds, holds or listed), (view, row)
    finally:
        store.close()


def _near(cost: float | None, weight: int) -> Any:
    return None if cost is None else pytest.approx(cost * weight, rel=1e-9)


def test_the_name_of_the_public_list_is_told_from_prices_that_people_set() -> None:
    known = listing("openai", "gpt-4o")
    assert known is not None
    assert {tariff.source.startswith(charges.PUBLIC_LIST) for tariff in known.tariffs} == {True}

"""The worked examples of docs/cost.md, computed again by the store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.store.store import open_store

GUIDE = Path(__file__).parents[2] / "docs" / "cost.md"

#: Words of the usage column → the attribute that tells them.
ATTRIBUTES = {
    "input": "gen_ai.usage.input_tokens",
    "output": "gen_ai.usage.output_tokens",
    "cache_read": "gen_ai.usage.cache_read.input_tokens",
    "cache_write": "gen_ai.usage.cache_write.input_tokens",
    "cache_write_1h": "llmtrace.usage.cache_write_1h.input_tokens",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
    "audio_input": "gen_ai.usage.audio.input_tokens",
    "audio_output": "gen_ai.usage.audio.output_tokens",
    "web_searches": "llmtrace.usage.web_searches",
}


@dataclass(frozen=True)
class Example:
    """One row of the table."""

    provider: str
    model: str
    tier: str
    usage: dict[str, int]
    computation: str
    usd: float

    def computed(self) -> float:
        """What the computation comes to: products by the million, then products."""
        by_million, _, single = self.computation.partition(" per million")
        return _products(by_million) / 1e6 + (_products(single.removeprefix(" + ")) if single else 0.0)


def _products(text: str) -> float:
    pairs = [part.replace(" ", "").split("×") for part in text.split(" + ")]
    return sum(float(units) * float(price) for units, price in pairs)


def examples() -> list[Example]:
    text = GUIDE.read_text(encoding="utf-8").partition("## Worked examples")[2].partition("\n## ")[0]
    rows = []
    for line in text.splitlines():
        if not line.startswith("| `"):
            continue
        provider, model, usage, computation, usd = (cell.strip() for cell in line.strip("|").split(" | "))
        named = re.fullmatch(r"`([^`]+)`(?: \((\w+)\))?", model)
        assert named, model
        counts = dict(pair.rsplit(" ", 1) for pair in usage.split(", "))
        rows.append(
            Example(
                provider.strip("` "),
                named[1],
                named[2] or "",
                {name: int(count) for name, count in counts.items()},
                computation,
                float(usd),
            )
        )
    return rows


def test_every_worked_example_is_what_the_ledger_computes(tmp_path: Path) -> None:
    worked_examples = examples()
    assert len({example.provider for example in worked_examples}) >= 12
    store = open_store(f"chdb://{tmp_path / 'store'}", 3650)
    try:
        store.insert_rows(
            "otel_traces",
            [
                {
                    "Timestamp": datetime(2026, 11, 20, 12, tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S"),
                    "TraceId": "t",
                    "SpanId": str(number),
                    "SpanKind": "Client",
                    "SpanAttributes": {
                        "gen_ai.operation.name": "chat",
                        "gen_ai.provider.name": example.provider,
                        "gen_ai.request.model": example.model,
                        "llmtrace.response.service_tier": example.tier,
                        **{ATTRIBUTES[name]: str(count) for name, count in example.usage.items()},
                    },
                }
                for number, example in enumerate(worked_examples)
            ],
        )
        PriceBook(store, ()).sync()
        rows = {int(row["SpanId"]): row for row in store.rows("SELECT SpanId, Cost FROM call_cost")}
    finally:
        store.close()
    for number, example in enumerate(worked_examples):
        assert rows[number]["Cost"] == pytest.approx(example.usd, rel=1e-9), example
        assert example.computed() == pytest.approx(example.usd, rel=1e-9), example

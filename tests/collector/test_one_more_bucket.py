"""One entry more in the table of attributes is found everywhere: a bucket of tokens and a dialect's key."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from llmtrace_collector.attributes.parts import PARTS
from llmtrace_collector.pricing.charges import BUCKETS

from .one_more_bucket import FOREIGN, KEY, NAME, PLAIN, PRICES

DOCUMENTS = PLAIN[1] + FOREIGN[1]
FRESH = PLAIN[0] + FOREIGN[0] - DOCUMENTS - PLAIN[2]
#: USD of the parts, by their names on the page.
COSTS = {
    "Input": FRESH * PRICES["input_per_million"] / 1e6,
    "Cached input": PLAIN[2] * PRICES["cache_read_per_million"] / 1e6,
    "Audio and images": DOCUMENTS * PRICES["document_input_per_million"] / 1e6,
    "Output": (PLAIN[3] + FOREIGN[2]) * PRICES["output_per_million"] / 1e6,
}
COST = sum(COSTS.values())
TABLES = {"otel_traces", "usage_10s", "usage_hour", "usage_hour_closed", "call_cost", "cost_hour"}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program beside this file found."""
    command = [
        sys.executable,
        "-m",
        "tests.collector.one_more_bucket",
        str(tmp_path_factory.mktemp("bucket")),
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def fresh(seen: dict[str, Any]) -> dict[str, Any]:
    """The part of it that is of a fresh store."""
    return dict(seen["fresh"])


def test_spans_and_sums_have_it(fresh: dict[str, Any]) -> None:
    assert set(fresh["columns"]) >= TABLES
    assert fresh["decoded"] == [
        {"SpanName": "plain", "InputTokens": PLAIN[0], NAME: PLAIN[1]},
        {"SpanName": "foreign", "InputTokens": FOREIGN[0], NAME: FOREIGN[1]},
    ]
    assert fresh["live"] == [[{"sum": DOCUMENTS}]] * 2
    assert fresh["closed"] == [[{"sum": DOCUMENTS}]] * 2


def test_it_is_charged_at_its_price(fresh: dict[str, Any]) -> None:
    saved = PLAIN[2] * (PRICES["input_per_million"] - PRICES["cache_read_per_million"]) / 1e6
    for (charges,) in fresh["charges"]:
        assert charges == pytest.approx(
            {
                "DocumentInputCost": COSTS["Audio and images"],
                "InputCost": COSTS["Input"],
                "Cost": COST,
                "CacheSavings": saved,
            }
        )


def test_reports_charts_and_exports_tell_it(fresh: dict[str, Any]) -> None:
    assert (fresh["cost"], fresh["tokens"]) == (pytest.approx(COST), DOCUMENTS)
    assert fresh["parts"]["Audio and images"] == pytest.approx(COSTS["Audio and images"])
    assert sum(fresh["parts"].values()) == pytest.approx(COST)
    assert fresh["series"] == pytest.approx({part.label: COSTS.get(part.label, 0) for part in PARTS.values()})
    (line,) = (line for line in fresh["focus"] if line["x_TokenKind"] == "document input")
    assert (line["PricingQuantity"], line["PricingUnit"]) == (DOCUMENTS / 1e6, "1000000 Tokens")
    assert line["BilledCost"] == pytest.approx(COSTS["Audio and images"])
    assert sum(line["BilledCost"] for line in fresh["focus"]) == pytest.approx(COST)
    assert "document_input" in fresh["priced_by"]


def test_pages_made_from_the_table_name_it(fresh: dict[str, Any]) -> None:
    lines = fresh["docs"]
    assert f"| `{NAME}` | `UInt64` | tokens | Tokens of input that were document | `{KEY}` |" in lines
    assert any(line.startswith("| `DocumentInputCost` |") for line in lines)
    assert any(line.startswith(f"| `{NAME}` | `{KEY}`, `acme.usage>document`") for line in lines)
    assert "| document input | document input | input |" in lines


def test_a_store_of_before_gets_it(seen: dict[str, Any]) -> None:
    before = seen["before"]
    assert before["columns"] == seen["fresh"]["columns"]
    assert before["sums"] == [{"spans": 12, "sum": DOCUMENTS}]


def test_every_bucket_is_in_a_part() -> None:
    assert {bucket.part for bucket in BUCKETS} | {"stated"} == set(PARTS)

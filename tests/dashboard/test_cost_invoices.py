"""Providers' exports against the ledger."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from llmtrace_analysis.cost import invoices
from llmtrace_analysis.cost.invoices.azure import model_of
from llmtrace_analysis.cost.reconcile import plain_name, reconcile

OPENAI = """\
start_time,end_time,start_time_iso,model,num_model_requests,input_tokens,input_cached_tokens,output_tokens
1793491200,1793577600,2026-11-01T00:00:00+00:00,gpt-4o-2024-08-06,2,2000,800,200
1793491200,1793577600,2026-11-01T00:00:00+00:00,gpt-4o-2024-08-06,1,1000,0,50
1793577600,1793664000,2026-11-02T00:00:00+00:00,gpt-4o-mini-2024-07-18,5,500,0,100
"""
ANTHROPIC = (
    "usage_date_utc,model_version,api_key,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,"
    """usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens
2026-11-01,claude-sonnet-4-5-20250929,k,500,1000,0,500,300
"""
)
AZURE = """Date,MeterName,Quantity,UnitOfMeasure,CostInBillingCurrency
11/01/2026,gpt 4o 0806 Inp glbl Tokens,2.5,1K,0.00625
11/01/2026,gpt 4o 0806 Outp glbl Tokens,0.4,1K,0.004
11/01/2026,gpt 4o 0806 cchd Inp glbl Tokens,1.5,1K,0.001875
"""


def saved(folder: Path, text: str) -> Path:
    path = folder / "export.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_exports_of_three_providers_mean_the_same(tmp_path: Path) -> None:
    first, _ = invoices.read("openai", saved(tmp_path, OPENAI)).to_dict("records")
    assert first["model"] == "gpt-4o-2024-08-06"
    assert first["day"] == "2026-11-01"
    reported = ["input_tokens", "cache_read_tokens", "output_tokens", "requests"]
    assert [first[name] for name in reported] == [
        3000, 800, 250, 3,
    ]  # fmt: skip
    assert pd.isna(first["cost"])
    (anthropic,) = invoices.read("anthropic", saved(tmp_path, ANTHROPIC)).to_dict("records")
    assert (anthropic["input_tokens"], anthropic["cache_write_tokens"], anthropic["output_tokens"]) == (
        2000, 1000, 300,
    )  # fmt: skip
    (azure,) = invoices.read("azure", saved(tmp_path, AZURE)).to_dict("records")
    assert (azure["model"], azure["input_tokens"], azure["cache_read_tokens"]) == ("gpt-4o", 4000, 1500)
    assert azure["cost"] == pytest.approx(0.012125)
    assert model_of("gpt 4o mini 0718 Outp regnl Tokens") == "gpt-4o-mini"


def test_a_wrong_file_is_answered_with_the_columns_it_should_have(tmp_path: Path) -> None:
    with pytest.raises(
        invoices.UnreadableExport, match=r"no usage export of Anthropic: the day .* usage_date_utc"
    ):
        invoices.read("anthropic", saved(tmp_path, "when,what\n1,2\n"))
    with pytest.raises(invoices.UnreadableExport, match="cannot be read as CSV"):
        invoices.read("openai", saved(tmp_path, ""))
    with pytest.raises(invoices.UnreadableExport, match="no column with tokens"):
        invoices.read("openai", saved(tmp_path, "date,model\n2026-11-01,gpt-4o\n"))


def usage(day: str, model: str, tokens: float, **more: float) -> dict[str, object]:
    usual = {"requests": 10.0, "input_tokens": tokens, "cache_read_tokens": 0.0,
             "cache_write_tokens": 0.0, "output_tokens": 100.0, "cost": 1.0,
             "unpriced_calls": 0.0, "calls_without_tokens": 0.0}  # fmt: skip
    return {"day": day, "model": model, **usual, **more}


@pytest.mark.parametrize(
    ("theirs", "ours", "cause"),
    [
        ([usage("d1", "m-2026-01-01", 1000)], [usage("d1", "M", 1000)], ""),
        ([usage("d1", "m", 1001)], [usage("d1", "m", 1000)], ""),
        ([usage("d1", "m", 1000)], [], "no call of this model was traced"),
        ([], [usage("d1", "m", 1000)], "not on the invoice"),
        ([usage("d1", "m", 2000)], [usage("d1", "m", 1000)], "calls that were not traced"),
        ([usage("d1", "m", 2000)], [usage("d1", "m", 1000, calls_without_tokens=3)], "3 traced calls told"),
        ([usage("d1", "m", 1000)], [usage("d1", "m", 2000)], "more traced than billed"),
        ([usage("d1", "m", 1000, cache_read_tokens=500)], [usage("d1", "m", 1000)], "cached tokens differ"),
        ([usage("d1", "m", 1000)], [usage("d1", "m", 1000, unpriced_calls=4)], "4 calls have no price"),
        ([usage("d1", "m", 1000, cost=0.5)], [usage("d1", "m", 1000)], "same tokens, other price"),
    ],
)  # fmt: skip
def test_each_difference_has_its_likely_cause(
    theirs: list[dict[str, object]], ours: list[dict[str, object]], cause: str
) -> None:
    columns = list(usage("", "", 0))
    (row,) = reconcile(
        pd.DataFrame(theirs, columns=columns).drop(columns=["unpriced_calls", "calls_without_tokens"]),
        pd.DataFrame(ours, columns=columns),
    ).to_dict("records")
    assert row["matches"] is (cause == "")
    assert str(row["cause"]).startswith(cause)


def test_days_cut_at_other_hours_are_told_from_calls_that_are_missing() -> None:
    theirs = pd.DataFrame([usage("d1", "m", 1500), usage("d2", "m", 500)])
    ours = pd.DataFrame([usage("d1", "m", 1000), usage("d2", "m", 1000)])
    theirs = theirs.drop(columns=["unpriced_calls", "calls_without_tokens"])
    assert set(reconcile(theirs, ours)["cause"]) == {
        "days are cut at different hours: over all days the tokens agree"
    }
    assert plain_name("openai/gpt-4o-2024-08-06") == plain_name("gpt-4o-latest") == "gpt-4o"

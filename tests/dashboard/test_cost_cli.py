"""`llmtrace cost` against a running collector: the figures are those of the dashboard's queries."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from llmtrace_analysis.cost import focus_columns, report
from llmtrace_analysis.cost.planning.waste import KINDS
from llmtrace_analysis.cost.reconcile import plain_name
from llmtrace_analysis.queries.scope import Scope
from llmtrace_cli.main import cli
from tests.dashboard.stack import ADMIN_KEY, Stack


def run(stack: Stack, *arguments: str) -> Result:
    """The command on the running collector."""
    environment = {"LLMTRACE_ADMIN_KEY": ADMIN_KEY}
    return CliRunner().invoke(cli, ["cost", *arguments, "--url", stack.url], env=environment)


def period(stack: Stack) -> tuple[Scope, list[str]]:
    """Whole hours around the traffic, as a scope and as options."""
    until = datetime.fromtimestamp(stack.end, UTC).replace(minute=0, second=0) + timedelta(hours=1)
    since = until - timedelta(hours=4)
    return Scope(since, until), ["--from", since.isoformat(), "--to", until.isoformat()]


@pytest.mark.parametrize("by", ["model", "user", "service", "provider"])
def test_a_report_gives_the_figures_of_the_ledger(stack: Stack, by: str) -> None:
    scope, options = period(stack)
    expected_rows = report.report(stack.reader(), scope, [by]).set_index(by)
    done = run(stack, "report", "--by", by, *options, "--format", "json")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert len(rows) == len(expected_rows) > 0
    for row in rows:
        expected = expected_rows.loc[row[by]]
        assert row["calls"] == expected["calls"]
        assert row["unpriced_calls"] == expected["unpriced_calls"]
        assert row["input_tokens"] == expected["input_tokens"]
        assert (row["cost"] is None) == pd.isna(expected["cost"])
        if row["cost"] is not None:
            assert row["cost"] == pytest.approx(expected["cost"], rel=1e-9)


def test_every_format_says_the_same(stack: Stack, tmp_path: Path) -> None:
    _, options = period(stack)
    asked = ["report", "--by", "model,user", *options]
    rows = json.loads(run(stack, *asked, "--format", "json").stdout)
    table = list(csv.DictReader(io.StringIO(run(stack, *asked, "--format", "csv").stdout)))
    assert [row["cost"] for row in table] == ["" if row["cost"] is None else str(row["cost"]) for row in rows]
    file = tmp_path / "cost.parquet"
    assert run(stack, *asked, "--format", "parquet", "-o", str(file)).exit_code == 0
    assert pd.read_parquet(file)["cost"].sum() == pytest.approx(sum(row["cost"] or 0 for row in rows))
    lines = run(stack, *asked).stdout.splitlines()
    assert lines[0].split()[:3] == ["model", "user", "calls"]
    assert len(lines) == len(rows) + 2


def test_what_has_no_price_is_named(stack: Stack) -> None:
    scope, options = period(stack)
    unpriced = report.report(stack.reader(), scope, ["model"])
    unpriced = unpriced[unpriced["unpriced_calls"] > 0]
    done = run(stack, "report", *options)
    assert not unpriced.empty
    assert all(f"/{model}" in done.stderr for model in unpriced["model"])


def test_waste_is_reported(stack: Stack) -> None:
    _, options = period(stack)
    done = run(stack, "waste", *options, "--format", "json")
    assert done.exit_code == 0, done.output
    assert [(row["sort"], row["kind"]) for row in json.loads(done.stdout)] == [
        *(("waste", kind) for kind in KINDS), ("possible", "cacheable"), ("saving", "prompt_cache"),
        ("saving", "batch"), ("saving", "response_cache"),
    ]  # fmt: skip


def test_what_if_starts_from_what_was_spent(stack: Stack) -> None:
    scope, options = period(stack)
    done = run(stack, "whatif", "openai/gpt-4o-mini", "openai/nothing", *options, "--format", "json")
    assert done.exit_code == 0, done.output
    was, mini, nothing = json.loads(done.stdout)
    assert was["cost"] == pytest.approx(report.report(stack.reader(), scope)["cost"].sum())
    assert 0 < mini["cost"] < was["cost"]
    assert mini["saving"] == pytest.approx(was["cost"] - mini["cost"])
    assert nothing["cost"] is None
    assert "write provider/model" in run(stack, "whatif", "gpt-4o").output


def test_reserved_capacity_is_held_against_the_same_money(stack: Stack) -> None:
    scope, options = period(stack)
    done = run(stack, "reserved", "--price", "0.01", "--tpm", "5000", *options, "--format", "json")
    assert done.exit_code == 0, done.output
    none = json.loads(done.stdout)[0]
    assert none["cost"] == pytest.approx(report.report(stack.reader(), scope)["cost"].sum())
    assert "a unit breaks even at" in done.stderr


def test_the_focus_export_adds_up_and_keeps_the_rules(stack: Stack) -> None:
    scope, options = period(stack)
    done = run(stack, "export", *options, "--format", "csv")
    assert done.exit_code == 0, done.output
    data = pd.read_csv(io.StringIO(done.stdout))
    assert focus_columns.violations(data) == []
    assert data["BilledCost"].sum() == pytest.approx(report.report(stack.reader(), scope)["cost"].sum())
    assert "calls without a price have no row" in done.stderr


def test_the_settings_and_the_options_say_whose_days_and_which_currency(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, options = period(stack)
    rates = "[[dashboard.exchange_rates]]\ncurrency = 'CNY'\nper_usd = 7.0\nsince = 2020-01-01\n"
    (tmp_path / "llmtrace.toml").write_text(
        f"[dashboard]\ncurrency = 'CNY'\ntime_zone = 'Asia/Shanghai'\n{rates}", encoding="utf-8"
    )
    usual = pd.read_csv(io.StringIO(run(stack, "export", *options, "--format", "csv").stdout))
    dollars = json.loads(run(stack, "report", *options, "--format", "json").stdout)[0]["cost"]
    monkeypatch.chdir(tmp_path)
    done = run(stack, "export", "--focus-version", "1.4", *options, "--format", "csv")
    assert done.exit_code == 0, done.output
    assert "days and months are those of Asia/Shanghai" in done.stderr
    data = pd.read_csv(io.StringIO(done.stdout))
    assert focus_columns.violations(data, "1.4") == []
    assert set(data["BillingCurrency"]) == {"CNY"}
    assert data["ChargePeriodStart"].str.endswith("T16:00:00Z").all()
    assert data["BilledCost"].sum() == pytest.approx(7 * usual["BilledCost"].sum())
    yuan = run(stack, "report", *options, "--by", "day", "--format", "json")
    assert "days and months are those of Asia/Shanghai" in yuan.stderr
    assert sum(row["cost"] or 0 for row in json.loads(yuan.stdout)) == pytest.approx(7 * dollars)
    asked = ["--currency", "usd", "--time-zone", "UTC"]
    again = run(stack, "report", *options, *asked, "--format", "json")
    assert json.loads(again.stdout)[0]["cost"] == pytest.approx(dollars)
    assert "is no time zone" in run(stack, "report", "--time-zone", "Mars/Base").output
    assert "there is no rate for JPY" in run(stack, "export", *options, "--currency", "JPY").output


def test_an_invoice_is_reconciled_with_the_ledger(stack: Stack, tmp_path: Path) -> None:
    sql = """SELECT toString(toDate(Time)) AS day, ResponseModel AS model, sum(Calls) AS requests,
        sum(InputTokens) AS input, sum(CacheReadTokens) AS cached, sum(OutputTokens) AS output
        FROM cost_hour WHERE Provider = 'openai' AND Purpose != 'simulated' AND ResponseModel != ''
        GROUP BY day, model"""
    rows = stack.reader().query(sql).result_rows
    assert rows
    lines = ["start_time_iso,model,num_model_requests,input_tokens,input_cached_tokens,output_tokens"]
    lines += [f"{row[0]}T00:00:00Z," + ",".join(map(str, row[1:])) for row in rows]
    lines.append(f"{rows[0][0]}T00:00:00Z,gpt-unknown,3,1000,0,10")
    file = tmp_path / "usage.csv"
    file.write_text("\n".join(lines) + "\n")
    done = run(stack, "reconcile", "openai", str(file), "--all", "--format", "json")
    assert done.exit_code == 0, done.output
    by_model = {row["model"]: row for row in json.loads(done.stdout)}
    assert by_model["gpt-unknown"]["cause"].startswith("no call of this model was traced")
    for row in rows:
        matched = by_model[plain_name(row[1])]
        assert matched["input_tokens_invoice"] == matched["input_tokens_ledger"]
    file.write_text("a,b\n1,2\n")
    assert "no usage export of OpenAI" in run(stack, "reconcile", "openai", str(file)).output


def test_a_forecast_says_when_it_has_too_little_to_learn_from(stack: Stack) -> None:
    done = run(stack, "forecast")
    assert done.exit_code == 1
    assert "a forecast needs 7 full days" in done.output
    assert run(stack, "forecast", "--backtest").exit_code == 1


def test_a_price_is_set_shown_and_taken_back(stack: Stack) -> None:
    _, options = period(stack)

    def spent() -> dict[str, float | None]:
        rows = json.loads(run(stack, "report", "--by", "model", *options, "--format", "json").stdout)
        return {row["model"]: row["cost"] for row in rows}

    first = json.loads(run(stack, "prices", "books", "--format", "json").stdout)[0]["book"]
    before = spent()
    unpriced = next(model for model, cost in before.items() if cost is None)
    try:
        done = run(stack, "prices", "set", f"/{unpriced}", "--input", "1", "--output", "2", "--note", "guess")
        assert done.exit_code == 0, done.output
        priced = spent()
        assert priced[unpriced] == pytest.approx(_flat(stack, unpriced, 1, 2))
        assert {**priced, unpriced: None} == before
        second = done.output.strip().removeprefix("in effect: ")
        changed = json.loads(run(stack, "prices", "diff", first, second, "--format", "json").stdout)
        assert {(row["model"], row["price"]) for row in changed} == {
            (unpriced, "input"),
            (unpriced, "output"),
        }
        dry_run = run(stack, "reprice", "--book", first, "--dry-run", *options, "--format", "json")
        assert {row["model"] for row in json.loads(dry_run.stdout)} == {unpriced}
        lost = sum(row["difference"] for row in json.loads(dry_run.stdout))
        assert -lost == pytest.approx(priced[unpriced])
        assert spent() == priced
        # From tomorrow on is not today.
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
        run(stack, "prices", "set", f"/{unpriced}", "--input", "9", "--output", "9", "--from", tomorrow)
        assert spent() == priced
    finally:
        assert run(stack, "reprice", "--book", first, *options).exit_code == 0
    assert spent() == before
    assert "there is no book 'none'" in run(stack, "prices", "list", "--book", "none").output
    listed = json.loads(run(stack, "prices", "list", "--format", "json").stdout)
    assert any(row["model"] == unpriced and not row["priced"] for row in listed)


def _flat(stack: Stack, model: str, input_price: float, output_price: float) -> float:
    """USD of a model's live calls at flat prices per million tokens."""
    sql = """SELECT sum(InputTokens), sum(OutputTokens) FROM usage_10s
    WHERE Purpose = 'product' AND Model = {m:String}"""
    ((tokens_in, tokens_out),) = stack.reader().query(sql, parameters={"m": model}).result_rows
    return float((tokens_in * input_price + tokens_out * output_price) / 1e6)


def test_wrong_words_are_answered_with_the_right_ones(stack: Stack) -> None:
    wrong = run(stack, "report", "--by", "colour")
    assert wrong.exit_code == 2
    assert "there is no dimension 'colour'; there are project, provider, model" in wrong.output
    assert "is no time; write 2026-11-01" in run(stack, "report", "--from", "yesterday").output
    backwards = run(stack, "report", "--from", "2026-02", "--to", "2026-01")
    assert "before it starts" in backwards.output
    nobody = CliRunner().invoke(cli, ["cost", "report", "--url", "http://127.0.0.1:9"])
    assert "cannot be read" in nobody.output
    assert nobody.exit_code == 1


def test_capacity_discounts_and_updates_are_kept_on_the_command_line(stack: Stack) -> None:
    _, options = period(stack)
    for command in ("accounts", "latency"):
        done = run(stack, command, *options, "--format", "json")
        assert done.exit_code == 0, done.output
        assert isinstance(json.loads(done.stdout), list)
    line = ["--kind", "gpu", "--name", "GPUs", "--units", "2", "--price", "3", "--from", options[1][:10]]
    assert run(stack, "fixed", "set", "gpus", *line).output == "kept: gpus\n"
    (fixed_cost,) = json.loads(run(stack, "fixed", "list", *options, "--format", "json").stdout)
    assert fixed_cost["cost"] == pytest.approx(2 * 3 * fixed_cost["hours"])
    assert "fixed lines, apart:" in run(stack, "report", *options).stderr
    assert run(stack, "fixed", "remove", "gpus").output == "removed: gpus\n"
    assert "there is no fixed line 'gpus'" in run(stack, "fixed", "remove", "gpus").output
    book = json.loads(run(stack, "prices", "books", "--format", "json").stdout)[0]["book"]
    try:
        done = run(stack, "prices", "discount", "10", "--project", "nobody")
        assert done.exit_code == 0, done.output
        again = run(stack, "prices", "update", "--dry-run")
        assert "nothing new" in again.stderr
    finally:
        assert run(stack, "reprice", "--book", book, *options).exit_code == 0

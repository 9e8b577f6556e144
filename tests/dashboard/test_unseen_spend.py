"""What providers bill against what was traced: silent where all was, and nothing missed where not."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from clickhouse_connect.driver.client import Client
from hypothesis import example, given
from hypothesis import strategies as st

import llmtrace_cli.cost.reconcile as command
from llmtrace.testing import ReplayServer
from llmtrace_analysis.cost import invoices
from llmtrace_analysis.cost.invoices.billed import NUMBERS, TOKENS
from llmtrace_analysis.cost.reconcile import reconcile
from llmtrace_analysis.cost.unseen import Thresholds, unseen_days
from llmtrace_cli.main import cli
from llmtrace_collector.accounting.call_dedup import CallDeduplicator
from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.store.store import Store, open_store
from tests.collector.prefilled import prefill

from . import billing_month as bills

SHANGHAI = "Asia/Shanghai"
PERIOD = ["--from", bills.SINCE.isoformat(), "--to", bills.UNTIL.isoformat()]
CALLS = {provider: bills.month(provider) for provider in bills.PROVIDERS}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The month's calls of all providers, traced."""
    folder = tmp_path_factory.mktemp("bills") / "store"
    opened = open_store(f"chdb://{prefill(folder)}", 3650)
    opened.insert_rows("otel_traces", bills.spans(call for calls in CALLS.values() for call in calls))
    CallDeduplicator(opened).sync()
    opened.roll_up(at_once=True)
    PriceBook(opened, ()).sync()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[Client]:
    opened = store.client
    yield opened
    opened.close()


class Bench:
    """`llmtrace cost reconcile` over the store, with exports and usage APIs of calls."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._client = client
        self._folder = folder

    def export(self, provider: str, calls: list[bills.Call], *words: str, zone: str = "UTC") -> Result:
        file = self._folder / f"{provider}.csv"
        file.write_text(bills.export(provider, calls, zone), encoding="utf-8")
        return self.run(provider, str(file), *words)

    def asked(self, provider: str, calls: list[bills.Call], *words: str) -> Result:
        with ReplayServer(respond=bills.UsageApi(provider, calls), provider="") as server:
            settings = self._folder / "llmtrace.toml"
            settings.write_text(
                f"[[watch.billing]]\nprovider = '{provider}'\nbase_url = '{server.url}'\n"
                f"key = '{bills.ADMIN_KEY}'\nscope = '{bills.SCOPE}'\n"
            )
            return self.run(provider, *PERIOD, *words, settings=settings)

    def run(self, *words: str, settings: Path | None = None) -> Result:
        @contextmanager
        def reader(context: click.Context, url: str | None) -> Iterator[Client]:
            yield self._client

        named = [] if settings is None else ["--config", str(settings)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(command, "store_reader", reader)
            return CliRunner().invoke(cli, [*named, "cost", "reconcile", *words])


@pytest.fixture
def bench(client: Client, tmp_path: Path) -> Bench:
    return Bench(client, tmp_path)


def rows_of(done: Result) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


@pytest.mark.parametrize("provider", bills.PROVIDERS)
@pytest.mark.parametrize("way", ["export", "asked"])
def test_a_complete_month_is_silent(bench: Bench, provider: str, way: str) -> None:
    words = ["--fail-above", "0", "--format", "json", "--all"]
    done = getattr(bench, way)(provider, CALLS[provider], *words)
    assert done.exit_code == 0, done.output
    rows = rows_of(done)
    assert {row["cause"] for row in rows} == {""}
    # Attempts that failed and were made again are no calls of their own.
    assert sum(row["requests_ledger"] for row in rows) == len(CALLS[provider])
    assert sum(row["unseen_cost"] for row in rows) == 0
    cost = sum(call.cost for call in CALLS[provider])
    assert sum(row["billed_cost"] for row in rows) == pytest.approx(cost, rel=1e-4)
    assert {row["day"] for row in rows} == {call.day for call in CALLS[provider]}
    keys = {row["key"] for row in rows}
    if (provider, way) != ("azure", "asked"):  # names of resources come in small letters there
        named = bills.export_key if way == "export" else bills.key_id
        assert keys == {named(provider, name) for name in ("a", "b")}
    assert {row["joined_by"] for row in rows} <= {"figures", "hash"} if provider != "azure" else True


@pytest.mark.parametrize("provider", ["openai", "anthropic", "azure"])
def test_days_of_another_zone_are_held_against_the_same_days(bench: Bench, provider: str) -> None:
    words = ["--format", "json", "--fail-above", "0"]
    done = bench.export(provider, CALLS[provider], *words, "--time-zone", SHANGHAI, zone=SHANGHAI)
    assert done.exit_code == 0, done.output
    assert rows_of(done) == []
    # Held against days of UTC they do not agree, but make up for each other.
    shifted = bench.export(provider, CALLS[provider], *words, zone=SHANGHAI)
    assert shifted.exit_code == 0, shifted.output
    assert {row["cause"] for row in rows_of(shifted)} == {
        "days are cut at different hours: over all days the tokens agree"
    }


@pytest.mark.parametrize("provider", bills.PROVIDERS)
@pytest.mark.parametrize("way", ["export", "asked"])
def test_an_untraced_key_and_an_untraced_model_are_named(bench: Bench, provider: str, way: str) -> None:
    of_key, of_model = bills.planted(provider, CALLS[provider])
    billed = [*CALLS[provider], *of_key, *of_model]
    done = getattr(bench, way)(provider, billed, "--format", "json", "--fail-above", "0.01")
    assert done.exit_code == 1, done.output
    rows = rows_of(done)
    unseen = [row for row in rows if row["unseen"]]
    assert rows == unseen
    named = bills.export_key if way == "export" else bills.key_id
    planted_key = named(provider, "planted").lower()
    if (provider, way) == ("openrouter", "asked"):
        planted_key = ""  # a key that is deleted: its calls are in the total alone
    else:
        of_planted = [row for row in unseen if row["key"].lower() == planted_key]
        assert {row["cause"] for row in of_planted} == {"no call of this key was traced"}
        assert len(of_planted) == len({(call.day, call.model) for call in of_key})
        if way == "asked" and provider != "azure":
            assert {row["key_name"].partition(" (")[0] for row in of_planted} == {"forgotten notebook"}
    of_planted_model = [row for row in unseen if row["model"] in ("o3", "claude-opus-4-1")]
    assert {row["day"] for row in of_planted_model} == {"2026-10-05", "2026-10-06", "2026-10-07"}
    assert all(row["cause"].startswith("no call of this model was traced") for row in of_planted_model)
    tokens = sum(row["input_tokens_difference"] for row in unseen)
    assert tokens == pytest.approx(sum(call.input for call in (*of_key, *of_model)), rel=1e-6)
    cost = sum(call.cost for call in (*of_key, *of_model))
    assert sum(row["unseen_cost"] for row in unseen) == pytest.approx(cost, rel=0.05)
    assert "no span explains" in done.stderr


@pytest.mark.parametrize("provider", bills.PROVIDERS)
def test_saved_answers_are_read_as_exports_are(bench: Bench, provider: str, tmp_path: Path) -> None:
    of_key, _ = bills.planted(provider, CALLS[provider])
    api = bills.UsageApi(provider, [*CALLS[provider], *of_key])
    answers: list[Any] = []

    def keep(request: Any) -> Any:
        answer = api(request)
        answers.append(json.loads(answer.body))
        return answer

    with ReplayServer(respond=keep, provider="") as server:
        settings = tmp_path / "llmtrace.toml"
        settings.write_text(
            f"[[watch.billing]]\nprovider = '{provider}'\nbase_url = '{server.url}'\n"
            f"key = '{bills.ADMIN_KEY}'\nscope = '{bills.SCOPE}'\n"
        )
        asked = bench.run(provider, *PERIOD, "--format", "json", settings=settings)
    reports = [page for page in answers if "properties" in page or _is_report(page)]
    if provider == "openrouter":
        reports = reports[:1]  # the total: pages of one key do not say whose they are
    for number, text in enumerate((json.dumps(reports), "\n".join(map(json.dumps, reports)))):
        file = tmp_path / f"answers{number}.json"
        file.write_text(text)
        saved = bench.run(provider, str(file), "--format", "json")
        assert saved.exit_code == 0, saved.output
        figures = ["day", "model", "input_tokens_difference", "unseen"]
        assert sorted([row[name] for name in figures] for row in rows_of(saved)) == sorted(
            [row[name] for name in figures] for row in rows_of(asked)
        )
    file.write_text('{"hello": 1}')
    refused = bench.run(provider, str(file))
    assert refused.exit_code == 1
    assert "has no rows" in refused.output or "this is no answer" in refused.output


def _is_report(page: Any) -> bool:
    return any(("results" in item or "date" in item) for item in page.get("data", ()))


def test_a_key_that_settings_join_is_compared_by_itself(bench: Bench, tmp_path: Path) -> None:
    """Half of key a's calls are not traced: joined, what is missing is its own; else it may be of either."""
    calls = CALLS["openai"]
    extra = [call for call in calls if call.key == "a" and call.at.hour == 0]
    file = tmp_path / "usage.csv"
    file.write_text(bills.export("openai", [*calls, *extra]))
    settings = tmp_path / "llmtrace.toml"
    joined = {bills.key_id("openai", name): bills.mark("openai", name) for name in ("a", "b")}
    settings.write_text(
        "[[watch.billing]]\nprovider = 'openai'\n[watch.billing.accounts]\n"
        + "".join(f"{key} = '{mark}'\n" for key, mark in joined.items())
    )
    rows = rows_of(bench.run("openai", str(file), "--format", "json", settings=settings))
    assert {(row["key"], row["account"], row["joined_by"]) for row in rows if row["unseen"]} == {
        ("key_a", joined["key_a"], "settings")
    }
    assert {row["cause"] for row in rows} == {"calls that were not traced, or retries inside the client"}
    # A key of another account of ours than any that was traced is named.
    settings.write_text("[[watch.billing]]\nprovider = 'openai'\naccounts = { key_a = 'key-000000000000' }\n")
    rows = rows_of(bench.run("openai", str(file), "--format", "json", settings=settings))
    assert {row["cause"] for row in rows if row["key"] == "key_a"} == {"no call of this key was traced"}


# Any traffic

_KEYS, _DAYS, _NAMED = (
    ("k1", "k2", "k3"),
    ("2026-10-01", "2026-10-02", "2026-10-03"),
    ("gpt-4o", "gpt-4o-mini"),
)
_CALL = st.tuples(
    st.sampled_from(_KEYS), st.sampled_from(_DAYS), st.sampled_from(_NAMED),
    st.integers(1, 5_000), st.integers(0, 500), st.booleans(),
)  # fmt: skip


def _billed(calls: list[tuple[Any, ...]], with_keys: bool) -> pd.DataFrame:
    rows = [
        {"day": day, "key": key if with_keys else "", "model": model, "input_tokens": tokens,
         "output_tokens": output, "requests": 1, "cost": 2.5e-6 * tokens + 1e-5 * output}
        for key, day, model, tokens, output, _ in calls
    ]  # fmt: skip
    return invoices.billed.frame_of(rows)


def _traced(calls: list[tuple[Any, ...]]) -> pd.DataFrame:
    names = ("requests", "unpriced_calls", "calls_without_tokens", *TOKENS, "cost")
    sums: dict[tuple[str, ...], dict[str, float]] = defaultdict(lambda: dict.fromkeys(names, 0.0))
    for key, day, model, tokens, output, is_traced in calls:
        if is_traced:
            row = sums[day, model, f"key-{key}"]
            row["requests"] += 1
            row["input_tokens"] += tokens
            row["output_tokens"] += output
            row["cost"] += 2.5e-6 * tokens + 1e-5 * output
    rows = [dict(zip(("day", "model", "account"), where, strict=True)) | row for where, row in sums.items()]
    return pd.DataFrame(rows, columns=["day", "model", "account", *names])


@given(st.lists(_CALL, min_size=1, max_size=12), st.sampled_from(["settings", "figures", "no keys"]))
@example(
    [("k1", "2026-10-01", "gpt-4o", 100, 0, False), ("k2", "2026-10-01", "gpt-4o", 200, 0, True)], "figures"
)
@example(
    [("k1", "2026-10-01", "gpt-4o", 1, 0, True), ("k1", "2026-10-02", "gpt-4o", 1, 0, False)], "settings"
)
def test_what_is_reported_as_missing_is_what_was_removed(calls: list[tuple[Any, ...]], joined: str) -> None:
    accounts = {key: (f"key-{key}",) for key in _KEYS} if joined == "settings" else {}
    rows = reconcile(_billed(calls, joined != "no keys"), _traced(calls), "openai", accounts)
    removed = [call for call in calls if not call[-1]]
    for column, number in (("input_tokens", 3), ("output_tokens", 4)):
        assert rows[f"{column}_difference"].sum() == pytest.approx(sum(call[number] for call in removed))
    assert rows["requests_difference"].sum() == pytest.approx(len(removed))
    assert rows["cost_difference"].sum() == pytest.approx(
        sum(2.5e-6 * call[3] + 1e-5 * call[4] for call in removed), abs=1e-9
    )
    if not removed:
        assert rows["matches"].all()
        assert not rows["unseen"].any()
    if joined == "settings":
        assert set(rows[rows["unseen"]]["key"]) <= {call[0] for call in removed}
        for key, of_key in rows.groupby("key"):
            assert of_key["input_tokens_difference"].sum() == pytest.approx(
                sum(call[3] for call in removed if call[0] == key)
            )
        # What is more than the rounding of exports is unseen, and its cost is that of what was removed.
        missing: dict[tuple[str, ...], float] = defaultdict(float)
        whole: dict[tuple[str, ...], float] = defaultdict(float)
        for key, day, model, tokens, output, is_traced in calls:
            whole[key, day, model] += 2.5e-6 * tokens + 1e-5 * output
            missing[key, day, model] += 0.0 if is_traced else 2.5e-6 * tokens + 1e-5 * output
        by_cell = rows.set_index(["key", "day"])
        for (key, day, model), cost in missing.items():
            if model == "gpt-4o" and cost > 0.02 * whole[key, day, model]:
                of_cell = by_cell.loc[[(key, day)]]
                row = of_cell[of_cell["model"] == model].iloc[0]
                assert row["unseen"]
                assert row["unseen_cost"] == pytest.approx(cost, rel=1e-6)


def test_a_little_that_is_missing_of_a_month_is_no_shift_of_days() -> None:
    calls = [("k1", f"2026-10-{day:02}", "gpt-4o", 100_000, 0, True) for day in range(1, 31)]
    calls.append(("k1", "2026-10-07", "gpt-4o", 10_000, 0, False))
    rows = reconcile(_billed(calls, True), _traced(calls), "openai")
    (unseen,) = rows[rows["unseen"]].to_dict("records")
    assert (unseen["day"], unseen["input_tokens_difference"]) == ("2026-10-07", 10_000)


def test_as_much_as_one_key_was_billed_is_that_key() -> None:
    """No key is joined: the accounts tell a little less than the keys, as calls that fail do."""
    calls = [
        (key, "2026-10-01", "gpt-4o", tokens, 0, True) for key, tokens in (("k1", 80_000), ("k2", 50_000))
    ]
    traced = _traced(calls)
    traced["input_tokens"] -= 40
    billed = _billed([*calls, ("k3", "2026-10-01", "gpt-4o", 20_000, 0, True)], True)
    rows = reconcile(billed, traced, "openai")
    (unseen,) = rows[rows["unseen"]].to_dict("records")
    assert (unseen["key"], unseen["cause"]) == ("k3", "no call of this key was traced")


def test_another_name_for_a_model_is_not_unseen() -> None:
    billed = _billed([("k1", "2026-10-01", "gpt-4o", 900, 10, True)], True)
    traced = _traced([("k1", "2026-10-01", "our-deployment", 900, 10, True)])
    rows = reconcile(billed, traced, "openai", {"k1": ("key-k1",)})
    assert not rows["unseen"].any()
    assert rows["cause"].str.startswith("the same tokens are").all()


def test_calls_that_told_no_tokens_explain_some_but_not_all() -> None:
    calls = [("k1", "2026-10-01", "gpt-4o", 1_000, 0, True) for _ in range(10)]
    traced = _traced(calls)
    traced[["requests", "calls_without_tokens"]] = [11.0, 1.0]
    few = reconcile(_billed([*calls, ("k1", "2026-10-01", "gpt-4o", 1_200, 0, True)], True), traced, "openai")
    assert not few["unseen"].any()
    assert few["cause"].iloc[0] == "1 traced calls told no tokens (failed or left streams)"
    many = reconcile(
        _billed([*calls, ("k1", "2026-10-01", "gpt-4o", 90_000, 0, True)], True), traced, "openai"
    )
    assert many["unseen"].all()


def test_what_is_billed_without_tokens_is_counted_by_requests_or_said_to_be_apart() -> None:
    rows = [
        {"day": "2026-10-01", "model": "gpt-image-1", "requests": 5, "cost": 0.2},
        {"day": "2026-10-01", "model": "web search tool calls", "cost": 3.0},
    ]
    traced = _traced([("k1", "2026-10-01", "gpt-image-1", 0, 0, True)] * 2)
    compared = reconcile(invoices.billed.frame_of(rows), traced, "openai").set_index("model")
    assert compared.loc["gpt-image-1", "unseen"]
    assert compared.loc["gpt-image-1", "unseen_cost"] == pytest.approx(0.2 * 3 / 5)
    assert not compared.loc["web search tool calls", "unseen"]
    assert str(compared.loc["web search tool calls", "cause"]).startswith(
        "billed by something else than tokens"
    )


def test_thresholds_are_of_a_day() -> None:
    calls = [
        ("k1", "2026-10-01", "gpt-4o", 2_000_000, 0, True),
        ("k1", "2026-10-02", "gpt-4o", 400_000, 0, False),
    ]
    unpriced = [("k1", "2026-10-03", "nobody-lists-this", 900, 0, False)]
    billed = pd.concat([_billed(calls, True), _billed(unpriced, True).assign(cost=float("nan"))])
    first, second, third = unseen_days(reconcile(billed, _traced(calls), "openai"))
    assert first.unseen == 0
    assert [second.unseen, second.share] == pytest.approx([1.0, 1.0])
    assert not first.exceeds(Thresholds(0.0, 0.0, 1))
    assert second.exceeds(Thresholds(0.99, 0.5, 10**6))
    assert not second.exceeds(Thresholds(1.01, 0.5, 10**6))
    assert third.unpriced_tokens == 900
    assert third.exceeds(Thresholds(1.0, 0.5, 900))
    assert not third.exceeds(Thresholds(1.0, 0.5, 901))


def test_costs_stated_apart_are_shared_out_whole() -> None:
    usage = invoices.billed.frame_of(
        [
            {"day": "d", "key": "k1", "model": "m-2025-01-01", "input_tokens": 100, "cache_read_tokens": 40},
            {"day": "d", "key": "k2", "model": "m", "input_tokens": 20, "output_tokens": 5},
        ]
    )
    stated = [
        invoices.billed.StatedCost("d", "m, input", 8.0, {"model": "m"}, "fresh_tokens"),
        invoices.billed.StatedCost("d", "m, output", 3.0, {"model": "m"}, "output_tokens"),
        invoices.billed.StatedCost("d", "storage", 1.0, {"model": "storage"}),
    ]
    data = invoices.billed.with_costs(usage, stated).set_index("model")
    assert data["cost"].to_dict() == {"m-2025-01-01": 6.0, "m": 5.0, "storage": 1.0}
    assert set(NUMBERS) <= set(data.columns)

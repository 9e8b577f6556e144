"""Usage APIs of providers, asked over loopback: paging, failures, and what is said of keys."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from llmtrace.testing import Answer, ReplayServer
from llmtrace.testing.replay import Received
from llmtrace_analysis.billing_settings import BillingSource, KeyMissing
from llmtrace_analysis.cost import usage_api
from llmtrace_analysis.cost.usage_api import client as usage_client
from llmtrace_cli.main import cli
from tests.collector.running import make_certificate

from . import billing_month as bills

SINCE, UNTIL = date(2026, 10, 1), date(2026, 10, 6)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What would have been waited between attempts."""
    waited: list[float] = []
    monkeypatch.setattr(usage_client, "sleep", waited.append)
    return waited


def source(provider: str, server: ReplayServer, **fields: Any) -> BillingSource:
    values = {"provider": provider, "base_url": server.url, "key": bills.ADMIN_KEY, "scope": bills.SCOPE}
    return BillingSource.model_validate(values | fields)


def first_days(provider: str) -> list[bills.Call]:
    return [call for call in bills.month(provider) if call.at.day < UNTIL.day]


@pytest.mark.parametrize("provider", bills.PROVIDERS)
def test_every_page_is_read_and_every_day_once(provider: str) -> None:
    calls = bills.month(provider)
    wanted = [call for call in calls if call.at.day < UNTIL.day]
    lines: list[str] = []
    with ReplayServer(respond=bills.UsageApi(provider, calls, page_days=2), provider="") as server:
        data = usage_api.billed([source(provider, server)], SINCE, UNTIL, lines.append)
    assert data["input_tokens"].sum() == pytest.approx(sum(call.input for call in wanted), rel=1e-6)
    assert data["output_tokens"].sum() == pytest.approx(sum(call.output for call in wanted), rel=1e-6)
    assert data["cost"].sum() == pytest.approx(sum(call.cost for call in wanted), rel=1e-4)
    assert set(data["day"]) == {call.day for call in wanted}
    if provider in ("openai", "openrouter"):
        assert data["requests"].sum() == len(wanted)
    assert any("pages" in line or "key 1 of 2" in line for line in lines)
    assert not any(bills.ADMIN_KEY in line for line in lines)
    targets = [request.path for request in server.requests]
    assert not any(bills.ADMIN_KEY in target for target in targets)
    if provider == "openai":
        usage = [parse_qs(urlsplit(target).query) for target in targets if "usage/completions" in target]
        assert [query.get("page") for query in usage] == [None, ["page_2"], ["page_4"]]
        assert usage[0]["group_by"] == ["model", "project_id", "api_key_id", "batch"]
        assert {target.partition("?")[0].rpartition("/")[2] for target in targets} == {
            "completions", "embeddings", "images", "audio_speeches", "audio_transcriptions", "moderations",
            "costs", "api_keys",
        }  # fmt: skip
    if provider == "anthropic":
        assert all(request.headers["anthropic-version"] == "2023-06-01" for request in server.requests)


def test_costs_that_cannot_be_grouped_by_key_are_shared_out() -> None:
    calls = first_days("openai")
    api = bills.UsageApi("openai", calls)
    api.keyless_costs = True
    with ReplayServer(respond=api, provider="") as server:
        data = usage_api.billed([source("openai", server)], SINCE, UNTIL)
    assert data["cost"].sum() == pytest.approx(sum(call.cost for call in calls))
    for model, of_model in data.groupby("model"):
        billed = sum(call.cost for call in calls if call.model == model)
        assert of_model["cost"].sum() == pytest.approx(billed)
        assert (of_model["cost"] > 0).all()


def test_what_is_in_openrouters_total_and_of_no_key_that_it_lists_is_not_lost() -> None:
    calls = first_days("openrouter")
    of_key, _ = bills.planted("openrouter", calls)
    with ReplayServer(respond=bills.UsageApi("openrouter", [*calls, *of_key]), provider="") as server:
        data = usage_api.billed([source("openrouter", server)], SINCE, UNTIL)
    left = data[data["key"] == ""]
    assert left["input_tokens"].sum() == sum(call.input for call in of_key)
    assert left["requests"].sum() == len(of_key)


def test_a_provider_that_asks_to_wait_is_waited_for(pauses: list[float]) -> None:
    api = bills.UsageApi("anthropic", first_days("anthropic"))
    refusals = iter(
        [Answer(b"slow down", 429, {"retry-after": "7"}), Answer(b"", 503),
         Answer(b"", 429, {"retry-after": "900"}),
         Answer(b"", 429, {"x-ms-ratelimit-microsoft.costmanagement-qpu-retry-after": "3"})]
    )  # fmt: skip
    with ReplayServer(respond=lambda request: next(refusals, None) or api(request), provider="") as server:
        data = usage_api.billed([source("anthropic", server)], SINCE, UNTIL)
    assert len(data)
    assert pauses == [7.0, 2.0, 60.0, 3.0]


def test_a_provider_that_stays_away_is_given_up(pauses: list[float]) -> None:
    with ReplayServer(Answer(b"down", 500), provider="") as server:
        with pytest.raises(usage_api.UsageApiUnavailable, match="after 5 attempts: it answers 500"):
            usage_api.billed([source("openai", server)], SINCE, UNTIL)
        assert len(server.requests) == 5
    assert pauses == [1.0, 2.0, 4.0, 8.0]
    with pytest.raises(usage_api.UsageApiUnavailable, match="ConnectError"):
        usage_api.billed([source("openai", server)], SINCE, UNTIL)  # nobody listens any more


@pytest.mark.parametrize(
    ("provider", "kind"),
    [("openai", "an admin key"), ("anthropic", "an Admin API key"), ("azure", "Cost Management Reader"),
     ("openrouter", "a management key")],
)  # fmt: skip
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_answered_with_the_kind_that_is_needed(
    provider: str, kind: str, status: int
) -> None:
    text = json.dumps({"error": f"wrong key {bills.ADMIN_KEY}"}).encode()
    with (
        ReplayServer(Answer(text, status), provider="") as server,
        pytest.raises(usage_api.UsageApiError, match=kind) as raised,
    ):
        usage_api.billed([source(provider, server)], SINCE, UNTIL)
    assert bills.ADMIN_KEY not in str(raised.value)
    assert len(server.requests) == 1


def test_other_answers_are_quoted_without_the_key() -> None:
    refused = json.dumps({"error": f"bad date, {bills.ADMIN_KEY}"}).encode()
    for answer, match in [
        (Answer(refused, 400), r"answers 400: .*bad date, \*\*\*"),
        (Answer(b"<html>", 200), "answers no JSON"),
        (Answer(b"[1]", 200), "answers no JSON object"),
        (Answer.json({"data": [{"end": 1}]}), "a bucket has no starting_at"),
        (Answer.json({"data": [], "has_more": True, "next_page": "again"}), "the same page again and again"),
        (Answer(b"", 302, {"location": "http://127.0.0.1:1/"}), "answers 302"),
    ]:
        with (
            ReplayServer(answer, provider="") as server,
            pytest.raises(usage_api.UsageApiError, match=match) as raised,
        ):
            usage_api.billed([source("anthropic", server)], SINCE, UNTIL)
        assert bills.ADMIN_KEY not in str(raised.value)


def test_a_token_of_azure_goes_nowhere_else_whatever_a_link_says() -> None:
    """The links of the replayed API name Azure's own host."""
    with ReplayServer(respond=bills.UsageApi("azure", bills.month("azure")), provider="") as server:
        usage_api.billed([source("azure", server)], bills.SINCE, bills.UNTIL)
    skipped = [request for request in server.requests if "skiptoken" in request.path]
    assert skipped
    assert all(request.method == "POST" and request.body for request in skipped)
    with pytest.raises(usage_api.UsageApiError, match="wants a scope"):
        usage_api.billed([source("azure", server, scope="")], SINCE, UNTIL)


def test_names_of_keys_are_not_needed() -> None:
    api = bills.UsageApi("anthropic", first_days("anthropic"))

    def respond(request: Received) -> Answer:
        return Answer(b"", 403) if "api_keys" in request.path else api(request)

    lines: list[str] = []
    with ReplayServer(respond=respond, provider="") as server:
        data = usage_api.billed([source("anthropic", server)], SINCE, UNTIL, lines.append)
    assert set(data["key"]) == {"apikey_a", "apikey_b"}
    assert set(data["key_name"]) == {""}
    assert any(line.startswith("names of keys are not known") for line in lines)


def test_the_key_is_from_settings_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ADMIN_KEY", " of-the-environment\n")
    monkeypatch.setenv("OTHER_KEY", "of-another-variable")
    file = tmp_path / "key"
    file.write_text("of-a-file\n")
    openai = BillingSource(provider="openai")
    assert openai.find_key() == "of-the-environment"
    assert openai.model_copy(update={"key_variable": "OTHER_KEY"}).find_key() == "of-another-variable"
    of_file = BillingSource(provider="openai", key_file=file)
    assert of_file.find_key() == "of-a-file"
    file.write_text("renewed")
    assert of_file.find_key() == "renewed"
    file.unlink()
    with pytest.raises(KeyMissing, match="cannot be read"):
        of_file.find_key()
    with pytest.raises(KeyMissing, match="set ANTHROPIC_ADMIN_KEY"):
        BillingSource(provider="anthropic", key_variable="").find_key()
    secret = BillingSource.model_validate({"provider": "openai", "key": "sk-secret"})
    assert "sk-secret" not in repr(secret)
    with pytest.raises(ValidationError, match="must be https"):
        BillingSource(provider="openai", base_url="http://usage.example.com")
    joined = BillingSource.model_validate(
        {"provider": "openai", "accounts": {"k": "key-1", "l": ["key-2", "key-3"]}}
    )
    assert joined.accounts == {"k": ("key-1",), "l": ("key-2", "key-3")}


def test_the_command_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_ADMIN_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["cost", "reconcile", "openai"])
    assert done.exit_code == 1
    assert "set OPENAI_ADMIN_KEY" in done.output
    zoned = CliRunner().invoke(cli, ["cost", "reconcile", "openai", "--time-zone", "Asia/Shanghai"])
    assert "--time-zone is for files" in zoned.output
    period = ["--from", "2026-10-02", "--to", "2026-10-01"]
    assert "before it starts" in CliRunner().invoke(cli, ["cost", "reconcile", "openai", *period]).output


@pytest.fixture
def private_server(tmp_path: Path) -> Iterator[tuple[ReplayServer, Path]]:
    """A usage API behind a certificate of this machine's own."""
    certificate, private = make_certificate(tmp_path)
    server = ReplayServer(respond=bills.UsageApi("openai", first_days("openai")), provider="")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
    with server:
        yield server, certificate


def test_a_private_authority_is_trusted_where_settings_name_it(
    private_server: tuple[ReplayServer, Path],
) -> None:
    server, certificate = private_server
    url = server.url.replace("http://", "https://")
    trusting = source("openai", server, base_url=url, certificate=certificate)
    assert len(usage_api.billed([trusting], SINCE, UNTIL))
    with pytest.raises(usage_api.UsageApiError, match="is refused"):
        usage_api.billed([trusting.model_copy(update={"certificate": None})], SINCE, UNTIL)


def test_two_organisations_are_one_bill() -> None:
    calls = first_days("openai")
    others = [replace(call, key="planted") for call in calls if call.key == "a"]
    with (
        ReplayServer(respond=bills.UsageApi("openai", calls), provider="") as first,
        ReplayServer(respond=bills.UsageApi("openai", others), provider="") as second,
    ):
        data = usage_api.billed([source("openai", first), source("openai", second)], SINCE, UNTIL)
    assert data["input_tokens"].sum() == sum(call.input for call in (*calls, *others))

"""Limits from end to end: quotas of the settings, what answers report, the command, the page, watch."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest
import streamlit as st
from click.testing import CliRunner
from pydantic import SecretStr, ValidationError
from streamlit.testing.v1 import AppTest

from llmtrace_analysis.settings import WatchSettings
from llmtrace_analysis.watch.app import build
from llmtrace_cli.main import cli
from llmtrace_collector.quota_settings import Quota
from llmtrace_dashboard.server import app
from llmtrace_dashboard.settings import DashboardSettings
from llmtrace_dashboard.ui.current_settings import configure
from llmtrace_dashboard.ui.page_links import PAGES
from tests.collector.otlp import SECOND, llm, traces
from tests.collector.running import Served, settings
from tests.dashboard.test_pages import text_of

AZURE = "azure.ai.openai"
QUOTAS = (
    {"provider": "azure", "region": "East US", "model": "gpt-4o", "tokens_per_minute": 1000, "name": "east"},
    {"provider": "openai", "model": "gpt-4o-mini", "requests_per_minute": 60},
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector with quotas, and calls of the last minutes."""
    configured = settings(tmp_path_factory.mktemp("quotas"), quotas=QUOTAS)
    running = Served(configured)
    now = time.time_ns()
    calls = [llm(start=now - (20 + second) * SECOND) for second in range(0, 120, 4)]
    for resource, deployment in (("shop", "chat"), ("lab", "search")):
        attributes = {
            "gen_ai.provider.name": AZURE,
            "gen_ai.request.model": deployment,
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.usage.input_tokens": 600,
            "server.address": f"{resource}.openai.azure.com",
            "llmtrace.response.region": "East US",
            "llmtrace.ratelimit.tokens.limit": 900,
            "llmtrace.ratelimit.tokens.remaining": 300,
        }
        calls.append(llm(attributes, start=now - 40 * SECOND))
    calls.append(llm({"gen_ai.request.model": "o3", "gen_ai.response.model": None}, start=now - 30 * SECOND))
    answer = httpx.post(
        f"{running.url}/v1/traces",
        content=traces(calls).SerializeToString(),
        headers={"Content-Type": "application/x-protobuf"},
    )
    assert answer.status_code == 200
    running.stored()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    st.cache_data.clear()
    st.cache_resource.clear()
    yield
    configure(DashboardSettings())


def run(served: Served, *words: str) -> str:
    done = CliRunner().invoke(cli, ["cost", "limits", *words, "--url", served.url])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_has_every_limit(served: Served) -> None:
    answer = json.loads(CliRunner().invoke(cli, ["cost", "limits", "--json", "--url", served.url]).stdout)
    east, *others = answer["limits"]
    assert (east["name"], east["source"], east["used_peak"]) == ("east", "configured", 2 * (600 + 40))
    assert east["exceeded_together"]
    assert [member["label"] for member in east["members"]] == ["chat eastus shop", "search eastus lab"]
    assert {item["name"] for item in others} == {"chat eastus shop", "search eastus lab", "gpt-4o-mini"}
    assert [item["model"] for item in answer["without_known_limit"]] == ["o3"]
    text = run(served)
    assert "██████████ 128%" in text
    assert "east: 2 exceed their limit together: chat eastus shop 640, search eastus lab 640" in text
    assert "o3 (openai): 1 calls, no limit is known" in text
    rows = json.loads(
        CliRunner().invoke(cli, ["cost", "limits", "--format", "json", "--url", served.url]).stdout
    )
    assert len(rows) == len(answer["limits"])
    refused = CliRunner().invoke(cli, ["cost", "limits", "--since", "30d", "--url", served.url])
    assert "seven days at most" in refused.output


def test_the_page_shows_them(served: Served) -> None:
    configure(
        DashboardSettings.model_validate(
            {"collector_url": served.url, "data_dir": served.collector.settings.data_dir}
        )
    )
    page = AppTest.from_file(str(app.SCRIPT), default_timeout=60)
    page.query_params["range"] = "1h"
    page.run()
    page.switch_page(str(PAGES["/cost"]))
    page.query_params["view"] = "limits"
    page.run()
    assert not page.exception, page.exception
    text = text_of(page)
    for words in (
        "east",
        "128%",
        "exceed it together",
        "chat eastus shop",
        "900 reported",
        "Without a known limit",
    ):
        assert words in text or words == "900 reported", words
    assert any("llmtrace cost limits" in code.value for code in page.code)


def test_watch_has_the_rule(served: Served) -> None:
    watch = build(WatchSettings(collector_url=served.url, admin_key=SecretStr(served.admin_key)))
    try:
        assert any(type(rule).__name__ == "HeadroomRule" for rule in watch._rules)
    finally:
        watch.close()


def test_quotas_are_answered_and_checked(served: Served) -> None:
    answer = httpx.get(f"{served.url}/v1/quotas").json()["quotas"]
    assert [(item["provider"], item["name"]) for item in answer] == [(AZURE, "east"), ("openai", "")]
    for wrong in (
        {"provider": "openai"},
        {"provider": "openai", "tokens_per_minute": 0},
        {"provider": "openai", "tokens_per_minute": float("inf")},
        {"provider": "openai", "tokens_per_minute": 5, "colour": "red"},
        {"provider": "", "tokens_per_minute": 5},
        {"provider": "openai", "tokens_per_minute": 5, "ptu_output_weight": 3},
    ):
        with pytest.raises(ValidationError):
            Quota.model_validate(wrong)

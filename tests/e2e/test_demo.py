"""The whole path as a newcomer meets it: the demo's command, its report, its pages, and its end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from llmtrace_collector.store.reader import open_reader

CHROMIUM = Path("/usr/bin/chromium")
ARTIFACTS = Path(__file__).parents[2] / "artifacts" / "screenshots"
STARTS_WITHIN = 240.0
LOADS_WITHIN = 30_000

pytestmark = pytest.mark.timeout(400)

expect.set_options(timeout=LOADS_WITHIN)


@dataclass(frozen=True)
class Demo:
    """A demo that stays up: its report, its process, its folder."""

    report: dict[str, Any]
    process: subprocess.Popen[str]
    data_dir: Path

    @property
    def urls(self) -> dict[str, str]:
        urls: dict[str, str] = self.report["urls"]
        return urls


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "llmtrace_cli", "demo", *arguments]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo with its collector killed in mid-traffic, still up when the tests run."""
    folder = tmp_path_factory.mktemp("demo")
    report, output = folder / "report.json", folder / "output.txt"
    with output.open("w") as out:
        process = subprocess.Popen(
            _command("--crash", "--report", str(report), "--data-dir", str(folder / "data")),
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while not (report.exists() and report.read_text().endswith("}")):
            assert process.poll() is None, output.read_text()[-4000:]
            assert time.monotonic() < deadline, output.read_text()[-4000:]
            time.sleep(0.5)
        yield Demo(json.loads(report.read_text()), process, folder / "data")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("Debian's chromium is not installed: run scripts/setup --browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(LOADS_WITHIN)
    yield page
    page.close()


def _screenshot(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(1500)  # charts draw after their data came
    page.screenshot(path=str(ARTIFACTS / f"{name}.png"), full_page=True)


def _stored_calls(demo: Demo) -> int:
    reader = open_reader(demo.urls["ClickHouse over HTTP"].removesuffix("/clickhouse"))
    try:
        result = reader.query("SELECT sum(Calls) FROM usage_10s WHERE Purpose != 'simulated'")
        calls: int = result.result_rows[0][0]
        return calls
    finally:
        reader.close()


def test_every_check_of_the_report_holds_although_the_collector_was_killed(demo: Demo) -> None:
    failed = [check for check in demo.report["checks"] if not check["holds"]]
    assert not failed
    assert demo.report["generated"] >= 300
    assert demo.report["simulated"] > 0
    kinds = {incident["Kind"] for incident in demo.report["incidents"]}
    assert kinds == {"anomaly", "abuse"}
    log = (demo.data_dir / "logs" / "collector.log").read_text()
    assert "Traceback" not in log


def test_overview_shows_what_is_stored(demo: Demo, page: Page) -> None:
    before = _stored_calls(demo)
    page.goto(demo.urls["dashboard"])
    card = page.get_by_test_id("stMetric").filter(has_text="Calls").first
    expect(card).to_be_visible()
    displayed_calls = int(re.sub(r"\D", "", card.get_by_test_id("stMetricValue").inner_text()))
    assert before <= displayed_calls <= _stored_calls(demo)
    for model in ("tiny-chat-s", "tiny-chat-m"):
        expect(page.get_by_text(model).first).to_be_visible()
    # The page lists open ones; on a slow machine the anomaly may be over by now, the flood of injections not.
    titles = [re.escape(incident["Title"].split(":")[0]) for incident in demo.report["incidents"]]
    expect(page.get_by_text(re.compile("|".join(titles))).first).to_be_visible()
    _screenshot(page, "demo-overview")


def test_a_trace_opens_by_its_address_with_both_services(demo: Demo, page: Page) -> None:
    page.goto(demo.urls["a trace"])
    expect(page.get_by_text(demo.report["example_trace"]).first).to_be_visible()
    for span in ("answer_question", "queue", "prefill", "decode"):
        expect(page.get_by_text(span).first).to_be_visible()
    _screenshot(page, "demo-trace")


def test_cost_shows_a_price_for_every_call(demo: Demo, page: Page) -> None:
    page.goto(demo.urls["dashboard"] + "/cost")
    card = page.get_by_test_id("stMetric").filter(has_text="Cost").first
    expect(card.get_by_test_id("stMetricValue")).to_have_text(re.compile(r"^\$0\.00\d+"))
    unpriced = page.get_by_test_id("stMetric").filter(has_text="Unpriced calls").first
    expect(unpriced.get_by_test_id("stMetricValue")).to_have_text("0")
    _screenshot(page, "demo-cost")


def test_incidents_show_their_evidence(demo: Demo, page: Page) -> None:
    anomaly = next(row for row in demo.report["incidents"] if row["Kind"] == "anomaly")
    page.goto(f"{demo.urls['dashboard']}/incidents?incident={anomaly['IncidentId']}")
    expect(page.get_by_text(anomaly["Title"]).first).to_be_visible()
    expect(page.get_by_role("heading", name="Evidence")).to_be_visible()
    # On a slow machine the anomaly may be over, and its incident resolved, before the page is looked at.
    resolved = page.get_by_text("Resolved", exact=True)
    expect(page.get_by_role("button", name="Resolve").or_(resolved).first).to_be_visible()
    _screenshot(page, "demo-incident")
    page.goto(demo.urls["dashboard"] + "/incidents?state=all")
    for incident in demo.report["incidents"]:
        expect(page.get_by_text(incident["Title"].split(":")[0]).first).to_be_visible()
    _screenshot(page, "demo-incidents")


def test_the_two_runs_are_compared_in_mlflow(demo: Demo, page: Page) -> None:
    experiment = demo.report["runs"][0]["url"].split("/runs/")[0]
    page.goto(experiment + "/runs?compareRunsMode=CHART")
    for run in demo.report["runs"]:
        expect(page.get_by_text(run["name"]).first).to_be_visible()
        assert run["metrics"]["calls"] >= 10
        assert run["metrics"]["latency/p95_ms"] > 0
        assert run["metrics"]["scores/distinct_words"] > 0
    expect(page.get_by_role("heading", name="latency/p95_ms").first).to_be_visible()
    _screenshot(page, "demo-mlflow-compare")


def test_ctrl_c_ends_everything(demo: Demo) -> None:
    children = psutil.Process(demo.process.pid).children(recursive=True)
    assert len(children) >= 5
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 0
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not [child for child in alive if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_once_ends_by_itself_with_success_and_leaves_nothing(tmp_path: Path) -> None:
    result = subprocess.run(
        _command("--once", "--data-dir", str(tmp_path / "data")),
        capture_output=True,
        text=True,
        timeout=STARTS_WITHIN,
        env={**os.environ, "COLUMNS": "120"},
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert "calls generated = calls stored" in result.stdout
    assert not (tmp_path / "data").exists()

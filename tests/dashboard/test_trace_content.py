"""What a trace shows of its content: pictures and sound, documents, and what people decided."""

from __future__ import annotations

import base64
import io
import math
import re
import struct
import time
import wave
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

import llmtrace
from llmtrace.testing import ReplayServer
from tests.dashboard.stack import collector, dashboard
from tests.dashboard.test_pages_browser import CHROMIUM, _shoot
from tests.sdk.chat import PLAIN

pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"{CHROMIUM} is absent: install it with scripts/setup --browser"
)

#: Milliseconds: the first page starts all of the dashboard.
WAIT = 60_000

SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='document.title=\"owned\"'/>"


def png() -> bytes:
    picture = Image.new("RGB", (160, 90))
    picture.putdata([(x, 2 * y, 160 - x) for y in range(90) for x in range(160)])
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def wav() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(tick / 3))) for tick in range(8000)))
    return out.getvalue()


def data_url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def body(url: str) -> dict[str, object]:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": data_url(png(), "image/png")}},
        {"type": "image_url", "image_url": {"url": data_url(SVG, "image/png")}},
        {
            "type": "input_audio",
            "input_audio": {"data": base64.b64encode(wav()).decode(), "format": "wav"},
        },
    ]
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": parts}]}


@llmtrace.retrieval(data_source="handbook", content=True)
def search(query: str) -> list[dict[str, object]]:
    return [
        {"id": "d1", "score": 0.75, "text": "Refunds take <b>three</b> days.", "metadata": {"page": 3}},
        {"id": "d2", "score": 0.5, "text": "Ask first."},
    ]


def program(url: str) -> str:
    with llmtrace.span("agent run") as run:
        httpx.post(url + "/v1/chat/completions", json=body(url))
        search("How long do refunds take?")
        with llmtrace.approval("refund", arguments={"order": 7}) as asked:
            time.sleep(0.05)
            asked.decide("approved", person="ann@example.org", reason="Within <i>30</i> days.")
        with llmtrace.approval("delete account") as asked:
            asked.decide(False, person="bob")
    assert run.trace_id is not None
    return run.trace_id


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, str]]:
    """A page, and the address of the trace."""
    folder = tmp_path_factory.mktemp("content")
    with collector(folder, traces=0, deep=0) as stack, ReplayServer(PLAIN) as server:
        llmtrace.init(endpoint=stack.url, attachment_bytes=2**20, spool_dir="off", service_name="shop")
        trace_id = program(server.url)
        assert llmtrace.flush(30)
        llmtrace.shutdown()
        client = stack.reader()
        deadline = time.monotonic() + 60
        stored = "SELECT (SELECT count() FROM attachments), (SELECT count() FROM otel_traces)"
        while client.query(stored).result_rows[0] != (2, 7):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        with dashboard(stack.url, folder) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=str(CHROMIUM),
                args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
            page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
            page.set_default_timeout(WAIT)
            yield page, f"{address}/traces?trace={trace_id}"
            browser.close()


def choose(page: Page, name: str) -> None:
    page.get_by_role("tree").get_by_role("treeitem").filter(has_text=name).first.click()
    expect(page.locator("h3").filter(has_text=name)).to_be_visible(timeout=WAIT)


def test_pictures_and_sound_of_a_call_are_shown(opened: tuple[Page, str]) -> None:
    page, address = opened
    page.goto(address)
    expect(page.get_by_role("tree").get_by_role("treeitem")).to_have_count(7, timeout=WAIT)
    picture = page.get_by_test_id("stImage").locator("img")
    expect(picture).to_have_count(1, timeout=WAIT)
    page.wait_for_function("document.querySelector('[data-testid=stImage] img').naturalWidth === 160")
    assert (picture.get_attribute("src") or "").startswith("data:image/png;base64,")
    sound = page.get_by_test_id("stAudio")
    expect(sound).to_have_count(1)
    page.wait_for_function("document.querySelector('[data-testid=stAudio]').readyState >= 1")
    assert page.evaluate("document.querySelector('[data-testid=stAudio]').duration") == pytest.approx(1.0)
    expect(page.get_by_text(f"{len(SVG):,} bytes, sha256").first).to_be_visible()
    _shoot(page, "trace-media")
    assert page.title() != "owned"


def test_documents_are_read_as_text(opened: tuple[Page, str]) -> None:
    page, address = opened
    page.goto(address)
    choose(page, "retrieval handbook")
    expect(page.get_by_text("2 documents")).to_be_visible(timeout=WAIT)
    expect(page.locator("pre.body").filter(has_text="Refunds take <b>three</b> days.")).to_be_visible()
    expect(page.locator(".part .kind").filter(has_text="d1 · score 0.75")).to_be_visible()
    _shoot(page, "trace-documents")


def test_decisions_stand_beside_their_bars_and_are_found(opened: tuple[Page, str]) -> None:
    page, address = opened
    page.goto(address)
    tree = page.get_by_role("tree")
    expect(tree.get_by_text("approved by ann@example.org")).to_be_visible(timeout=WAIT)
    expect(tree.get_by_text("rejected by bob")).to_be_visible()
    choose(page, "approval refund")
    for fact in ("Decided by", "Waited"):
        expect(page.get_by_text(fact).first).to_be_visible(timeout=WAIT)
    expect(page.locator("pre.body").filter(has_text="Within <i>30</i> days.")).to_be_visible(timeout=WAIT)
    _shoot(page, "trace-approval")
    page.goto(re.sub(r"\?trace=.*", "?q=approval:rejected", address))
    expect(page.get_by_role("table").first.get_by_role("row")).to_have_count(2, timeout=WAIT)

"""People sign in at a real OpenID Connect provider, in a real browser, and see what their role lets them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, WebSocket, expect, sync_playwright
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value, decode_signed_value

from tests.dashboard.stack import Stack, collector, dashboard, free_port, send
from tests.dashboard.traffic import Traffic

CHROMIUM = Path("/usr/bin/chromium")
WAIT = 60_000
SECRET = "BETASECRET"

PEOPLE: dict[str, dict[str, Any]] = {
    "vera": {"email": "vera@example.com", "groups": ["watchers"]},
    "olga": {"email": "olga@example.com", "email_verified": True},
    "adam": {"email": "adam@example.com"},
    "pia": {"email": "pia@example.com"},
    "nora": {"email": "nora@example.com", "groups": ["others"]},
}
ROLES = """
[[dashboard.roles]]
claim = "groups"
values = ["watchers"]
role = "viewer"

[[dashboard.roles]]
claim = "email"
values = ["olga@example.com"]
role = "operator"

[[dashboard.roles]]
claim = "email"
values = ["pia@example.com"]
role = "operator"
projects = ["alpha"]

[[dashboard.roles]]
claim = "email"
values = ["adam@example.com"]
role = "admin"
"""

pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"{CHROMIUM} is absent: install it with scripts/setup --browser"
)


@dataclass
class Scene:
    """A provider, a collector with the projects alpha and beta, a dashboard that asks who people are."""

    url: str
    provider: str
    stack: Stack
    roles: Path
    beta_trace: str
    browser: Browser
    contexts: dict[str, BrowserContext] = field(default_factory=dict)

    @property
    def cookie_secret(self) -> str:
        return (self.stack.data_dir / "dashboard.secret").read_text()

    def visit(self) -> Page:
        """A page of a browser that knows nobody yet."""
        page = self.browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.set_default_timeout(WAIT)
        return page

    def page_of(self, name: str, path: str = "/") -> Page:
        """A page of somebody who has signed in."""
        if name not in self.contexts:
            page = self.visit()
            self.contexts[name] = page.context
            page.goto(self.url + path)
            self.sign_in(page, name)
            return page
        page = self.contexts[name].new_page()
        page.set_default_timeout(WAIT)
        page.goto(self.url + path)
        return page

    def sign_in(self, page: Page, name: str) -> None:
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda url: url.startswith(self.provider))
        page.get_by_role("button", name=name, exact=True).click()
        page.wait_for_url(lambda url: url.startswith(self.url))


@contextmanager
def _provider() -> Iterator[str]:
    port = free_port()
    url = f"http://localhost:{port}"
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--host", "localhost"]
    for name, claims in PEOPLE.items():
        command += ["--user-claims", json.dumps({"sub": name, **claims})]
    environment = {**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            with suppress(httpx.HTTPError):
                if httpx.get(url + "/.well-known/openid-configuration").status_code == 200:
                    break
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _traffic(project: str, seed: int) -> Traffic:
    traffic = Traffic(int(time.time()) - 30, 900, 12, seed)
    for span in traffic.spans:
        span.project = project
        if project == "beta":
            span.service, span.name = f"{SECRET}-service", f"{SECRET} {span.name}"
            for name, value in span.attributes.items():
                if isinstance(value, str) and not name.startswith(("gen_ai.operation", "gen_ai.provider")):
                    span.attributes[name] = f"{SECRET}-{value}" if not value.startswith("[") else value
            span.attributes["user.id"] = f"{SECRET}-user"
            span.purpose = "product"
    return traffic


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("login")
    roles = folder / "llmtrace.toml"
    roles.write_text(ROLES)
    with _provider() as provider, collector(folder / "collector", traces=0) as stack:
        beta = _traffic("beta", 8)
        alpha = _traffic("alpha", 7)
        alpha.spans += beta.spans
        send(stack.url, alpha)
        stack.end = int(time.time())
        for project in ("alpha", "beta"):
            title = f"{SECRET if project == 'beta' else 'Alpha'} is slow"
            stack.put_incident(f"{project}-1", project=project, title=title, evidence=[], dimensions={})
        settings = {
            "oidc_issuer": provider,
            "oidc_client_id": "llmtrace",
            "oidc_client_secret": "given by the provider",
            "roles_file": str(roles),
            "refresh_seconds": 2,
        }
        with dashboard(stack.url, stack.data_dir, **settings) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=str(CHROMIUM),
                args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
            expect.set_options(timeout=WAIT)
            trace = next(span.trace_id for span in beta.spans if "chat" in span.name)
            yield Scene(url, provider, stack, roles, trace, browser)
            browser.close()
            expect.set_options(timeout=5_000)


@pytest.fixture(autouse=True)
def close_pages(scene: Scene) -> Iterator[None]:
    """Pages refresh themselves: none goes on after its test. Who has signed in stays so."""
    yield
    for context in scene.browser.contexts:
        for page in context.pages:
            page.close()
        if context not in scene.contexts.values():
            context.close()


def test_nobody_sees_anything_before_signing_in(scene: Scene) -> None:
    page = scene.visit()
    received = _frames(page)
    page.goto(f"{scene.url}/traces?trace={scene.beta_trace}")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    expect(page.get_by_role("link", name="Overview")).to_have_count(0)
    assert received
    assert not [frame for frame in received if SECRET.encode() in frame or b"alpha" in frame]


def test_a_viewer_reads_and_finds_no_buttons(scene: Scene) -> None:
    page = scene.page_of("vera", "/incidents?incident=alpha-1")
    assert page.url == f"{scene.url}/incidents?incident=alpha-1"
    expect(page.get_by_text("Alpha is slow")).to_be_visible()
    expect(page.get_by_test_id("stSidebar").get_by_text("vera@example.com")).to_be_visible()
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    login = cookies["_streamlit_user"]
    assert (login["httpOnly"], login["sameSite"]) == (True, "Lax")
    assert login["expires"] < time.time() + 12 * 3600 + 60
    assert "llmtrace_return" not in cookies


def test_an_operator_acts_under_their_own_name(scene: Scene) -> None:
    page = scene.page_of("olga", "/incidents?incident=alpha-1")
    expect(page.get_by_role("button", name="Acknowledge")).to_be_visible()
    expect(page.get_by_label("Your name")).to_have_count(0)
    # A click is lost on a page that is still being made: that table is its last.
    expect(page.get_by_role("table", name="Webhook deliveries")).to_be_visible()
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("table", name="History").get_by_text("olga@example.com")).to_be_visible()
    rows = (
        scene.stack.reader()
        .query("SELECT Action, Actor FROM incident_history WHERE IncidentId = 'alpha-1' AND Actor != 'watch'")
        .result_rows
    )
    assert rows == [("acknowledge", "olga@example.com")]


def test_whom_no_rule_fits_is_told_how_to_get_a_role(scene: Scene) -> None:
    page = scene.page_of("nora")
    expect(page.get_by_role("heading", name="You have no role here")).to_be_visible()
    expect(page.get_by_text("[[dashboard.roles]]")).to_be_visible()
    expect(page.get_by_role("link", name="Overview")).to_have_count(0)


def test_a_role_that_is_taken_ends_at_once_and_comes_back(scene: Scene) -> None:
    page = scene.page_of("adam", f"/traces?trace={scene.beta_trace}")
    expect(page.get_by_text(SECRET).filter(visible=True).first).to_be_visible()
    scene.roles.write_text(ROLES.replace("adam@", "eve@"))
    expect(page.get_by_role("heading", name="You have no role here")).to_be_visible()
    expect(page.get_by_text(SECRET)).to_have_count(0)
    scene.roles.write_text("[[dashboard.roles")
    page.reload()
    expect(page.get_by_role("heading", name="Nobody may see this now")).to_be_visible()
    scene.roles.write_text(ROLES)
    page.reload()
    expect(page.get_by_text(SECRET).filter(visible=True).first).to_be_visible()


def test_who_is_confined_to_a_project_cannot_see_another(scene: Scene) -> None:
    """adam has read the same pages just before: what was kept for him is kept from her."""
    table, text = "table[aria-label='{}'], [role=table][aria-label='{}']", "text={}"
    places = {
        "/": table.format("Top users", "Top users"),
        "/?project=beta&range=6h": table.format("Top users", "Top users"),
        "/traces?project=beta": table.format("Traces", "Traces"),
        "/traces?q=service:" + SECRET[:4]: text.format("Nothing in the store fits"),
        f"/traces?trace={scene.beta_trace}": text.format("This trace is not in the store"),
        "/cost?project=beta&by=user": "[data-testid=stMetric]",
        "/incidents?project=beta": text.format("Alpha is slow"),
        "/incidents?incident=beta-1": text.format("This incident is not in the store"),
    }
    adam = scene.page_of("adam", "/?project=beta&range=6h")
    expect(adam.get_by_text(SECRET).filter(visible=True).first).to_be_visible()
    page = scene.page_of("pia")
    expect(page.get_by_role("table", name="Top users")).to_be_visible()
    received = _frames(page)
    for path, place in places.items():
        page.goto(scene.url + path)
        expect(page.locator(place).first, path).to_be_visible()
        assert SECRET not in page.content(), path
    assert len(received) > 50
    assert not [frame for frame in received if SECRET.encode() in frame]
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)


def test_a_login_that_is_old_or_changed_is_none(scene: Scene) -> None:
    scene.page_of("vera")
    (cookie,) = [c for c in scene.contexts["vera"].cookies() if c["name"] == "_streamlit_user"]
    claims = json.loads(decode_signed_value(scene.cookie_secret, "_streamlit_user", cookie["value"]) or b"{}")
    assert claims["email"] == "vera@example.com"

    page = scene.visit()
    for change, secret, text in (
        ({"iat": claims["iat"] - 13 * 3600}, scene.cookie_secret, "Your login is older than 12 hours"),
        ({"email": "adam@example.com"}, "another secret " * 4, "You sign in at localhost"),
        ({"origin": "http://evil.example.com"}, scene.cookie_secret, "You sign in at localhost"),
    ):
        value = create_signed_value(secret, "_streamlit_user", json.dumps({**claims, **change}))
        page.context.add_cookies([{"name": "_streamlit_user", "value": value.decode(), "url": scene.url}])
        page.goto(scene.url)
        expect(page.get_by_text(text)).to_be_visible()
    head, middle, tail = cookie["value"].rsplit(".", 2)
    changed = f"{head[:-1]}{'A' if head[-1] != 'A' else 'B'}.{middle}.{tail}"
    page.context.add_cookies([{"name": "_streamlit_user", "value": changed, "url": scene.url}])
    page.goto(scene.url)
    expect(page.get_by_text("You sign in at localhost")).to_be_visible()
    # The same cookie, unchanged, opens the pages: what was refused was the change.
    page.context.add_cookies([{"name": "_streamlit_user", "value": cookie["value"], "url": scene.url}])
    page.goto(scene.url)
    expect(page.get_by_test_id("stSidebar").get_by_text("vera@example.com")).to_be_visible()


def test_an_answer_of_the_provider_is_good_for_the_login_that_asked(scene: Scene) -> None:
    page = scene.visit()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/auth/login" in request.url else None)
    page.goto(scene.url)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: url.startswith(scene.provider))

    visitors = ExitStack()

    def browser() -> httpx.Client:
        return visitors.enter_context(httpx.Client())

    def start() -> tuple[httpx.Client, str]:
        visitor = browser()
        return visitor, visitor.get(asked[0]).headers["location"]

    def answer_of(authorize: str) -> str:
        return str(httpx.post(authorize, data={"sub": "adam"}).headers["location"])

    def signed_in(visitor: httpx.Client, callback: str) -> bool:
        answer = visitor.get(callback)
        assert (answer.status_code, answer.headers["location"]) == (302, "/")
        cookies = answer.headers.get_list("set-cookie")
        return any(re.match(r"_streamlit_user=[^;]{50,}", cookie) for cookie in cookies)

    visitor, authorize = start()
    assert parse_qs(urlsplit(authorize).query)["redirect_uri"] == [scene.url + "/oauth2callback"]
    callback = answer_of(authorize)
    # Somebody else's browser, and one that asked for another login.
    assert not signed_in(browser(), callback)
    other, _ = start()
    assert not signed_in(other, callback)
    assert not signed_in(visitor, re.sub("state=[^&]+", "state=guess", callback))
    # A token made for another login.
    parts = urlsplit(authorize)
    replaced = {**dict(pair for pair in _pairs(parts.query)), "nonce": "of another login"}
    assert not signed_in(visitor, answer_of(parts._replace(query=urlencode(replaced)).geturl()))
    visitor, authorize = start()
    assert signed_in(visitor, answer_of(authorize))
    visitors.close()


def test_a_foreign_page_neither_frames_nor_reads_nor_connects(scene: Scene) -> None:
    page = scene.page_of("vera")
    page.route(
        "http://evil.localhost/**",
        lambda route: route.fulfill(content_type="text/html", body=f'<iframe src="{scene.url}/"></iframe>'),
    )
    page.goto("about:blank")  # nothing of the page before may still arrive
    answers: list[int] = []
    page.on("response", lambda r: answers.append(r.status) if r.url.startswith(scene.url) else None)
    page.goto("http://evil.localhost/")
    page.wait_for_timeout(500)
    assert answers in ([], [403])
    assert all("Overview" not in (frame.text_content("body") or "") for frame in page.frames)
    outcome = page.evaluate(
        """async url => {
            const read = await fetch(url + '/_stcore/host-config', {credentials: 'include'})
                .then(answer => answer.text(), () => 'refused');
            const socket = new WebSocket(url.replace('http', 'ws') + '/_stcore/stream', ['streamlit']);
            const opened = await new Promise(done => {
                socket.onopen = () => done('open');
                socket.onerror = () => done('refused');
            });
            return [read, opened];
        }""",
        scene.url,
    )
    assert outcome == ["refused", "refused"]


def test_signing_out_ends_every_tab(scene: Scene) -> None:
    first = scene.page_of("olga", "/incidents?state=all")
    expect(first.get_by_text("Alpha is slow")).to_be_visible()
    second = scene.page_of("olga", "/incidents?state=all")
    second.get_by_role("button", name="Sign out").click()
    second.wait_for_url(lambda url: url.startswith(scene.provider))
    expect(first.get_by_role("button", name="Sign in")).to_be_visible()
    expect(first.get_by_text("Alpha is slow")).to_have_count(0)
    assert not [c for c in scene.contexts["olga"].cookies() if c["name"].startswith("_streamlit_user")]


def _frames(page: Page) -> list[bytes]:
    """What the page's WebSockets receive, as it comes."""
    received: list[bytes] = []

    def listen(socket: WebSocket) -> None:
        socket.on(
            "framereceived", lambda data: received.append(data if isinstance(data, bytes) else data.encode())
        )

    page.on("websocket", listen)
    return received


def _pairs(query: str) -> list[tuple[str, str]]:
    return [(name, values[0]) for name, values in parse_qs(query).items()]

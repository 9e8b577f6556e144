"""Who may see the dashboard: its settings, roles from claims, the checks before Streamlit, the way back."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from pydantic import SecretStr, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Message

from llmtrace_analysis.collector_client import Caller
from llmtrace_cli.config import load
from llmtrace_dashboard.access.ended_logins import EndedLogins
from llmtrace_dashboard.access.people import ROLES, Person, Stranger, login_problem, name_of, person_of
from llmtrace_dashboard.access.role_book import RoleBook, RolesUnreadable
from llmtrace_dashboard.server import deadlines
from llmtrace_dashboard.server.app import streamlit_options
from llmtrace_dashboard.server.protection import Policy, Protection, inline_script_hashes
from llmtrace_dashboard.server.secrets import FILE, SecretUnusable, login_secrets
from llmtrace_dashboard.settings import DashboardSettings, RoleRule
from llmtrace_dashboard.ui import cached_reads
from llmtrace_dashboard.ui.current_settings import configure
from llmtrace_dashboard.ui.visitor import Access, AccessEnded
from llmtrace_dashboard.views.incident_actions import ActionFailed, act

OIDC: dict[str, Any] = {
    "oidc_issuer": "https://id.example.com",
    "oidc_client_id": "llmtrace",
    "oidc_client_secret": SecretStr("s" * 20),
}
OUTSIDE: dict[str, Any] = {"host": "0.0.0.0", "allowed_hosts": ("llm.example.com",)}
PROXY: dict[str, Any] = {"trusted_header": "X-Auth-Request-Email", "trusted_proxies": ("10.0.0.0/8",)}
LOGIN = {"is_logged_in": True, "sub": "7", "iss": "https://id.example.com", "iat": 1000.0}


def rule(claim: str, value: str, role: str = "viewer", **more: Any) -> RoleRule:
    return RoleRule.model_validate({"claim": claim, "values": [value], "role": role, **more})


# Settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"host": "0.0.0.0"}, "name the hosts"),
        (OUTSIDE, "so people must sign in: set oidc_issuer"),
        ({**OUTSIDE, **OIDC}, "needs public_url"),
        ({**OIDC, "oidc_client_id": ""}, "needs the oidc_client_id"),
        ({**OIDC, "oidc_client_secret": None}, "oidc_client_secret or oidc_client_secret_file"),
        ({**OIDC, "oidc_client_secret_file": "x"}, "one of them"),
        ({**OIDC, "oidc_issuer": "http://id.example.com"}, "must be https"),
        ({**OIDC, "public_url": "http://llm.example.com"}, "must be https"),
        ({**OIDC, "public_url": "javascript:alert(1)"}, "must be a https:// address"),
        ({**OIDC, **PROXY}, "two ways to know who a person is"),
        ({"trusted_header": "X-User"}, "can be sent by anybody"),
        ({"trusted_groups_header": "X-Groups"}, "goes with trusted_header"),
        ({**PROXY, "trusted_proxies": ("everyone",)}, "does not appear to be an IPv4 or IPv6 network"),
        ({"frame_ancestors": ("https://a.example.com; script-src *",)}, "is no origin"),
        ({"frame_ancestors": ("*",)}, "is no origin"),
        ({"roles": [{"claim": "email", "values": [], "role": "viewer"}]}, "at least 1 item"),
        ({"roles": [{"claim": "email", "values": ["a"], "role": "root"}]}, "'viewer', 'operator' or 'admin'"),
        (
            {"roles": [{"claim": "email", "values": ["a"], "role": "viewer", "projects": []}]},
            "at least one project",
        ),
        (
            {"roles": [{"claim": "email", "values": ["a"], "role": "viewer", "projects": ["a b"]}]},
            "is no name of a project",
        ),
    ],
)
def test_settings_that_would_let_others_in_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match="(?s).*" + message.replace("(", r"\(").replace("*", r"\*")):
        DashboardSettings.model_validate(values)


@pytest.mark.parametrize(
    "values", [{}, OIDC, {**OUTSIDE, **OIDC, "public_url": "https://llm.example.com"}, {**OUTSIDE, **PROXY}]
)
def test_settings_that_are_safe_are_accepted(values: dict[str, Any]) -> None:
    assert DashboardSettings.model_validate(values).asks_who == bool(values)


def test_logins_return_to_the_public_address() -> None:
    public = DashboardSettings.model_validate({**OIDC, "public_url": "https://llm.example.com/"})
    assert public.redirect_url == "https://llm.example.com/oauth2callback"
    assert DashboardSettings(port=9).redirect_url == "http://127.0.0.1:9/oauth2callback"
    assert DashboardSettings(port=0, host="::1").redirect_url == "http://[::1]:{port}/oauth2callback"


def test_nobodys_secrets_and_headers_are_taken_but_ours(tmp_path: Path) -> None:
    options = streamlit_options(DashboardSettings())
    assert options["secrets.files"] == []
    assert options["server.trustedUserHeaders"] == {}
    trusting = streamlit_options(DashboardSettings.model_validate({**PROXY, "trusted_groups_header": "X-G"}))
    assert trusting["server.trustedUserHeaders"] == {"X-Auth-Request-Email": "email", "X-G": "groups_text"}
    assert login_secrets(DashboardSettings(data_dir=tmp_path)) == {}
    assert not list(tmp_path.iterdir())


def test_what_cookies_are_signed_with_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    settings = DashboardSettings.model_validate({**OIDC, "data_dir": tmp_path / "new"})
    secret = login_secrets(settings)["auth"]["cookie_secret"]
    file = settings.data_dir / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert login_secrets(settings)["auth"]["cookie_secret"] == secret == file.read_text()
    file.write_text("short")
    with pytest.raises(SecretUnusable, match="too short"):
        login_secrets(settings)
    file.write_text("")
    with pytest.raises(SecretUnusable, match="is empty"):
        login_secrets(settings)


def test_the_clients_secret_comes_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "client"
    values = {**OIDC, "oidc_client_secret": None, "oidc_client_secret_file": file, "data_dir": tmp_path}
    settings = DashboardSettings.model_validate(values)
    with pytest.raises(SecretUnusable, match="No such file"):
        login_secrets(settings)
    file.write_text("of the provider\n")
    auth = login_secrets(settings)["auth"]
    assert auth["client_secret"] == "of the provider"
    assert auth["server_metadata_url"] == "https://id.example.com/.well-known/openid-configuration"


# Roles


def test_the_first_rule_that_fits_decides() -> None:
    rules = (
        rule("email", "ann@example.com", "admin", projects=["shop"]),
        rule("groups", "ops", "operator"),
        rule("realm_access.roles", "look"),
        rule("https://example.com/role", "boss", "admin"),
        rule("level", "3", "operator"),
    )
    for claims, expected in (
        ({"email": "ann@example.com", "groups": ["ops"]}, ("admin", ("shop",))),
        ({"email": "Ann@Example.com"}, ("admin", ("shop",))),
        ({"groups": ["dev", "ops"]}, ("operator", ())),
        ({"groups": "ops"}, ("operator", ())),
        ({"realm_access": {"roles": ["look"]}}, ("viewer", ())),
        ({"https://example.com/role": "boss"}, ("admin", ())),
        ({"level": 3}, ("operator", ())),
    ):
        person = person_of({"sub": "7", **claims}, rules)
        assert isinstance(person, Person), claims
        assert (person.role, person.projects) == expected, claims


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"email": "ann@example.com", "email_verified": False},
        {"email": "ann@example.com", "email_verified": "false"},
        {"email": "ann@example.com.evil.org"},
        {"email": " ann@example.com"},
        {"email": "mar\u212a@example.com"},
        {"email": {"ann@example.com": 1}},
        {"email": True},
        {"groups": "dev ops"},
        {"groups": "Ops"},
        {"groups": {"ops": True}},
        {"groups": [["ops"]]},
        {"realm_access": ["roles"]},
    ],
)
def test_whom_no_rule_fits_has_no_role(claims: dict[str, Any]) -> None:
    rules = (
        rule("email", "ann@example.com", "admin"),
        rule("email", "mark@example.com", "admin"),
        rule("email", "True", "admin"),
        rule("groups", "ops"),
        rule("realm_access.roles", "look"),
    )
    stranger = person_of(claims, rules)
    assert isinstance(stranger, Stranger)
    assert stranger.reason == "no_role"


def test_roles_include_those_before_them() -> None:
    allowed = {role: [wanted for wanted in ROLES if Person("x", role).may(wanted)] for role in ROLES}
    assert allowed == {
        "viewer": ["viewer"],
        "operator": ["viewer", "operator"],
        "admin": ["viewer", "operator", "admin"],
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"is_logged_in": "yes"}, "signed_out"),
        ({"is_logged_in": False}, "signed_out"),
        ({"sub": ""}, "signed_out"),
        ({"iat": None}, "too_old"),
        ({"iat": True}, "too_old"),
        ({"iat": "1000"}, "too_old"),
        ({"iat": 1000 - 3600}, "too_old"),
        ({"iat": 1000 + 3600}, "too_old"),
        ({"iat": float("nan")}, "too_old"),
    ],
)
def test_a_login_holds_for_its_hours(change: dict[str, Any], reason: str) -> None:
    problem = login_problem({**LOGIN, **change}, login_hours=1, now=1000)
    assert (problem.reason if problem else "") == reason


def test_names_are_printable_and_bounded() -> None:
    assert name_of({"email": "a\u202eb\x1b[31m\n@example.com"}) == "ab[31m@example.com"
    assert len(name_of({"sub": "x" * 5000})) == 200
    assert name_of({"email": "x@example.com", "email_verified": False, "sub": "7"}) == "7"
    assert name_of({"sub": 7}) == "7"


def test_headers_carry_any_name(tmp_path: Path) -> None:
    caller = Caller("zoë\r\nX-Evil: 1@example.com", "viewer", "shop")
    assert caller.headers() == {
        "X-Llmtrace-Actor": "zo%C3%AB%0D%0AX-Evil: 1@example.com",
        "X-Llmtrace-Actor-Role": "viewer",
        "X-Llmtrace-Project": "shop",
    }
    assert Caller().headers() == {}


def test_an_ended_login_stays_ended_and_others_go_on() -> None:
    ended = EndedLogins()
    ended.end(LOGIN, 1)
    assert ended.has(dict(LOGIN))
    assert not ended.has({**LOGIN, "iat": 2000.0})
    assert not ended.has({**LOGIN, "iss": "https://other.example.com"})


def test_roles_are_read_again_when_their_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "llmtrace.toml"
    text = '[[dashboard.roles]]\nclaim = "sub"\nvalues = ["7"]\nrole = "admin"\n'
    file.write_text(text)
    book = RoleBook(DashboardSettings(roles_file=file))
    assert [r.role for r in book.rules()] == ["admin"]
    file.write_text(text.replace("admin", "owner"))
    with pytest.raises(RolesUnreadable, match="'viewer', 'operator' or 'admin'"):
        book.rules()
    with pytest.raises(RolesUnreadable):
        book.rules()
    file.write_text("[[dashboard")
    with pytest.raises(RolesUnreadable, match="not valid TOML"):
        book.rules()
    file.write_text("dashboard = 3\n")
    with pytest.raises(RolesUnreadable):
        book.rules()
    file.write_text("")
    assert book.rules() == ()
    file.unlink()
    with pytest.raises(RolesUnreadable, match="cannot be read"):
        book.rules()


def test_roles_come_from_the_settings_file_as_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load.load().dashboard.roles_file is None
    Path("llmtrace.toml").write_text("[watch]\n")
    assert load.load().dashboard.roles_file is None
    login = '[dashboard]\noidc_issuer = "https://id.example.com"\noidc_client_id = "a"\n'
    login += 'oidc_client_secret = "b"\n'
    Path("llmtrace.toml").write_text(login)
    assert load.load().dashboard.roles_file == tmp_path / "llmtrace.toml"
    Path("mine.toml").write_text(login + 'roles_file = "roles.toml"\n')
    assert load.load(Path("mine.toml")).dashboard.roles_file == Path("roles.toml")
    monkeypatch.setenv("LLMTRACE_DASHBOARD__ROLES", '[{"claim":"sub","values":["7"],"role":"admin"}]')
    dashboard = load.load().dashboard
    assert dashboard.roles_file is None
    assert [r.role for r in dashboard.roles] == ["admin"]


# The pages

BEHIND_PROXY = DashboardSettings.model_validate(
    {
        **PROXY,
        "trusted_groups_header": "X-Groups",
        "roles": [
            {"claim": "email", "values": ["ann@example.com"], "role": "viewer", "projects": ["a", "b"]},
            {"claim": "groups", "values": ["ops"], "role": "operator"},
        ],
    }
)


@pytest.fixture
def behind_proxy() -> Iterator[None]:
    configure(BEHIND_PROXY)
    yield
    configure(DashboardSettings())


def test_a_proxys_headers_count_and_no_cookie_beside_them(behind_proxy: None) -> None:
    cookie = {"is_logged_in": True, "sub": "7", "groups": ["ops"], "iat": 1.0}
    assert Access({**cookie, "email": None, "groups_text": None}, "").visitor() == Stranger(
        "unnamed", detail="X-Auth-Request-Email"
    )
    named = {**cookie, "email": "eve@example.com", "groups_text": ""}
    assert Access(named, "").visitor() == Stranger("no_role", "eve@example.com")
    assert Access({**named, "groups_text": "dev, ops"}, "").visitor() == Person("eve@example.com", "operator")
    with pytest.raises(AccessEnded):
        Access(named, "").person()


@pytest.mark.parametrize(("chosen", "project"), [("b", "b"), ("a", "a"), ("", "a"), ("c", "a"), ("*", "a")])
def test_a_confined_person_reads_one_of_their_projects(behind_proxy: None, chosen: str, project: str) -> None:
    access = Access({"email": "ann@example.com"}, chosen)
    assert access.confined_to() == project
    assert access.caller() == Caller("ann@example.com", "viewer", project)
    assert Access({"email": "eve@example.com", "groups_text": "ops"}, chosen).confined_to() == ""


def test_nobody_is_shown_what_was_read_for_another_project(
    behind_proxy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same read by the same arguments at the same moment: kept for each project by itself."""

    class Pool:
        def __init__(self, project: str) -> None:
            self._project = project

        @contextmanager
        def client(self) -> Iterator[str]:
            yield self._project

    def rows(client: Any) -> str:
        return f"rows of {client or 'every project'}"

    monkeypatch.setattr(cached_reads, "_pool", lambda url, project, settings: Pool(project))
    everything = Access({"email": "eve@example.com", "groups_text": "ops"}, "")
    assert cached_reads.load_for(everything, rows) == "rows of every project"
    for project in ("a", "b", "a"):
        ann = Access({"email": "ann@example.com"}, project)
        assert cached_reads.load_for(ann, rows) == f"rows of {project}"


def test_a_viewer_changes_nothing_whatever_they_press(tmp_path: Path) -> None:
    settings = DashboardSettings(collector_url="http://127.0.0.1:1", data_dir=tmp_path)
    with pytest.raises(ActionFailed, match="needs an operator"):
        act(settings, "x", "resolve", "vera", "", visitor=Person("vera", "viewer"))


def test_where_people_have_names_the_admin_key_serves_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLMTRACE_ADMIN_KEY", raising=False)
    (tmp_path / "admin.key").write_text("of the admin")
    alone = DashboardSettings(data_dir=tmp_path)
    named = DashboardSettings.model_validate({**OIDC, "data_dir": tmp_path})
    assert alone.effective_write_key() == "of the admin"
    assert named.effective_write_key() is None
    with pytest.raises(ActionFailed, match=r"no dashboard key: .*dashboard\.key does not exist"):
        act(named, "x", "resolve", "olga", "", visitor=Person("olga", "operator"))
    (tmp_path / "dashboard.key").write_text("of the dashboard")
    assert alone.effective_write_key() == named.effective_write_key() == "of the dashboard"
    assert named.effective_read_key() == "of the dashboard"


# Before Streamlit

PUBLIC = "https://llm.example.com"


async def _page(request: Request) -> Response:
    response = PlainTextResponse("page", headers={"Access-Control-Allow-Origin": "*"})
    response.set_cookie("_streamlit_user", "x", max_age=30 * 86400, httponly=True)
    return response


async def _way_out(request: Request) -> Response:
    return RedirectResponse("https://id.example.com/authorize")


async def _way_back(request: Request) -> Response:
    return RedirectResponse("/", 302)


def protected(tmp_path: Path, **settings: Any) -> Protection:
    page = tmp_path / "index.html"
    page.write_text("<html><script>go()</script></html>")
    app = Starlette(
        routes=[
            Route("/auth/login", _way_out),
            Route("/oauth2callback", _way_back),
            Route("/{path:path}", _page, methods=["GET", "POST"]),
        ]
    )
    return Protection(app, Policy.of(DashboardSettings.model_validate(settings)), page)


def ask(
    app: Protection,
    path: str = "/",
    headers: Mapping[str, str] | list[tuple[str, str]] = (),  # type: ignore[assignment]
    method: str = "GET",
    client: str = "127.0.0.1",
    base: str = "http://127.0.0.1:8501",
) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(client, 1))
        async with httpx.AsyncClient(transport=transport, base_url=base) as asking:
            return await asking.request(method, path, headers=headers)

    return asyncio.run(send())


def test_every_answer_has_its_headers(tmp_path: Path) -> None:
    app = protected(tmp_path)
    for answer in (ask(app), ask(app, base="http://evil.example.com"), ask(app, method="POST")):
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert f"script-src 'self' blob: {inline_script_hashes(tmp_path / 'index.html')};" in policy
        assert "unsafe-eval" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert "camera=()" in answer.headers["permissions-policy"]
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers


def test_those_who_embed_are_named(tmp_path: Path) -> None:
    answer = ask(protected(tmp_path, frame_ancestors=["https://wiki.example.com"]))
    assert "frame-ancestors https://wiki.example.com" in answer.headers["content-security-policy"]
    assert "x-frame-options" not in answer.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8501", 200),
        ("localhost", 200),
        ("LLM.example.com", 200),
        ("llm.example.com:443", 200),
        ("evil.example.com", 421),
        ("llm.example.com.evil.org", 421),
        ("x@llm.example.com", 421),
        ("llm.example.com/evil", 421),
        ("llm.example.com:http", 421),
        ("", 421),
    ],
)
def test_only_named_hosts_are_answered(tmp_path: Path, host: str, status: int) -> None:
    app = protected(tmp_path, allowed_hosts=["llm.example.com"])
    assert ask(app, headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("path", "site", "mode", "dest", "status"),
    [
        ("/", "none", "navigate", "document", 200),
        ("/_stcore/host-config", "same-origin", "cors", "empty", 200),
        ("/traces", "cross-site", "navigate", "document", 200),
        ("/oauth2callback", "cross-site", "navigate", "document", 302),
        ("/", "cross-site", "navigate", "iframe", 403),
        ("/_stcore/host-config", "cross-site", "cors", "empty", 403),
        ("/media/x.csv", "cross-site", "no-cors", "image", 403),
        ("/_stcore/health", "cross-site", "navigate", "document", 403),
        ("/auth/logout", "cross-site", "navigate", "document", 403),
        ("/auth/login", "same-site", "navigate", "document", 403),
        ("/static/app.js", "same-site", "no-cors", "script", 403),
    ],
)
def test_foreign_pages_may_link_and_no_more(
    tmp_path: Path, path: str, site: str, mode: str, dest: str, status: int
) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    assert ask(protected(tmp_path), path, headers).status_code == status


def test_what_nobody_needs_is_closed(tmp_path: Path) -> None:
    app = protected(tmp_path)
    assert ask(app, "/_stcore/metrics").status_code == 404
    assert [ask(app, method=method).status_code for method in ("POST", "PUT", "DELETE", "OPTIONS")] == [
        405
    ] * 4


@pytest.mark.parametrize(
    ("origins", "accepted"),
    [
        (["http://127.0.0.1:8501"], True),
        (["https://llm.example.com"], True),
        (["http://127.0.0.1:5000"], False),
        (["http://localhost:8501"], False),
        (["https://llm.example.com.evil.org"], False),
        (["null"], False),
        ([], False),
        (["http://127.0.0.1:8501", "http://evil.example.com"], False),
    ],
)
def test_only_our_own_pages_open_a_websocket(tmp_path: Path, origins: list[str], accepted: bool) -> None:
    app = protected(tmp_path, public_url=PUBLIC)
    reached: list[str] = []

    async def streamlit(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])

    app._app = streamlit
    headers = [(b"host", b"127.0.0.1:8501"), *((b"origin", origin.encode()) for origin in origins)]
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/_stcore/stream", "headers": headers, "client": ("127.0.0.1", 1)}
    asyncio.run(app(scope, receive, send))
    assert bool(reached) == accepted
    assert accepted or sent == [{"type": "websocket.close", "code": 1008}]


def test_who_connects_and_says_nothing_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "HEADER_SECONDS", 0.4)

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("page")(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(page, port=0, http=deadlines.PromptProtocol, lifespan="off"))
    listening = server.config.bind_socket()
    address = listening.getsockname()
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        for sent, answered in ((b"", 0), (request[:-2], 0), (request + request[:-2], 1)):
            with socket.create_connection(address, 3) as connection:
                connection.sendall(sent)
                text = b""
                with suppress(ConnectionResetError):
                    while piece := connection.recv(4096):  # TimeoutError where it goes on
                        text += piece
                assert text.count(b"200 OK") == answered, sent
        with socket.create_connection(address, 3) as connection:
            for _ in range(2):
                connection.sendall(request)
                assert b"200 OK" in connection.recv(4096)
                time.sleep(0.8)
    finally:
        server.should_exit = True
        thread.join(10)


def test_who_a_person_is_is_believed_from_the_proxy_alone(tmp_path: Path) -> None:
    app = protected(tmp_path, **PROXY)
    named = {"X-Auth-Request-Email": "ann@example.com"}
    assert ask(app, headers=named, client="10.1.2.3").status_code == 200
    assert ask(app, headers=named, client="::ffff:10.1.2.3").status_code == 200
    assert ask(app, headers=named, client="127.0.0.1").status_code == 403
    assert ask(app, headers={**named, "X-Forwarded-For": "10.1.2.3"}, client="192.0.2.1").status_code == 403
    assert ask(app, "/_stcore/health", client="127.0.0.1").status_code == 200
    twice = [("X-Auth-Request-Email", "ann@example.com"), ("X-Auth-Request-Email", "eve@example.com")]
    assert ask(app, headers=twice, client="10.1.2.3").status_code == 400

    secret = protected(tmp_path, trusted_header="X-User", trusted_secret="of the proxy")
    for sent, status in (("of the proxy", 200), ("another", 403), ("", 403), ("öf the proxy", 403)):
        headers = {"X-User": "ann", "X-Llmtrace-Proxy-Secret": sent.encode("latin-1").decode("latin-1")}
        encoded = {name: value.encode("latin-1") for name, value in headers.items()}
        assert ask(secret, headers=encoded).status_code == status  # type: ignore[arg-type]
    assert ask(secret, headers={"X-User": "ann"}).status_code == 403


def test_cookies_last_no_longer_than_logins_and_go_over_https_alone(tmp_path: Path) -> None:
    settings = {"public_url": PUBLIC, "login_hours": 2}
    cookie = ask(protected(tmp_path, **settings)).headers["set-cookie"]
    assert "Max-Age=7200" in cookie
    assert "HttpOnly" in cookie
    assert cookie.endswith("; Secure")
    assert "Secure" not in ask(protected(tmp_path)).headers["set-cookie"]


@pytest.mark.parametrize(
    ("referer", "page"),
    [
        ("http://127.0.0.1:8501/traces?trace=ab&q=x%20y", "/traces?trace=ab&q=x%20y"),
        ("http://127.0.0.1:8501/", "/"),
        ("http://evil.example.com/traces", "/"),
        ("http://127.0.0.1:8501//evil.example.com", "/"),
        ("http://127.0.0.1:8501/\\evil.example.com", "/"),
        ("http://127.0.0.1:8501/auth/logout", "/"),
        ("http://127.0.0.1:8501/media/x", "/"),
        ("", "/"),
    ],
)
def test_a_login_leads_back_to_the_page_that_was_wanted(tmp_path: Path, referer: str, page: str) -> None:
    app = protected(tmp_path)
    left = ask(app, "/auth/login", {"Referer": referer})
    cookie = left.headers.get("set-cookie", "").partition(";")[0]
    assert ask(app, "/oauth2callback", {"Cookie": cookie}).headers["location"] == page


@pytest.mark.parametrize(
    "stored",
    [
        "https%3A%2F%2Fevil.example.com",
        "%2F%2Fevil.example.com",
        "%2F%5Cevil.example.com",
        "%2Ftraces%0D%0AX-Evil%3A1",
        "javascript%3Aalert(1)",
        "%2Ftraces%2F..%2F%2Fevil.example.com",
        "%2Ftraces%3F" + "x" * 3000,
        "%2Ftraces%3F%C3%A4",
    ],
)
def test_a_login_leads_nowhere_else(tmp_path: Path, stored: str) -> None:
    answer = ask(protected(tmp_path), "/oauth2callback", {"Cookie": f"llmtrace_return={stored}"})
    assert answer.headers["location"] == "/"
    assert "llmtrace_return=; Path=/oauth2callback; Max-Age=0" in answer.headers["set-cookie"]


def test_a_bind_that_others_reach_is_refused_by_a_sentence() -> None:
    with pytest.raises(
        load.InvalidSettings, match=r"\[dashboard\] host '0.0.0.0' can be reached .* must sign in"
    ):
        load.load(Path(os.devnull), {"dashboard": OUTSIDE})

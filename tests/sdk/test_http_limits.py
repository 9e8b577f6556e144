"""The middleware and the server that stand before every HTTP part."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtrace.common.http_limits import connections, server
from llmtrace.common.http_limits.bodies import BodyBudget, Receive
from llmtrace.common.http_limits.connections import ConnectionBound, connection_limit
from llmtrace.common.http_limits.json_bounds import JsonBounds, JsonTooComplex, check_json
from llmtrace.common.http_limits.middleware import App, HttpLimits, Rules, Scope, Send
from llmtrace.common.http_limits.policy import Policy, RouteTable
from llmtrace.common.http_limits.refusal import Refusal
from llmtrace.common.http_limits.request_headers import HostRule, OriginRule, RequestHeaders

OWN_PAGE = "https://app.example"

ROUTES = {
    "GET /health": Policy(is_page=True, is_health=True),
    "GET /page": Policy(is_page=True),
    "GET /data": Policy(),
    "POST /keyed/{name}": Policy(("writer",), 1000, 1.0),
    "POST /json": Policy((), 100_000, json=JsonBounds(8, 100, 1000)),
    "POST /stream": Policy((), 1000, 1.0, streamed=True, for_browsers=True),
    "DELETE /users/{user:path}": Policy(),
}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the size of the body and whose request it is."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    answer = json.dumps({"size": size, "identity": scope["state"].get("identity")}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": answer})


async def identify(scope: Scope, _: Policy) -> object:
    """One key."""
    if (b"authorization", b"Bearer good") not in scope["headers"]:
        raise Refusal(401, "a key is needed")
    return "writer"


def plain(_: Scope, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
    """A refusal as text."""
    return {"content-type": "text/plain"}, str(refusal).encode()


class Served:
    """The application behind the limits, on a port of its own."""

    def __init__(
        self, app: App = application, *, body_bytes: int = 1 << 20, max_connections: int = 20
    ) -> None:
        self.observed: list[str] = []
        rules = Rules(
            RouteTable(ROUTES),
            HostRule("127.0.0.1", ("public.example", "*.wild.example"), "allowed_hosts"),
            OriginRule((OWN_PAGE,), "allowed_origins"),
            identify,
            plain,
            lambda _, kind, detail: self.observed.append(kind),
            body_bytes,
        )
        sockets = server.open_sockets("127.0.0.1", 0)
        self.port = int(sockets[0].getsockname()[1])
        config = server.limited_config(HttpLimits(app, rules), "127.0.0.1", 0, lifespan="off")
        self.server = server.LimitedServer(config, max_connections)
        self._thread = threading.Thread(target=self.server.run, args=(sockets,), daemon=True)
        self._thread.start()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, verify=False)

    def connect(self, first: bytes = b"") -> socket.socket:
        """A bare connection."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.sendall(first)
        return connection

    def close(self) -> None:
        """Stop."""
        self.client.close()
        self.server.should_exit = True
        self._thread.join()


@contextmanager
def serving(app: App = application, **named: int) -> Iterator[Served]:
    """A server for the time of a block."""
    opened = Served(app, **named)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """One server for the module."""
    with serving() as opened:
        yield opened


KEY = {"authorization": "Bearer good"}


def test_only_routes_of_the_table_exist(served: Served) -> None:
    assert served.client.get("/nothing").status_code == 404
    assert served.client.get("/keyed/").status_code == 404
    assert served.client.get("/keyed/a/b").status_code == 404
    answer = served.client.get("/keyed/a")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert served.client.request("DELETE", "/users/a/b").status_code == 200


def test_the_key_is_asked_before_a_byte_of_the_body_is_read(served: Served) -> None:
    head = b"POST /keyed/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n"
    with served.connect(head) as connection:  # and no body
        assert b" 401 " in connection.recv(1000)
    answer = served.client.post("/keyed/a", content=b"x" * 10, headers=KEY)
    assert answer.json() == {"size": 10, "identity": "writer"}


@pytest.mark.parametrize("path", ["/keyed/a", "/stream"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_beyond_the_limit_is_refused(served: Served, path: str, is_chunked: bool) -> None:
    served.observed.clear()
    content: object = (b"x" * 500 for _ in range(3)) if is_chunked else b"x" * 1500
    answer = served.client.post(path, content=content, headers=KEY)  # type: ignore[arg-type]
    assert answer.status_code == 413
    assert "1000 bytes" in answer.text
    assert served.observed == ["body_too_large"]
    assert served.client.post(path, content=b"x" * 1000, headers=KEY).status_code == 200


def test_no_body_is_read_where_none_is_expected(served: Served) -> None:
    assert served.client.request("GET", "/data", content=b"x").status_code == 413
    assert served.client.request("GET", "/data", content=iter([b"x"])).status_code == 413


@pytest.mark.parametrize("path", ["/keyed/a", "/stream"])
def test_a_body_that_does_not_come_is_waited_for_no_longer_than_its_deadline(
    served: Served, path: str
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\n".encode()
    started = time.monotonic()
    with served.connect(head + b"Content-Length: 500\r\n\r\nx") as connection:
        assert b" 408 " in connection.recv(1000)
    assert time.monotonic() - started < 5


HOSTS = [
    ("localhost", 200),
    ("127.0.0.1:1", 200),
    ("[::1]:80", 200),
    ("public.example:8080", 200),
    ("a.wild.example", 200),
    ("wild.example", 421),
    ("evil.example", 421),
    ("localhost.evil.example", 421),
    ("", 421),
    ("10.0.0.1", 421),
    ("localhost:80@evil.example", 421),
    ("[::1]evil.example", 421),
    ("localhost:evil", 421),
    ("[::1", 421),
]


@pytest.mark.parametrize(("host", "status"), HOSTS)
def test_hosts(served: Served, host: str, status: int) -> None:
    answer = served.client.get("/data", headers={"host": host})
    assert answer.status_code == status
    if status == 421:
        assert "allowed_hosts" in answer.text


def test_two_hosts_are_none(served: Served) -> None:
    with served.connect(b"GET /data HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n") as connection:
        assert connection.recv(1000)[9:12] in (b"400", b"421")


@pytest.mark.parametrize(
    ("bind", "allowed", "host", "is_accepted"),
    [
        ("0.0.0.0", (), "anything.example", True),
        ("0.0.0.0", ("named.example",), "named.example", True),
        ("0.0.0.0", ("named.example",), "other.example", False),
        ("0.0.0.0", ("named.example",), "10.1.2.3:4318", True),
        ("0.0.0.0", ("named.example",), "localhost", True),
        ("127.0.0.1", ("*",), "other.example", True),
    ],
)
def test_hosts_by_what_is_listened_on(
    bind: str, allowed: tuple[str, ...], host: str, is_accepted: bool
) -> None:
    rule = HostRule(bind, allowed, "allowed_hosts")
    scope = {"headers": [(b"host", host.encode())]}
    if is_accepted:
        rule.check(RequestHeaders(scope))
    else:
        with pytest.raises(Refusal, match="allowed_hosts"):
            rule.check(RequestHeaders(scope))


PAGES = [
    ({}, "/data", 200),
    ({"origin": "http://127.0.0.1:{port}"}, "/data", 200),
    ({"origin": "http://127.0.0.1:{port}", "sec-fetch-site": "same-origin"}, "/data", 200),
    ({"origin": "https://evil.example"}, "/data", 403),
    ({"origin": "http://127.0.0.1:1"}, "/data", 403),
    ({"origin": "null"}, "/data", 403),
    ({"sec-fetch-site": "cross-site"}, "/data", 403),
    ({"sec-fetch-site": "same-site"}, "/data", 403),
    ({"sec-fetch-site": "surprise"}, "/data", 403),
    ({"sec-fetch-site": "none"}, "/data", 403),
    ({"sec-fetch-site": "none"}, "/page", 200),
    ({"sec-fetch-site": "cross-site"}, "/page", 403),
    ({"sec-fetch-site": "cross-site"}, "/health", 403),
    ({"origin": OWN_PAGE, "sec-fetch-site": "cross-site"}, "/data", 403),
]


@pytest.mark.parametrize(("headers", "path", "status"), PAGES)
def test_pages(served: Served, headers: dict[str, str], path: str, status: int) -> None:
    served.observed.clear()
    sent = {name: value.format(port=served.port) for name, value in headers.items()}
    assert served.client.get(path, headers=sent).status_code == status
    assert served.observed == (["cross_site"] if status == 403 else [])


def test_pages_of_allowed_origins_may_use_routes_for_browsers(served: Served) -> None:
    page = {"origin": OWN_PAGE, "sec-fetch-site": "cross-site"}
    answer = served.client.post("/stream", content=b"x", headers=page)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == OWN_PAGE
    assert answer.headers["vary"] == "Origin"
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization, a b"}
    preflight = served.client.options("/stream", headers={**page, **asks})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == "authorization"
    assert served.client.options("/json", headers={**page, **asks}).status_code == 403
    evil = {"origin": "https://evil.example"}
    assert served.client.options("/stream", headers={**evil, **asks}).status_code == 403
    refused = served.client.post("/stream", content=b"x" * 2000, headers=page)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (413, OWN_PAGE)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 9,
        b"[" * 50_000,
        b"{" + b'"a":1,' * 101 + b'"a":1}',
        b"[" + b"1," * 1001 + b"1]",
        b'{"a":"\0"}',
        b"]" * 2000,
    ],
)
def test_json_that_is_too_complex_is_refused(served: Served, body: bytes) -> None:
    assert served.client.post("/json", content=body).status_code == 400
    assert served.client.post("/json", content=b'{"a": [[[1]]]}').status_code == 200


def test_bodies_that_stall_make_room() -> None:
    with serving(body_bytes=2000) as served:
        head = b"POST /keyed/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\n"
        stalled = [served.connect(head + b"Content-Length: 1000\r\n\r\n" + b"x" * 900) for _ in range(2)]
        time.sleep(0.2)
        started = time.monotonic()
        assert served.client.post("/keyed/a", content=b"x" * 900, headers=KEY).status_code == 200
        assert time.monotonic() - started < 0.9  # before their deadline
        assert b" 503 " in stalled[0].recv(1000)
        for connection in stalled:
            connection.close()


def test_silent_connections_make_room_oldest_first() -> None:
    with serving(max_connections=20) as served:
        silent = [served.connect() for _ in range(100)]
        started = time.monotonic()
        assert served.client.get("/data").status_code == 200
        assert time.monotonic() - started < 2
        assert silent[0].recv(1) == b""
        silent[-1].sendall(b"GET /data HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in silent[-1].recv(1000)
        for connection in silent:
            connection.close()


def test_health_answers_where_all_connections_are_at_work() -> None:
    release = threading.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/data":
            await asyncio.to_thread(release.wait, 30)
        await application(scope, receive, send)

    with serving(slow, max_connections=8) as served:
        work = [served.connect(b"GET /data HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(8)]
        time.sleep(0.2)
        answer = served.client.get("/data")
        assert (answer.status_code, answer.headers["connection"]) == (503, "close")
        assert httpx.get(f"http://127.0.0.1:{served.port}/health").status_code == 200
        release.set()
        for connection in work:
            assert b" 200 " in connection.recv(1000)
            connection.close()


def test_headers_have_their_time_and_size(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with served.connect(b"GET /data HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (70 << 10)) as connection:
        assert b" 400 " in connection.recv(1000)
    with served.connect(b"GET /data HTTP/1.1\r\nHost: localhost\r\n" + b"X: x\r\n" * 200) as connection:
        assert b" 400 " in connection.recv(1000)
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.5)
    with served.connect(b"GET /data HT") as connection:
        assert connection.recv(1000) == b""


_JSON_HEAD = b"POST /json HTTP/1.1\r\nHost: localhost\r\n"
_BODY = b'["the body"]'


@pytest.mark.parametrize(
    "offer",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    ],
)
@pytest.mark.parametrize("is_chunked", [True, False])
def test_an_offer_of_another_protocol_costs_no_body(served: Served, offer: bytes, is_chunked: bool) -> None:
    length = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % len(_BODY)
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(_BODY), _BODY) if is_chunked else _BODY
    head = _JSON_HEAD + offer + length + b"\r\n\r\n"
    for pieces in ([head + body], [head, body], [head[:-1], head[-1:] + body[:3], body[3:]]):
        with served.connect() as connection:
            for _ in range(2):  # and the connection goes on
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(0.05)
                answer = connection.recv(1000)
                assert b" 200 " in answer
                assert b'"size": %d,' % len(_BODY) in answer


def test_what_stands_behind_a_body_is_no_header(served: Served) -> None:
    request = b"POST /keyed/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with served.connect(request + b"1\r\nx\r\n0\r\nAuthorization: Bearer good\r\n\r\n") as connection:
        assert b" 401 " in connection.recv(1000)


def test_no_tunnels(served: Served) -> None:
    for target in (b"example.org:443", b"/data"):
        with served.connect(b"CONNECT " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n") as connection:
            assert b" 400 " in connection.recv(1000)


def test_a_client_may_read_why_its_body_was_refused(served: Served) -> None:
    head = b"POST /keyed/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n"
    with served.connect(head) as connection:
        for _ in range(50):
            connection.sendall(b"x" * 100_000)
        assert b" 401 " in connection.recv(1000)


def test_pipelined_requests_are_bounded(served: Served) -> None:
    with served.connect(b"GET /data HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000) as connection:
        received = b""
        while chunk := connection.recv(1 << 16):
            received += chunk
        assert received.count(b" 200 ") < 20


class _Recorder:
    def __init__(self) -> None:
        self.is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True


def test_an_answer_is_never_cut_off_to_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    bound = ConnectionBound(3)
    working, body, idle = _Recorder(), _Recorder(), _Recorder()
    bound.enter(working, "answer")
    bound.enter(body, "body")
    bound.enter(idle, "idle")
    assert bound.make_room()
    assert (idle.is_aborted, body.is_aborted) == (True, False)
    bound.enter(_Recorder(), "answer")
    assert bound.make_room()
    assert body.is_aborted
    bound.enter(_Recorder(), "answer")
    assert not bound.make_room()
    assert not working.is_aborted


def test_half_of_the_descriptors_are_kept_for_files() -> None:
    assert connection_limit(512, 1024) <= 512 - connections.RESERVE
    assert connection_limit(512, 1 << 20) == 512


def test_a_body_alone_that_finds_no_room_is_refused() -> None:
    budget = BodyBudget(100)
    with budget.reading() as reading, pytest.raises(Refusal, match="try again") as refused:
        budget.add(reading, 101)
    assert refused.value.status == 503
    with budget.reading() as reading:
        budget.add(reading, 100)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def _measure(value: object) -> tuple[int, int, int]:
    """Depth, keys and values, as a parser would make them."""
    if isinstance(value, dict):
        inner = [_measure(element) for element in value.values()]
        keys = len(value)
    elif isinstance(value, list):
        inner, keys = [_measure(element) for element in value], 0
    else:
        return 0, 0, 1
    depth = 1 + max((measured[0] for measured in inner), default=0)
    return depth, keys + sum(measured[1] for measured in inner), 1 + sum(measured[2] for measured in inner)


@given(value=JSON_VALUES, ascii_only=st.booleans())
def test_json_within_its_bounds_passes_and_beyond_is_refused(value: object, ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    depth, keys, values = _measure(value)
    # An empty list counts for two.
    check_json(raw, depth=depth, members=keys, values=2 * values)
    for bound in ("depth", "members"):
        bounds = {"depth": depth, "members": keys, "values": 2 * values}
        bounds[bound] -= 1
        if bounds[bound] >= 0 and len(raw) > min(bounds.values()):
            with pytest.raises(JsonTooComplex):
                check_json(raw, **bounds)


def test_hostile_json_takes_no_time() -> None:
    for raw in (
        b'"' * 3_000_000,
        b'\\"' * 2_000_000,
        b'"\\\\",' * 500_000,
        b"]" * 3_000_000,
        b"[" * 3_000_000,
    ):
        started = time.process_time()
        with suppress(JsonTooComplex):  # or the parser refuses it at its first byte
            check_json(raw, depth=100, members=1000, values=1000)
        assert time.process_time() - started < 0.5

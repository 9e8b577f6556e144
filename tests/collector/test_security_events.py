"""Refused keys, keys in new places and denied reads as rows; who acts at the dashboard; who may do what."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers

from llmtrace.common.admin_key import find_dashboard_key
from llmtrace_collector.access import security_events
from llmtrace_collector.access.client_address import ClientAddresses, grpc_peer, network_of
from llmtrace_collector.access.security_events import SecurityEvents
from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.store.engine import StoreError
from llmtrace_collector.store.store import Store, open_store

from .otlp import span, traces
from .prefilled import prefill
from .running import CLIENT, Served, settings

_INCIDENT = {
    "fingerprint": "f", "kind": "anomaly", "rule": "anomaly.latency", "severity": "warning", "state": "open",
    "title": "t", "opened_at": "2026-11-29T10:00:00Z", "last_seen_at": "2026-11-29T10:00:00Z",
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector with every kind of key, behind a proxy on this machine."""
    keys = {"ingest_key": "in-key", "read_key": "read-key", "service_key": "service-key"}
    directory = tmp_path_factory.mktemp("events")
    collector = Served(settings(directory, trusted_proxies=("127.0.0.0/8",), **keys))
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def dashboard(served: Served) -> str:
    """The dashboard's key."""
    return find_dashboard_key(served.collector.settings.data_dir)


def events(served: Served, where: str) -> list[dict[str, Any]]:
    """What is stored of the events so far."""
    served.collector.security_events.flush()
    return served.collector.store.rows(f"SELECT * FROM security_events WHERE {where} ORDER BY Timestamp")


def post(served: Served, key: str = "", address: str = "", **headers: str) -> httpx.Response:
    sent = {"x-api-key": key} if key else {}
    if address:
        sent["x-forwarded-for"] = address
    return served.post(traces([span()]), headers={**sent, **headers})


def test_a_burst_of_refused_keys_is_one_row_and_holds_no_secret(served: Served) -> None:
    before = served.metric("llmtrace_collector_security_events_total", kind="key_refused")
    served.collector.security_events.flush()
    for number in range(25):
        assert post(served, f"guess-{number}", "203.0.113.5").status_code == 401
    assert post(served, "", "203.0.113.6").status_code == 401
    burst, keyless = events(served, "Kind = 'key_refused' AND Address LIKE '203.0.113.%'")
    assert (burst["Address"], burst["Count"], burst["KeyId"], burst["Project"]) == ("203.0.113.5", 25, "", "")
    assert "an unknown key" in burst["Detail"]
    assert "guess" not in burst["Detail"]
    assert (keyless["Address"], keyless["Count"]) == ("203.0.113.6", 1)
    assert "with no key" in keyless["Detail"]
    assert served.metric("llmtrace_collector_security_events_total", kind="key_refused") == before + 26


def test_a_known_key_that_may_not_is_named(served: Served) -> None:
    key = served.write("POST", "/v1/keys", {"project": "shop", "role": "read"}).json()
    assert post(served, key["key"], "203.0.113.7").status_code == 401
    (row,) = events(served, "Address = '203.0.113.7' AND Kind = 'key_refused'")
    assert (row["KeyId"], row["Project"]) == (key["key_id"], "shop")
    assert "ingest was asked for with a key of the role read" in row["Detail"]


def test_a_key_in_a_new_place_is_an_event_and_its_first_place_is_not(served: Served) -> None:
    key = served.write("POST", "/v1/keys", {"project": "shop", "role": "ingest"}).json()
    for address in ("198.51.100.1", "198.51.100.1", "2001:db8:1:2::aa"):
        assert post(served, key["key"], address).status_code == 200
        events(served, "1")
    of_key = f"KeyId = '{key['key_id']}'"
    first, moved = events(served, of_key)
    assert (first["Kind"], first["Address"], first["Count"]) == ("key_used", "198.51.100.1", 1)
    assert (moved["Kind"], moved["Address"]) == ("key_new_address", "2001:db8:1:2::/64")
    listed = served.write("GET", "/v1/keys", None).json()["keys"]
    last = next(row for row in listed if row["key_id"] == key["key_id"])
    assert last["last_address"] == "2001:db8:1:2::/64"
    assert last["last_used_at"] == moved["Timestamp"]

    # A restart, or another collector on the store, knows both places.
    again = SecurityEvents(served.collector.store, CollectorMetrics())
    for address in ("198.51.100.1", "2001:db8:1:2::bb"):
        again.used(key["key_id"], address)
    again.flush()
    assert [row["Kind"] for row in events(served, of_key)].count("key_new_address") == 1


def test_denied_reads_are_events_of_the_key(served: Served, dashboard: str) -> None:
    headers = {"authorization": f"Bearer {dashboard}", "x-llmtrace-actor": "eve@example.org"}
    viewer = {**headers, "x-llmtrace-actor-role": "viewer"}
    answer = CLIENT.put(f"{served.url}/v1/prices", json=_price(), headers=viewer)
    assert answer.status_code == 403
    assert "eve@example.org is viewer" in answer.json()["detail"]
    (row,) = events(served, "Kind = 'read_denied' AND Detail LIKE '%prices%'")
    assert (row["KeyId"], row["Address"]) == ("dashboard_key", "127.0.0.1")


def test_a_project_reads_no_event_and_is_one_for_trying(served: Served) -> None:
    key = served.write("POST", "/v1/keys", {"project": "default", "role": "read"}).json()
    assert post(served, "wrong").status_code == 401
    assert events(served, "Kind = 'key_refused'")

    def ask(key: str) -> httpx.Response:
        sent = {"x-clickhouse-key": key, "x-forwarded-for": "203.0.113.8"}
        sql = b"SELECT count() FROM security_events"
        return CLIENT.post(f"{served.url}/clickhouse/", content=sql, headers=sent)

    assert int(ask("read-key").text) > 0
    assert ask(key["key"]).status_code == 400
    (row,) = events(served, f"Kind = 'read_denied' AND KeyId = '{key['key_id']}'")
    assert (row["Address"], row["Project"]) == ("203.0.113.8", "default")
    store = served.collector.store
    confined = store.read("SELECT count() FROM security_events", project="default")
    assert confined == b"0\n", "behind the endpoint stands the engine's filter"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"chdb://{prefill(tmp_path / 'store')}", 30)
    yield opened
    opened.close()


@pytest.fixture
def recorder() -> SecurityEvents:
    class Nowhere:
        def __init__(self) -> None:
            self.batches: list[list[dict[str, Any]]] = []
            self.fails = False

        def rows(self, sql: str, params: Any = None) -> list[dict[str, Any]]:
            return []

        def insert_rows(self, table: str, rows: list[dict[str, Any]]) -> None:
            if self.fails:
                raise StoreError("the disk is full", 1)
            self.batches.append(list(rows))

    nowhere: Any = Nowhere()
    return SecurityEvents(nowhere, CollectorMetrics())


def batches(recorder: SecurityEvents) -> list[list[dict[str, Any]]]:
    stored: list[list[dict[str, Any]]] = vars(recorder)["_store"].batches
    return stored


def test_attackers_from_everywhere_do_not_fill_the_disk(recorder: SecurityEvents) -> None:
    for number in range(5000):
        recorder.record("key_refused", address=f"10.{number >> 8}.{number & 255}.1", detail="x" * 10_000)
        recorder.record("key_refused", address=f"2001:db8::{number:x}", detail="\x1b[2J\n")
    recorder.flush()
    (rows,) = batches(recorder)
    assert len(rows) <= 202
    assert sum(row["Count"] for row in rows) == 10_000
    assert all(len(row["Detail"]) <= 200 and row["Detail"].isprintable() for row in rows)
    by_address = {row["Address"]: row["Count"] for row in rows}
    assert by_address["2001:db8::/64"] == 5000
    assert by_address[""] > 4000


def test_what_could_not_be_stored_is_stored_later_and_once(recorder: SecurityEvents) -> None:
    nowhere = vars(recorder)["_store"]
    recorder.record("cross_site", address="10.0.0.1", detail="a")
    recorder.used("key_1", "10.0.0.1")
    nowhere.fails = True
    with pytest.raises(StoreError):
        recorder.flush()
    recorder.record("cross_site", address="10.0.0.1", detail="b")
    nowhere.fails = False
    recorder.flush()
    recorder.flush()
    (rows,) = [batch for batch in batches(recorder) if batch]
    assert {(row["Kind"], row["Count"], row["Detail"]) for row in rows} == {
        ("cross_site", 2, "a"),
        ("key_used", 1, ""),
    }


def test_threads_may_record_at_once(recorder: SecurityEvents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security_events, "_MOST_USES", 50)

    def work(number: int) -> None:
        for step in range(500):
            recorder.record("body_too_large", address=f"10.0.0.{number}")
            recorder.used(f"key_{step % 70}", f"10.0.0.{number}")
            if step % 50 == 0:
                recorder.flush()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.flush()
    rows = [row for batch in batches(recorder) for row in batch]
    assert sum(row["Count"] for row in rows if row["Kind"] == "body_too_large") == 2000


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "address"),
    [
        ((), "10.0.0.1", "203.0.113.9", "10.0.0.1"),
        (("10.0.0.0/8",), "10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (("10.0.0.0/8",), "10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        (("10.0.0.0/8",), "10.0.0.1", "1.1.1.1, 203.0.113.9, 10.2.2.2", "203.0.113.9"),
        (("10.0.0.0/8",), "10.0.0.1", "", "10.0.0.1"),
        (("10.0.0.0/8",), "10.0.0.1", "203.0.113.9, nonsense", "10.0.0.1"),
        (("10.0.0.0/8",), "10.0.0.1", "10.3.3.3", "10.3.3.3"),
        (("10.0.0.0/8",), "192.0.2.1", "203.0.113.9", "192.0.2.1"),
        (("10.0.0.0/8",), "::ffff:10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        (("fd00::/8",), "fd00::1", "203.0.113.9:5000", "203.0.113.9"),
        (("10.0.0.1",), "10.0.0.1", ",".join(["10.0.0.1"] * 10_000), "10.0.0.1"),
        (("10.0.0.1",), "", "203.0.113.9", ""),
    ],
)
def test_whose_address_it_is(trusted: tuple[str, ...], peer: str, forwarded: str, address: str) -> None:
    headers = Headers({"x-forwarded-for": forwarded} if forwarded else {})
    assert ClientAddresses(trusted).of(headers, peer) == address


def test_addresses_are_told_apart_by_whose_they_are() -> None:
    assert network_of("203.0.113.9") == "203.0.113.9"
    assert network_of("::ffff:203.0.113.9") == "203.0.113.9"
    assert network_of("2001:db8:1:2:3:4:5:6%eth0") == "2001:db8:1:2::/64"
    assert network_of("socket\n\x1b[2J" + "x" * 100) == "socket[2J" + "x" * 53
    assert grpc_peer("ipv4:127.0.0.1:5000") == "127.0.0.1"
    assert grpc_peer("ipv6:%5B::1%5D:5000") == "::1"
    assert grpc_peer("unix:/tmp/socket") == "unix:/tmp/socket"


def _price(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "input_per_million": 1.0, "output_per_million": 2.0, **fields}


def _incident(served: Served, name: str, project: str = "default") -> str:
    report = {**_INCIDENT, "fingerprint": name, "project": project}
    assert served.write("PUT", f"/v1/incidents/{name}", report).status_code == 200
    return name


def _decide(served: Served, key: str, incident: str, action: str, **headers: str) -> httpx.Response:
    sent = {"authorization": f"Bearer {key}", **headers}
    return CLIENT.post(
        f"{served.url}/v1/incidents/{incident}/{action}", json={"actor": "said", "note": "n"}, headers=sent
    )


def _actors(served: Served, incident: str) -> tuple[list[str], list[str]]:
    """Of the incident's history, and of the audit log."""
    store = served.collector.store
    history = store.rows(
        f"SELECT Actor FROM incident_history WHERE IncidentId = '{incident}' AND Action != 'open' ORDER BY At"
    )
    audit = store.rows(f"SELECT Actor FROM audit_log WHERE Target = '{incident}' ORDER BY At")
    return [row["Actor"] for row in history], [row["Actor"] for row in audit]


def test_the_person_at_the_dashboard_is_the_actor(served: Served, dashboard: str) -> None:
    name = _incident(served, "of-ada")
    ada = {"x-llmtrace-actor": "ada@example.org", "x-llmtrace-actor-role": "operator"}
    bob = {"x-llmtrace-actor": "bob@example.org", "x-llmtrace-actor-role": "admin"}
    assert _decide(served, dashboard, name, "acknowledge", **ada).status_code == 200
    assert _decide(served, dashboard, name, "resolve", **bob).status_code == 200
    both = ["ada@example.org", "bob@example.org"]
    assert _actors(served, name) == (both, both)
    answer = CLIENT.post(
        f"{served.url}/clickhouse/",
        content=b"SELECT AcknowledgedBy FROM incidents WHERE IncidentId = 'of-ada'",
        headers={"x-clickhouse-key": "read-key"},
    )
    assert answer.text == "ada@example.org\n"

    sent = {"authorization": f"Bearer {dashboard}"}
    price = _price(model="priced-by-bob", actor="said")
    assert CLIENT.put(f"{served.url}/v1/prices", json=price, headers={**sent, **ada}).status_code == 403
    assert CLIENT.put(f"{served.url}/v1/prices", json=price, headers={**sent, **bob}).status_code == 200
    store = served.collector.store
    assert store.rows("SELECT Actor FROM own_prices WHERE Model = 'priced-by-bob'") == [
        {"Actor": "bob@example.org"}
    ]
    (row,) = store.rows("SELECT Actor, KeyId FROM audit_log WHERE Target = '/priced-by-bob'")
    assert row == {"Actor": "bob@example.org", "KeyId": "dashboard_key"}


def test_nobody_else_may_say_who_acts(served: Served, dashboard: str) -> None:
    name = _incident(served, "of-admin")
    lie = {"x-llmtrace-actor": "ceo@example.org", "x-llmtrace-actor-role": "admin"}
    assert _decide(served, served.admin_key, name, "acknowledge", **lie).status_code == 200
    assert _actors(served, name) == (["said (admin_key)"], ["admin_key"])
    for key in ("read-key", "in-key", "service-key"):
        assert _decide(served, key, name, "resolve", **lie).status_code == 401
    name = _incident(served, "of-zoe")
    assert _decide(served, dashboard, name, "resolve", **{"x-llmtrace-actor": "zo%C3%AB"}).status_code == 200
    assert _actors(served, name) == (["zoë"], ["zoë"])
    name = _incident(served, "of-nobody")
    assert _decide(served, dashboard, name, "acknowledge").status_code == 200
    assert _actors(served, name) == (["said"], ["dashboard_key"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-llmtrace-actor": "a" * 201}, 400),
        ({"x-llmtrace-actor": ""}, 400),
        ({"x-llmtrace-actor": "a\x85b"}, 400),
        ({"x-llmtrace-actor": "a%0Ab"}, 400),
        ({"x-llmtrace-actor": "a%E2%80%AEb"}, 400),
        ({"x-llmtrace-actor": "ada", "x-llmtrace-actor-role": "root"}, 400),
        ({"x-llmtrace-actor": "ada", "x-llmtrace-actor-role": ""}, 400),
        ({"x-llmtrace-actor": "ada", "x-llmtrace-actor-role": "viewer"}, 403),
        ({"x-llmtrace-actor": "ada", "x-llmtrace-actor-role": "operator", "x-llmtrace-project": "b"}, 404),
        ({"x-llmtrace-project": "x' OR 1"}, 400),
        ({"x-llmtrace-project": ""}, 400),
    ],
)
def test_headers_that_cannot_be_believed_are_refused(
    served: Served, dashboard: str, headers: dict[str, str], status: int
) -> None:
    name = _incident(served, "of-project-a", "a")
    encoded = {field: value.encode("latin-1") for field, value in headers.items()}
    answer = CLIENT.post(
        f"{served.url}/v1/incidents/{name}/acknowledge",
        json={"actor": "x"},
        headers=[(b"authorization", f"Bearer {dashboard}".encode())]
        + [(field.encode(), value) for field, value in encoded.items()],
    )
    assert answer.status_code == status, answer.text
    twice = [("authorization", f"Bearer {dashboard}"), ("x-llmtrace-actor", "a"), ("x-llmtrace-actor", "b")]
    assert CLIENT.post(f"{served.url}/v1/incidents/{name}/acknowledge", headers=twice).status_code == 400


def test_a_project_in_the_header_confines_and_never_widens(served: Served, dashboard: str) -> None:
    for project in ("one", "two"):
        key = served.write("POST", "/v1/keys", {"project": project, "role": "ingest"}).json()
        assert post(served, key["key"]).status_code == 200
    own = served.write("POST", "/v1/keys", {"project": "one", "role": "read"}).json()["key"]
    served.stored()

    def seen(key: str, **headers: str) -> tuple[int, str]:
        answer = CLIENT.post(
            f"{served.url}/clickhouse/",
            content=b"SELECT DISTINCT Project FROM otel_traces WHERE Project IN ('one', 'two') ORDER BY 1",
            headers={"x-clickhouse-key": key, **headers},
        )
        return answer.status_code, answer.text if answer.status_code == 200 else ""

    assert seen(dashboard) == (200, "one\ntwo\n")
    assert seen(dashboard, **{"x-llmtrace-project": "two"}) == (200, "two\n")
    assert seen(own, **{"x-llmtrace-project": "one"}) == (200, "one\n")
    assert seen(own, **{"x-llmtrace-project": "two"})[0] in (401, 403)
    bounded = {"authorization": f"Bearer {dashboard}", "x-llmtrace-project": "two"}
    assert CLIENT.put(f"{served.url}/v1/prices", json=_price(), headers=bounded).status_code == 403


_ASKED: dict[str, tuple[str, str, Any]] = {
    "send": ("POST", "/v1/traces", b""),
    "read": ("POST", "/clickhouse/", b"SELECT 1"),
    "budget": ("GET", "/v1/budget", None),
    "budgets": ("GET", "/v1/budgets", None),
    "audit": ("POST", "/v1/audit", []),
    "decide": ("POST", "/v1/incidents/none/resolve", {"actor": "x"}),
    "price": ("PUT", "/v1/prices", {}),
    "report": ("PUT", "/v1/incidents/none", {}),
    "keys": ("GET", "/v1/keys", None),
    "quarantine": ("GET", "/v1/quarantine", None),
}

#: Who may do what: the table of the documentation.
_MAY: dict[str, set[str]] = {
    "ingest": {"send", "budget"},
    "read": {"read", "budget", "budgets"},
    "service": {"send", "budget", "audit"},
    "dashboard": {"read", "budget", "budgets", "decide", "price"},
    "admin": set(_ASKED),
    "none": set(),
    "unknown": set(),
}


_DOCS = Path(__file__).parents[2] / "docs"


def _documented() -> list[str]:
    """The lines of the documentation's table."""
    lines = [f"| key | {' | '.join(_ASKED)} |", f"|---|{'---|' * len(_ASKED)}"]
    for role, may in _MAY.items():
        marks = ("yes" if action in may else "" for action in _ASKED)
        lines.append(f"| {role} | {' | '.join(marks)} |")
    return lines


def test_the_documentation_says_who_may_do_what() -> None:
    """Every page that has the table has it as it is."""
    lines = _documented()
    texts = [page.read_text() for page in _DOCS.glob("*.md")]
    with_table = [text for text in texts if lines[0] in text]
    assert with_table, "\n".join(lines)
    for text in with_table:
        assert "\n".join(lines) in text


@pytest.mark.parametrize("role", _MAY)
def test_who_may_do_what(served: Served, dashboard: str, role: str) -> None:
    keys = {
        "ingest": "in-key", "read": "read-key", "service": "service-key", "dashboard": dashboard,
        "admin": served.admin_key, "unknown": "no-key",
    }  # fmt: skip
    headers = {"authorization": f"Bearer {keys[role]}"} if role in keys else {}
    may = set()
    for action, (method, path, body) in _ASKED.items():
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        protobuf = {"content-type": "application/x-protobuf"} if action == "send" else {}
        answer = CLIENT.request(method, f"{served.url}{path}", headers={**headers, **protobuf}, **content)
        if answer.status_code != 401:
            may.add(action)
    assert may == _MAY[role]

"""Every route that is no GET either stands in its service's table of data routes or leaves an audit row.

The watch's health port and the dashboard have no such route, and MLflow serves none of ours.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr
from starlette.routing import BaseRoute, Mount

import llmtrace_analysis
import llmtrace_dashboard
from llmtrace_analysis.watch.health import Health, HealthServer
from llmtrace_collector.accounting.price_book import LIST_NAME
from llmtrace_collector.api.data_routes import DATA_ROUTES
from llmtrace_collector.ingest.otlp_grpc import METHODS as GRPC_METHODS
from llmtrace_collector.store.backup import new_name
from llmtrace_collector.store.engine import StoreError
from llmtrace_collector.store.erasure import Eraser
from llmtrace_inference.api.data_routes import DATA_ROUTES as INFERENCE_DATA_ROUTES
from llmtrace_inference.settings import InferenceSettings
from tests.collector.otlp import llm, traces
from tests.collector.running import Served, settings, until
from tests.collector.test_incidents import report
from tests.dashboard.stack import dashboard
from tests.inference.fakes import FakeEngine
from tests.inference.running import Running, serving

_ONLY_READ = {"GET", "HEAD", "OPTIONS"}
_DAY = 86_400


def writing_routes(routes: Sequence[BaseRoute], prefix: str = "") -> Iterator[str]:
    """`METHOD /path` of every route that may change something, those of mounted applications too."""
    for context in iter_route_contexts(routes):
        route = context.original_route
        path = prefix + (context.path or "")
        if isinstance(route, Mount):
            yield from writing_routes(route.routes, path)
            continue
        methods = context.methods
        assert methods is not None, f"{path} takes every method: name those it should take"
        yield from (f"{method} {path}" for method in sorted(methods - _ONLY_READ))


def check_all_are_declared(
    routes: Iterable[str], data_routes: Mapping[str, str], examples: Iterable[str]
) -> None:
    """Fail where a route is neither data nor has an example here, is both, or is listed and gone."""
    served, audited = set(routes), set(examples)
    assert served - set(data_routes) - audited == set(), "neither data routes nor tried here"
    assert set(data_routes) - served == set(), "data routes that are gone"
    assert audited - served == set(), "tried here and gone"
    assert audited & set(data_routes) == set()
    assert all(len(reason) > 20 for reason in data_routes.values())


def test_the_walk_sees_routers_within_routers_and_mounted_applications() -> None:
    app, mounted, outer, inner = FastAPI(), FastAPI(), FastAPI().router, FastAPI().router
    for router in (mounted.router, inner):
        router.add_api_route("/deep", lambda: None, methods=["POST", "GET"])
    outer.include_router(inner, prefix="/inner")
    app.include_router(outer, prefix="/outer")
    app.mount("/mounted", mounted)
    assert set(writing_routes(app.routes)) == {"POST /mounted/deep", "POST /outer/inner/deep"}
    with pytest.raises(AssertionError, match="neither"):
        check_all_are_declared(writing_routes(app.routes), {}, ["POST /mounted/deep"])
    with pytest.raises(AssertionError, match="data routes that are gone"):
        check_all_are_declared([], {"POST /gone": "a reason that is long enough"}, [])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector that keeps last month."""
    collector = Served(settings(tmp_path_factory.mktemp("audit"), retention_days=400))
    yield collector
    collector.close()


def call(served: Served, method: str, path: str, body: object = None) -> dict[str, Any]:
    answer = served.write(method, path, body)
    assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
    result: dict[str, Any] = answer.json()
    return result


def rows(served: Served) -> list[dict[str, Any]]:
    return select(served, "SELECT * FROM audit_log ORDER BY At")


def select(served: Served, text: str) -> list[dict[str, Any]]:
    """Past the endpoint, which the first key closes."""
    return served.collector.store.rows(text)


def post(served: Served, start: float) -> None:
    headers = {"x-api-key": served.admin_key}
    assert served.post(traces([llm(start=int(start * 1e9))]), headers=headers).status_code == 200


def _backup(served: Served) -> tuple[str, object]:
    return f"/v1/backups/{call(served, 'POST', '/v1/backups')['name']}/restore", None


def _new_second(served: Served) -> tuple[str, object]:
    folder = served.collector.settings.data_dir / "backups"
    until(lambda: not (folder / new_name()).exists(), what="another second, by which backups are named")
    return "/v1/backups", None


def _key(served: Served) -> tuple[str, object]:
    return f"/v1/keys/{call(served, 'POST', '/v1/keys', {'role': 'service'})['key_id']}", None


def _incident(decision: str) -> Callable[[Served], tuple[str, object]]:
    def prepare(served: Served) -> tuple[str, object]:
        call(served, "PUT", f"/v1/incidents/{decision}", report())
        labelling = {"label": "noise"} if decision == "label" else {}
        return f"/v1/incidents/{decision}/{decision}", {"actor": "ann", **labelling}

    return prepare


def _quarantined(served: Served) -> tuple[str, object]:
    store, real = served.collector.store, served.collector.store.insert_segment

    def refuse(signal: str, path: Path, token: str) -> None:
        raise StoreError("Code: 117. bad bytes", 117)

    store.insert_segment = refuse  # type: ignore[method-assign]
    try:
        post(served, time.time())
        folder = served.collector.wal.quarantine_folder
        until(lambda: bool(list(folder.glob("*.seg"))), what="the quarantine")
    finally:
        store.insert_segment = real  # type: ignore[method-assign]
    return f"/v1/quarantine/{next(folder.glob('*.seg')).stem}/replay", None


def _refused(served: Served) -> tuple[str, object]:
    path, _ = _quarantined(served)
    return path.removesuffix("/replay"), None


def _month_that_is_over(served: Served) -> tuple[str, object]:
    at = time.time() - 40 * _DAY
    post(served, at)
    served.stored()
    return "/v1/cost/close", {"month": time.strftime("%Y-%m", time.gmtime(at)), "actor": "ann"}


def _book(served: Served) -> tuple[str, object]:
    (row,) = select(served, "SELECT Book FROM price_books LIMIT 1")
    return "/v1/prices/book", {"book": row["Book"], "actor": "ann"}


def plain(path: str, body: object) -> Callable[[Served], tuple[str, object]]:
    """A call that needs nothing to be there."""
    return lambda _: (path, body)


_PRICE = {"provider": "p", "model": "m", "input_per_million": 1, "output_per_million": 2, "actor": "ann"}
_FIXED = {"kind": "gpu", "name": "n", "price": 3, "valid_from": "2026-01-01", "actor": "ann"}

#: Route → its action, and what prepares a call that takes effect. The one that needs an empty store is first.
COLLECTOR: Mapping[str, tuple[str, Callable[[Served], tuple[str, object]]]] = {
    "POST /v1/backups/{name}/restore": ("store.restore", _backup),
    "POST /v1/backups": ("store.backup", _new_second),
    "POST /v1/keys": ("keys.create", plain("/v1/keys", {"role": "read", "name": "n"})),
    "DELETE /v1/keys/{key_id}": ("keys.revoke", _key),
    "POST /v1/usage/rebuild": ("usage.rebuild", plain("/v1/usage/rebuild", {})),
    "POST /v1/ledger/checks": ("store.check", plain("/v1/ledger/checks", {})),
    "POST /v1/erasures": ("store.delete", plain("/v1/erasures", {"user": "nobody"})),
    "POST /v1/incidents/{incident_id}/acknowledge": ("incidents.acknowledge", _incident("acknowledge")),
    "POST /v1/incidents/{incident_id}/resolve": ("incidents.resolve", _incident("resolve")),
    "POST /v1/incidents/{incident_id}/label": ("incidents.label", _incident("label")),
    "POST /v1/quarantine/{name}/replay": ("quarantine.replay", _quarantined),
    "DELETE /v1/quarantine/{name}": ("quarantine.delete", _refused),
    "PUT /v1/prices": ("prices.set", plain("/v1/prices", _PRICE)),
    "POST /v1/prices/update": ("prices.update", plain("/v1/prices/update", {"prices": [_PRICE]})),
    "PUT /v1/prices/discounts": ("prices.discount", plain("/v1/prices/discounts", {"percent": 5})),
    "PUT /v1/cost/fixed/{line_id}": ("cost.fixed", plain("/v1/cost/fixed/line", _FIXED)),
    "POST /v1/prices/book": ("prices.book", _book),
    "POST /v1/cost/close": ("cost.close", _month_that_is_over),
}


def test_all_routes_of_the_collector_are_data_or_audited(served: Served) -> None:
    app = served.app
    routes = [*writing_routes(app.routes), *(f"POST {method}" for method in GRPC_METHODS)]
    check_all_are_declared(routes, DATA_ROUTES, COLLECTOR)


@pytest.mark.parametrize("route", COLLECTOR)
def test_what_an_administrator_does_in_the_collector_leaves_a_row(served: Served, route: str) -> None:
    action, prepare = COLLECTOR[route]
    path, body = prepare(served)
    before = rows(served)
    call(served, route.partition(" ")[0], path, body)
    known = {row["Id"] for row in before}
    (row,) = (row for row in rows(served) if row["Id"] not in known)
    assert len(rows(served)) == len(before) + 1
    assert row["Action"] == action
    assert row["KeyId"] == row["Actor"] == "admin_key"
    assert row["Origin"] == "collector"
    assert row["Address"] == "127.0.0.1"
    assert row["Target"]
    assert row["Outcome"] == ""
    if isinstance(body, dict) and "actor" in body:
        assert body["actor"] in row["Detail"]


def test_a_dry_run_of_prices_fills_a_book_and_leaves_a_row(served: Served) -> None:
    before, prices = rows(served), select(served, "SELECT * FROM own_prices ORDER BY ALL")
    body = {"prices": [{**_PRICE, "input_per_million": 77}], "dry_run": True}
    book = call(served, "POST", "/v1/prices/update", body)["book"]
    assert select(served, f"SELECT count() AS n FROM price_book WHERE Book = '{book}'")[0]["n"]
    assert select(served, "SELECT * FROM own_prices ORDER BY ALL") == prices
    assert select(served, f"SELECT Book FROM price_books WHERE Book = '{book}'") == []
    (row,) = (row for row in rows(served) if row not in before)
    assert (row["Action"], row["Target"]) == ("prices.prepare", LIST_NAME)
    assert row["Detail"] == "1 prices of one's own"


def test_the_actor_is_the_key_and_the_project_is_the_keys(served: Served) -> None:
    created = call(served, "POST", "/v1/keys", {"role": "admin", "project": "shop"})
    served.admin_key, admin = created["key"], served.admin_key
    try:
        call(served, "PUT", "/v1/incidents/scoped", report(project="shop"))
        call(served, "POST", "/v1/incidents/scoped/acknowledge", {"actor": "ann"})
    finally:
        served.admin_key = admin
    row = rows(served)[-1]
    assert (row["KeyId"], row["Actor"], row["Project"]) == (created["key_id"], created["key_id"], "shop")


def test_without_its_row_nothing_is_done(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    real = served.collector.store.insert_rows

    def refuse(table: str, lines: Iterable[Mapping[str, Any]]) -> None:
        if table == "audit_log":
            raise StoreError("the disk is full", 243)
        real(table, lines)

    monkeypatch.setattr(served.collector.store, "insert_rows", refuse)
    # In one order: the engine puts parts together in between.
    own_prices = "SELECT * FROM own_prices ORDER BY At, Provider, Model"
    prices = select(served, own_prices)
    answer = served.write("PUT", "/v1/prices", _PRICE)
    assert answer.status_code == 503
    assert "nothing was done" in answer.json()["detail"]
    assert select(served, own_prices) == prices


def test_an_action_that_fails_says_so_in_a_second_row(served: Served) -> None:
    answer = served.write("POST", "/v1/backups/20200101-000000/restore", None)
    assert answer.status_code == 404
    begun, failed = rows(served)[-2:]
    assert begun["Id"] == failed["Id"]
    assert begun["Outcome"] == ""
    assert failed["Outcome"].startswith("failed: 404: there is no backup 20200101-000000")


def test_an_error_that_was_not_foreseen_leaves_its_kind_and_not_its_text(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreError("Code: 62. DB::Exception: in 'DELETE … UserId = ann@example.org'", 62)

    monkeypatch.setattr(Eraser, "start", fail)
    answer = served.write("POST", "/v1/erasures", {"user": "ann@example.org"})
    assert (answer.status_code, answer.headers["connection"]) == (500, "close")
    assert rows(served)[-1]["Outcome"] == "failed: StoreError"
    assert "ann@example.org" not in str(rows(served))


@pytest.fixture(scope="module")
def inference(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An inference service whose collector is `served`, with a key of its own for it."""
    key = call(served, "POST", "/v1/keys", {"role": "service", "name": "inference"})["key"]
    configured = InferenceSettings(
        models={"m": "first"},
        data_dir=tmp_path_factory.mktemp("inference"),
        admin_key=SecretStr("boss"),
        otlp_endpoint=served.url,
        otlp_api_key=SecretStr(key),
    )
    with serving(configured, load=lambda *_: FakeEngine()) as running:
        yield running


def administer(inference: Running, method: str, path: str, body: object = None) -> None:
    answer = httpx.request(
        method, f"{inference.url}{path}", json=body, headers={"authorization": "Bearer boss"}
    )
    assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"


def _blocked(inference: Running) -> tuple[str, object]:
    administer(inference, "POST", "/admin/blocks", {"user": "ann", "seconds": 60.0})
    return "/admin/blocks/ann", None


#: As COLLECTOR, of the inference service.
INFERENCE: Mapping[str, tuple[str, Callable[[Running], tuple[str, object]]]] = {
    "POST /admin/blocks": ("blocks.add", lambda _: ("/admin/blocks", {"user": "mallory", "seconds": 60.0})),
    "DELETE /admin/blocks/{user:path}": ("blocks.remove", _blocked),
    "POST /admin/models": ("models.replace", lambda _: ("/admin/models", {"name": "m", "source": "second"})),
}


def test_all_routes_of_the_inference_service_are_data_or_audited(inference: Running) -> None:
    check_all_are_declared(writing_routes(inference.app.routes), INFERENCE_DATA_ROUTES, INFERENCE)


@pytest.mark.parametrize("route", INFERENCE)
def test_what_an_administrator_does_in_the_inference_service_leaves_a_row(
    served: Served, inference: Running, route: str
) -> None:
    def own() -> list[dict[str, Any]]:
        return [row for row in rows(served) if row["Origin"] == "llmtrace-inference"]

    action, prepare = INFERENCE[route]
    before = len(own())
    path, body = prepare(inference)
    prepared = before + (action == "blocks.remove")
    until(lambda: len(own()) == prepared, what="the row of what prepares it")
    administer(inference, route.partition(" ")[0], path, body)
    until(lambda: len(own()) > prepared, what="the row")
    (row,) = own()[prepared:]
    assert row["Action"] == action
    assert row["Actor"] == "admin_key"
    assert row["KeyId"].startswith("key_")
    assert row["Address"] == "127.0.0.1"
    assert row["Outcome"] == ""
    assert "mallory" not in str(row)
    assert select(served, "SELECT 1 FROM otel_traces WHERE ServiceName = 'llmtrace-inference' LIMIT 1") == []


#: Methods that may change something.
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


def test_the_watchs_server_only_reads() -> None:
    server = HealthServer(Health(60), "127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.port}"
        for path in ("/health/live", "/health/ready", "/metrics", "/"):
            for method in _WRITES:
                answer = httpx.request(method, url + path, content=b"{}")
                assert answer.status_code in (404, 405, 501), f"{method} {path}"
        assert httpx.get(f"{url}/health/live").status_code == 200
    finally:
        server.close()


def test_the_dashboards_server_has_no_route_of_ours(tmp_path: Path) -> None:
    with dashboard("http://127.0.0.1:9", tmp_path) as url:
        for path in ("", "/overview", "/traces", "/cost", "/incidents", "/_stcore/health"):
            assert httpx.get(url + path).status_code == 200, path
            for method in _WRITES:
                answer = httpx.request(method, url + path, content=b"{}")
                assert answer.status_code in (403, 404, 405), f"{method} {path}: {answer.status_code}"


#: What a module would need that adds a route of its own to the dashboard's or the watch's server.
_SERVERS = (
    *("tornado", "starlette", "fastapi", "flask", "uvicorn", "aiohttp", "socketserver", "http.server"),
    "llmtrace.common.http_limits.server",
)


def test_dashboard_and_watch_register_no_handlers() -> None:
    servers = set()
    for package in (llmtrace_dashboard, llmtrace_analysis):
        folder = Path(package.__path__[0])
        for file in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                    names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                if any(f"{name}.".startswith(f"{server}.") for name in names for server in _SERVERS):
                    servers.add(f"{folder.name}/{file.relative_to(folder)}")
    # The dashboard's stand before Streamlit and let nothing through that is no GET or HEAD.
    modules = ("app", "deadlines", "login_return", "protection")
    before = {f"llmtrace_dashboard/server/{name}.py" for name in modules}
    assert servers == {"llmtrace_analysis/watch/health.py", *before}

"""What each of the collector's routes demands before a byte of a body is read, and how it says no.

The table is the one place that says which key opens which route: the routes themselves find the identity in
`request.state.identity`. A route that is not in it does not exist.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from starlette.requests import HTTPConnection

from llmtrace.common.http_limits.json_bounds import JsonBounds
from llmtrace.common.http_limits.middleware import Rules, Scope
from llmtrace.common.http_limits.policy import Policy, RouteTable
from llmtrace.common.http_limits.refusal import Refusal
from llmtrace.common.http_limits.request_headers import HostRule, OriginRule
from llmtrace.common.loopback import is_loopback
from llmtrace_collector.access.api_keys import Role
from llmtrace_collector.access.auth import Authenticator
from llmtrace_collector.access.identity import Denied, Identity, PersonRole
from llmtrace_collector.access.security_events import SecurityEvents
from llmtrace_collector.ingest.otlp_http import OTLP_PATHS, refusal_answer
from llmtrace_collector.metrics import CollectorMetrics
from llmtrace_collector.settings import CollectorSettings

from .langfuse import PROJECTS_PATH
from .query import QUERY_PATHS
from .query_errors import denial_answer

#: Of the endpoints that take JSON: bytes, and what a parser would make of them.
_JSON_BYTES = 1 << 20
_JSON = JsonBounds(depth=16, members=20_000, values=40_000)

#: Ten thousand prices.
_PRICES_BYTES = 8 << 20
_PRICES = JsonBounds(depth=16, members=250_000, values=300_000)

#: A query with the lists of ids that go with it.
_QUERY_BYTES = 4 << 20

#: All bodies in memory together; twice the largest is needed for one to be joined.
_BODIES_BYTES = 128 << 20

_ADMIN = "the admin key is needed: send it as 'Authorization: Bearer KEY' (it is in admin.key of the "
_NEEDED: Mapping[tuple[str, ...], str] = {
    ("admin",): _ADMIN + "collector's data directory)",
    (
        "dashboard",
    ): "the admin key or the dashboard's is needed: send it as 'Authorization: Bearer KEY' (they "
    "are in admin.key and dashboard.key of the collector's data directory)",
    ("ingest", "read"): "a key that may send or read is needed: send it as 'Authorization: Bearer KEY'",
}


@dataclass(frozen=True)
class RoutePolicy(Policy):
    """`person`: what a person at the dashboard must at least be, where the key is the dashboard's."""

    person: PersonRole = "viewer"


def policies(settings: CollectorSettings) -> RouteTable:
    """Every route of the collector, and what it demands."""
    ingest = Policy(("ingest",), settings.max_body_bytes)
    read = Policy(("read",))
    query = Policy(("read",), _QUERY_BYTES)
    admin = Policy(("admin",), _JSON_BYTES, json=_JSON)
    owner = Policy(("admin",), every_project=True)
    owner_writes = Policy(("admin",), _JSON_BYTES, json=_JSON, every_project=True)
    decision = RoutePolicy(("dashboard",), _JSON_BYTES, json=_JSON, person="operator")
    costs = RoutePolicy(("dashboard",), _JSON_BYTES, json=_JSON, person="admin", every_project=True)
    is_open = is_loopback(settings.host) or settings.open_metrics
    description = Policy(() if is_open else ("read",), is_page=True, every_project=not is_open)
    health = Policy(is_page=True, is_health=True)
    ping = Policy(is_page=True)
    table = {
        **{f"POST {path}": ingest for path in OTLP_PATHS},
        **{f"{method} {path}": read for path in QUERY_PATHS for method in ("GET", "HEAD")},
        **{f"POST {path}": query for path in QUERY_PATHS},
        **{f"{method} {path}": ping for path in ("/clickhouse/ping", "/ping") for method in ("GET", "HEAD")},
        "GET /health/live": health,
        "GET /health/ready": health,
        "GET /metrics": description,
        "GET /openapi.json": description,
        "HEAD /openapi.json": description,
        "POST /v1/audit": Policy(("service",), _JSON_BYTES, json=_JSON),
        "GET /v1/budget": Policy(("ingest", "read")),
        f"GET {PROJECTS_PATH}": Policy(("ingest",)),
        "GET /v1/budgets": Policy(("read",), every_project=True),
        "GET /v1/quotas": Policy(("read",)),
        "PUT /v1/incidents/{incident_id}": admin,
        "POST /v1/incidents/{incident_id}/acknowledge": decision,
        "POST /v1/incidents/{incident_id}/resolve": decision,
        "POST /v1/incidents/{incident_id}/label": decision,
        "POST /v1/deliveries": admin,
        "POST /v1/watch": replace(admin, every_project=True),
        "PUT /v1/prices": costs,
        "POST /v1/prices/update": replace(costs, max_body=_PRICES_BYTES, json=_PRICES),
        "PUT /v1/prices/discounts": costs,
        "POST /v1/prices/book": costs,
        "PUT /v1/cost/fixed/{line_id}": costs,
        "POST /v1/cost/close": costs,
        "POST /v1/keys": owner_writes,
        "GET /v1/keys": owner,
        "DELETE /v1/keys/{key_id}": owner,
        "POST /v1/usage/rebuild": owner_writes,
        "POST /v1/erasures": owner_writes,
        "GET /v1/erasures/{erasure_id}": owner,
        "GET /v1/stats": owner,
        "GET /v1/ledger": owner,
        "POST /v1/ledger/checks": owner_writes,
        "GET /v1/ledger/checks/{check_id}": owner,
        "GET /v1/quarantine": owner,
        "GET /v1/quarantine/{name}": owner,
        "POST /v1/quarantine/{name}/replay": owner_writes,
        "DELETE /v1/quarantine/{name}": owner,
        "POST /v1/backups": owner_writes,
        "GET /v1/backups": owner,
        "POST /v1/backups/{name}/restore": owner_writes,
    }
    return RouteTable(table)


def rules(
    settings: CollectorSettings,
    authenticator: Authenticator,
    events: SecurityEvents,
    metrics: CollectorMetrics,
) -> Rules:
    """What the middleware in front of the collector goes by."""

    async def identify(scope: Scope, policy: Policy) -> Identity:
        connection = HTTPConnection(scope)
        try:
            identity = await authenticator.identify(connection, *cast(tuple[Role, ...], policy.roles))
        except Denied as denied:
            raise _in_words(denied, policy) from denied
        if policy.every_project and identity.project:
            raise Refusal(403, "this needs a key of every project, not of one")
        if isinstance(policy, RoutePolicy) and not identity.may_act_as(policy.person):
            authenticator.record_denied(
                identity, f"{scope['method']} {scope['path']} as {identity.person_role}"
            )
            raise Refusal(
                403,
                f"this needs the role {policy.person} at the dashboard; {identity.actor} is "
                f"{identity.person_role}",
            )
        return identity

    def refuse(scope: Scope, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
        signal = OTLP_PATHS.get(scope["path"])
        if signal is not None:
            metrics.refused.labels(signal, str(refusal.status)).inc()
            return refusal_answer(scope, refusal)
        if scope["path"] in QUERY_PATHS and refusal.status != 404:
            return denial_answer(refusal)
        return {"content-type": "application/json"}, json.dumps({"detail": str(refusal)}).encode()

    def observe(scope: Scope, kind: str, detail: str) -> None:
        connection = HTTPConnection(scope)
        identity = scope.get("state", {}).get("identity")
        events.record(
            "cross_site" if kind == "cross_site" else "body_too_large",
            key_id=identity.key_id if identity is not None else "",
            address=authenticator.address_of(connection),
            project=identity.project if identity is not None else "",
            detail=f"{scope['method']} {scope['path']}: {detail}",
        )

    return Rules(
        routes=policies(settings),
        hosts=HostRule(settings.host, settings.allowed_hosts, "[collector] allowed_hosts"),
        origins=OriginRule((), ""),
        identify=identify,
        formatter=refuse,
        observer=observe,
        body_bytes=max(_BODIES_BYTES, 2 * settings.max_body_bytes),
    )


def _in_words(denied: Denied, policy: Policy) -> Refusal:
    """What the sender should know of a denial."""
    if denied.status == 401:
        return Refusal(401, _NEEDED.get(policy.roles, str(denied)))
    # Exporters in use drop what they sent on 429 and try again on 503.
    status = 503 if denied.status == 429 and policy.roles == ("ingest",) else denied.status
    return Refusal(status, str(denied), denied.retry_after)

"""What each route demands before it sees a request: key, host, web page, size of the body.

The table is compared with the application's routes by a test: a route that is not in it does not exist.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from starlette.datastructures import Headers

from llmtrace.common.http_limits.middleware import Rules, Scope
from llmtrace.common.http_limits.policy import Policy, RouteTable
from llmtrace.common.http_limits.refusal import Refusal
from llmtrace.common.http_limits.request_headers import HostRule, OriginRule
from llmtrace.common.loopback import is_loopback
from llmtrace_inference.access.auth import Caller, authenticate, require_admin
from llmtrace_inference.protocol.errors import ApiError
from llmtrace_inference.protocol.json_text import BOUNDS
from llmtrace_inference.serving.steps import OPERATIONS, Arrival
from llmtrace_inference.settings import InferenceSettings

from .openai_routes import with_provider_header

FORM_BYTES: Final = 16 * 1024
"""Of a small body, and of what a form has beside its file."""
_BODIES_BYTES: Final = 128 << 20

_CODES: Final = {
    400: "invalid_json",
    403: "origin_not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    408: "body_timeout",
    413: "request_too_large",
    421: "host_not_allowed",
    503: "overloaded",
}

RecordRefusal = Callable[[Arrival, ApiError], None]
"""Leaves the record of a request that ended before its route saw it."""


class _ApiRefusal(Refusal):
    def __init__(self, error: ApiError) -> None:
        super().__init__(error.status, error.message, error.retry_after_seconds)
        self.error = error


def route_table(settings: InferenceSettings) -> RouteTable:
    """The service's routes. Those of the OpenAI API are for pages of the allowed origins too."""
    read = Policy(("caller",), for_browsers=True)
    # Its JSON is judged where the request is followed, so that a refusal leaves a span.
    call = Policy(("caller",), max_body=settings.max_request_bytes, for_browsers=True)
    upload = Policy(
        ("caller",), max_body=settings.max_file_bytes + FORM_BYTES, streamed=True, for_browsers=True
    )
    small = Policy(("caller",), max_body=FORM_BYTES, json=BOUNDS, for_browsers=True)
    admin_read, admin = Policy(("admin",)), Policy(("admin",), max_body=FORM_BYTES, json=BOUNDS)
    health = Policy(is_health=True, is_page=True)
    opened = settings.open_metrics or is_loopback(settings.host)
    return RouteTable(
        {
            **{f"POST {path}": call for path in OPERATIONS},
            "GET /v1/models": read,
            "GET /v1/models/{name:path}": read,
            "GET /v1/files": read,
            "POST /v1/files": upload,
            "GET /v1/files/{file_id}": read,
            "DELETE /v1/files/{file_id}": small,
            "GET /v1/files/{file_id}/content": read,
            "GET /v1/batches": read,
            "POST /v1/batches": small,
            "GET /v1/batches/{batch_id}": read,
            "POST /v1/batches/{batch_id}/cancel": small,
            "GET /health/live": health,
            "GET /health/ready": health,
            "GET /metrics": Policy(() if opened else ("reader of metrics",), is_page=True),
            "GET /admin/blocks": admin_read,
            "POST /admin/blocks": admin,
            "DELETE /admin/blocks/{user:path}": admin,
            "POST /admin/models": admin,
        }
    )


def limits(settings: InferenceSettings, record_refusal: RecordRefusal) -> Rules:
    """The rules that stand in front of the application."""

    async def identify(scope: Scope, policy: Policy) -> object:
        scope["state"]["arrived"] = (time.perf_counter_ns(), time.time_ns())
        headers = Headers(scope=scope)
        try:
            if policy.roles == ("admin",):
                return require_admin(headers, settings.admin_key)
            if policy.roles == ("caller",):
                return authenticate(headers, settings)
            return _reader_of_metrics(headers, settings)
        except ApiError as error:
            raise _ApiRefusal(error) from error

    def formatter(scope: Scope, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
        error = refusal.error if isinstance(refusal, _ApiRefusal) else _api_error(refusal)
        caller = scope["state"].get("identity")
        if isinstance(caller, Caller) and scope["path"] in OPERATIONS:
            record_refusal(arrival_of(scope), error)
        response = with_provider_header(error.response())
        return dict(response.headers), bytes(response.body)

    return Rules(
        route_table(settings),
        HostRule(settings.host, settings.allowed_hosts, "[inference] allowed_hosts"),
        OriginRule(settings.allowed_origins, "[inference] allowed_origins"),
        identify,
        formatter,
        body_bytes=max(_BODIES_BYTES, settings.max_request_bytes),
    )


def arrival_of(scope: Scope) -> Arrival:
    """A request for an answer of a model, whose caller is known."""
    state, path = scope["state"], scope["path"]
    headers = dict(Headers(scope=scope))
    arrived_ns, arrived_wall_ns = state["arrived"]
    return Arrival(
        OPERATIONS[path],
        path,
        state["identity"],
        headers,
        scope.get("server"),
        arrived_ns=arrived_ns,
        arrived_wall_ns=arrived_wall_ns,
    )


def _reader_of_metrics(headers: Mapping[str, str], settings: InferenceSettings) -> object:
    """Whoever holds any of the service's keys. Raises ApiError 401."""
    try:
        return require_admin(headers, settings.admin_key)
    except ApiError:
        return authenticate(headers, settings)


def _api_error(refusal: Refusal) -> ApiError:
    code = _CODES.get(refusal.status, "refused")
    return ApiError(refusal.status, str(refusal), code=code, retry_after_seconds=refusal.retry_after)

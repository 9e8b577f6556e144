"""The routes that leave no row in `audit_log`, though they are no GETs, and why not.

Every other route records who asked (`audit.audited`) before it changes anything; tests/contract/test_audit.py
walks all of them. A gRPC method is a POST to its path.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_TELEMETRY = "takes telemetry in; `completeness` counts what came, by project and service"
_READS = "a query of a reader: it changes nothing"
_SERVICES = "/opentelemetry.proto.collector"

DATA_ROUTES: Mapping[str, str] = MappingProxyType(
    {
        "POST /v1/traces": _TELEMETRY,
        "POST /v1/logs": _TELEMETRY,
        "POST /v1/metrics": _TELEMETRY,
        "POST /api/public/otel/v1/traces": _TELEMETRY,
        f"POST {_SERVICES}.trace.v1.TraceService/Export": _TELEMETRY,
        f"POST {_SERVICES}.logs.v1.LogsService/Export": _TELEMETRY,
        f"POST {_SERVICES}.metrics.v1.MetricsService/Export": _TELEMETRY,
        "POST /clickhouse": _READS,
        "POST /clickhouse/": _READS,
        "POST /": _READS,
        "PUT /v1/incidents/{incident_id}": "the watch reports every few seconds what it saw; each change is "
        "a row of `incident_history`, with its actor",
        "POST /v1/deliveries": "the watch reports an attempt to deliver, itself a row of a log",
        "POST /v1/watch": "the watch reports how far it is, itself a row of a log",
        "POST /v1/audit": "its rows are the audit of another service",
    }
)

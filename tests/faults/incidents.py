"""Incidents, written as watch writes them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from .processes import Answer, Collector


def put_incident(collector: Collector, name: str, *, state: str, opened: float) -> Answer:
    """Write an incident as watch does, opened at `opened` (Unix seconds); what the collector answers."""
    body = {
        "project": "default",
        "fingerprint": name,
        "kind": "anomaly",
        "rule": "of_a_fault",
        "severity": "critical",
        "state": state,
        "title": "Something is wrong",
        "summary": "For a while.",
        "metric": "latency",
        "dimensions": {"model": "m"},
        "observed": 11.2,
        "expected_low": 1.4,
        "expected_high": 4.1,
        "unit": "s",
        "opened_at": _iso(opened),
        "last_seen_at": _iso(time.time()),
        "evidence": [],
        "count": 1,
    }
    if state == "resolved":
        body["resolved_at"] = _iso(time.time())
    return collector.write("PUT", f"/v1/incidents/{name}", body)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()

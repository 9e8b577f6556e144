"""An hour of ordinary traffic, simulated and labelled so, for detectors that need a past.

Its calls resemble the real ones made just before: durations, tokens and first-token times are drawn from
those that were measured here, so that a band made of them fits this machine.
"""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

SERVICE = "demo-history (simulated)"

_SECOND = 1_000_000_000
_MINUTES = 60
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class CallMeasurement:
    """One real call: seconds and tokens. `ttft` is None for a call that was not streamed."""

    model: str
    seconds: float
    ttft: float | None
    input_tokens: int
    output_tokens: int


def send_history(
    collector_url: str,
    measurements: Sequence[CallMeasurement],
    users: Sequence[str],
    *,
    until: int,
    calls_per_second: float,
    seed: int,
    progress: Callable[[int], None],
) -> int:
    """Send an hour of simulated calls that ends at `until` (Unix ns), a minute a request; their number.

    `progress` is called with the minutes sent. Raises httpx.HTTPStatusError when the collector refuses one,
    and httpx.TransportError when it stays unreachable.
    """
    rng = random.Random(seed)  # noqa: S311 - a simulation
    sent = 0
    with httpx.Client(timeout=30.0) as client:
        for minute in range(_MINUTES):
            start = until - (_MINUTES - minute) * 60 * _SECOND
            # Real traffic wanders: each minute has a pace and a load of its own.
            calls = round(60 * calls_per_second * rng.uniform(0.75, 1.25))
            load = rng.lognormvariate(0.0, 0.2)
            request = _minute(rng, measurements, users, start, calls, load)
            _post(client, f"{collector_url}/v1/traces", gzip.compress(request.SerializeToString(), 1))
            sent += calls
            progress(minute + 1)
    return sent


def _post(client: httpx.Client, url: str, body: bytes) -> None:
    """Send one request, again while the collector is unreachable: the demo may have killed it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            response = client.post(
                url,
                content=body,
                headers={"content-type": "application/x-protobuf", "content-encoding": "gzip"},
            )
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.25)
        else:
            response.raise_for_status()
            return


def _minute(
    rng: random.Random,
    measurements: Sequence[CallMeasurement],
    users: Sequence[str],
    start: int,
    calls: int,
    load: float,
) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.extend([_text("service.name", SERVICE), _text("llmtrace.simulated", "true")])
    spans = resource.scope_spans.add().spans
    for _ in range(calls):
        sample = rng.choice(measurements)
        begin = start + round(rng.random() * 60 * _SECOND)
        slowdown = load * rng.lognormvariate(0.0, 0.25)
        span = spans.add(
            trace_id=rng.randbytes(16),
            span_id=rng.randbytes(8),
            name=f"chat {sample.model}",
            kind=3,
            start_time_unix_nano=begin,
            end_time_unix_nano=begin + round(sample.seconds * slowdown * _SECOND),
        )
        span.attributes.extend(
            [
                _text("gen_ai.operation.name", "chat"),
                _text("gen_ai.provider.name", "llmtrace"),
                _text("gen_ai.request.model", sample.model),
                _text("gen_ai.response.model", sample.model),
                _text("user.id", rng.choice(users)),
                _count("gen_ai.usage.input_tokens", sample.input_tokens),
                _count("gen_ai.usage.output_tokens", sample.output_tokens),
            ]
        )
        if sample.ttft is not None:
            ttft = KeyValue(key="gen_ai.response.time_to_first_chunk")
            ttft.value.double_value = sample.ttft * slowdown
            span.attributes.append(ttft)
    return request


def _text(key: str, value: str) -> KeyValue:
    attribute = KeyValue(key=key)
    attribute.value.string_value = value
    return attribute


def _count(key: str, value: int) -> KeyValue:
    attribute = KeyValue(key=key)
    attribute.value.int_value = value
    return attribute

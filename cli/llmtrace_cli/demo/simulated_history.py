"""An hour of ordinary traffic, simulated and labelled so, for detectors that need a past.

Its calls resemble the real ones made just before: durations, tokens and first-token times are drawn from
those that were measured here, so that a band made of them fits this machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind

from llmtrace import semconv
from llmtrace.delivery import DeliveryCounters, DeliverySettings, OtlpHttpExporter, Sender

SERVICE = "demo-history (simulated)"

_RESOURCE = Resource({semconv.SERVICE_NAME: SERVICE, semconv.PURPOSE: semconv.PURPOSE_SIMULATED})
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

    `progress` is called with the minutes sent. A request is sent again while the collector is unreachable:
    the demo may have killed it. Raises ConnectionError when one is refused, or not taken in a minute.
    """
    rng = random.Random(seed)  # noqa: S311 - a simulation
    settings = DeliverySettings.for_collector(
        collector_url, retry_for=_PATIENCE_SECONDS, request_timeout=30.0, use_proxies=False
    )
    exporter = OtlpHttpExporter(settings, _RESOURCE, InstrumentationScope("llmtrace.demo"))
    sender = Sender(settings, lambda: exporter, DeliveryCounters(), spool=None)
    sent = 0
    with closing(sender):
        for minute in range(_MINUTES):
            start = until - (_MINUTES - minute) * 60 * _SECOND
            # Real traffic wanders: each minute has a pace and a load of its own.
            calls = round(60 * calls_per_second * rng.uniform(0.75, 1.25))
            load = rng.lognormvariate(0.0, 0.2)
            spans = _minute(rng, measurements, users, start, calls, load)
            result = sender.deliver(exporter.pack_spans(spans))
            if result is None or result.kind != "acknowledged":
                raise ConnectionError(f"the collector did not take the simulated history: {result}")
            sent += calls
            progress(minute + 1)
    return sent


def _minute(
    rng: random.Random,
    measurements: Sequence[CallMeasurement],
    users: Sequence[str],
    start: int,
    calls: int,
    load: float,
) -> list[ReadableSpan]:
    spans = []
    for _ in range(calls):
        sample = rng.choice(measurements)
        begin = start + round(rng.random() * 60 * _SECOND)
        slowdown = load * rng.lognormvariate(0.0, 0.25)
        context = SpanContext(rng.getrandbits(128), rng.getrandbits(64), is_remote=False)
        attributes: dict[str, str | int | float] = {
            semconv.OPERATION_NAME: "chat",
            semconv.PROVIDER_NAME: semconv.PROVIDER_LLMTRACE,
            semconv.REQUEST_MODEL: sample.model,
            semconv.RESPONSE_MODEL: sample.model,
            semconv.USER_ID: rng.choice(users),
            semconv.USAGE_INPUT_TOKENS: sample.input_tokens,
            semconv.USAGE_OUTPUT_TOKENS: sample.output_tokens,
        }
        if sample.ttft is not None:
            attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = sample.ttft * slowdown
        span = ReadableSpan(
            f"chat {sample.model}",
            context,
            resource=_RESOURCE,
            attributes=attributes,
            kind=SpanKind.CLIENT,
            start_time=begin,
            end_time=begin + round(sample.seconds * slowdown * _SECOND),
        )
        spans.append(span)
    return spans

"""What runs between `init` and `shutdown`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from llmtrace.config import Config
from llmtrace.delivery.queue import DeliveryWorker
from llmtrace.delivery.span_processor import Processor
from llmtrace.redaction.redactor import Redactor


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Runtime:
    """The parts that were started together, and the arguments they were started with."""

    config: Config
    delivery_worker: DeliveryWorker
    provider: trace.TracerProvider
    tracer: trace.Tracer
    scope: InstrumentationScope
    processor: Processor
    redactor: Redactor
    arguments: Mapping[str, object]

"""What is told of a process that could not tell it: its counters as it left them, in its own name.

Loaded when first needed: it needs protobuf.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from .exporter import Batch
from .otlp_encoder import encode_logs
from .otlp_http import packed
from .stats import ProcessOrigin, Stats, stats_record


def report_of_dead(counters: Sequence[int], description: bytes) -> Batch:
    """The report of a dead process, from what it wrote down while it lived. Raises ValueError.

    counters, description: as `ProcessFile.read` has them. Where it did not end as it should, what was in its
    memory stays `pending`, and the report says that it was killed.
    """
    generated, sent, dropped, spooled, sampled_out, replayed, ended = counters
    pending = max(generated - sent - dropped - spooled - sampled_out, 0)
    stats = Stats(generated, sent, dropped, pending, spooled, sampled_out, replayed)
    try:
        described = json.loads(description)
        origin = ProcessOrigin(**described["origin"])
        resource, scope = Resource(described["resource"]), InstrumentationScope(*described["scope"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its description is damaged ({type(error).__name__})") from error
    record = stats_record(stats, origin, is_ended=bool(ended), is_killed=not ended)
    return packed("logs", 1, encode_logs([record], resource, scope, {}))

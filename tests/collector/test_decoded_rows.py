"""Every dialect's span as a row of the store: a change of what is decoded shows as a change of a file.

    python -m tests.collector.test_decoded_rows      # writes the file anew: look at what changed

A line is a span's name, how the store leaves things out, and a hash of the row.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from llmtrace_collector.ingest.wal_frame import Frame, encode
from llmtrace_collector.store.schema.redaction import Redaction
from llmtrace_collector.store.store import open_store

from .otlp import CLIENT, SECOND, attributes, span, traces
from .test_dialects import DIALECTS

_FILE = Path(__file__).parent / "snapshots" / "decoded_rows.txt"

#: 2035-01-01, so that nothing is over its time.
_BEGIN = 2_051_222_400 * SECOND

#: How a store leaves things out, by name.
_REDACTIONS = {
    "all": Redaction(),
    "redacted": Redaction(("secrets", "pii"), ("Because",)),
    "without content": Redaction(drop_content=True),
}


def sent(number: int, place: int, scope: str, values: dict[str, object]) -> bytes:
    """A span of a dialect, in place 1 with an event and a link."""
    emitted = span(
        values,
        name=f"span {place}",
        kind=CLIENT,
        trace_id=number.to_bytes(16, "big"),
        span_id=_span_id(number, place),
        start=_BEGIN + number,
        duration=SECOND,
    )
    if place:
        event = emitted.events.add(name="gen_ai.user.message", time_unix_nano=_BEGIN + 1)
        event.attributes.extend(attributes({"content": "Why? Because.", "k": 1}))
        link = attributes({"llmtrace.link": "repeats"})
        emitted.links.add(trace_id=b"t" * 16, span_id=b"s" * 8, attributes=link)
    body = traces([emitted], {"service.name": "shop", "list": ["a", 1]})
    body.resource_spans[0].scope_spans[0].scope.name = scope
    return body.SerializeToString()


def _span_id(number: int, place: int) -> bytes:
    return (number * 2 + place + 1).to_bytes(8, "big")


def rows(name: str, redaction: Redaction, folder: Path) -> Iterator[str]:
    """The lines of a store that leaves out what `redaction` says. The first span, of today's conventions and
    without event and link, is a segment of its own: what is decoded by less is among them.
    """
    bodies = [
        sent(number, place, scope, values)
        for number, (scope, values, _) in enumerate(DIALECTS.values(), 1)
        for place in range(2)
    ]
    store = open_store(f"chdb://{folder / name.replace(' ', '-')}", redaction=redaction)
    try:
        for number, part in enumerate((bodies[:1], bodies[1:])):
            file = folder / f"{name}-{number}.seg"
            file.write_bytes(b"".join(b"".join(encode(Frame("", _BEGIN, body))) for body in part))
            store.insert_segment("traces", file, file.stem)
        stored = {
            row["SpanId"]: row for row in store.rows("SELECT * EXCEPT(StoredAt, ReceivedAt) FROM otel_traces")
        }
    finally:
        store.close()
    for number, dialect in enumerate(DIALECTS, 1):
        for place in range(2):
            text = json.dumps(stored.get(_span_id(number, place).hex()), sort_keys=True)
            yield f"{hashlib.sha256(text.encode()).hexdigest()[:16]}  {name}  {dialect}, span {place}"


def snapshot() -> str:
    """The whole file."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            line for name, redaction in _REDACTIONS.items() for line in rows(name, redaction, Path(folder))
        ]
    return "\n".join(lines) + "\n"


def test_every_dialect_is_decoded_as_it_was() -> None:
    now, before = snapshot().splitlines(), _FILE.read_text().splitlines()
    changed = sorted(set(now) ^ set(before), key=lambda line: line.partition("  ")[2])
    assert changed == [], "rows have changed: if they should have, run this file as its docstring says"


if __name__ == "__main__":
    sys.stdout.write(f"{_FILE}\n")
    _FILE.write_text(snapshot())

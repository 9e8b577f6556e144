"""The table on material from outside: recorded exchanges in place of our answers, and spans in files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llmtrace.testing import Received
from llmtrace.wire.provider_names import PROVIDER_HEADER
from tests.recordings.replay import recordings_of
from tests.sdk.naive import Recording

from . import canonical, emitter_run
from .comparison import cell
from .provider import Exchange
from .stored_records import ConformanceStore, Row
from .table import Emitter

#: Program → host whose recordings its client sends, the provider, the paths of which it knows the function.
CLIENTS = {
    "openai_calls.py": (
        "api.openai.com",
        "openai",
        ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"),
    ),
    "anthropic_calls.py": ("api.anthropic.com", "anthropic", ("/v1/messages",)),
}


def exchanges_of(recordings: Iterable[Recording], emitter: Emitter) -> list[Exchange]:
    """The recordings that the emitter's client can send again."""
    host, provider, paths = CLIENTS[emitter.program]
    exchanges: list[Exchange] = []
    for recording in recordings:
        address = urlsplit(recording.record["url"])
        if address.netloc != host or address.path not in paths or not recording.sent:
            continue
        is_stream = recording.is_stream
        if recording.status == 200 and bool(json.loads(recording.sent).get("stream")) != is_stream:
            continue
        body = recording.answered
        exchanges.append(
            Exchange(
                str(len(exchanges)),
                address.path,
                {"content-type": "application/json"},
                recording.sent,
                recording.status,
                {
                    "content-type": recording.headers.get("content-type", "application/json"),
                    PROVIDER_HEADER: provider,
                },
                [event + b"\n\n" for event in body.split(b"\n\n") if event] if is_stream else [body],
                is_stream=is_stream,
                is_paced=False,
            )
        )
    return exchanges


def measure_recordings(
    store: ConformanceStore,
    rows: Iterable[tuple[Emitter, str]],
    folder: Path,
    environments: Path,
    progress: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    """Row → how many recorded exchanges became the record that the SDK makes of them, and which fields differ
    how often.
    """
    recordings = list(recordings_of(folder))
    runs = []
    for emitter, environment in rows:
        if (
            emitter.program not in CLIENTS
            or emitter_run.interpreter(emitter, environment, environments) is None
        ):
            continue
        exchanges = exchanges_of(recordings, emitter)
        if not exchanges:
            continue
        kinds = [exchange.kind for exchange in exchanges]
        run = emitter_run.run(emitter, environment, "alone", kinds, environments, exchanges)
        progress(f"{run.project}: {len(exchanges)} recordings {run.failure[-200:]}")
        store.take(run.requests, run.project)
        store.take(canonical.send(exchanges), f"canonical-{run.project}")
        runs.append(run)
    store.settle()
    figures = {}
    for run in runs:
        of_canonical: dict[str | None, list[Row]] = {}
        for record in store.records(f"canonical-{run.project}"):
            of_canonical.setdefault(record["SessionId"], []).append(record)
        of_run: dict[str | None, list[Row]] = {}
        for record in store.records(run.project):
            of_run.setdefault(run.kind_at(int(record["Start"])), []).append(record)
        fields: Counter[str] = Counter()
        examples: dict[str, str] = {}
        ok = 0
        for exchange in run.exchanges:
            differing = cell(
                of_canonical.get(exchange.kind, []), of_run.get(exchange.kind, []), is_paced=False
            )
            ok += not differing
            for difference in differing:
                fields[difference.field] += 1
                examples.setdefault(difference.field, f"recording {exchange.kind}: {difference.line()}")
        figures[run.project] = {
            "recordings": len(run.exchanges),
            "ok": ok,
            "fields": dict(fields.most_common()),
            "examples": examples,
        }
    return figures


_OF_FILE = """SELECT ScopeName AS scope, Operation AS operation, count() AS spans,
    countIf(Counted) AS counted,
    countIf(Counted AND Provider IN ('', 'unknown')) AS no_provider,
    countIf(Counted AND RequestModel = '' AND ResponseModel = '') AS no_model,
    countIf(Counted AND InputTokens IS NULL AND OutputTokens IS NULL) AS no_tokens,
    countIf(Counted AND empty(FinishReasons)) AS no_finish_reason,
    countIf(Counted AND InputMessages = '') AS no_messages,
    countIf(Counted AND OutputMessages = '') AS no_answer,
    countIf(Counted AND ResponseId = '') AS no_response_id,
    countIf(Counted AND UsageFault != '') AS usage_faults
FROM otel_traces WHERE Project = {project:String} AND IsLlm GROUP BY ALL ORDER BY spans DESC"""


def measure_file(store: ConformanceStore, file: Path) -> Sequence[Row]:
    """What the store makes of requests of OTLP in JSON, one a line: by instrumentation and operation how
    many spans count, and what those lack. There is no canonical record of outside calls.
    """
    requests = [
        Received("POST", "/v1/traces", {"content-type": "application/json"}, line)
        for line in file.read_bytes().splitlines()
        if line.strip()
    ]
    store.take(requests, "file")
    store.settle()
    return store.rows(_OF_FILE, {"project": "file"})

"""A store whose table of attributes has one entry more, and what is seen of it, as JSON.

    python -m tests.collector.one_more_bucket FOLDER

It is a program of its own, so that everything that reads the table reads it with the entry: a kind of token
that has a price, in the middle of the others, with a key of the conventions and one of an emitter.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmtrace_collector.attributes import counts
from llmtrace_collector.attributes.field import Field, Price

if TYPE_CHECKING:
    from llmtrace_collector.store.store import Store

NAME = "DocumentInputTokens"
KEY = "gen_ai.usage.document.input_tokens"
DIALECT = "acme.usage>document"

#: USD per million tokens of input, of document, and of output.
PRICES = {
    "input_per_million": 1.0,
    "document_input_per_million": 7.0,
    "cache_read_per_million": 0.5,
    "output_per_million": 2.0,
}

#: Input, of which document and cached, and output of the plain span; input, document and output of the
#: foreign one.
PLAIN, FOREIGN = (1000, 300, 100, 50), (500, 200, 10)

_PLAIN_KEYS = (
    "gen_ai.usage.input_tokens",
    KEY,
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.output_tokens",
)

_DOCUMENT = Field(
    NAME,
    "UInt64",
    "Tokens of input that were document",
    (KEY,),
    dialects=(DIALECT,),
    convert="count_or_0",
    unit="tokens",
    codec="",
    of_calls=True,
    price=Price("DocumentInput", "media", part_of=("InputTokens",), reported_as="document_tokens"),
)


def _extend() -> None:
    first, *others = counts.COUNTS
    first = replace(first, dialects=(*first.dialects, "acme.usage>prompt"))
    counts.COUNTS = (first, _DOCUMENT, *others)


def _insert(store: Store, folder: Path, start: int) -> None:
    from llmtrace_collector.ingest.wal_frame import Frame, encode

    from .otlp import span, traces

    call = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "acme",
        "gen_ai.request.model": "acme-1",
    }
    plain = dict(zip(_PLAIN_KEYS, PLAIN, strict=True))
    usage = {
        "acme.usage": json.dumps({"prompt": FOREIGN[0], "document": FOREIGN[1]}),
        "gen_ai.usage.output_tokens": FOREIGN[2],
    }
    spans = [
        span({**call, **plain}, start=start, name="plain"),
        span({**call, **usage}, start=start, name="foreign"),
    ]
    file = folder / "traces.seg"
    file.write_bytes(b"".join(encode(Frame("", start, traces(spans).SerializeToString()))))
    store.insert_segment("traces", file, file.stem)


def _of_store(folder: Path) -> dict[str, Any]:
    from llmtrace_collector.accounting.price_book import PriceBook
    from llmtrace_collector.settings import ModelPrice
    from llmtrace_collector.store.store import open_store

    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
    store = open_store(f"chdb://{folder / 'fresh'}")
    try:
        _insert(store, folder, int(hour.timestamp()) * 10**9)
        sums = f"SELECT sum({NAME}) AS sum FROM"
        seen: dict[str, Any] = {
            "columns": columns(store),
            "decoded": store.rows(
                f"SELECT SpanName, InputTokens, {NAME} FROM otel_traces ORDER BY SpanName DESC"
            ),
            "live": [store.rows(f"{sums} {name}") for name in ("usage_10s", "usage_hour")],
        }
        store.roll_up()
        seen["closed"] = [store.rows(f"{sums} {name}") for name in ("usage_hour_closed", "usage_hour")]
        PriceBook(store, (ModelPrice.model_validate({"model": "acme-1", **PRICES}),)).sync()
        amounts = ("DocumentInputCost", "InputCost", "Cost", "CacheSavings")
        sums = ", ".join(f"sum({name}) AS {name}" for name in amounts)
        seen["charges"] = [store.rows(f"SELECT {sums} FROM {name}") for name in ("call_cost", "cost_hour")]
        return {**seen, **_of_readers(store, hour), "docs": _docs(store)}
    finally:
        store.close()


_FOCUS = ("x_TokenKind", "PricingQuantity", "PricingUnit", "BilledCost")


def _of_readers(store: Store, hour: datetime) -> dict[str, Any]:
    from llmtrace_analysis.cost import focus, parts, price_books, report
    from llmtrace_analysis.queries.scope import Scope

    scope = Scope(hour - timedelta(hours=1), hour + timedelta(hours=2))
    client = store.client
    try:
        page = report.page(client, scope, "model", split="part")
        exported = focus.export(client, scope)
    finally:
        client.close()
    labels = [parts.REPORTED[name].label for name in page.parts["part"]]
    return {
        "cost": float(page.totals["cost"]),
        "tokens": int(page.totals["document_tokens"]),
        "parts": dict(zip(labels, page.parts["cost"], strict=True)),
        "series": page.series.groupby("key")["cost"].sum().to_dict(),
        "focus": exported[list(_FOCUS)].to_dict("records"),
        "priced_by": list(price_books.PRICES),
    }


def _of_store_of_before(folder: Path) -> dict[str, Any]:
    from .stores.opening import opened, unpack

    store = opened(unpack(folder))
    try:
        _insert(store, folder, time.time_ns())
        return {
            "columns": columns(store),
            "sums": store.rows(f"SELECT count() AS spans, sum({NAME}) AS sum FROM otel_traces"),
        }
    finally:
        store.close()


def columns(store: Store) -> list[str]:
    """The tables and views that have the column."""
    rows = store.rows(
        "SELECT table FROM system.columns WHERE database = 'llmtrace' AND name = {name:String} "
        "ORDER BY table",
        {"name": NAME},
    )
    return [str(row["table"]) for row in rows]


def _docs(store: Store) -> list[str]:
    """Lines of the pages that are made from the table."""
    from llmtrace_collector.store import table_reference

    from . import bucket_reference

    lines = [*table_reference.reference_of(store).splitlines(), *bucket_reference.table().splitlines()]
    return [line for line in lines if NAME in line or "document input" in line]


def main(folder: Path) -> None:
    """Print what is seen of the entry."""
    _extend()
    print(json.dumps({"fresh": _of_store(folder), "before": _of_store_of_before(folder)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

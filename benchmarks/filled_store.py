"""A store of any number of LLM spans over thirty days, made inside the engine through the shipped schema.

Spans are computed by `INSERT INTO otel_traces SELECT … FROM numbers(…)`: every codec, index, default column
and materialized view is the shipped one; only what a client would have had to serialise is left out. The
values of a span are hashes of its number, so that a store of one size is the same each time it is made.

What it is like: traces of five spans (an agent's work, three calls of a model and a tool), four projects with
six services of three processes each, nine pairs of provider and model, 20,000 users of whom a few ask most,
sessions, ids as random as real ones, one call in a hundred failed. Text is about 1.9 kB a call: words of a
vocabulary of 60,000 in the frequencies of a language (the n-th is as frequent as 1/n), with numbers among
them, no sentence twice. Under the shipped codec it gets about 2.5 times smaller, as prose of people does.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from llmtrace_collector.accounting.price_book import PriceBook
from llmtrace_collector.store.schema.description import SchemaSettings, describe
from llmtrace_collector.store.store import Store, open_store

DAYS = 30
USERS = 20_000
SPANS_PER_TRACE = 5

#: Longer than a store is reused for, so that nothing of it is dropped meanwhile.
RETENTION_DAYS = 365

_GENERATOR_VERSION = 1  # raised when what is made changes
_CHUNK_TRACES = 20_000
_VOCABULARY = 60_000
_MERGE_SECONDS = 300.0

_SYLLABLES = [
    a + b
    for a in "b c d f g h l m n p r s t v w st tr pr ch sh".split()
    for b in "a e i o u ai er on in".split()
]
_COMMON = "the of and to a in is that for it with as on be are".split()


@dataclass(frozen=True)
class Sizes:
    """Bytes of `otel_traces`, indexes included, and how many times smaller its columns are than they were:
    those of text, and the others."""

    spans: int
    bytes_on_disk: int
    bytes_uncompressed: int
    text: float
    columns: float


@dataclass(frozen=True)
class FilledStore:
    """A store and when its spans begin and end (Unix seconds)."""

    folder: Path
    spans: int
    begin: int
    end: int
    build_seconds: float
    build_cpu_seconds: float

    @property
    def dsn(self) -> str:
        """Its address."""
        return f"chdb://{self.folder / 'store'}"

    def window(self, days: float) -> tuple[datetime, datetime]:
        """The last `days` of it."""
        end = datetime.fromtimestamp(self.end, UTC)
        return end - timedelta(days=days), end


def fill(folder: Path, spans: int, progress: Callable[[int, int], None]) -> FilledStore:
    """The store of `spans` spans in `folder`: the one that is there when it fits, otherwise a new one.

    `progress` is called with (spans so far, of how many).
    """
    manifest_file = folder / "filled.json"
    fingerprint = {"spans": spans, "made_by": _GENERATOR_VERSION, "schema": _schema()}
    if manifest_file.exists():
        manifest = json.loads(manifest_file.read_text())
        fresh = time.time() - manifest["end"] < (RETENTION_DAYS - 2 * DAYS) * 86_400
        if fresh and manifest["fingerprint"] == fingerprint:
            return FilledStore(folder=folder, **manifest["filled"])
    manifest_file.unlink(missing_ok=True)
    shutil.rmtree(folder / "store", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    end = int(time.time()) // 60 * 60
    begin = end - DAYS * 86_400
    started, used = time.monotonic(), time.process_time()
    store = open_store(f"chdb://{folder / 'store'}", RETENTION_DAYS)
    try:
        insert_spans(store, spans, begin, end, progress)
        # A collector that ran all the while would have priced what came and looked it through.
        PriceBook(store, ()).sync()
        at = f"{time.time():.3f}"
        store.insert_rows("ledger_passes", [{"At": at, "ScannedTo": at, "Looked": 0, "Changed": 0}])
        store.roll_up(at_once=True)
        _wait_for_merges(store)
    finally:
        store.close()
    filled = FilledStore(folder, spans, begin, end, time.monotonic() - started, time.process_time() - used)
    fields = {name: value for name, value in asdict(filled).items() if name != "folder"}
    manifest_file.write_text(json.dumps({"fingerprint": fingerprint, "end": end, "filled": fields}))
    return filled


def sizes(store: Store) -> Sizes:
    """How much room the spans take, from the engine's own books.

    It books columns apart only where each has its files, which small parts do not have: columns are those of
    three days in the middle, written once more in that form with the same codecs.
    """
    execute = store.engine.execute
    execute("CREATE OR REPLACE TABLE benchmark_columns AS otel_traces")
    execute("ALTER TABLE benchmark_columns MODIFY SETTING min_bytes_for_wide_part = 0")
    execute(
        "INSERT INTO benchmark_columns SELECT * FROM otel_traces WHERE toDate(Timestamp) IN (SELECT day FROM "
        "(SELECT DISTINCT toDate(Timestamp) AS day FROM otel_traces ORDER BY day LIMIT 3 OFFSET 14)) "
        "SETTINGS max_insert_threads = 1, async_insert = 0"
    )
    text = "column IN ('InputMessages', 'OutputMessages', 'SystemInstructions', 'ToolDefinitions')"
    (columns,) = _rows(
        store,
        f"SELECT sumIf(column_data_uncompressed_bytes, {text}) AS a, "
        f"sumIf(column_data_compressed_bytes, {text}) AS b, "
        f"sumIf(column_data_uncompressed_bytes, NOT {text}) AS c, "
        f"sumIf(column_data_compressed_bytes, NOT {text}) AS d FROM system.parts_columns "
        "WHERE active AND database = currentDatabase() AND table = 'benchmark_columns'",
    )
    execute("DROP TABLE benchmark_columns SYNC")
    (parts,) = _rows(
        store,
        "SELECT sum(rows) AS rows, sum(bytes_on_disk) AS bytes, sum(data_uncompressed_bytes) AS plain "
        "FROM system.parts WHERE active AND database = currentDatabase() AND table = 'otel_traces'",
    )
    return Sizes(
        parts["rows"],
        parts["bytes"],
        parts["plain"],
        columns["a"] / columns["b"],
        columns["c"] / columns["d"],
    )


def _rows(store: Store, sql: str) -> list[dict[str, int]]:
    return [{name: int(value) for name, value in row.items()} for row in store.rows(sql)]


def _schema() -> str:
    """What changes whenever the schema does."""
    return describe(SchemaSettings(RETENTION_DAYS), embedded=True).digest[:16]


def insert_spans(
    store: Store, spans: int, begin: int, end: int, progress: Callable[[int, int], None]
) -> None:
    """Put so many spans from `begin` to `end` (Unix seconds) into a store."""
    _vocabulary(store)
    execute = store.engine.execute
    traces = -(-spans // SPANS_PER_TRACE)
    every = (end - begin) * 1_000_000_000 // traces
    for first in range(0, traces, _CHUNK_TRACES):
        start = first * SPANS_PER_TRACE
        count = min(_CHUNK_TRACES * SPANS_PER_TRACE, spans - start)
        progress(start, spans)
        execute(_statement(start=start, count=count, begin=begin, every=every, users=USERS))
    progress(spans, spans)
    execute("DROP TABLE IF EXISTS benchmark_words SYNC")


def _statement(**values: int) -> str:
    """The INSERT of filled_store.sql."""
    text = (Path(__file__).parent / "filled_store.sql").read_text()
    texts = {name: str(value) for name, value in values.items()}
    texts |= {"input_prose": _prose("input_words", 1), "output_prose": _prose("output_words", 2)}
    return re.sub(r"\{([a-z_]+)\}", lambda match: texts[match.group(1)], text)


def _prose(length: str, salt: int) -> str:
    """SQL of as many words as the column `length` says, for span `n`."""
    return (
        "arrayStringConcat(arrayMap(w -> if(intDiv(w, 7) % 16 = 0, toString(w % 100000), "
        f"joinGet('benchmark_words', 'Word', toUInt64(pow({_VOCABULARY}, w / 18446744073709551616.) - 1))), "
        f"arrayMap(i -> cityHash64(n, i, {salt}), range({length}))), ' ')"
    )


def _vocabulary(store: Store) -> None:
    source = random.Random(1)
    words = list(_COMMON)
    for number in range(len(words), _VOCABULARY):
        # Frequent words are short.
        length = 1 + (number > 60) + (number > 800 and source.random() < 0.7) + (number > 5000)
        word = "".join(source.choice(_SYLLABLES) for _ in range(length))
        words.append(word + (source.choice(("s", "ed", "ing", "ly")) if source.random() < 0.3 else ""))
    execute = store.engine.execute
    execute("DROP TABLE IF EXISTS benchmark_words SYNC")
    execute("CREATE TABLE benchmark_words (Id UInt64, Word String) ENGINE = Join(ANY, LEFT, Id)")
    store.insert_rows("benchmark_words", ({"Id": n, "Word": word} for n, word in enumerate(words)))


def _wait_for_merges(store: Store) -> None:
    """Until the engine has put together what it will: a store that has been running is in that state."""
    deadline, quiet = time.monotonic() + _MERGE_SECONDS, 0
    while quiet < 5 and time.monotonic() < deadline:
        quiet = quiet + 1 if store.rows("SELECT count() AS n FROM system.merges")[0]["n"] in (0, "0") else 0
        time.sleep(0.2)


def attribute_value(trace: int) -> str:
    """The order that trace number `trace` is about, as its spans carry it in `shop.order.id`."""
    return f"order-{trace // 2}"


def user_name(rank: int) -> str:
    """The user of a rank: 0 is asked for most."""
    return f"user-{rank}"

"""A collector with two projects: one whose key is used, and one that is full of marked texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.catalogue import CATALOGUE
from llmtrace_collector.store.database import DATABASE
from llmtrace_collector.store.store import Store
from tests.collector.clickhouse import clickhouse_server
from tests.collector.otlp import llm, logs, score, span, traces
from tests.collector.prefilled import prefill
from tests.collector.running import CLIENT, PROTOBUF, Served, settings, until

from .marks import KNOWN, WRONG, Marks, new_secret

OWN, OTHER = "shop", "vault"

#: Columns whose values the product itself reads: theirs are of the kind that it writes.
_KEPT: Mapping[str, str] = {
    "RetentionDays": "30",
    "Role": "'read'",
    "State": "'open'",
    "Severity": "'warning'",
    "RevokedAt": "NULL",
    "IsDeleted": "0",
}

_PRICES = frozenset("price_book price_books own_prices own_discounts discount_book fixed_costs".split())


class Scene:
    """The running collector, the reader's key, and what must not come out."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.served = served
        self.store: Store = served.collector.store
        self.secret = new_secret()
        self._rows = 0
        self.file = folder / "marked.txt"
        self.file.write_text(f"{KNOWN}-{self.secret} file\n")
        self.out = folder / "out" / "escaped.txt"
        self.out.parent.mkdir()
        self.key = self._make_key(OWN, "read")
        self.all_key = self._make_key("", "read")
        other_keys = [self._make_key(OTHER, role) for role in ("read", "ingest", "admin")]
        self._send()
        self.settle()
        self._price_models()
        for project, word in ((OWN, "plain"), (OTHER, f"{KNOWN}-{self.secret}")):
            self._fill(project, word)
        self._price_models()
        until(self._whole, 60, "rows that stay as they are")
        self.marks = Marks([self.secret, served.admin_key, "root:x:0:0", *other_keys])

    @property
    def values(self) -> dict[str, str]:
        """What stands for the placeholders of a line."""
        return {
            "own": OWN,
            "other": OTHER,
            "mark": KNOWN,
            "guess": KNOWN,
            "file": str(self.file),
            "out": str(self.out),
        }

    @property
    def wrong_values(self) -> dict[str, str]:
        """The same with a guess that is wrong."""
        return {**self.values, "guess": WRONG}

    def grow(self) -> None:
        """More rows of the other project, as marked as those before."""
        # Prices are of one book for all projects, which keys of every project alone may change.
        self._fill(OTHER, f"{KNOWN}-{self.secret}", prices=False)
        self._price_models()
        self.settle(at_once=False)

    def settle(self, *, at_once: bool = True) -> None:
        """Let the rollups take what was stored; `at_once` all, also of traces that are not quiet yet."""
        self.served.stored()
        self.store.roll_up(at_once=at_once)
        # In parts of their own, a project's rows would come in the order of the last merge.
        for entry in CATALOGUE:
            if entry.stores and not entry.server_only:
                self.store.engine.execute(f"OPTIMIZE TABLE {entry.name} FINAL")

    def _whole(self) -> bool:
        """Settle; whether every trace is made, and so changes no more by itself."""
        self.settle()
        return int(self.store.read("SELECT countIf(Version = 0) FROM traces")) == 0

    def _make_key(self, project: str, role: str) -> str:
        name = f"{KNOWN}-{self.secret} key" if project == OTHER else f"{project} key"
        answer = self.served.write("POST", "/v1/keys", {"project": project, "role": role, "name": name})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["key"])

    def _send(self) -> None:
        """The reader's own calls and scores, as a sender sends them."""
        key = self._make_key(OWN, "ingest")
        calls = [
            llm(
                {
                    "user.id": f"u{number}",
                    "session.id": "s1",
                    "llmtrace.tags": ["a", "b"],
                    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"hello"}]}]',
                }
            )
            for number in range(3)
        ]
        bodies = {
            "traces": traces([*calls, span({"k": "v"})]),
            "logs": logs([score({"gen_ai.evaluation.name": "q", "gen_ai.evaluation.score.value": 0.5})]),
        }
        headers = {**PROTOBUF, "authorization": f"Bearer {key}"}
        for signal, body in bodies.items():
            answer = CLIENT.post(
                f"{self.served.url}/v1/{signal}", content=body.SerializeToString(), headers=headers
            )
            assert answer.status_code == 200, answer.text

    def _fill(self, project: str, word: str, *, prices: bool = True) -> None:
        """A row in every table that stores, each text of it with `word`; those of prices are left out where
        `prices` is false.
        """
        self._rows += 1
        for entry in CATALOGUE:
            # rollup_passes tells every reader how far the work is; server_only tables are others' to fill.
            if not entry.stores or entry.server_only or entry.rows == "1 = 1":
                continue
            if not prices and entry.name in _PRICES:
                continue
            columns = self._columns(entry.name)
            if "Project" not in columns and project == OWN:
                continue
            values = {
                name: literal(project)
                if name == "Project"
                else _KEPT.get(name) or _value(kind, f"{word} {entry.name}.{name}", self._rows)
                for name, kind in columns.items()
            }
            if "Book" in values:
                values["Book"] = "(SELECT any(Book) FROM price_now)"
            filled = {name: value for name, value in values.items() if value}
            names = ", ".join(f"`{name}`" for name in filled)
            self.store.engine.execute(
                f"INSERT INTO {entry.name} ({names}) SELECT {', '.join(filled.values())}"
            )

    def _columns(self, table: str) -> dict[str, str]:
        rows = self.store.engine.execute(
            f"SELECT name, type FROM system.columns WHERE table = {literal(table)} "
            "AND database = currentDatabase() AND default_kind NOT IN ('MATERIALIZED', 'ALIAS') "
            "ORDER BY position"
        )
        return dict(line.split("\t") for line in rows.decode().replace("\\'", "'").splitlines())

    def _price_models(self) -> None:
        """Prices of every model that was seen, so that costs are there."""
        self.served.collector.price_book.sync()


def _value(kind: str, text: str, number: int) -> str:
    """An expression of type `kind`, with `text` wherever it holds text; "" where the default is taken."""
    kind = re.sub(r"^(LowCardinality|Nullable)\((.*)\)$", r"\2", kind, flags=re.DOTALL)
    if kind.startswith("SimpleAggregateFunction("):
        kind = kind.partition(", ")[2][:-1]
    if kind == "String":
        return literal(text)
    if kind.startswith("Map(") and kind.endswith("String)"):
        return f"map({literal(f'{text} key')}, {literal(text)})"
    if kind.startswith("Array("):
        inner = _value(kind[6:-1], text, number)
        return f"[{inner}]" if inner else ""
    if re.match(r"U?Int\d+$|Float\d+$", kind):
        return str(number)
    if kind.startswith("DateTime64"):
        return "now64(3)"
    return "now()" if kind.startswith("DateTime") else "today()" if kind.startswith("Date") else ""


@contextmanager
def embedded(folder: Path, **fields: Any) -> Iterator[Scene]:
    """A scene in `folder` over the embedded engine; `fields` are the collector's settings."""
    folder.mkdir(parents=True, exist_ok=True)
    served = Served(settings(folder / "collector", **fields))
    try:
        yield Scene(served, folder)
    finally:
        served.close()


@contextmanager
def behind_http(folder: Path, **fields: Any) -> Iterator[Scene]:
    """The same over a server, which is the stand-in of the tests with the filters of the embedded store."""
    folder.mkdir(parents=True, exist_ok=True)
    with clickhouse_server(prefill(folder / "server"), "walled") as address:
        place = f"clickhouse://default@{address}/{DATABASE}"
        with embedded(folder, store=place, store_reader=place, **fields) as running:
            yield running


#: The homes of the store, by the names that the command line has for them.
HOMES: Mapping[str, Callable[..., AbstractContextManager[Scene]]] = {
    "embedded": embedded,
    "server": behind_http,
}

"""The description of the store, as it is rendered: a change of it shows as a change of a file.

    python -m tests.collector.test_schema_description      # writes the files anew: look at what changed

Whoever changes it raises SCHEMA_NUMBER in store/schema/versions.py, so that an older program refuses the
store. A number that no release has had yet may stay: `--unreleased`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from llmtrace_collector.store.catalogue import BY_NAME, CATALOGUE, Kind
from llmtrace_collector.store.schema import sql_text, templates, versions
from llmtrace_collector.store.schema.description import SchemaSettings, describe
from llmtrace_collector.store.schema.redaction import Redaction

_FOLDER = Path(__file__).parent / "snapshots" / "schema"
_NUMBER = "number.txt"

#: Settings of which something stands in the schema, beside the default ones: entry → which.
_OTHERS: Mapping[str, SchemaSettings] = {
    "otel_logs (retention by project)": SchemaSettings(30, {"shop": 90, "it's": 3}),
    "otlp_logs_mv (redaction)": SchemaSettings(redaction=Redaction(("secrets", "pii"), ("EMP-[0-9]+",))),
    "otlp_logs_mv (without content)": SchemaSettings(redaction=Redaction(drop_content=True)),
}


def snapshots() -> dict[str, str]:
    """File → text."""
    plain = describe(SchemaSettings())
    files = {f"{item.entry.name}.sql": f"{item.sql};\n" for item in plain.statements}
    files["functions.sql"] = "".join(f"{text};\n\n" for text in plain.functions)
    for name, settings in _OTHERS.items():
        entry = name.partition(" ")[0]
        (text,) = (item.sql for item in describe(settings).statements if item.entry.name == entry)
        files[f"{name}.sql"] = f"{text};\n"
    return files


def _stored() -> dict[str, str]:
    return {file.name: file.read_text() for file in _FOLDER.glob("*.sql")}


def test_the_description_is_what_it_was() -> None:
    now, stored = snapshots(), _stored()
    changed = sorted(name for name in now.keys() | stored.keys() if now.get(name) != stored.get(name))
    assert changed == [], (
        "the description has changed: if it should have, raise SCHEMA_NUMBER, which was "
        f"{(_FOLDER / _NUMBER).read_text().strip()}, and run this file as its docstring says"
    )


def test_the_number_is_that_of_the_description() -> None:
    written = int((_FOLDER / _NUMBER).read_text())
    assert written == versions.SCHEMA_NUMBER, "the files are another number's"


def test_every_entry_has_its_file_and_every_file_its_entry() -> None:
    for folder, kinds in (("tables", {Kind.TABLE}), ("views", {Kind.VIEW, Kind.MATERIALIZED_VIEW})):
        assert templates.names(folder) == sorted(entry.name for entry in CATALOGUE if entry.kind in kinds)


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: str(entry.name))
def test_entries_are_what_their_statements_say(entry: object) -> None:
    (item,) = (item for item in describe(SchemaSettings()).statements if item.entry is entry)
    words = item.sql.split()
    if item.entry.kind is Kind.MATERIALIZED_VIEW:
        assert words[4:6] == ["TO", item.entry.target]
        assert item.entry.target in BY_NAME
    if item.entry.kind is Kind.TABLE:
        assert ("ENGINE = Null" in item.sql) == item.entry.inlet
        assert bool(re.search(r"^TTL .*RetentionDays", item.sql, re.MULTILINE)) == item.entry.retained
    else:
        # What is read stands before it, so that a store can be made from top to bottom.
        order = [other.name for other in CATALOGUE]
        assert all(order.index(name) < order.index(item.entry.name) for name in item.reads)


def test_texts_are_read_by_their_tokens() -> None:
    text = "SELECT 'FROM scores', scores FROM scores JOIN (SELECT 1 FROM numbers(1)) FROM x.scores"
    assert set(sql_text.tables_read(text, BY_NAME)) == {"scores"}
    expected = text.replace("scores JOIN", "db.scores JOIN")
    assert sql_text.qualified(text, lambda name: "db", BY_NAME) == expected
    engine = "ReplacingMergeTree(At, 'a, b') PARTITION BY (a, f(b)) ORDER BY a"
    clauses = sql_text.clauses(f"{engine} TTL d + f(3) SETTINGS x = 1, y = 'p, q'")
    assert clauses["PARTITION BY"] == "(a, f(b))"
    assert clauses["TTL"] == "d + f(3)"
    assert sql_text.arguments(clauses[""]) == ["At", "'a, b'"]
    assert sql_text.items(clauses["SETTINGS"]) == ["x = 1", "y = 'p, q'"]


if __name__ == "__main__":
    number = _FOLDER / _NUMBER
    same = number.exists() and int(number.read_text()) == versions.SCHEMA_NUMBER
    if same and _stored() != snapshots() and "--unreleased" not in sys.argv:
        raise SystemExit(
            f"raise SCHEMA_NUMBER first: {versions.SCHEMA_NUMBER} is the number of the files here"
        )
    _FOLDER.mkdir(parents=True, exist_ok=True)
    for file in _FOLDER.glob("*.sql"):
        file.unlink()
    for name, text in snapshots().items():
        (_FOLDER / name).write_text(text)
    number.write_text(f"{versions.SCHEMA_NUMBER}\n")

"""The functions that the store's views are made of, each called by its name.

A file of `functions/` holds the cases of the file of that name in `store/schema/sql/functions`: a SQL
expression, and below it, after `--`, what it gives, as JSON. In it `<string 'a'>`, `<int 1>` and
`<array string 'a'; int 1>` stand for OTLP's values, `<scalar int 1>` for one inside an array,
`<attributes>` for the type of a list of attributes and `<redacted>` for the function that takes out what
this test's redaction names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtrace_collector.store.engine import EmbeddedEngine
from llmtrace_collector.store.schema import decoding, description, templates
from llmtrace_collector.store.schema.redaction import NOTHING, Redaction

CASES = Path(__file__).parent / "functions"
REDACTION = Redaction(("secrets", "pii"), (r"CANARY-\d+",))

_CASE = re.compile(r"((?:(?!--).*\n)+)-- (.*)\n")
_FUNCTION = re.compile(r"CREATE OR REPLACE FUNCTION (\w+)")
_PLACE = {"string": 1, "bool": 2, "int": 3, "double": 4, "bytes": 5}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    engine = EmbeddedEngine(tmp_path_factory.mktemp("functions") / "store")
    for statement in description.functions(REDACTION):
        engine.execute(statement)
    yield engine
    engine.close()


def cases(topic: str) -> list[tuple[str, object]]:
    """The cases of a topic: SQL and what it gives."""
    text = (CASES / f"{topic}.sql").read_text()
    return [(sql.strip(), json.loads(result)) for sql, result in _CASE.findall(text)]


def expanded(sql: str) -> str:
    """A case's SQL with its OTLP values."""
    any_value = " ".join(templates.render("parts/any_value.sql").split())
    scalars = " ".join(templates.render("parts/scalar_columns.sql").split())
    kinds = "'none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4"
    scalar = f"Tuple(value Enum8({kinds}, 'bytes_value' = 7), {scalars})"

    def value(match: re.Match[str]) -> str:
        kind, _, content = match[1].partition(" ")
        if kind == "redacted":
            return REDACTION.function
        if kind == "attributes":
            return f"Array(Tuple(key String, value {any_value}))"
        if kind == "scalar":
            return f"CAST({_fields(content)} AS {scalar})"
        items = ", ".join(map(_fields, content.split("; "))) if kind == "array" else ""
        head = _fields("none").replace("'none'", "'array_value'") if kind == "array" else _fields(match[1])
        return f"CAST({head.removesuffix(')')}, tuple([{items}])) AS {any_value})"

    return re.sub(r"<(\w[^<>]*)>", value, sql)


def _fields(text: str) -> str:
    """A scalar as a tuple of which kind it is, and every kind's field."""
    kind, _, content = text.partition(" ")
    fields = ["'none'" if kind == "none" else f"'{kind}_value'", "''", "false", "0", "0", "''"]
    if kind != "none":
        fields[_PLACE[kind]] = content
    return f"tuple({', '.join(fields)})"


@pytest.mark.parametrize("topic", templates.names("functions"))
def test_a_function_gives_what_it_should(engine: EmbeddedEngine, topic: str) -> None:
    wrong = []
    for sql, wanted in cases(topic):
        row = engine.execute(f"SELECT {expanded(sql)} AS result FORMAT JSONCompactEachRow")
        (result,) = json.loads(row)
        if result != wanted:
            wrong.append(f"{sql}\n  is {json.dumps(result)}\n  not {json.dumps(wanted)}")
    assert not wrong, "\n".join(wrong)


def test_every_function_has_a_case() -> None:
    """Stages of a redaction have none: they are one function with many patterns (test_redaction.py)."""
    missing = []
    for topic in templates.names("functions"):
        called = [expanded(sql) for sql, _ in cases(topic)]
        values = decoding.values(REDACTION)
        for name in _FUNCTION.findall(templates.render(f"functions/{topic}.sql", **values)):
            is_stage = re.fullmatch(rf"{REDACTION.function}_\d+", name)
            if not is_stage and not any(f"{name}(" in sql for sql in called):
                missing.append(f"{topic}: {name}")
    assert not missing, f"no case in {CASES} calls {', '.join(missing)}"


def test_names_say_whose_functions_they_are() -> None:
    """A server has one set of functions: ours begin with our name, and those that depend on the settings of a
    store carry them in their names.
    """
    named = {
        key: {_FUNCTION.findall(statement)[0]: statement for statement in description.functions(redaction)}
        for key, redaction in {"on": REDACTION, "off": NOTHING, "own": Redaction(patterns=("a+b",))}.items()
    }
    assert all(name.startswith("llmtrace_") for functions in named.values() for name in functions)
    for first, second in (("on", "off"), ("on", "own"), ("off", "own")):
        for name in named[first].keys() & named[second].keys():
            assert named[first][name] == named[second][name], name

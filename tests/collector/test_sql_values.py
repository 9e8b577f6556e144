"""Values of queries, whatever they hold, reach the engine as they are: both homes, all types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from llmtrace_collector.sql_values import EncodedText, QueryValue, encode, inlined, literal, literals
from llmtrace_collector.store.engine import StoreEngine, StoreError, open_engine

from .clickhouse import clickhouse_server

#: Characters that mean something in SQL, in TabSeparated text or in an address, and others beside them.
TEXTS = st.text(st.one_of(st.sampled_from("\\'\"`\t\n\r\0\b\f\v%&+;{}:N?#😀é"), st.characters(codec="utf-8")))
MICROSECONDS = st.integers(0, 2**33 * 10**6)

# Each example holds several texts, and a request takes a tenth of a second.
several = examples(
    max_examples=examples().max_examples // 5,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)


@pytest.fixture(scope="module", params=["embedded", "server"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreEngine]:
    """An engine in each of its homes."""
    folder = tmp_path_factory.mktemp("values")
    if request.param == "embedded":
        opened = open_engine(f"chdb://{folder / 'store'}")
        yield opened
        opened.close()
        return
    with clickhouse_server(folder / "server") as address:
        opened = open_engine(f"clickhouse://default:@{address}/default")
        yield opened
        opened.close()


def stored(engine: StoreEngine, *values: tuple[str, QueryValue]) -> list[Any]:
    """What the engine took parameters of these types for, as JSON has them."""
    names = [(f"v{place}", kind) for place, (kind, _) in enumerate(values)]
    text = "SELECT " + ", ".join(f"{{{name}:{kind}}} AS {name}" for name, kind in names)
    params = {name: value for (name, _), (_, value) in zip(names, values, strict=True)}
    read: list[Any] = json.loads(engine.read(text, params, "JSONCompactEachRow"))
    return read


@several
@given(texts=st.lists(TEXTS, min_size=1, max_size=8))
def test_any_text_comes_back(engine: StoreEngine, texts: list[str]) -> None:
    for kind in ("String", "Nullable(String)"):
        assert stored(engine, *((kind, text) for text in texts)) == texts
    read = engine.read(f"SELECT {', '.join(map(literal, texts))}", None, "JSONCompactEachRow")
    assert json.loads(read) == texts


@several
@given(texts=st.lists(TEXTS, max_size=5), nested=st.lists(st.lists(TEXTS, max_size=3), max_size=3))
def test_arrays_of_any_texts_come_back(
    engine: StoreEngine, texts: list[str], nested: list[list[str]]
) -> None:
    assert stored(
        engine,
        ("Array(String)", texts),
        ("Array(String)", tuple(texts)),
        ("Array(Nullable(String))", [None, *texts]),
        ("Array(Array(String))", nested),
    ) == [texts, texts, [None, *texts], nested]
    read = engine.read(f"SELECT [{literals(['', *texts])}]", None, "JSONCompactEachRow")
    assert json.loads(read) == [["", *texts]]


@several
@given(microseconds=MICROSECONDS, hours=st.integers(-12, 14))
def test_moments_come_back_whatever_the_time_zones(
    engine: StoreEngine, microseconds: int, hours: int
) -> None:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
    there = moment.astimezone(timezone(timedelta(hours=hours)))
    text = ", ".join(
        f"toUnixTimestamp64Micro({{one:DateTime64(6, '{zone}')}}), "
        f"toUnixTimestamp64Micro({{all:Array(DateTime64(6, '{zone}'))}}[2])"
        for zone in ("UTC", "America/New_York")
    )
    read = engine.read(f"SELECT {text}", {"one": there, "all": [moment, there]})
    assert read.split() == [str(microseconds).encode()] * 4


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("Nullable(String)", None, None),
        ("Nullable(String)", "\\N", "\\N"),
        ("Nullable(String)", "NULL", "NULL"),
        ("Int64", -(2**63), -(2**63)),
        ("UInt64", 2**64 - 1, 2**64 - 1),
        ("Float64", 0.1, 0.1),
        ("Float64", 1e-300, 1e-300),
        ("Array(Float64)", [1.5, -2e20], [1.5, -2e20]),
        ("Bool", True, True),
        ("Array(Bool)", [True, False], [True, False]),
        ("UUID", UUID(int=1), str(UUID(int=1))),
        ("Array(UUID)", [UUID(int=1)], [str(UUID(int=1))]),
        ("Date", date(2025, 1, 31), "2025-01-31"),
        ("Array(Date)", [date(2025, 1, 31)], ["2025-01-31"]),
        ("DateTime('UTC')", datetime(2025, 1, 31, 1, 2, 3, tzinfo=UTC), "2025-01-31 01:02:03"),
        ("Array(Int32)", [], []),
    ],
)
def test_other_types(engine: StoreEngine, kind: str, value: QueryValue, expected: Any) -> None:
    assert stored(engine, (kind, value)) == [expected]


def test_floats_that_are_no_numbers(engine: StoreEngine) -> None:
    inf, nan = float("inf"), float("nan")
    params: dict[str, QueryValue] = {"values": [inf, -inf, nan], "one": nan}
    text = "SELECT toString({values:Array(Float64)}), toString({one:Float64})"
    assert engine.read(text, params) == b"[inf,-inf,nan]\tnan\n"


def test_a_client_s_own_encoding_is_passed_on(engine: StoreEngine) -> None:
    assert stored(engine, ("String", EncodedText("a\\tb\\\\c"))) == ["a\tb\\c"]
    with pytest.raises(StoreError) as refused:
        stored(engine, ("String", EncodedText("a\tb")))
    assert refused.value.code == 457


@pytest.mark.parametrize("value", ["a\ud800", ["fine", "\udfff"]])
def test_lone_surrogates_are_refused(value: QueryValue) -> None:
    with pytest.raises(ValueError, match=r"lone surrogate U\+D"):
        encode(value)
    with pytest.raises(ValueError, match=r"lone surrogate U\+D83D at 1"):
        literal("x\ud83d")


def test_moments_without_a_time_zone_and_other_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        encode(datetime(2025, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="is before 1970"):
        encode(datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC))
    other: Any = object()
    with pytest.raises(TypeError, match="object is no value of a query parameter"):
        encode([other])


def test_escapes_are_those_that_clickhouse_documents_for_tab_separated_text() -> None:
    assert encode("\b\f\r\n\t\0'\\") == r"\b\f\r\n\t\0\'\\"
    assert literal("\b\f\r\n\t\0'\\") == r"'\b\f\r\n\t\0\'\\'"
    assert encode(["a'b", None]) == r"['a\'b', NULL]"


def test_a_value_that_looks_like_a_placeholder_stays_a_value() -> None:
    sql = inlined("u = {user:String} AND p = {project:String}", {"user": "{project:String}", "project": "'"})
    assert sql == r"u = '{project:String}' AND p = '\''"

"""The search language: what is understood, how it is written back, and what is said of mistakes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtrace_collector.store.search import Period, Search, SearchError, completions, fields, parse
from llmtrace_collector.store.search.fields import FIELDS, Kind
from llmtrace_collector.store.search.times import Ago, At
from llmtrace_collector.store.search.tree import (
    And,
    Compare,
    Identifier,
    Match,
    Node,
    Not,
    Or,
    Present,
    Text,
    Value,
    all_of,
    any_of,
    identify,
    negated,
)

from . import search_reference

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("refund late", And((Text("refund"), Text("late")))),
        ('"late delivery"', Text("late delivery")),
        (r'"say \"no\" to C:\\x"', Text('say "no" to C:\\x')),
        (r'"a\nb"', Text(r"a\nb")),
        ("a b OR c", Or((And((Text("a"), Text("b"))), Text("c")))),
        ("a (b OR c)", And((Text("a"), Or((Text("b"), Text("c")))))),
        ("a AND NOT b", And((Text("a"), Not(Text("b"))))),
        ("-(a b)", Not(And((Text("a"), Text("b"))))),
        ("--a", Text("a")),
        ("model:gpt-5*", Match("model", (Value("gpt-5*", pattern=True),))),
        ("Model:a,b", Match("model", (Value("a"), Value("b")))),
        ('model:"a,b*",c', Match("model", (Value("a,b*"), Value("c")))),
        ("user!=ada", Not(Match("user", (Value("ada"),)))),
        ("user=ada", Match("user", (Value("ada"),))),
        ("-status:failed", Not(Match("status", (Value("failed"),)))),
        ("has:RETRY", Match("has", (Value("retry"),))),
        ("prompt:greeting@3", Match("prompt", (Value("greeting@3"),))),
        ("tag:tier=gold", Match("tag", (Value("tier=gold"),))),
        ("cost>0.01", Compare("cost", ">", 0.01)),
        ("cost:>=$2", Compare("cost", ">=", 2.0)),
        ("tokens>10k", Compare("tokens", ">", 10_000.0)),
        ("tokens!=1.5M", Compare("tokens", "!=", 1_500_000.0)),
        ("output_tokens:0", Compare("output_tokens", "=", 0.0)),
        ("latency>2s", Compare("latency", ">", 2.0)),
        ("latency<=1.5m", Compare("latency", "<=", 90.0)),
        ("ttft>250ms", Compare("ttft", ">", 0.25)),
        ("ttft>5\u00b5s", Compare("ttft", ">", 0.000005)),
        ("ttft>5\u03bcs", Compare("ttft", ">", 0.000005)),
        ("tpot>.05", Compare("tpot", ">", 0.05)),
        ("score.helpful<0.5", Compare("score", "<", 0.5, "helpful")),
        ("score.mood<-0.5", Compare("score", "<", -0.5, "mood")),
        ("score.mood:good", Match("score", (Value("good"),), "mood")),
        ('score.mood:"1"', Match("score", (Value("1"),), "mood")),
        ("attr.gen_ai.request.seed=7", Match("attr", (Value("7"),), "gen_ai.request.seed")),
        ("attr.gen_ai.request.seed>7", Compare("attr", ">", 7.0, "gen_ai.request.seed")),
        ("attr.gen_ai.request.seed:", Present("attr", "gen_ai.request.seed")),
        ('attr."odd name":x', Match("attr", (Value("x"),), "odd name")),
        ("resource.host.name:a*", Match("resource", (Value("a*", pattern=True),), "host.name")),
        (TRACE.upper(), Identifier("trace", TRACE)),
        ("a1b2c3d4e5f60718", Identifier("span", "a1b2c3d4e5f60718")),
        ("chatcmpl-9aBc12345", Identifier("response", "chatcmpl-9aBc12345")),
        ("msg_01XFDUDYJgAACzvnptvVoYEL", Identifier("response", "msg_01XFDUDYJgAACzvnptvVoYEL")),
        ("msg_bdrk_01XFDUDYJgAACzvnptvVoYEL", Identifier("response", "msg_bdrk_01XFDUDYJgAACzvnptvVoYEL")),
        # Names in programs are words.
        ("resp_timeout_408", Text("resp_timeout_408")),
        ("msg_handler2", Text("msg_handler2")),
        (f'"{TRACE}"', Text(TRACE)),
        # What people paste is text as long as it cannot be meant for a field.
        ("4111111111111111", Text("4111111111111111")),
        ("http://x.y/z?a=b", Text("http://x.y/z?a=b")),
        ("localhost.local:4318", Text("localhost.local:4318")),
        ("10:30", Text("10:30")),
        ("Error: timeout", And((Text("Error:"), Text("timeout")))),
        ("a - b", And((Text("a"), Text("-"), Text("b")))),
        ("src=x", Text("src=x")),
        ("**bold**", Text("**bold**")),
        ("f(x)", And((Text("f"), Text("x")))),
        ("", None),
        ("  \n ", None),
    ],
)
def test_what_is_understood(text: str, tree: Node | None) -> None:
    assert parse(text) == Search(tree)
    assert parse(str(parse(text))) == Search(tree)


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("last:24h", Ago(86_400), None),
        ("since:2h refund", Ago(7_200), None),
        ("refund since:30min until:5m", Ago(1_800), Ago(300)),
        ("since:2026-11", At(datetime(2026, 11, 1)), None),  # noqa: DTZ001 - of whoever asks
        (
            "until:2026-11-02T10:30+02:00",
            None,
            At(datetime(2026, 11, 2, 10, 30, tzinfo=timezone(timedelta(hours=2)))),
        ),
        ("(a OR b) last:1w", Ago(604_800), None),
    ],
)
def test_periods(text: str, since: Ago | At | None, until: Ago | At | None) -> None:
    search = parse(text)
    assert (search.since, search.until) == (since, until)
    assert parse(str(search)) == search


def test_a_period_is_resolved_where_it_is_asked() -> None:
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    berlin = ZoneInfo("Europe/Berlin")
    assert parse("since:2026-11-01").period(now=now, zone=berlin).since == datetime(
        2026, 10, 31, 23, tzinfo=UTC
    )
    assert parse("last:90m").period(now=now).since == datetime(2026, 11, 29, 10, 30, tzinfo=UTC)
    usual = Period(now - timedelta(hours=1), now)
    assert parse("refund").period(usual, now) == usual
    assert parse("until:2026-11-01").period(usual, now) == Period(None, datetime(2026, 11, 1, tzinfo=UTC))
    assert parse("last:2h").period(usual, now) == Period(now - timedelta(hours=2), now)


@pytest.mark.parametrize(
    ("text", "offending", "message", "suggestion"),
    [
        ("late modl:gpt", "modl:", "there is no field 'modl'", "model:"),
        ("tokns>5", "tokns>", "no field", "tokens>"),
        ("duration>5s", "duration>", "no field", "latency>"),
        ("gen_ai.request.model:x", "gen_ai.request.model:", "no field", "attr.gen_ai.request.model:"),
        ("xyzzy:1", "xyzzy:", "quotes make text of it", None),
        ("model.x:1", "model.x:", "no field", "model:"),
        ("attr:x", "attr:", "the name of an attribute", "attr.NAME:"),
        ("score>1", "score>", "the name of a score", "score.NAME>"),
        ("error: timeout now", "error: timeout", "right after it", "error:timeout"),
        ("user:", "user:", "right after it", "user:u-4711"),
        ("status:failde", "failde", "is one of ok, error, failed, recovered", "failed"),
        ("purpose:prod", "prod", "is one of product", "product"),
        ("cost>abc", "abc", "this is no money", "cost>0.01"),
        ("latency>5parsecs", "5parsecs", "this is no duration", "latency>2s"),
        ("tokens:1,2", "tokens:1,2", "one number", None),
        ("model<5", "model<5", "is a text", "model:5"),
        ("attr.x>abc", "abc", "compares with a number", None),
        ("refund*", "refund*", "no * is needed", "refund"),
        ('say "no', '"no', "this quote is not closed", None),
        ('a ""', '""', "nothing between the quotes", None),
        ("model:a,", ",", "missing after the comma", None),
        ("(a (b)", "(", "this parenthesis is not closed", None),
        ("a) b", ")", "closes nothing", None),
        ("a ()", "(", "nothing in the parentheses", None),
        ("a OR", "OR", "a term is missing", None),
        ("OR a", "OR", "a term is missing", None),
        ("a NOT", "NOT", "needs a term after it", None),
        ("AND a", "AND", "the first is missing", None),
        ("last:yesterday", "yesterday", "this is no time", "2d"),
        ("last:2026-11-01", "2026-11-01", "this is no time", None),
        ("since:1d last:2d", "last:2d", "this end already", None),
        ("-since:1d", "since:1d", "cannot be negated", None),
        ("a OR (b since:1d)", "since:1d", "put it outside", None),
        ("since:1d OR a", "since:1d OR a", "one side of OR", None),
        ("(" * 30 + "a" + ")" * 30, "(", "levels", None),
        ("a " * 61, "a", "terms", None),
        ("user:x user:" + ",".join("a" * 60), "user:" + ",".join("a" * 60), "terms", None),
        ("(a b) OR " * 8 + "(c d)", "(a b) OR " * 8 + "(c d)", "more than 8 groups of words", None),
        ("x" * 2001, "x", "at most 2,000 characters", None),
        ("half \ud800", "\ud800", "half a character", None),
    ],
)
def test_a_mistake_is_named_with_its_place(
    text: str, offending: str, message: str, suggestion: str | None
) -> None:
    with pytest.raises(SearchError, match=re.escape(message)) as raised:
        parse(text)
    error = raised.value
    assert error.offending(text) == offending
    if suggestion is not None:
        assert error.suggestion == suggestion
        assert f"did you mean {suggestion} ?" in str(error)
    line, marks = error.underlined(text).split("\n")
    assert len(line) == len(text)
    assert marks.index("^") == error.position


_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
_numbers = st.floats(0, 1e12, allow_nan=False).map(lambda number: float(f"{number:.6g}"))
_operators = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])


def _texts_of(kind: Kind) -> list[str]:
    return [field.name for field in fields() if field.kind is kind]


_patterns = st.from_regex(r"[a-z0-9._\-]{0,5}\*[a-z0-9._\-]{0,5}", fullmatch=True)
_values = st.one_of(_texts.map(Value), _patterns.map(lambda text: Value(text, pattern=True)))
_keys = _texts
_leaves: st.SearchStrategy[Node] = st.one_of(
    _texts.filter(str.strip).map(Text),
    st.sampled_from(
        [TRACE, "a1b2c3d4e5f60718", "resp_68af0123456789abcdef", "msg_01XFDUDYJgAACzvnptvVoYEL"]
    ).map(lambda text: identify(text) or Text(text)),
    st.builds(
        Match,
        st.sampled_from(_texts_of(Kind.NAME) + _texts_of(Kind.ID)),
        st.lists(_values, min_size=1, max_size=3).map(tuple),
    ),
    st.sampled_from([field for field in fields() if field.choices]).flatmap(
        lambda field: st.lists(st.sampled_from(field.choices), min_size=1, max_size=3).map(
            lambda words: Match(field.name, tuple(map(Value, words)))
        )
    ),
    st.builds(Compare, st.sampled_from(_texts_of(Kind.NUMBER)), _operators, _numbers),
    st.builds(Compare, st.just("score"), _operators, _numbers, _keys),
    st.builds(Compare, st.just("attr"), st.sampled_from(["<", "<=", ">", ">="]), _numbers, _keys),
    st.builds(
        Match,
        st.sampled_from(["score", "attr", "resource"]),
        st.lists(_values, min_size=1, max_size=2).map(tuple),
        _keys,
    ),
    st.builds(Present, st.sampled_from(["score", "attr", "resource"]), _keys),
)
_trees: st.SearchStrategy[Node] = st.recursive(
    _leaves,
    lambda nodes: st.one_of(
        nodes.map(negated),
        st.lists(nodes, min_size=2, max_size=3).map(all_of),
        st.lists(nodes, min_size=2, max_size=3).map(any_of),
    ),
    max_leaves=8,
)
_moments = st.one_of(
    st.integers(0, 900_000).map(Ago),
    st.datetimes(datetime(1972, 1, 1), datetime(2249, 1, 1)).map(At),  # noqa: DTZ001 - of whoever asks
)


@given(_trees, st.none() | _moments, st.none() | _moments)
def test_the_canonical_text_is_the_same_search(
    tree: Node, since: Ago | At | None, until: Ago | At | None
) -> None:
    search = Search(tree, since, until)
    assert parse(str(search)) == search


_pieces = '( ) - " OR AND NOT , model: cost> attr.x = 1 a * \\ last:1h score.a< : @'.split()


@given(st.text(max_size=60) | st.lists(st.sampled_from([*_pieces, " ", "\n"]), max_size=14).map("".join))
def test_any_text_is_understood_or_refused_at_its_place(text: str) -> None:
    error = None
    try:
        search = parse(text)
    except SearchError as refused:
        error = refused
    if error is None:
        assert parse(str(search)) == search
    else:
        assert 0 <= error.position < len(text)
        assert 0 < error.length <= len(text) - error.position
        assert len(error.underlined(text).splitlines()[0]) == len(text)


@given(_trees)
def test_no_text_of_a_search_becomes_sql(tree: Node) -> None:
    for over in ("spans", "traces"):
        condition = Search(tree).condition("spans" if over == "spans" else "traces")
        names = re.findall(r"\{(\w+):(?:String|Float64|Int64)\}", condition.sql)
        assert set(names) == set(condition.params)
        # Whatever the values are: were they others, the SQL would be the same.
        plain = re.sub(r"'(?:[^'\\]|\\.)*'", "''", re.sub(r"\{\w+:\w+\}", "?", condition.sql))
        plain = re.sub(r"`Links\.(?:TraceId|SpanId)`", "Links", plain)
        assert re.fullmatch(r"[\w\s().,?=!<>'/\[\]*+>-]*", plain), plain


def test_every_field_has_an_example_that_is_understood() -> None:
    assert list(FIELDS) == [field.name for field in fields()]
    for field in fields():
        search = parse(field.example)
        assert parse(str(search)) == search
        assert field.help.endswith("."), field.name


def test_search_knows_what_it_mentions_and_can_be_narrowed() -> None:
    search = parse("refund OR -purpose:judge")
    assert search.mentions("purpose")
    assert not search.mentions("user", "cost")
    narrowed = search.only(user="ada", service="", model="gpt*5")
    assert str(narrowed) == 'user:ada model:"gpt*5" (refund OR -purpose:judge)'
    assert parse(str(narrowed)) == narrowed
    assert str(parse("last:1h").only(user="ada")) == "user:ada since:1h"


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("mod", ["model:"]),
        ("refund -to", ["tool:", "tokens>", "input_tokens>", "output_tokens>"]),
        ("(status:f", ["(status:failed"]),
        ("status:ok,rec", ["status:ok,recovered"]),
        ("has:", ["has:image", "has:retry"]),
        ("sco", ["score."]),
        ('"in a phrase mod', []),
        ("xyz", []),
        ("", []),
    ],
)
def test_names_and_words_are_completed_without_a_store(text: str, completed: list[str]) -> None:
    offered = completions(text)
    written = [text[: item.start] + item.text for item in offered]
    assert all(item.end == len(text) for item in offered)
    whole = [word if word.startswith("(") else word.rpartition(" ")[2].lstrip("-") for word in written]
    assert whole[: len(completed)] == completed
    assert bool(offered) == bool(completed)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (TRACE, True),
        ("user:ada chatcmpl-9aBc12345", True),
        (f"refund -{TRACE}", False),
        (f"refund OR {TRACE}", False),
        (f"late (refund OR {TRACE})", False),
        ("refund", False),
        ("", False),
    ],
)
def test_an_id_is_asked_for_where_all_that_is_found_has_it(text: str, named: bool) -> None:
    assert parse(text).names_an_id is named


_PAGE = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")


def test_the_documentation_has_every_field() -> None:
    """When it fails: `python -m tests.collector.search_reference` prints what belongs there."""
    assert search_reference.table() in _PAGE


def test_every_example_of_the_documentation_is_understood() -> None:
    tables = [
        line.rsplit(" | ", 1)[1] for line in _PAGE.splitlines() if line.count(" | ") == 1 and "?" in line
    ]
    examples = [text for cell in tables for text in re.findall(r"`([^`]+)`", cell)]
    assert len(examples) > 20
    for example in examples:
        search = parse(example)
        assert parse(str(search)) == search, example
        search.condition("traces")

"""The file that `llmtrace test from-trace` writes: no text of a trace becomes code."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmtrace import semconv
from llmtrace_analysis.queries.recorded_trace import RecordedSpan
from llmtrace_cli.testing.literals import comment, literal
from llmtrace_cli.testing.trace_test import NothingToReplay, checked_expression, trace_test
from tests.hostile_text import hostile_with_halves

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ENDINGS = ('"""', "'''", "\\", "\\'", '\\"', "\n)\nimport os\n", "\r", "{x}", "#", "\x1a", "\x00")
hostile = st.lists(st.sampled_from(ENDINGS) | hostile_with_halves, max_size=4).map("".join)
values = st.recursive(
    hostile | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile, inner, max_size=3),
    max_leaves=12,
)


def evaluated(source: str) -> Any:
    """The value of an expression of literals, `json.loads` of a literal among them; anything else fails."""

    class Loaded(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.expr:
            assert ast.unparse(node.func) == "json.loads"
            (argument,) = node.args
            return ast.Constant(json.loads(ast.literal_eval(argument)))

    tree = Loaded().visit(ast.parse(source, mode="eval"))
    return eval(compile(ast.fix_missing_locations(_lists(tree)), "<literal>", "eval"), {"__builtins__": {}})


def _lists(tree: ast.Expression) -> ast.Expression:
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Call | ast.Attribute)]
    assert not names, ast.dump(tree)
    return tree


@given(values)
@example("a'b\"c" * 60)
@example({"": [[]]})
def test_literals_are_what_they_were_made_of(value: Any) -> None:
    assert evaluated(literal(value)) == value


def test_what_is_nested_deeper_than_python_parses() -> None:
    deep: Any = '\'"""'
    for _ in range(400):
        deep = {"a": [deep]}
    source = literal(deep)
    assert "json.loads(" in source
    compile(source, "<deep>", "eval")
    assert literal(float("nan")) == '"nan"'


@given(hostile)
def test_a_comment_stays_one_line_of_ascii(text: str) -> None:
    line = f"# {comment(text)}"
    assert line.isascii()
    assert len(line.splitlines()) == 1
    tokens = list(tokenize.generate_tokens(io.StringIO(line).readline))
    assert [token.type for token in tokens[:1]] == [tokenize.COMMENT]


def span(**changes: Any) -> RecordedSpan:
    fields: dict[str, Any] = {
        "span_id": "1" * 16,
        "parent_id": "",
        "name": "answer",
        "service": "shop",
        "has_failed": False,
        "status_message": "",
        "start_ns": 1_700_000_000 * 10**9,
        "is_call": False,
        "is_attempt": False,
        "attributes": {},
    }
    return RecordedSpan(**{**fields, **changes})


def call(text: str = "Rain", **changes: Any) -> RecordedSpan:
    attributes = {
        semconv.OPERATION_NAME: "chat",
        semconv.REQUEST_MODEL: "m",
        semconv.HTTP_RESPONSE_STATUS_CODE: "200",
        semconv.RESPONSE_FINISH_REASONS: ["stop"],
        semconv.OUTPUT_MESSAGES: json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": text}]}]
        ),
    }
    changed = {**attributes, **changes.pop("attributes", {})}
    attributes = {key: value for key, value in changed.items() if value is not None}
    return span(span_id="2" * 16, parent_id="1" * 16, is_call=True, attributes=attributes, **changes)


def entry(function: str = "shop.answer", arguments: Any = None, **changes: Any) -> RecordedSpan:
    attributes = {semconv.CODE_FUNCTION_NAME: function}
    if arguments is not None:
        attributes[semconv.FUNCTION_ARGUMENTS] = json.dumps(arguments)
    return span(attributes=attributes, **changes)


@given(st.lists(hostile, min_size=8, max_size=8), st.dictionaries(hostile, values, max_size=3), st.booleans())
def test_no_text_of_a_trace_becomes_code(texts: list[str], arguments: dict[str, Any], failed: bool) -> None:
    """The file has the statements that it always has; of the trace there are literals and comments alone."""
    service, name, message, model, answer, question, function, reason = texts
    spans = [
        entry(function, arguments, service=service, name=name, has_failed=failed, status_message=message),
        call(
            answer,
            attributes={
                semconv.REQUEST_MODEL: model,
                semconv.RESPONSE_FINISH_REASONS: [reason],
                semconv.INPUT_MESSAGES: json.dumps(
                    [{"role": "user", "parts": [{"type": "text", "content": question}]}]
                ),
            },
            name=name,
        ),
    ]
    text = trace_test(TRACE, spans, allow_incomplete=True).text
    # As it is read from the file.
    assert text.encode().decode() == text
    tree = ast.parse(text)
    targets: dict[str, str] = {}
    for node in tree.body:
        match node:
            case ast.Expr(value=ast.Constant()):
                assert "test from-trace" in ast.get_docstring(tree, clean=False)  # type: ignore[operator]
            case ast.Import(names=[ast.alias(name="json")]):
                pass
            case ast.ImportFrom(module="llmtrace.testing", names=[ast.alias(name="FillIn")]):
                pass
            case ast.Assign(targets=[ast.Name(id=target)]):
                targets[target] = ast.unparse(node.value)
            case ast.FunctionDef():
                options = ", beyond=BEYOND" if failed else ""
                assert ast.unparse(node) == (
                    f"def test_trace_4bf92f35(replayed):\n    trace = replayed(CALLS{options})\n"
                    "    trace.run(ENTRY, ARGUMENTS)\n    assert trace.status == 'ok'"
                )
            case _:
                pytest.fail(ast.unparse(node))
    assert targets.keys() - {"BEYOND"} == {"pytest_plugins", "ENTRY", "ARGUMENTS", "CALLS"}
    if function:  # else nobody knows whose they are
        assert evaluated(targets["ARGUMENTS"]) == arguments
    (recorded,) = evaluated(targets["CALLS"])
    assert recorded["model"] == model
    assert recorded["output"][0]["parts"][0]["content"] == answer
    assert recorded["input"][0]["parts"][0]["content"] == question
    if not targets["ENTRY"].startswith("FillIn("):
        assert ast.literal_eval(targets["ENTRY"]) == function


def test_what_is_not_known_is_to_be_filled_in() -> None:
    for spans, wanted in (
        ([call()], "no function of the program is in the trace"),
        ([entry("__main__.answer"), call()], "began in __main__.answer, which cannot be imported"),
        ([entry("shop.make.<locals>.answer"), call()], "which cannot be imported by that name"),
    ):
        written = trace_test(TRACE, spans)
        assert "ENTRY = FillIn(" in written.text
        assert any(wanted in note for note in written.notes), written.notes
    written = trace_test(TRACE, [entry(), call()])
    assert 'ENTRY = "shop.answer"\nARGUMENTS = FillIn(' in written.text
    assert "from llmtrace.testing import FillIn\n" in written.text
    assert written.notes == [
        "ARGUMENTS are to fill in: @llmtrace.observe(capture_args=True) on the function that is called "
        "records them"
    ]
    named = trace_test(TRACE, [entry("__main__.answer", {"x": 1}), call()], call="shop:answer")
    assert 'ENTRY = "shop:answer"\nARGUMENTS = {"x": 1}\n' in named.text
    assert named.notes == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({semconv.OUTPUT_MESSAGES: None}, "its answer was not recorded or is deleted"),
        ({semconv.OPERATION_NAME: "rerank"}, "answers of rerank cannot be rebuilt"),
        ({semconv.OUTPUT_MESSAGES: '[{"role": '}, "gen_ai.output.messages is no JSON"),
        ("cut…[llmtrace left out 9 characters]", "a text in it was too long and is cut"),
        ("mail [redacted:email]", "a secret or personal data in it were redacted"),
    ],
)
def test_what_cannot_be_given_again(changes: Any, why: str) -> None:
    damaged = call(changes) if isinstance(changes, str) else call(attributes=changes)
    with pytest.raises(NothingToReplay, match="--allow-incomplete") as raised:
        trace_test(TRACE, [entry(arguments={}), call(), damaged])
    assert re.search(rf"request 2( \(\w+ m\))?: {re.escape(why)}", str(raised.value))
    written = trace_test(TRACE, [entry(arguments={}), call(), damaged], allow_incomplete=True)
    assert why in written.notes[0]


def test_a_trace_without_calls_makes_no_test() -> None:
    with pytest.raises(NothingToReplay, match="no call of a model"):
        trace_test(TRACE, [entry()])


def test_failed_attempts_are_replayed_and_are_no_failure() -> None:
    attempt = call(
        has_failed=True,
        is_attempt=True,
        status_message="slow down",
        attributes={
            semconv.OUTPUT_MESSAGES: None,
            semconv.HTTP_RESPONSE_STATUS_CODE: "429",
            semconv.ERROR_TYPE: "429",
        },
    )
    text = trace_test(TRACE, [entry(arguments={}), attempt, call()]).text
    assert "production saw: ok" in text
    assert "BEYOND" not in text
    first, second = evaluated(ast.unparse(ast.parse(text).body[4].value))  # type: ignore[attr-defined]
    assert (first["status"], first["error"]) == (429, ["429", "slow down"])
    assert "status" not in second


def test_expectations() -> None:
    spans = [entry(arguments={}, has_failed=True, status_message="boom"), call()]
    wanted = trace_test(TRACE, spans, expect=["recovered", "'a' in result"]).text
    assert "    result = trace.run(ENTRY, ARGUMENTS)\n" in wanted
    assert (
        "    assert trace.status == \"recovered\"  # production saw: failed\n    assert 'a' in result\n"
        in wanted
    )
    fails = trace_test(TRACE, spans, expect=["failed"]).text
    assert "import pytest\n" in fails
    assert "    with pytest.raises(Exception):\n        trace.run(ENTRY, ARGUMENTS)\n" in fails
    for expression in ("result ==", "x\ny", "import os", "(\n1)"):
        with pytest.raises(ValueError):
            checked_expression(expression)

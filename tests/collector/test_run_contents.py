"""What an MLflow run shows, from the run's data alone."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from llmtrace_collector import mlflow
from llmtrace_collector.mlflow.message_text import messages_text
from llmtrace_collector.mlflow.runs.run_contents import (
    RECEIVED_TAG,
    cut,
    join_values,
    run_key,
    shorten,
)
from llmtrace_collector.mlflow.runs.run_data import RunKey

TOOL_CALL = {"type": "tool_call", "id": "1", "name": "weather", "arguments": {"city": "Paris"}}


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}], "Hello"),
        ([{"role": "user", "parts": ["a"]}, {"role": "system", "parts": ["b"]}], "a"),
        ([{"role": "system", "parts": [{"type": "text", "content": "Be kind"}]}], "Be kind"),
        ([{"role": "user", "content": "an older shape"}], "an older shape"),
        ([{"role": "user", "content": [{"type": "text", "text": "one"}, {"text": "two"}]}], "one\ntwo"),
        ([{"role": "user", "parts": [TOOL_CALL]}], 'weather({"city":"Paris"})'),
        ([{"role": "user", "parts": [{"type": "tool_call_response", "response": "21 °C"}]}], "21 °C"),
        ([{"role": "user", "parts": [{"type": "blob", "modality": "image", "content": "AAAA"}]}], "[image]"),
        ([], ""),
        ([{"role": "user", "parts": [None, 3]}], "3"),
        ([1, 2], "[1, 2]"),
        ({"role": "user"}, '{"role": "user"}'),
    ],
)
def test_the_text_of_messages(messages: object, text: str) -> None:
    assert messages_text(json.dumps(messages), "user") == text


def test_text_that_is_no_message_json_is_given_as_it_is() -> None:
    assert messages_text('[{"role": "user", "par', "user") == '[{"role": "user", "par'
    assert messages_text("", "user") == ""


def test_what_is_cut_says_so() -> None:
    assert cut("x" * 2000) == "x" * 2000
    assert cut("x" * 2001, 12345).endswith("… [cut: 12,345 characters in all]")
    assert join_values(["a", "b"], 500) == "a, b"
    listed = join_values([f"model-{number:03}" for number in range(100)], 100)
    assert listed.startswith("model-000, model-001")
    assert listed.endswith("… (+93)")
    assert len(listed) <= 100
    assert len(join_values(["y" * 900], 500)) <= 500


def test_run_keys_are_one_to_one() -> None:
    assert run_key(RunKey("shop", "prompts", "r1")) == "shop/prompts/r1"
    keys = [("a/b", "c", "d"), ("a", "b/c", "d"), ("a", "b", "c/d"), ("a%2Fb", "c", "d")]
    assert len({run_key(RunKey(*key)) for key in keys}) == len(keys)
    long = "n" * 3000
    assert shorten(f"{long}1", 250) != shorten(f"{long}2", 250)
    assert len(shorten(long, 250)) == 250


def test_a_tag_is_written_in_one_place() -> None:
    """Who reads a tag back under another name would log every run again, or none."""
    texts = Counter(
        node.value
        for file in Path(mlflow.__path__[0]).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    tags = {text: count for text, count in texts.items() if re.fullmatch(r"llmtrace\.\w+", text)}
    assert RECEIVED_TAG in tags
    assert {text: count for text, count in tags.items() if count > 1} == {}

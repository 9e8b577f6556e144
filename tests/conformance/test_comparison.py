"""The comparison that the conformance table rests on finds what differs, and nothing that does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .comparison import cell, matched
from .programs.questions import DELAY, FIRST, REST
from .stored_records import COUNT_NAMES


def record(**values: Any) -> dict[str, Any]:
    """A record as the store has it."""
    return {
        **dict.fromkeys(COUNT_NAMES, 0),
        "SpanName": "chat m",
        "ScopeName": "tests",
        "Operation": "chat",
        "Provider": "openai",
        "RequestModel": "m",
        "ResponseModel": "m-1",
        "ResponseId": "r",
        "FinishReasons": ["stop"],
        "StatusCode": "Unset",
        "ErrorType": "",
        "TimeToFirstToken": None,
        "Duration": int((DELAY + FIRST + REST) * 1e9),
        "InputTokens": 24,
        "OutputTokens": 9,
        "Cost": 0.5,
        "SystemInstructions": "",
        "InputMessages": spoken("user", "Why?"),
        "OutputMessages": spoken("assistant", "Because."),
        "ToolDefinitions": "",
        **values,
    }


def spoken(role: str, *texts: str) -> str:
    """A message with text parts, as JSON."""
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text} for text in texts]}])


def fields(expected: list[dict[str, Any]], actual: list[dict[str, Any]]) -> list[str]:
    """The fields in which a cell differs."""
    return [difference.field for difference in cell(expected, actual)]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("operation", {"Operation": "text_completion"}),
        ("provider", {"Provider": "unknown"}),
        ("request model", {"RequestModel": "n"}),
        ("response model", {"ResponseModel": ""}),
        ("response id", {"ResponseId": ""}),
        ("finish reasons", {"FinishReasons": []}),
        *((name, {name: 7}) for name in COUNT_NAMES),
        ("cost", {"Cost": 0.5000001}),
        ("cost", {"Cost": None}),
        ("failed", {"StatusCode": "Error"}),
        ("failed", {"ErrorType": "500"}),
        ("messages", {"InputMessages": spoken("user", "Why not?")}),
        ("messages", {"InputMessages": ""}),
        ("messages", {"SystemInstructions": '[{"type": "text", "content": "Be brief."}]'}),
        ("answer", {"OutputMessages": spoken("user", "Because.")}),
        ("tools", {"ToolDefinitions": '[{"name": "f", "parameters": {"properties": {"a": {}}}}]'}),
    ],
)
def test_each_field_that_differs_is_named(field: str, values: dict[str, Any]) -> None:
    assert fields([record()], [record(**values)]) == [field]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"SpanName": "ChatCompletion", "ScopeName": "other"},
        {"InputTokens": "24"},
        {"Cost": 0.5 + 1e-14},
        {"InputMessages": spoken("user", "Wh", "y?")},
        {"ToolDefinitions": "[]"},
    ],
)
def test_what_says_the_same_in_other_ways_does_not_differ(values: dict[str, Any]) -> None:
    assert fields([record()], [record(**values)]) == []


def test_instructions_and_system_messages_are_the_same() -> None:
    asked = json.loads(spoken("user", "Why?"))
    apart = record(SystemInstructions='[{"type": "text", "content": "Be brief."}]')
    together = record(InputMessages=json.dumps([*json.loads(spoken("system", "Be brief.")), *asked]))
    assert fields([apart], [together]) == []


@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_call_is_one_record(number: int) -> None:
    assert fields([record()], [record()] * number) == ["records"]


def test_records_are_held_against_the_call_of_their_id() -> None:
    calls = [record(ResponseId=f"r{number}", InputTokens=number) for number in range(3)]
    assert fields(calls, calls[::-1]) == []
    without_ids = [{**call, "ResponseId": ""} for call in calls[::-1]]
    assert fields(calls, without_ids) == ["response id"]
    assert [row["InputTokens"] for _, row, _ in matched(calls, without_ids)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("seconds", "is_right"),
    [(None, False), (DELAY, False), (DELAY + FIRST, True), (DELAY + FIRST + REST, False)],
)
def test_the_first_token_came_when_the_provider_sent_it(seconds: float | None, is_right: bool) -> None:
    streamed = record(TimeToFirstToken=DELAY + FIRST)
    differing = fields([streamed], [record(TimeToFirstToken=seconds)])
    assert differing == ([] if is_right else ["first token"])

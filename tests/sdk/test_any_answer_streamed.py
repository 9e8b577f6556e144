"""Any answer says the same as a stream of any of the formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples

from .stream_forms import Cut, streamed
from .stream_reading import (
    CHAT,
    MESSAGES,
    RESPONSES,
    format_of,
)

NAMES = st.text("abcdefghij_", min_size=1, max_size=9)


TEXTS = st.text(min_size=1, max_size=60)


ARGUMENTS = st.dictionaries(
    st.text("abc d-é", min_size=1, max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3) | st.dictionaries(NAMES, inner, min_size=1, max_size=3)
        ),
        max_leaves=6,
    ),
    max_size=4,
)


CALLS = st.lists(st.tuples(st.uuids().map(str), NAMES, ARGUMENTS), max_size=4)


def _chat_answer(text: str, thought: str, calls: list[Any]) -> Any:
    tool_calls = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for call_id, name, arguments in calls
    ]
    message = {"role": "assistant", "content": text, "reasoning_content": thought, "tool_calls": tool_calls}
    usage = {"prompt_tokens": 3, "completion_tokens": 5}
    return {
        "id": "c",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }


def _anthropic_answer(text: str, thought: str, calls: list[Any]) -> Any:
    blocks = [{"type": "thinking", "thinking": thought, "signature": "s"}, {"type": "text", "text": text}]
    uses = [
        {"type": "tool_use", "id": call_id, "name": name, "input": value} for call_id, name, value in calls
    ]
    usage = {"input_tokens": 3, "output_tokens": 5}
    return {
        "id": "c",
        "type": "message",
        "model": "m",
        "content": [*blocks, *uses],
        "stop_reason": "tool_use",
        "usage": usage,
    }


def _gemini_answer(text: str, thought: str, calls: list[Any]) -> Any:
    parts = [{"text": thought, "thought": True}, {"text": text}]
    parts += [
        {"functionCall": {"id": call_id, "name": name, "args": value}} for call_id, name, value in calls
    ]
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 3}, "modelVersion": "m"}


def _converse_answer(text: str, thought: str, calls: list[Any]) -> Any:
    blocks: list[Any] = [{"reasoningContent": {"reasoningText": {"text": thought}}}, {"text": text}]
    blocks += [
        {"toolUse": {"toolUseId": call_id, "name": name, "input": value}} for call_id, name, value in calls
    ]
    output = {"message": {"role": "assistant", "content": blocks}}
    return {"output": output, "stopReason": "tool_use", "usage": {"inputTokens": 3, "outputTokens": 5}}


def _responses_answer(text: str, thought: str, calls: list[Any]) -> Any:
    output: list[Any] = [
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": thought}]},
        {"type": "message", "id": "msg", "content": [{"type": "output_text", "text": text}]},
    ]
    output += [
        {
            "type": "function_call",
            "id": f"fc_{call_id}",
            "call_id": call_id,
            "name": name,
            "arguments": json.dumps(value),
        }
        for call_id, name, value in calls
    ]
    return {
        "id": "resp_1",
        "model": "m",
        "status": "completed",
        "output": output,
        "usage": {"input_tokens": 3},
    }


def _cohere_answer(text: str, thought: str, calls: list[Any]) -> Any:
    tool_calls = _chat_answer(text, thought, calls)["choices"][0]["message"]["tool_calls"]
    content = [{"type": "thinking", "thinking": thought}, {"type": "text", "text": text}]
    return {
        "id": "c",
        "finish_reason": "COMPLETE",
        "message": {"content": content, "tool_calls": tool_calls},
        "usage": {"tokens": {"input_tokens": 3, "output_tokens": 5}},
    }


def _ollama_answer(text: str, thought: str, calls: list[Any]) -> Any:
    tool_calls = [{"function": {"name": name, "arguments": value}} for _, name, value in calls]
    message = {"role": "assistant", "content": text, "thinking": thought, "tool_calls": tool_calls}
    return {"model": "m", "message": message, "done": True, "done_reason": "stop", "eval_count": 5}


ANSWERS: dict[str, Callable[[str, str, list[Any]], Any]] = {
    CHAT: _chat_answer,
    MESSAGES: _anthropic_answer,
    "/v1beta/models/m:generateContent": _gemini_answer,
    "/model/m/converse": _converse_answer,
    RESPONSES: _responses_answer,
    "/v2/chat": _cohere_answer,
    "/api/chat": _ollama_answer,
}


@pytest.mark.parametrize("path", ANSWERS)
@given(text=TEXTS, thought=TEXTS, calls=CALLS, seed=st.integers())
@settings(max_examples=examples(60))
def test_any_answer_as_a_stream(path: str, text: str, thought: str, calls: list[Any], seed: int) -> None:
    answer = ANSWERS[path](text, thought, calls)
    wire_format = format_of(path)
    form = streamed(path, answer, Cut(seed))
    assert form is not None
    folded, whole = wire_format.response(wire_format.fold(form[1]), True), wire_format.response(answer, True)
    assert folded.content == whole.content
    assert folded.attributes == whole.attributes
    parts = [part for message in whole.content["gen_ai.output.messages"] for part in message["parts"]]
    calls_read = [(part["name"], part["arguments"]) for part in parts if part["type"] == "tool_call"]
    assert calls_read == [(name, value) for _, name, value in calls]

"""A stream whose repeated events are joined before they are decoded gives what it gives event by event."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrace.wire import ollama
from llmtrace.wire.anthropic import messages
from llmtrace.wire.cohere import chat as cohere_chat
from llmtrace.wire.format import Json, WireFormat
from llmtrace.wire.framing import decode, sse
from llmtrace.wire.openai import chat as openai_chat
from llmtrace.wire.openai import completions
from llmtrace.wire.openai import responses as openai_responses
from tests.examples import examples

LONG = "m" * 300  # short streams are left alone
Event = dict[str, Any]


def chat(choice: Event, **more: Any) -> Event:
    return {"id": "c", "model": LONG, "choices": [{"index": 0, **choice}], **more}


def call(index: int | None, arguments: str, **function: str) -> Event:
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments, **function}}]}


def block(kind: str, field: str, text: str) -> Event:
    return {"type": "content_block_delta", "pad": LONG, "index": 0, "delta": {"type": kind, field: text}}


def content_delta(field: str, text: str) -> Event:
    content = {"message": {"content": {field: text}}}
    return {"type": "content-delta", "index": 0, "delta": content, "pad": LONG}


def line(message: Event, second: int = 1) -> Event:
    return {"model": LONG, "created_at": f"2026-11-20T00:00:{second:02}Z", "message": message, "done": False}


#: By format: what lengthens a text, in every way there is; and events that come between.
GROWING: dict[WireFormat, list[Callable[[str], Event]]] = {
    openai_chat.FORMAT: [
        lambda text: chat({"delta": {"content": text}, "finish_reason": None}),
        lambda text: chat({"delta": {"content": text, "role": "assistant", "refusal": None}}),
        lambda text: chat({"delta": {"content": text}}, obfuscation="x" * (len(text) % 7)),
        lambda text: chat({"delta": {"reasoning_content": text}}),
        lambda text: chat({"delta": {"content": text, "reasoning": "same"}}),
        lambda text: chat({"delta": {"content": "same", "reasoning": text}}),
        lambda text: chat({"delta": call(0, text)}),
        lambda text: chat({"delta": call(1, text, name="again")}),
        lambda text: chat({"delta": {"tool_calls": [{"function": {"arguments": text}}]}}),
        lambda text: chat({"delta": call(None, text)}),
        lambda text: chat(
            {"delta": {"tool_calls": [{"index": 0, "id": "b", "function": {"arguments": text}}]}}
        ),
        lambda text: chat({"delta": {"content": [{"type": "text", "text": text}]}}),
        lambda text: chat({"message": {"content": text}}),
        lambda text: chat({"delta": {"reasoning_details": [{"text": text}]}}),
        lambda text: chat({"delta": {"content": text}, "logprobs": {"content": [{"token": text}]}}),
        lambda text: {**chat({"delta": {"content": text}}), "other": {"content": "same"}},
        lambda text: {"other": {"content": text}, **chat({"delta": {"content": "same"}})},
        lambda text: {"choices": [{"index": 0, "delta": {"content": content}} for content in (text, "b")]},
    ],
    completions.FORMAT: [
        lambda text: {"id": "c", "model": LONG, "choices": [{"index": 0, "text": text, "logprobs": None}]},
        lambda text: {"id": LONG, "choices": [{"index": 1, "text": text, "finish_reason": "stop"}]},
    ],
    messages.FORMAT: [
        lambda text: block("text_delta", "text", text),
        lambda text: block("thinking_delta", "thinking", text),
        lambda text: block("input_json_delta", "partial_json", text),
        lambda text: block("text_delta", "thinking", text),
    ],
    cohere_chat.FORMAT: [
        lambda text: content_delta("text", text),
        lambda text: content_delta("thinking", text),
    ],
    ollama.FORMAT: [
        lambda text: line({"role": "assistant", "content": text}),
        lambda text: line({"role": "assistant", "content": text}, second=len(text)),
        lambda text: line({"role": "assistant", "content": "", "thinking": text}),
        lambda text: line({"role": "assistant", "content": text, "tool_calls": [{"function": {}}]}),
        lambda text: {"model": LONG, "response": text, "done": False},
    ],
}
BETWEEN: dict[WireFormat, list[Json]] = {
    openai_chat.FORMAT: [
        chat({"delta": {"role": "assistant", "content": ""}}),
        chat({"delta": {}, "finish_reason": "stop"}),
        chat(
            {"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}}
        ),
        chat(
            {"delta": {"tool_calls": [{"index": 0, "id": "b", "function": {"name": "f", "arguments": ""}}]}}
        ),
        chat({"delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"a": 1}'}}]}}),
        chat({"delta": {"content": [{"type": "thinking", "thinking": "hm"}]}}),
        chat({"delta": {"content": None}, "message": {"content": "same"}}),
        {"id": "c", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}},
        {"error": {"message": "late"}},
        7,
    ],
    completions.FORMAT: [{"usage": {"prompt_tokens": 3, "completion_tokens": 5}}, None],
    messages.FORMAT: [
        {"type": "ping"},
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 3}, "content": []}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
        [],
    ],
    cohere_chat.FORMAT: [
        {**content_delta("text", ""), "type": "content-start"},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {}}},
    ],
    ollama.FORMAT: [
        {"model": "m", "done": True, "done_reason": "stop", "eval_count": 5, "message": {"content": ""}}
    ],
}
FORMATS = pytest.mark.parametrize("wire", GROWING, ids=lambda wire: f"{wire.provider}-{wire.operation}")

TEXTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)
    | st.sampled_from(["\\", '"', '"}', "\n", "same", '","content":"', "\\u00e9", "]}\n\ndata: {"]),
    min_size=1,
    max_size=30,
)


def framed(wire: WireFormat, event: Json, dumps: Callable[[Json], str], end: str, pad: int) -> str:
    text = dumps(event)
    if wire is ollama.FORMAT:
        return text + end
    if wire is messages.FORMAT and isinstance(event, dict):
        return f"event: {event['type']}{end}data: {text[:-1]}{' ' * pad}}}{end}{end}"
    return f"data: {text}{end}{end}"


def read(wire: WireFormat, body: bytes, *, joined: bool) -> tuple[Json, Json]:
    """What comes of the stream: content and all else."""
    kind = "application/x-ndjson" if wire is ollama.FORMAT else "text/event-stream"
    events = decode.events(kind, body, wire.joined if joined else None)
    assert events is not None
    translation = wire.response(wire.fold(events), True)
    return translation.content, translation.attributes


@FORMATS
@given(data=st.data())
@settings(max_examples=examples(120))
def test_joined_streams_say_the_same(wire: WireFormat, data: st.DataObject) -> None:
    compact, readable = data.draw(st.booleans()), data.draw(st.booleans())
    separators = (",", ":") if compact else (", ", ": ")

    def dumps(value: Json) -> str:
        return json.dumps(value, ensure_ascii=not readable, separators=separators)

    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    pieces: list[str] = []
    for _ in range(data.draw(st.integers(1, 4))):
        if data.draw(st.booleans()):
            events: list[Json] = [data.draw(st.sampled_from(BETWEEN[wire]))]
        else:
            make = data.draw(st.sampled_from(GROWING[wire]))
            events = [make(text) for text in data.draw(TEXTS)]
        padded = data.draw(st.booleans())
        pieces += [framed(wire, event, dumps, end, len(str(event)) % 9 * padded) for event in events]
    odd = ("", "data: {torn", f": comment{end}{end}", f"data: [DONE]{end}{end}")
    pieces.insert(data.draw(st.integers(0, len(pieces))), data.draw(st.sampled_from(odd)))
    body = "".join(pieces).encode()
    body = body[: len(body) - data.draw(st.sampled_from([0, 0, 0, 1, 5, 40, 400]))]
    assert read(wire, body, joined=True) == read(wire, body, joined=False)


@FORMATS
def test_a_run_is_one_event(wire: WireFormat) -> None:
    texts = [f'word {number}\n"é" ' for number in range(100)]
    for dumps in (json.dumps, lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))):
        for end in ("\n", "\r\n"):
            body = "".join(framed(wire, GROWING[wire][0](text), dumps, end, 0) for text in texts).encode()
            assert wire.joined is not None
            short = wire.joined(body)
            assert len(short) < len(body) / 5
            assert "".join(texts)[:-20] in str(read(wire, body, joined=True)[0]).replace("\\n", "\n")
            assert read(wire, body, joined=True) == read(wire, body, joined=False)


def test_other_texts_in_between_are_no_run() -> None:
    wire = openai_chat.FORMAT
    words = ["same", *(f"word {n} " for n in range(40))]
    hidden = [{"other": {"content": text}, **chat({"delta": {"content": "same"}})} for text in words]
    with_reasoning = [chat({"delta": {"content": text, "reasoning": "same"}}) for text in words]
    alternating = [
        event
        for text in words
        for event in (chat({"delta": {"content": text}}), chat({"delta": {"reasoning": "same"}}))
    ]
    for events in (hidden, with_reasoning, alternating):
        body = "".join(framed(wire, event, json.dumps, "\n", 0) for event in events).encode()
        assert read(wire, body, joined=True) == read(wire, body, joined=False)


def test_a_torn_stream_of_chat_and_completion_events() -> None:
    """Ollama never mixes the two; where something does, the chat's message is the answer, torn or not."""
    wire = ollama.FORMAT
    spoken = [line({"role": "assistant", "content": "Hello"})]
    completed: list[Event] = [{"model": LONG, "response": f"word {n} ", "done": False} for n in range(40)]
    for events in (spoken + completed, completed[:20] + spoken + completed[20:]):
        body = "".join(framed(wire, event, json.dumps, "\n", 0) for event in events).encode()
        assert wire.joined is not None
        assert len(wire.joined(body)) < len(body) / 2
        torn = [body[: len(body) - count] for count in (0, 1, 5, 40, 400)]
        answers = [read(wire, piece, joined=True) for piece in torn]
        assert answers == [read(wire, piece, joined=False) for piece in torn]
        assert all("Hello" in str(content) and "word" not in str(content) for content, _ in answers)


def test_what_is_random_in_each_event_is_no_obstacle() -> None:
    obscured = [
        framed(openai_chat.FORMAT, event, lambda value: json.dumps(value, separators=(",", ":")), "\n", 0)
        for event in (chat({"delta": {"content": "word "}}, obfuscation="x" * (n % 11)) for n in range(100))
    ]
    padded = [
        framed(messages.FORMAT, block("text_delta", "text", "word "), json.dumps, "\n", n % 11)
        for n in range(100)
    ]
    stamped = [
        json.dumps(line({"role": "assistant", "content": "word "}, second=n), separators=(",", ":")) + "\n"
        for n in range(100)
    ]
    for wire, pieces in (
        (openai_chat.FORMAT, obscured),
        (messages.FORMAT, padded),
        (ollama.FORMAT, stamped),
    ):
        body = "".join(pieces).encode()
        assert wire.joined is not None
        assert len(wire.joined(body)) < len(body) / 5
        assert read(wire, body, joined=True) == read(wire, body, joined=False)


def responses(*events: Event, end: str = "\n\n") -> bytes:
    return "".join(
        f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}{end}" for event in events
    ).encode()


def test_of_a_responses_stream_the_last_event_is_enough() -> None:
    deltas = [
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": f"word {n} "}
        for n in range(50)
    ]
    final = {
        "type": "response.completed",
        "response": {
            "id": "r",
            "status": "completed",
            "output": [
                {"type": "message", "content": [{"type": "output_text", "text": '"response.failed" data: x'}]}
            ],
            "usage": {"input_tokens": 3, "output_tokens": 50},
        },
    }
    wire = openai_responses.FORMAT
    assert wire.joined is not None
    whole = responses(*deltas, final)
    for body in (whole, whole + b"data: [DONE]\n\n"):
        assert len(sse.events(wire.joined(body))) == 1
    torn = whole[:-30]
    early = responses(deltas[0], {**final, "type": "response.failed"}, *deltas, final)
    unfinished = responses(*deltas)
    for body in (whole, whole + b"data: [DONE]\n\n", torn, early, unfinished, b""):
        assert read(wire, body, joined=True) == read(wire, body, joined=False)
    assert "word 49" in str(read(wire, torn, joined=True)[0])

"""What a provider answers to the programs in `programs/`: exchanges of this project's own.

They have the shapes that the providers' references describe, whole and streamed; what the programs' libraries
and other tracers make of them is those libraries' own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tests.sdk.naive import Recording

OPENAI = "https://api.openai.com/v1"
ANTHROPIC = "https://api.anthropic.com/v1"
CHAT_MODEL = "gpt-3.5-turbo"
CHAT_ANSWERED = "gpt-3.5-turbo-0125"
RESPONSES_MODEL = "gpt-4.1-nano"
RESPONSES_ANSWERED = "gpt-4.1-nano-2025-04-14"
CLAUDE = "claude-sonnet-4-20250514"
SUM = "What is (3 * 4) + 7?"
BRIDGE = "Which river does the old stone bridge cross?"
ToolCall = tuple[str, str, dict[str, float]]


def _exchange(
    name: str, url: str, request: dict[str, Any], *, whole: Any = None, stream: str = ""
) -> Recording:
    return Recording(
        "own",
        {
            "id": name,
            "url": url,
            "request": {"text": json.dumps(request)},
            "status": 200,
            "response_headers": {
                "content-type": "text/event-stream; charset=utf-8" if stream else "application/json"
            },
            "response": {"text": stream or json.dumps(whole)},
        },
    )


def _chat_usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _chat(
    name: str,
    messages: Sequence[dict[str, Any]],
    usage: tuple[int, int],
    *,
    text: str | None = None,
    tool: ToolCall | None = None,
) -> Recording:
    """A chat completion that is not streamed: a text, or the call of a tool (id, name, arguments)."""
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if tool is not None:
        call_id, function, arguments = tool
        message["tool_calls"] = [_tool_call(call_id, function, arguments)]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": "stop" if tool is None else "tool_calls",
    }
    body = {
        "id": f"chatcmpl-{name}",
        "object": "chat.completion",
        "created": 1790000000,
        "model": CHAT_ANSWERED,
        "choices": [choice],
        "usage": _chat_usage(*usage),
        "service_tier": "default",
        "system_fingerprint": "fp_own",
    }
    request = {"messages": list(messages), "model": CHAT_MODEL, "stream": False}
    return _exchange(name, f"{OPENAI}/chat/completions", request, whole=body)


def _tool_call(call_id: str, function: str, arguments: dict[str, float]) -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": function, "arguments": json.dumps(arguments)},
    }


def _chat_stream(name: str, question: str, words: Sequence[str], usage: tuple[int, int]) -> Recording:
    """The same streamed, a word an event, with the usage in an event of its own after the last choice."""

    def chunk(choices: list[dict[str, Any]], counts: dict[str, Any] | None = None) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{name}",
            "object": "chat.completion.chunk",
            "created": 1790000000,
            "model": CHAT_ANSWERED,
            "service_tier": "default",
            "system_fingerprint": "fp_own",
            "choices": choices,
            "usage": counts,
        }

    def delta(content: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {"index": 0, "delta": content, "logprobs": None, "finish_reason": reason}

    chunks = [
        chunk([delta({"role": "assistant", "content": "", "refusal": None})]),
        *(chunk([delta({"content": word})]) for word in words),
        chunk([delta({}, "stop")]),
        chunk([], _chat_usage(*usage)),
    ]
    request = {
        "messages": [{"role": "user", "content": question}],
        "model": CHAT_MODEL,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in chunks) + "data: [DONE]\n\n"
    return _exchange(name, f"{OPENAI}/chat/completions", request, stream=stream)


def _response(name: str, status: str, text: str = "", usage: tuple[int, int] | None = None) -> dict[str, Any]:
    """A response object of the Responses API."""
    message = {
        "id": f"msg_{name}",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": text}],
    }
    counts = usage and {
        "input_tokens": usage[0],
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": usage[1],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": sum(usage),
    }
    return {
        "id": f"resp_{name}",
        "object": "response",
        "created_at": 1790000000,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": RESPONSES_ANSWERED,
        "output": [message] if text else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default" if text else "auto",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": counts,
        "user": None,
        "metadata": {},
    }


def _response_stream(name: str, words: Sequence[str], usage: tuple[int, int]) -> Recording:
    """A streamed response, a word an event."""
    text = "".join(words)
    done = _response(name, "completed", text, usage)
    (item,) = done["output"]
    (part,) = item["content"]
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": _response(name, "in_progress")},
        {"type": "response.in_progress", "response": _response(name, "in_progress")},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **place, "delta": word, "logprobs": []} for word in words),
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": done},
    ]
    request = {"input": BRIDGE, "model": RESPONSES_MODEL, "stream": True}
    return _exchange(name, f"{OPENAI}/responses", request, stream=_named_events(events))


def _named_events(events: Iterable[dict[str, Any]]) -> str:
    return "".join(
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n"
        for number, event in enumerate(events)
    )


def _claude(name: str, words: Sequence[str], *, streamed: bool) -> Recording:
    """One answer of Anthropic's Messages API; a ping lies in the stream, as in theirs."""
    counts = {"input_tokens": 13, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    message: dict[str, Any] = {
        "id": f"msg_{name}",
        "type": "message",
        "role": "assistant",
        "model": CLAUDE,
        "content": [{"type": "text", "text": "".join(words)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {**counts, "output_tokens": 7, "service_tier": "standard"},
    }
    request = {"max_tokens": 100, "messages": [{"role": "user", "content": BRIDGE}], "model": CLAUDE}
    url = f"{ANTHROPIC}/messages"
    if not streamed:
        return _exchange(name, url, request, whole=message)
    started = {
        **message,
        "content": [],
        "stop_reason": None,
        "usage": {**message["usage"], "output_tokens": 1},
    }
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": started},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
            for word in words
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {**counts, "output_tokens": 7},
        },
        {"type": "message_stop"},
    ]
    stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return _exchange(name, url, {**request, "stream": True}, stream=stream)


def _agent() -> list[Recording]:
    """Three turns: a product, a sum, an answer."""
    question = {"role": "user", "content": SUM}
    messages: list[dict[str, Any]] = [question]
    multiply: ToolCall = ("call_multiply", "multiply", {"a": 3, "b": 4})
    add: ToolCall = ("call_add", "add", {"a": 12.0, "b": 7})
    turns = [_chat("agent-0", messages, (80, 20), tool=multiply)]
    for number, (call, result) in enumerate(((multiply, "12.0"), (add, "19.0")), 1):
        messages = [
            *messages,
            {"role": "assistant", "content": None, "tool_calls": [_tool_call(*call)]},
            {"role": "tool", "content": result, "tool_call_id": call[0]},
        ]
        last = number == 2
        turns.append(
            _chat(f"agent-{number}", messages, (80 + 30 * number, 20), text="It is 19.")
            if last
            else _chat(f"agent-{number}", messages, (80 + 30 * number, 20), tool=add)
        )
    return turns


_WORDS = ("The", " bridge", " crosses", " the", " Drina", ".")
_ASKED = [
    {"role": "system", "content": "You answer questions on bridges."},
    {"role": "user", "content": BRIDGE},
]

EXCHANGES = {
    exchange.record["id"]: exchange
    for exchange in (
        _chat("chat", _ASKED, (35, 9), text="It is said to cross the Drina at Višegrad."),
        _chat("chat-again", _ASKED[1:], (21, 6), text="The Drina, in eleven arches."),
        _chat_stream("chat-streamed", BRIDGE, _WORDS, (24, 8)),
        _chat_stream("chat-streamed-again", BRIDGE, ("Still", " the", " Drina", "!"), (25, 5)),
        _exchange(
            "response",
            f"{OPENAI}/responses",
            {"input": BRIDGE, "model": RESPONSES_MODEL},
            whole=_response("response", "completed", "The Drina.", (14, 5)),
        ),
        _response_stream("response-streamed", _WORDS, (12, 8)),
        *_agent(),
        _claude("claude", _WORDS, streamed=False),
        _claude("claude-streamed", _WORDS, streamed=True),
    )
}

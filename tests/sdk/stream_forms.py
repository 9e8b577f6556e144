"""The stream that a whole answer would have been, per API as its reference describes it.

It shares no code with the SDK. `Cut` cuts a text where it likes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Events = list[Any]


class Cut:
    """Cuts texts at random, and picks among the ways in which servers stream the same."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)

    def pieces(self, text: str) -> list[str]:
        """The text in one piece or more, none of them empty; no pieces of an empty text."""
        if not text:
            return []
        places = sorted({self._random.randrange(1, len(text) + 1) for _ in range(self._random.randrange(5))})
        return [piece for piece in _between(text, places) if piece]

    def bytes(self, body: bytes) -> list[bytes]:
        """The same for bytes, in up to 40 pieces."""
        places = sorted({self._random.randrange(len(body) + 1) for _ in range(self._random.randrange(40))})
        return [piece for piece in _between(body, places) if piece]

    def sometimes(self) -> bool:
        return self._random.random() < 0.5

    def choice(self, values: Any) -> Any:
        return self._random.choice(values)


def _between(text: Any, places: list[int]) -> list[Any]:
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


def streamed(path: str, answer: Any, cut: Cut) -> tuple[str, Events] | None:
    """(framing, events) of a whole answer: `sse`, `ndjson`, `aws` or `array`."""
    for mark, make in _STREAMED:
        if mark in path:
            events = [json.loads(json.dumps(event)) for event in make(answer, cut)]
            if not events:
                return None
            framing = (
                "array" if mark == ":generateContent" and cut.sometimes() else _FRAMINGS.get(mark, "sse")
            )
            return framing, events
    return None


def _chat(answer: Any, cut: Cut) -> Iterator[Any]:
    head = {key: value for key, value in answer.items() if key not in {"choices", "usage"}}
    yield {**head, "choices": []}  # Azure's filter of the prompt
    for place, choice in enumerate(answer.get("choices") or []):
        index = choice.get("index", place)
        for delta in _chat_deltas(choice.get("message") or {}, cut):
            yield {**head, "choices": [{"index": index, "delta": delta, "finish_reason": None}]}
        rest = {key: value for key, value in choice.items() if key != "message"}
        yield {**head, "choices": [{**rest, "index": index, "delta": {}}]}
    yield {**head, "choices": [], "usage": answer.get("usage")}


def _chat_deltas(message: Any, cut: Cut) -> Iterator[Any]:
    yield {"role": "assistant", "content": ""}
    for key in ("reasoning_content", "reasoning", "content", "refusal"):
        if isinstance(message.get(key), str):
            yield from ({key: piece} for piece in cut.pieces(message[key]))
    if function_call := message.get("function_call"):
        yield {"function_call": {"name": function_call["name"], "arguments": ""}}
        pieces = cut.pieces(function_call["arguments"])
        yield from ({"function_call": {"arguments": piece}} for piece in pieces)
    if audio := message.get("audio"):
        yield {"audio": {"id": audio["id"]}}
        yield from ({"audio": {"transcript": piece}} for piece in cut.pieces(audio["transcript"]))
        yield from ({"audio": {"data": piece}} for piece in cut.pieces(audio["data"]))
        yield {"audio": {"expires_at": audio["expires_at"]}}
    calls = message.get("tool_calls") or []
    way = cut.choice(["as OpenAI", "one index", "whole", "name again", "id again"])
    for index, call in enumerate(calls):
        yield from _call_deltas(index, call, way, cut)


def _call_deltas(index: int, call: Any, way: str, cut: Cut) -> Iterator[Any]:
    kind = "custom" if "custom" in call else "function"
    field = "input" if kind == "custom" else "arguments"
    name, text = call[kind]["name"], call[kind][field]
    place = {} if way == "whole" else {"index": 0 if way == "one index" else index}
    head = {**place, "id": call["id"], "type": kind}
    if way == "whole":
        yield {"tool_calls": [{**head, kind: {"name": name, field: text}}]}
        return
    yield {"tool_calls": [{**head, kind: {"name": name, field: ""}}]}
    more = {"name": name} if way == "name again" else {}
    identity = {"id": call["id"]} if way == "id again" else {"id": "" if way == "one index" else None}
    for piece in cut.pieces(text):
        yield {"tool_calls": [{**place, **identity, kind: {**more, field: piece}}]}


def _completion(answer: Any, cut: Cut) -> Iterator[Any]:
    head = {key: value for key, value in answer.items() if key not in {"choices", "usage"}}
    for choice in answer.get("choices") or []:
        if "index" not in choice:
            return  # Writer's, which streams in another way
        index = choice["index"]
        for piece in cut.pieces(choice["text"]):
            yield {**head, "choices": [{"index": index, "text": piece, "finish_reason": None}]}
        yield {**head, "choices": [{**choice, "text": ""}]}
    yield {**head, "choices": [], "usage": answer.get("usage")}


def _anthropic(answer: Any, cut: Cut) -> Iterator[Any]:
    usage = answer["usage"]
    ends = {"stop_reason": None, "stop_sequence": None}
    begun = {**answer, **ends, "content": [], "usage": {**usage, "output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(answer["content"]):
        yield from _block_events(index, block, cut)
    reasons = {key: answer.get(key) for key in ("stop_reason", "stop_sequence")}
    yield {"type": "message_delta", "delta": reasons, "usage": usage}
    yield {"type": "message_stop"}


def _block_events(index: int, block: Any, cut: Cut) -> Iterator[Any]:
    kind = block["type"]
    field = {"text": "text", "thinking": "thinking"}.get(kind)
    begun, deltas = block, []
    if field is not None:
        begun = {**block, field: ""}
        deltas = [{"type": f"{field}_delta", field: piece} for piece in cut.pieces(block[field])]
    elif kind in {"tool_use", "server_tool_use", "mcp_tool_use"}:
        begun = {**block, "input": {}}
        text = json.dumps(block["input"]) if block["input"] else ""
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *cut.pieces(text)]]
    yield {"type": "content_block_start", "index": index, "content_block": begun}
    yield {"type": "ping"}
    yield from ({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
    yield {"type": "content_block_stop", "index": index}


def _responses(answer: Any, cut: Cut) -> Iterator[Any]:
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    for index, item in enumerate(answer["output"]):
        place = {"output_index": index, "item_id": item.get("id")}
        fields = {"message": "content", "function_call": "arguments", "custom_tool_call": "input"}
        field = fields.get(item["type"])
        empty: Any = [] if field == "content" else ""
        begun_item = item if field is None else {**item, field: empty}
        yield {"type": "response.output_item.added", "output_index": index, "item": begun_item}
        if field == "content":
            for content_index, part in enumerate(item["content"]):
                name = "refusal" if part["type"] == "refusal" else "output_text"
                text = part.get("text", part.get("refusal"))
                for piece in cut.pieces(text):
                    delta = {"type": f"response.{name}.delta", "delta": piece}
                    yield {**delta, **place, "content_index": content_index}
        elif field is not None:
            name = "function_call_arguments" if field == "arguments" else "custom_tool_call_input"
            for piece in cut.pieces(item[field]):
                yield {"type": f"response.{name}.delta", **place, "delta": piece}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    final = {**answer, "output": []} if cut.sometimes() else answer  # some servers leave it to the events
    yield {"type": f"response.{answer['status']}", "response": final}


def _converse(answer: Any, cut: Cut) -> Iterator[Any]:
    yield {"messageStart": {"role": "assistant"}}
    for index, block in enumerate(answer["output"]["message"]["content"]):
        place = {"contentBlockIndex": index}
        if "text" in block:
            deltas: list[Any] = [{"text": piece} for piece in cut.pieces(block["text"])]
        elif "toolUse" in block:
            call = block["toolUse"]
            start = {"toolUse": {key: value for key, value in call.items() if key != "input"}}
            yield {"contentBlockStart": {**place, "start": start}}
            text = json.dumps(call["input"]) if call["input"] else ""
            deltas = [{"toolUse": {"input": piece}} for piece in cut.pieces(text)]
        else:
            thought = block["reasoningContent"]["reasoningText"]
            deltas = [{"reasoningContent": {"text": piece}} for piece in cut.pieces(thought["text"])]
            deltas.append({"reasoningContent": {"signature": thought.get("signature", "s")}})
        yield from ({"contentBlockDelta": {**place, "delta": delta}} for delta in deltas)
        yield {"contentBlockStop": place}
    yield {"messageStop": {"stopReason": answer["stopReason"]}}
    rest = {key: value for key, value in answer.items() if key not in {"output", "stopReason"}}
    yield {"metadata": rest}


def _gemini(answer: Any, cut: Cut) -> Iterator[Any]:
    head = {key: answer[key] for key in ("modelVersion", "responseId") if key in answer}
    for candidate in answer.get("candidates") or []:
        place = {"index": candidate.get("index", 0)}
        for part in candidate.get("content", {}).get("parts", []):
            for piece in _parts(part, cut):
                yield {**head, "candidates": [{**place, "content": {"role": "model", "parts": [piece]}}]}
        rest = {key: value for key, value in candidate.items() if key != "content"}
        yield {**head, "candidates": [{"content": {"parts": [{"text": ""}]}, **rest}]}
    yield {key: value for key, value in answer.items() if key != "candidates"}


def _parts(part: Any, cut: Cut) -> Iterator[Any]:
    if "text" in part:
        yield from ({**part, "text": piece} for piece in cut.pieces(part["text"]))
    elif "functionCall" in part and cut.sometimes():
        call = part["functionCall"]
        head = {key: value for key, value in call.items() if key != "args"}
        yield {**part, "functionCall": {**head, "willContinue": True}}
        for partial in _partial_arguments(call.get("args") or {}, "$", cut):
            yield {"functionCall": {"partialArgs": [partial], "willContinue": True}}
        yield {"functionCall": {}}
    else:
        yield part


def _partial_arguments(value: Any, path: str, cut: Cut) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in value.items():
            step = f".{key}" if key.isidentifier() else f"['{key}']"
            yield from _partial_arguments(inner, path + step, cut)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _partial_arguments(inner, f"{path}[{index}]", cut)
    elif isinstance(value, str):
        for piece in [*cut.pieces(value), ""]:
            yield {"jsonPath": path, "stringValue": piece, "willContinue": bool(piece)}
    elif value is None:
        yield {"jsonPath": path, "nullValue": "NULL_VALUE"}
    else:
        yield {"jsonPath": path, "boolValue" if isinstance(value, bool) else "numberValue": value}


def _interactions(answer: Any, cut: Cut) -> Iterator[Any]:
    rest = {key: value for key, value in answer.items() if key not in {"steps", "usage", "status"}}
    yield {"event_type": "interaction.created", "interaction": {**rest, "status": "in_progress"}}
    for index, step in enumerate(answer.get("steps") or []):
        place = {"index": index}
        shell = {key: value for key, value in step.items() if key not in {"content", "summary", "signature"}}
        yield {"event_type": "step.start", **place, "step": shell}
        for content in step.get("content") or []:
            pieces = cut.pieces(content["text"]) if content["type"] == "text" else [None]
            for piece in pieces:
                delta = content if piece is None else {**content, "text": piece}
                yield {"event_type": "step.delta", **place, "delta": delta}
        for content in step.get("summary") or []:
            for piece in cut.pieces(content["text"]):
                delta = {"type": "thought_summary", "content": {**content, "text": piece}}
                yield {"event_type": "step.delta", **place, "delta": delta}
        yield {"event_type": "step.stop", **place}
    final = {key: value for key, value in answer.items() if key != "steps"}
    yield {"event_type": "interaction.completed", "interaction": final}


def _ollama(answer: Any, cut: Cut) -> Iterator[Any]:
    last = {key: value for key, value in answer.items() if key not in {"message", "response", "thinking"}}
    whole = answer.get("message") or answer
    for key in ("thinking", "content", "response"):
        for piece in cut.pieces(whole.get(key) or ""):
            words = {"role": "assistant", "content": "", key: piece} if "message" in answer else {key: piece}
            message = {"message": words} if "message" in answer else words
            yield {"model": answer["model"], **message, "done": False}
    for call in whole.get("tool_calls") or []:
        yield {"model": answer["model"], "message": {"content": "", "tool_calls": [call]}, "done": False}
    yield {**last, **({"message": {"content": ""}} if "message" in answer else {"response": ""})}


def _cohere(answer: Any, cut: Cut) -> Iterator[Any]:
    message = answer["message"]
    yield {"type": "message-start", "id": answer["id"], "delta": {"message": {"role": "assistant"}}}
    for piece in cut.pieces(message.get("tool_plan") or ""):
        yield {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": piece}}}
    for index, part in enumerate(message.get("content") or []):
        kind = part["type"]
        begun = {"content": {"type": kind, kind: ""}}
        yield {"type": "content-start", "index": index, "delta": {"message": begun}}
        for piece in cut.pieces(part[kind]):
            delta = {"message": {"content": {kind: piece}}}
            yield {"type": "content-delta", "index": index, "delta": delta}
    for index, call in enumerate(message.get("tool_calls") or []):
        begun = {**call, "function": {"name": call["function"]["name"], "arguments": ""}}
        yield {"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": begun}}}
        for piece in cut.pieces(call["function"]["arguments"]):
            more = {"message": {"tool_calls": {"function": {"arguments": piece}}}}
            yield {"type": "tool-call-delta", "index": index, "delta": more}
    ends = {"finish_reason": answer["finish_reason"], "usage": answer["usage"]}
    yield {"type": "message-end", "delta": ends}


def _titan(answer: Any, cut: Cut) -> Iterator[Any]:
    (result,) = answer["results"]
    head = {"index": 0, "inputTextTokenCount": answer["inputTextTokenCount"]}
    open_ends = {"totalOutputTextTokenCount": None, "completionReason": None}
    *pieces, last = cut.pieces(result["outputText"])
    for piece in pieces:
        yield {**head, "outputText": piece, **open_ends}
    ends = {"totalOutputTextTokenCount": result["tokenCount"], "completionReason": result["completionReason"]}
    yield {**head, "outputText": last, **ends}


def _llama(answer: Any, cut: Cut) -> Iterator[Any]:
    for piece in cut.pieces(answer["generation"]):
        yield {"generation": piece, "prompt_token_count": None, "stop_reason": None}
    yield {**answer, "generation": ""}


def _invoke(answer: Any, cut: Cut) -> Iterator[Any]:
    if "results" in answer:
        return _titan(answer, cut)
    if "generation" in answer:
        return _llama(answer, cut)
    return _anthropic(answer, cut) if answer.get("type") == "message" else iter(())


_STREAMED: tuple[tuple[str, Callable[[Any, Cut], Iterator[Any]]], ...] = (
    ("/chat/completions", _chat),
    ("/fim/completions", _chat),
    ("/completions", _completion),
    ("/responses", _responses),
    ("/v1/messages", _anthropic),
    (":rawPredict", _anthropic),
    ("/converse", _converse),
    ("/invoke", _invoke),
    (":generateContent", _gemini),
    ("/interactions", _interactions),
    ("/api/chat", _ollama),
    ("/api/generate", _ollama),
    ("/v2/chat", _cohere),
)
_FRAMINGS = {"/converse": "aws", "/invoke": "aws", "/api/chat": "ndjson", "/api/generate": "ndjson"}

"""Requests that cost more than they weigh, or hold a value nobody expects, and what each must get."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
_USER = {"role": "user", "content": "hi"}


@dataclass(frozen=True)
class HostileRequest:
    """A POST, and the status and error code that it must get."""

    name: str
    path: str
    body: bytes
    status: int = 400
    code: str = "invalid_value"


def _chat(model: str, **fields: Any) -> bytes:
    body = {"model": model, "max_tokens": 2, "messages": [_USER], **fields}
    return json.dumps(body).encode()


def _raw(model: str, text: str) -> bytes:
    """A chat request with a text of JSON as further members."""
    return _chat(model)[:-1] + b"," + text.encode() + b"}"


def _messages(*parts: dict[str, Any]) -> str:
    return '"messages":' + json.dumps([{"role": "user", "content": parts}])


def _schema(model: str, schema: Any) -> bytes:
    json_schema = {"name": "a", "schema": schema}
    return _chat(model, response_format={"type": "json_schema", "json_schema": json_schema})


def _called(model: str, arguments: str) -> bytes:
    call = {"id": "c", "function": {"name": "f", "arguments": arguments}}
    return _chat(model, messages=[_USER, {"role": "assistant", "tool_calls": [call]}])


def _nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def hostile_requests(model: str) -> Iterator[HostileRequest]:
    """All of them, each for this model."""
    for name, raw in (
        ("brackets", b"[" * 500_000),
        ("brackets in a body", b'{"model":' + b"[" * 500_000),
        ("pairs of brackets", b"[" + b"[]," * 300_000 + b"[]]"),
        ("quotes", b'"' * 900_000),
        ("backslashes", b'{"a":"' + b"\\" * 900_000),
        ("a hundred thousand members", _raw(model, ",".join(f'"{i}":0' for i in range(90_000)))),
        ("wrong messages", _raw(model, f'"messages":[{",".join(["[]"] * 280_000)}]')),
        ("half a surrogate pair", _raw(model, '"user":"\\ud800"')),
        ("UTF-16", _chat(model).decode().encode("utf-16")),
        ("bytes", bytes(range(256)) * 100),
        ("nothing", b""),
    ):
        yield HostileRequest(name, CHAT, raw, code="invalid_json")
    for name, text in (
        ("max_tokens of 64 bits", '"max_tokens":9223372036854775808'),
        ("max_tokens of 4,000 digits", f'"max_tokens":{"9" * 4000}'),
        ("max_completion_tokens", '"max_completion_tokens":18446744073709551616'),
        ("seed", '"seed":9223372036854775808'),
        ("negative seed", f'"seed":-{"9" * 400}'),
        ("n", '"n":4294967297'),
        ("top_k", '"top_k":9223372036854775808'),
        ("top_logprobs", '"logprobs":true,"top_logprobs":9223372036854775808'),
        ("many log-probabilities", '"logprobs":true,"top_logprobs":20,"max_tokens":4000'),
        ("priority", '"priority":-9223372036854775809'),
        ("infinite temperature", '"temperature":1e999'),
        ("temperature that is no number", '"temperature":NaN'),
        ("negative temperature", '"temperature":-1e-300'),
        ("top_p", '"top_p":NaN'),
        ("min_p", '"min_p":Infinity'),
        ("penalty", '"presence_penalty":-Infinity'),
        ("many stop strings", f'"stop":{json.dumps([f"s{i}" for i in range(100_000)])}'),
        ("a long stop string", f'"stop":"{"x" * 900_000}"'),
        ("a long user", f'"user":"{"x" * 900_000}"'),
        ("a long session", f'"metadata":{{"session_id":"{"x" * 900_000}"}}'),
        ("much metadata", f'"metadata":{json.dumps({str(i): "" for i in range(9_000)})}'),
        ("a long name of a model", f'"model":"{"x" * 900_000}"'),
        ("an image", _messages({"type": "image_url", "image_url": {"url": "data:"}})),
        ("many messages", f'"messages":{json.dumps([_USER] * 9_000)}'),
        ("many parts", _messages(*[{"type": "text", "text": ""}] * 2_000)),
        ("many tools", f'"tools":{json.dumps([{"type": "function", "function": {"name": "f"}}] * 3_000)}'),
    ):  # fmt: skip
        yield HostileRequest(name, CHAT, _raw(model, text))
    yield HostileRequest("deep arguments", CHAT, _called(model, '{"a":' + "[" * 200_000))
    yield HostileRequest(
        "deep arguments that end", CHAT, _called(model, '{"a":' + "[" * 500 + "]" * 500 + "}")
    )
    yield HostileRequest("half a pair in arguments", CHAT, _called(model, '{"a":"\\ud800"}'))
    yield HostileRequest("no number in arguments", CHAT, _called(model, '{"a":NaN}'))
    yield from _prompts(model)
    yield from _schemas(model)


def _prompts(model: str) -> Iterator[HostileRequest]:
    too_long = "context_length_exceeded"
    long = "a b c " * 160_000
    yield HostileRequest(
        "a long prompt", CHAT, _chat(model, messages=[{**_USER, "content": long}]), code=too_long
    )
    prompt = json.dumps({"model": model, "prompt": long}).encode()
    yield HostileRequest("a long plain prompt", COMPLETIONS, prompt, code=too_long)
    tokens = json.dumps({"model": model, "prompt": [1] * 200_000}).encode()
    yield HostileRequest("a prompt of many tokens", COMPLETIONS, tokens, code=too_long)
    huge = f'{{"model":"{model}","prompt":[9223372036854775808]}}'.encode()
    yield HostileRequest("a token of 64 bits", COMPLETIONS, huge)
    texts = json.dumps({"model": model, "input": ["a"] * 40_000}).encode()
    yield HostileRequest("many texts to embed", EMBEDDINGS, texts)
    text = json.dumps({"model": model, "input": long}).encode()
    yield HostileRequest("a long text to embed", EMBEDDINGS, text, code=too_long)


def _schemas(model: str) -> Iterator[HostileRequest]:
    members = {f"p{i}": {"type": "string"} for i in range(15_000)}
    yield HostileRequest(
        "a schema of 15,000 properties", CHAT, _schema(model, {"type": "object", "properties": members}),
        code="invalid_json",
    )  # fmt: skip
    some = dict(list(members.items())[:3_000])
    yield HostileRequest("3,000 properties", CHAT, _schema(model, {"type": "object", "properties": some}))
    yield HostileRequest("a deep schema", CHAT, _schema(model, _nested(100)), code="invalid_json")
    # Under a kilobyte; without bounds its compilation takes hours.
    patterns = [{"type": "string", "pattern": f"(a|b)*a(a|b){{{i}}}"} for i in range(1, 30)]
    yield HostileRequest("patterns that multiply", CHAT, _schema(model, {"allOf": patterns}))
    yield HostileRequest("a long constant", CHAT, _schema(model, {"const": "x" * 300_000}))
    yield HostileRequest(
        "a circle", CHAT, _schema(model, {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}})
    )
    yield HostileRequest("somebody else's schema", CHAT, _schema(model, {"$ref": "http://127.0.0.1:1/s"}))
    yield HostileRequest("a file's schema", CHAT, _schema(model, {"$ref": "file:///etc/passwd"}))

"""Recorded traffic of real providers, replayed, against an independent naive reader."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from llmtrace.testing import Answer, Captured, ReplayServer

_FOLDER = Path(__file__).parents[3] / "shared" / "data" / "recordings"
_REASONS = {"tool_calls": "tool_call", "function_call": "tool_call", None: "error"}


def _recordings() -> Iterator[dict[str, Any]]:
    for path in sorted(_FOLDER.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                if urlsplit(record["url"]).path.endswith("/chat/completions"):
                    yield record


def _bytes(body: dict[str, str] | None) -> bytes:
    if not body:
        return b""
    return base64.b64decode(body["base64"]) if "base64" in body else body["text"].encode()


def _called(message: dict[str, Any]) -> list[str]:
    calls = [call["function"] for call in message.get("tool_calls") or []]
    calls += [message["function_call"]] if message.get("function_call") else []
    return [call["name"] for call in calls if call.get("name")]


def _plainly(raw: bytes) -> dict[str, Any]:
    """Tokens, reasons, model and text, read without any of the SDK's code."""
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
    if not text.lstrip().startswith("data:"):
        body = json.loads(text)
        choices = body.get("choices", [])
        return {
            "id": body.get("id"),
            "model": body.get("model"),
            "usage": body.get("usage") or {},
            "reasons": [_REASONS.get(c.get("finish_reason"), c.get("finish_reason")) for c in choices],
            "text": "".join(str((c.get("message") or {}).get("content") or "") for c in choices),
            "calls": [name for c in choices for name in _called(c.get("message") or {})],
        }
    result: dict[str, Any] = {"id": None, "model": None, "usage": {}, "calls": []}
    reasons: dict[int, Any] = {}
    texts: dict[int, str] = {}
    for part in text.split("data:")[1:]:
        if part.strip() == "[DONE]":
            continue
        event = json.loads(part)
        result["id"] = event.get("id") or result["id"]
        result["model"] = event.get("model") or result["model"]
        result["usage"] = event.get("usage") or (event.get("x_groq") or {}).get("usage") or result["usage"]
        for choice in event.get("choices", []):
            index = choice["index"]
            reasons[index] = choice.get("finish_reason") or reasons.get(index)
            delta = choice.get("delta") or {}
            texts[index] = texts.get(index, "") + (delta.get("content") or "")
            result["calls"] += _called(delta)
    result["reasons"] = [_REASONS.get(reasons[i], reasons[i]) for i in sorted(reasons)]
    result["text"] = "".join(texts[i] for i in sorted(texts))
    return result


def _parts(attributes: dict[str, Any], kind: str, key: str) -> list[Any]:
    messages = json.loads(attributes.get("gen_ai.output.messages", "[]"))
    return [part[key] for message in messages for part in message["parts"] if part["type"] == kind]


@pytest.mark.skipif(not _FOLDER.is_dir(), reason=f"no recorded traffic at {_FOLDER}")
def test_every_chat_recording(traces: Captured) -> None:
    """All of them through one server and one raw client; failures are listed by recording."""
    wrong: list[str] = []
    seen = 0
    with ReplayServer(Answer()) as server, httpx.Client() as client:
        for record in _recordings():
            sent, answered = _bytes(record["request"]), _bytes(record["response"])
            server.answer_with(Answer(answered, record["status"], record["response_headers"]))
            path = urlsplit(record["url"]).path
            stream = json.loads(sent).get("stream") is True
            with client.stream("POST", server.url + path, content=sent) as response:
                assert b"".join(response.iter_raw()) == answered
            attributes = {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in (traces.spans()[-1].attributes or {}).items()
            }
            seen += 1
            wrong += [
                f"{record['id']}: {name} is {found!r}, expected {expected!r}"
                for name, found, expected in _compared(record, json.loads(sent), attributes, answered)
                if found != expected
            ]
            assert attributes.get("gen_ai.request.stream", False) == stream
        assert len(traces.spans()) == seen
    assert not wrong, "\n".join(wrong[:20])
    assert seen > 250


def _compared(
    record: dict[str, Any], sent: dict[str, Any], attributes: dict[str, Any], answered: bytes
) -> Iterator[tuple[str, Any, Any]]:
    path = urlsplit(record["url"]).path
    model = sent.get("model") or path.partition("/deployments/")[2].partition("/")[0]
    yield "request model", attributes.get("gen_ai.request.model"), model
    yield "messages", len(json.loads(attributes["gen_ai.input.messages"])), len(sent["messages"])
    if record["status"] >= 400:
        error = json.loads(answered)["error"]
        yield "error", attributes["error.type"], error.get("code") or error.get("type")
        return
    naive = _plainly(answered)
    yield "id", attributes.get("gen_ai.response.id"), naive["id"] or None
    yield "response model", attributes.get("gen_ai.response.model"), naive["model"] or None
    yield "input", attributes.get("gen_ai.usage.input_tokens"), naive["usage"].get("prompt_tokens")
    yield "output", attributes.get("gen_ai.usage.output_tokens"), naive["usage"].get("completion_tokens")
    yield "reasons", attributes.get("gen_ai.response.finish_reasons", []), naive["reasons"]
    yield "text", "".join(_parts(attributes, "text", "content")), naive["text"]
    yield "calls", _parts(attributes, "tool_call", "name"), naive["calls"]

"""Amazon Bedrock: Converse, and Titan's embeddings by InvokeModel."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from .model_answer import Api, ModelAnswer


def _content(answer: ModelAnswer, number: str) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if answer.reasoning:
        parts.append({"reasoningContent": {"reasoningText": {"text": answer.reasoning, "signature": "c2ln"}}})
    if answer.text:
        parts.append({"text": answer.text})
    parts += [
        {
            "toolUse": {
                "toolUseId": f"tooluse_conf{number}x{place}",
                "name": call.name,
                "input": dict(call.arguments),
            }
        }
        for place, call in enumerate(answer.tool_calls)
    ]
    return parts


def _usage(answer: ModelAnswer) -> dict[str, Any]:
    return {
        "inputTokens": answer.input_tokens - answer.cache_read - answer.cache_written,
        "outputTokens": answer.output_tokens,
        "totalTokens": answer.input_tokens + answer.output_tokens,
        "cacheReadInputTokens": answer.cache_read,
        "cacheWriteInputTokens": answer.cache_written,
    }


def _reason(answer: ModelAnswer) -> str:
    return "tool_use" if answer.tool_calls else "end_turn"


def _whole(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> Any:
    return {
        "metrics": {"latencyMs": 80},
        "output": {"message": {"role": "assistant", "content": _content(answer, number)}},
        "stopReason": _reason(answer),
        "usage": _usage(answer),
    }


def _stream(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> list[bytes]:
    frames = [_frame("messageStart", {"role": "assistant"})]
    for index, part in enumerate(_content(answer, number)):
        if "toolUse" in part:
            tool = part["toolUse"]
            begun = {"toolUse": {"toolUseId": tool["toolUseId"], "name": tool["name"]}}
            frames.append(_frame("contentBlockStart", {"contentBlockIndex": index, "start": begun}))
            deltas: list[dict[str, Any]] = [{"toolUse": {"input": json.dumps(tool["input"])}}]
        elif "text" in part:
            deltas = [{"text": word} for word in answer.words]
        else:
            deltas = [{"reasoningContent": {"text": answer.reasoning}}]
        frames += [
            _frame("contentBlockDelta", {"contentBlockIndex": index, "delta": delta}) for delta in deltas
        ]
        frames.append(_frame("contentBlockStop", {"contentBlockIndex": index}))
    frames.append(_frame("messageStop", {"stopReason": _reason(answer)}))
    frames.append(_frame("metadata", {"usage": _usage(answer), "metrics": {"latencyMs": 80}}))
    return frames


def _frame(kind: str, payload: Any) -> bytes:
    """A message of AWS's event streams."""
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in (
            (":event-type", kind),
            (":content-type", "application/json"),
            (":message-type", "event"),
        )
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


def _titan(answer: ModelAnswer, number: str, path: str, body: Mapping[str, Any]) -> Any:
    return {"embedding": [0.25, -0.5, 0.125, 0.75], "inputTextTokenCount": answer.input_tokens}


def _error(status: int) -> Any:
    return {"message": "Too many requests" if status == 429 else "The value at temperature is invalid."}


CONVERSE = Api(
    "bedrock converse",
    "aws.bedrock",
    lambda path: path.endswith(("/converse", "/converse-stream")),
    lambda path, body: path.endswith("/converse-stream"),
    _whole,
    _stream,
    _error,
    content_type="application/vnd.amazon.eventstream",
    begins=lambda chunk: b"contentBlockDelta" in chunk,
)
TITAN = Api(
    "bedrock titan",
    "aws.bedrock",
    lambda path: path.endswith("/invoke"),
    lambda path, body: False,
    _titan,
    lambda *_: [],
    _error,
)

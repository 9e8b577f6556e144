"""The parts of messages, in the convention's schema."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from .format import Json, items, mapping, parsed


def text(content: Json) -> dict[str, Json]:
    """Words of the user or the model."""
    return {"type": "text", "content": content}


def reasoning(content: Json) -> dict[str, Json]:
    """What the model thought before it answered."""
    return {"type": "reasoning", "content": content}


def tool_call(call_id: Json, name: Json, arguments: Json) -> dict[str, Json]:
    """A call that the application is asked to make; arguments given as JSON text are decoded."""
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": parsed(arguments)}


def tool_response(call_id: Json, response: Json) -> dict[str, Json]:
    """The application's answer to a call."""
    return {"type": "tool_call_response", "id": call_id, "response": response}


def server_tool_call(call_id: Json, name: Json, call: dict[str, Any]) -> dict[str, Json]:
    """A call that the provider made itself (web search, code execution); `call` holds its `type`."""
    return {"type": "server_tool_call", "id": call_id, "name": name, "server_tool_call": call}


def server_tool_response(call_id: Json, response: dict[str, Any]) -> dict[str, Json]:
    """What the provider's own tool gave; `response` holds its `type`."""
    return {"type": "server_tool_call_response", "id": call_id, "server_tool_call_response": response}


def blob(modality: str, mime_type: Json, data: Json) -> dict[str, Json]:
    """Media sent in the body, as base64; `media_parts` puts size and digest in their place."""
    return {"type": "blob", "modality": modality, "mime_type": mime_type, "content": data}


def upload(modality: str, mime_type: Json, data: bytes | None, size: int) -> dict[str, Json]:
    """Media sent as they are, in a form or an answer; without `data`, part of them was left out."""
    if data is None:
        return {"type": "blob", "modality": modality, "mime_type": mime_type, "content": b"", "size": size}
    return {"type": "blob", "modality": modality, "mime_type": mime_type, "content": data}


def reference(url: Json, modality: str) -> dict[str, Json]:
    """A uri part, or a blob part for a `data:` URL."""
    if isinstance(url, str) and url[:5].lower() == "data:":
        head, _, data = url[5:].partition(",")
        if not head.lower().endswith(";base64"):
            data = b64encode(unquote_to_bytes(data)).decode()
        return blob(modality, head.split(";")[0] or None, data)
    return uri(modality, url)


def uri(modality: str, address: Json, mime_type: Json = None) -> dict[str, Json]:
    """Media that live elsewhere."""
    part = {"type": "uri", "modality": modality, "uri": address}
    return {**part, "mime_type": mime_type} if mime_type else part


def file(modality: str, file_id: Json) -> dict[str, Json]:
    """Media that were uploaded before."""
    return {"type": "file", "modality": modality, "file_id": file_id}


def unknown(part: Json) -> dict[str, Json]:
    """A part of a kind that is not known here, as it came."""
    return {"type": "unknown", **part} if isinstance(part, dict) else text(part)


def message(role: Json, parts: Iterable[Json]) -> dict[str, Json]:
    """A message; one of nothing but tools' answers is the tool's."""
    parts = list(parts)
    if parts and role == "user" and all(part.get("type") == "tool_call_response" for part in parts):
        role = "tool"
    return {"role": role if isinstance(role, str) else "user", "parts": parts}


def instructions(value: Json) -> list[Json]:
    """System instructions from a text or a list of texts."""
    if isinstance(value, str):
        return [text(value)] if value else []
    instruction_texts = [
        instruction if isinstance(instruction, str) else mapping(instruction).get("text")
        for instruction in items(value)
    ]
    return [text(instruction) for instruction in instruction_texts if isinstance(instruction, str)]


def function(name: Json, description: Json, parameters: Json, kind: Json = None) -> dict[str, Json]:
    """A tool's definition."""
    return {
        "type": kind or "function",
        "name": name,
        "description": description,
        "parameters": parameters,
    }


def modality_of(mime_type: Json) -> str:
    """`image`, `audio` or `video` by the media type, else `document`."""
    kind = mime_type.partition("/")[0] if isinstance(mime_type, str) else ""
    return kind if kind in {"image", "audio", "video"} else "document"

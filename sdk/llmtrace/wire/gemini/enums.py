"""Enums of Gemini and Vertex AI, by their names or, where a client asks for integers, by their numbers.

Google's own clients over gRPC's JSON ask for integers (`$alt=json;enum-encoding=int`).
"""

from __future__ import annotations

from typing import Final

from llmtrace.wire.format import Json

#: By number; documents are read as images, and billed as such.
_MODALITIES: Final = ("", "text", "image", "video", "audio", "image")
_MODALITY_NAMES: Final = {
    "TEXT": "text",
    "IMAGE": "image",
    "VIDEO": "video",
    "AUDIO": "audio",
    "DOCUMENT": "image",
}

_TRAFFIC: Final = (
    "TRAFFIC_TYPE_UNSPECIFIED",
    "ON_DEMAND",
    "PROVISIONED_THROUGHPUT",
    "ON_DEMAND_PRIORITY",
    "ON_DEMAND_FLEX",
)
_TIERS: Final = {
    "PROVISIONED_THROUGHPUT": "provisioned_throughput",
    "ON_DEMAND_PRIORITY": "priority",
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_OFFPEAK": "offpeak",
}

_REASONS: Final = ("FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER")
#: From the sixth on the two APIs count differently.
_VERTEX_REASONS: Final = (
    *_REASONS, "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL", "MODEL_ARMOR",
    "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER", "UNEXPECTED_TOOL_CALL",
)  # fmt: skip
_GEMINI_REASONS: Final = (
    *_REASONS, "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL",
    "IMAGE_SAFETY", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS",
)  # fmt: skip


def modality(value: Json) -> str | None:
    """`text`, `image`, `audio` or `video`; None for what is none of them."""
    if isinstance(value, str):
        return _MODALITY_NAMES.get(value.upper())
    return _at(_MODALITIES, value) or None


def traffic_tier(value: Json) -> str | None:
    """The service tier that a kind of Vertex AI's traffic is; None for the standard one."""
    name = value if isinstance(value, str) else _at(_TRAFFIC, value)
    return _TIERS.get(name)


def finish_reason_name(value: Json, *, is_vertex: bool) -> Json:
    """The name of a finish reason given as a number; others stay as they are."""
    if type(value) is not int:
        return value
    return _at(_VERTEX_REASONS if is_vertex else _GEMINI_REASONS, value) or "OTHER"


def _at(names: tuple[str, ...], value: Json) -> str:
    return names[value] if type(value) is int and 0 <= value < len(names) else ""

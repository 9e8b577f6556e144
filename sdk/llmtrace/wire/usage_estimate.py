"""Usage that nobody told, estimated from the text that went over the wire, under names of its own.

Streams that were left tell no usage, and many servers never do. What was sent and received is known, so the
tokens of that are estimated; never under the names of what providers tell, and nowhere where they told it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv

from .format import Json, WireFormat, items, mapping
from .media_parts import without_media
from .token_estimate import estimated_tokens

_GENERATIONS: Final = frozenset({"chat", "text_completion", "generate_content"})
_MEDIA: Final = frozenset({"blob", "uri", "file"})
#: What the provider's own tools gave: billed as input, where it is.
_NOT_WRITTEN: Final = frozenset({"server_tool_call_response", "tool_call_response", "mcp_list_tools"})
_SENT: Final = (semconv.SYSTEM_INSTRUCTIONS, semconv.INPUT_MESSAGES, semconv.TOOL_DEFINITIONS)
#: Under these keys a request says what shape the answer has; providers put it before the messages.
_SCHEMAS: Final = frozenset(
    {"schema", "json_schema", "responseSchema", "response_schema", "responseJsonSchema"}
)


@dataclass(frozen=True, slots=True)
class _Family:
    """What models make of text beyond its own tokens, as recorded answers tell it.

    scale: tokens for each token of the estimate, which was fitted to GPT's. request, message, tools, call:
    tokens around a request, a message, all tools together, and a call of one.
    """

    scale: float = 1.0
    request: int = 3
    message: int = 4
    tools: int = 0
    call: int = 8


_USUAL: Final = _Family()
_FAMILIES: Final = {"claude": _Family(scale=1.13, tools=450, call=33)}

_ESTIMATES: Final = (
    ("input", semconv.USAGE_ESTIMATED_INPUT_TOKENS),
    ("output", semconv.USAGE_ESTIMATED_OUTPUT_TOKENS),
)
_REPORTED: Final = (semconv.USAGE_INPUT_TOKENS, semconv.USAGE_OUTPUT_TOKENS, semconv.USAGE_STATED_COST)


def has_usage(attributes: Mapping[str, AttributeValue]) -> bool:
    """Whether it is known of a call, or estimated, what is billed."""
    return semconv.USAGE_ESTIMATED in attributes or any(key in attributes for key in _REPORTED)


def estimated_usage(
    attributes: Mapping[str, AttributeValue],
    wire_format: WireFormat,
    request: tuple[Json, str],
    answer: Json,
) -> dict[str, AttributeValue]:
    """Attributes of the counts that the answer did not tell; none where it told them, or where no model ran.

    attributes: what is known of the call. request: the decoded body, and the path. answer: the decoded or
    folded body. Text alone is estimated: pictures, sound, files and what the provider holds itself are not.
    """
    if attributes.get(semconv.OPERATION_NAME) not in _GENERATIONS or semconv.RESPONSE_CACHE_HIT in attributes:
        return {}
    if not wire_format.estimates_usage:
        return {}
    needed = [key for key in _REPORTED[:2] if key not in attributes]
    if not needed:
        return {}
    family = _family(attributes)
    received = _received(without_media(wire_format.response(answer, True).content, []), family)
    if not received and semconv.STREAM_ABANDONED not in attributes:
        return {}  # only begun, as a response in the background is, or an error in place of an answer
    estimates: dict[str, AttributeValue] = {}
    sent = wire_format.request(*request, True).content if semconv.USAGE_INPUT_TOKENS in needed else {}
    if any(sent.values()):  # not a fetch, nor the name of a prompt that the provider keeps
        estimates[semconv.USAGE_ESTIMATED_INPUT_TOKENS] = _sent(without_media(sent, []), request[0], family)
    if semconv.USAGE_OUTPUT_TOKENS in needed:
        estimates[semconv.USAGE_ESTIMATED_OUTPUT_TOKENS] = received
    if not estimates:
        return {}
    words = "+".join(word for word, key in _ESTIMATES if key in estimates)
    return {semconv.USAGE_ESTIMATED: words, **estimates}


def _family(attributes: Mapping[str, AttributeValue]) -> _Family:
    names = (attributes.get(semconv.RESPONSE_MODEL), attributes.get(semconv.REQUEST_MODEL))
    model = " ".join(str(name) for name in names if name).lower()
    return next((family for word, family in _FAMILIES.items() if word in model), _USUAL)


def _received(content: Mapping[str, list[Json]], family: _Family) -> int:
    """Tokens of the answer's messages: text, reasoning, calls of tools."""
    tokens = 0.0
    for message in content.get(semconv.OUTPUT_MESSAGES, ()):
        for part in items(mapping(message).get("parts")):
            kind = mapping(part).get("type")
            if kind not in _NOT_WRITTEN:
                tokens += family.call * (kind == "tool_call") + family.scale * _of(part)
    return round(tokens)


def _sent(content: Mapping[str, list[Json]], body: Json, family: _Family) -> int:
    """Tokens of the request: instructions, messages, tools and the shape that the answer is to have."""
    tokens = float(family.request)
    for key in _SENT:
        for value in content.get(key, ()):
            if key == semconv.INPUT_MESSAGES:
                parts = items(mapping(value).get("parts"))
                tokens += family.message + family.scale * sum(_of(part) for part in parts)
            else:
                tokens += family.scale * _of(value)
    tokens += family.tools if content.get(semconv.TOOL_DEFINITIONS) else 0
    tokens += family.scale * sum(_of({"schema": schema}) for schema in _schemas(body))
    return round(tokens)


def _of(part: Json) -> int:
    """Tokens of the texts of a part of a message, or of a tool's definition."""
    return sum(estimated_tokens(text) for text in _texts(part))


def _texts(part: Json) -> Iterator[str]:
    fields = mapping(part)
    if fields.get("type") in _MEDIA:
        return
    for key, value in fields.items():
        if key in ("type", "id") or value in (None, ""):
            continue
        yield value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)


def _schemas(value: Json, depth: int = 0) -> Iterator[Json]:
    """The schemas of the answer in a request's body, which lie a few levels down."""
    for key, inner in mapping(value).items():
        if key in _SCHEMAS:
            yield inner
        elif depth < 3 and key != "tools":
            yield from _schemas(inner, depth + 1)

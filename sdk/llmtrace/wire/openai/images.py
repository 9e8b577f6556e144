"""OpenAI image generation: `POST …/images/generations` with a `prompt`."""

from __future__ import annotations

from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, Translation, WireFormat, items, mapping, put_int, whole

from .shared import put_common, put_model, put_newer_usage


def matches(path: str, body: bytes) -> bool:
    """By the end of the path and the one field every request has."""
    return path.endswith("/images/generations") and b'"prompt"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    attributes[semconv.OUTPUT_TYPE] = "image"
    put_model(attributes, payload, path)
    put_common(attributes, payload)
    if payload.get("n") != 1:
        put_int(attributes, semconv.REQUEST_CHOICE_COUNT, payload.get("n"))
    if content:
        translation.content[semconv.INPUT_MESSAGES] = [
            message_parts.message("user", [message_parts.text(payload.get("prompt"))])
        ]
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; a stream's last event holds one image in place of a list."""
    payload = mapping(body)
    translation = Translation()
    put_newer_usage(translation.attributes, mapping(payload.get("usage")))
    if payload.get("type") == "image_generation.completed":
        translation.attributes[semconv.RESPONSE_FINISH_REASONS] = ["stop"]
    images = items(payload.get("data")) or ([payload] if payload.get("b64_json") else [])
    if content and images:
        mime = f"image/{payload.get('output_format') or 'png'}"
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [_image(mapping(image), mime)]) for image in images
        ]
    return translation


def _image(image: Any, mime: str) -> Json:
    if image.get("url"):
        return message_parts.uri("image", image["url"])
    return message_parts.blob("image", mime, image.get("b64_json"))


FORMAT: Final = WireFormat(
    provider="openai",
    operation="generate_content",
    endings=("generations",),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
)

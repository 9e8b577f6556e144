"""OpenAI's images: `POST …/images/generations` with a `prompt`, and edits and variations of images.

Edits are forms or JSON, variations are forms. Where an answer tells no tokens the images are billed by piece,
at a price of their size and quality, which stand where other calls have a tier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, Translation, WireFormat, items, mapping, put_int, whole, word
from llmtrace.wire.framing import multipart

from .shared import is_billed_by_tokens, of_form, put_common, put_model, put_newer_usage

_COMPLETED: Final = frozenset({"image_generation.completed", "image_edit.completed"})


def matches(path: str, body: bytes) -> bool:
    """By the end of the path and the one field every request has."""
    return path.endswith(("/images/generations", "/images/edits")) and b'"prompt"' in body


def _matches_form(path: str, body: bytes) -> bool:
    if not path.endswith(("/images/edits", "/images/variations")):
        return False
    return not body or multipart.has_field(body, b"image", b"prompt", b"model")


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body, or the fields of a form, to attributes."""
    payload = of_form(mapping(body))
    translation = Translation()
    attributes = translation.attributes
    attributes[semconv.OUTPUT_TYPE] = "image"
    put_model(attributes, payload, path)
    put_common(attributes, payload)
    if payload.get("n") != 1:
        put_int(attributes, semconv.REQUEST_CHOICE_COUNT, payload.get("n"))
    if content:
        parts = [message_parts.text(payload["prompt"])] if "prompt" in payload else []
        translation.content[semconv.INPUT_MESSAGES] = [
            message_parts.message("user", [*parts, *_sent_images(payload)])
        ]
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; a stream's last event holds one image in place of a list."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_newer_usage(attributes, mapping(payload.get("usage")))
    if word(payload, "type") in _COMPLETED:
        attributes[semconv.RESPONSE_FINISH_REASONS] = ["stop"]
    images = _images(payload)
    if content and images:
        mime = f"image/{payload.get('output_format') or 'png'}"
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [_image(mapping(image), mime)]) for image in images
        ]
    return translation


def image_usage(body: Json, answer: Json, known: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """How many images came, and their quality and size, which say what one costs."""
    payload, images = mapping(body), _images(mapping(answer))
    if not images or semconv.USAGE_OUTPUT_TOKENS in known or is_billed_by_tokens(payload.get("model")):
        return {}
    words = (word(payload, name) for name in ("quality", "size"))
    tier = "+".join(text for text in words if text not in ("", "auto"))
    of_tier: dict[str, AttributeValue] = {semconv.RESPONSE_SERVICE_TIER: tier} if tier else {}
    return {semconv.USAGE_GENERATED_IMAGES: len(images), **of_tier}


def _images(payload: Any) -> list[Json]:
    return items(payload.get("data")) or ([payload] if payload.get("b64_json") else [])


def _sent_images(payload: Mapping[str, Json]) -> list[Json]:
    parts = [
        message_parts.upload("image", file["content_type"], file["data"], file["size"])
        for name in ("image", "mask")
        for file in multipart.files(payload.get(name))
    ]
    for image in (*items(payload.get("images")), payload.get("mask")):
        if url := mapping(image).get("image_url"):
            parts.append(message_parts.reference(url, "image"))
        elif file_id := mapping(image).get("file_id"):
            parts.append(message_parts.file("image", file_id))
    return parts


def _image(image: Any, mime: str) -> Json:
    if image.get("url"):
        return message_parts.uri("image", image["url"])
    return message_parts.blob("image", mime, image.get("b64_json"))


FORMAT: Final = WireFormat(
    provider="openai",
    operation="generate_content",
    endings=("generations", "edits"),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
    piece_usage=image_usage,
)
FORM: Final = replace(FORMAT, endings=("edits", "variations"), matches=_matches_form, takes_form=True)

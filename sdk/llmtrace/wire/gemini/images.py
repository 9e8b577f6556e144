"""Google's Imagen: `POST …/models/imagen-…:predict` with a prompt. Billed by the picture, not by tokens."""

from __future__ import annotations

import re
from typing import Final

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, Translation, WireFormat, items, mapping, put_int, whole

from .generate_content import put_model

_MODEL: Final = re.compile(r"/models/(?:imagen|imagegeneration|imagetext)")


def matches(path: str, body: bytes) -> bool:
    """By the name of the model: `:predict` serves every model."""
    return b'"instances"' in body and _MODEL.search(path) is not None


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    attributes[semconv.OUTPUT_TYPE] = "image"
    put_model(attributes, path)
    count = mapping(payload.get("parameters")).get("sampleCount")
    if count != 1:
        put_int(attributes, semconv.REQUEST_CHOICE_COUNT, count)
    if content:
        translation.content[semconv.INPUT_MESSAGES] = [
            message_parts.message("user", [message_parts.text(mapping(instance).get("prompt"))])
            for instance in items(payload.get("instances"))
        ]
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; what was filtered has a reason in place of a picture."""
    translation = Translation()
    predictions = [mapping(prediction) for prediction in items(mapping(body).get("predictions"))]
    if predictions:
        translation.attributes[semconv.RESPONSE_FINISH_REASONS] = [
            "content_filter" if "raiFilteredReason" in prediction else "stop" for prediction in predictions
        ]
    pictures = [prediction for prediction in predictions if "bytesBase64Encoded" in prediction]
    if content and pictures:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message(
                "assistant",
                [message_parts.blob("image", picture.get("mimeType"), picture["bytesBase64Encoded"])],
            )
            for picture in pictures
        ]
    return translation


FORMAT: Final = WireFormat(
    provider="gcp.gemini",
    operation="generate_content",
    endings=("predict",),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
)

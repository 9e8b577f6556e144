"""Mistral's reading of documents: `POST …/ocr` with a `document`, billed by the page."""

from __future__ import annotations

from typing import Final

from llmtrace import semconv

from . import message_parts
from .format import Json, Translation, WireFormat, either, items, mapping, put_int, put_text, whole, word
from .without_tokens import without_tokens


def matches(path: str, body: bytes) -> bool:
    """By the one field every request has."""
    return b'"document"' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the document is told by its address, or by its size where it is sent."""
    payload = mapping(body)
    document = mapping(payload.get("document"))
    translation = without_tokens()
    put_text(translation.attributes, semconv.REQUEST_MODEL, payload.get("model"))
    if content:
        address = either(document, "document_url", "image_url")
        if isinstance(address, dict):
            address = address.get("url")
        kind = "image" if word(document, "type") == "image_url" else "document"
        part = (
            message_parts.reference(address, kind)
            if address is not None
            else message_parts.file(kind, document.get("file_id"))
        )
        translation.content[semconv.INPUT_MESSAGES] = [message_parts.message("user", [part])]
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; the text of each page is a message."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.RESPONSE_MODEL, payload.get("model"))
    put_int(attributes, semconv.USAGE_PAGES, mapping(payload.get("usage_info")).get("pages_processed"))
    pages = [word(mapping(page), "markdown") for page in items(payload.get("pages"))]
    if content and pages:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [message_parts.text(page)]) for page in pages
        ]
    return translation


FORMAT: Final = WireFormat(
    provider="mistral_ai",
    operation=semconv.PREDICT_OPERATION,
    endings=("ocr",),
    matches=matches,
    request=request,
    response=response,
    fold=whole,
)

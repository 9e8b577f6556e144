"""A translation as attributes of a span: content is redacted, cut and freed of its media."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.util.types import AttributeValue

from llmtrace.common.media import Media
from llmtrace.wire.format import Translation
from llmtrace.wire.media_parts import without_media
from llmtrace.wire.render import render, shortened

from .runtime import Runtime


def attributes_of(
    translation: Translation, runtime: Runtime, media: list[Media]
) -> Mapping[str, AttributeValue]:
    """What a span has of it; the media in its messages go into `media`."""
    redactor, limit = runtime.redactor, runtime.config.max_content_chars
    attributes = dict(translation.attributes)
    for key, content in translation.content.items():
        messages = without_media(content, media)
        text = render(messages, limit)
        if redactor.concerns(text):
            text = render(redactor.tree(messages), limit)
        attributes[key] = text
    for key, text in translation.texts.items():
        attributes[key] = shortened(redactor.text(text), limit)
    return attributes

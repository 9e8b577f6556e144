"""SGLang's own generation: `POST …/generate` with a `text` or tokens, and `sampling_params`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from llmtrace import semconv

from . import message_parts
from .finish_reasons import finish_reason
from .format import (
    Json,
    Translation,
    WireFormat,
    either,
    index_or_id,
    mapping,
    put_int,
    put_sum,
    put_text,
    word,
)
from .openai.completions import inputs
from .request_params import put_request_params


def matches(path: str, body: bytes) -> bool:
    """By the one field that only this has, or by its text where that is left to its defaults."""
    return b'"sampling_params"' in body and (b'"text"' in body or b'"input_ids"' in body)


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; a server has one model, which is not named."""
    payload = mapping(body)
    translation = Translation()
    put_request_params(translation.attributes, mapping(payload.get("sampling_params")))
    if payload.get("stream") is True:
        translation.attributes[semconv.REQUEST_STREAM] = True
    if content:
        translation.content[semconv.INPUT_MESSAGES] = inputs(either(payload, "text", "input_ids"))
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; a list where the request was one."""
    answers = [mapping(answer) for answer in (body if isinstance(body, list) else [body])]
    details = [info for answer in answers if (info := mapping(answer.get("meta_info")))]
    translation = Translation()
    attributes = translation.attributes
    for info in details[:1]:
        put_text(attributes, semconv.RESPONSE_ID, info.get("id"))
    put_sum(attributes, semconv.USAGE_INPUT_TOKENS, *(info.get("prompt_tokens") for info in details))
    put_sum(attributes, semconv.USAGE_OUTPUT_TOKENS, *(info.get("completion_tokens") for info in details))
    cached = [info.get("cached_tokens") for info in details]
    put_int(attributes, semconv.USAGE_CACHE_READ_INPUT_TOKENS, _sum(cached) or None)
    if details:
        attributes[semconv.RESPONSE_FINISH_REASONS] = [
            finish_reason(mapping(info.get("finish_reason")).get("type")) for info in details
        ]
    texts = [answer["text"] for answer in answers if isinstance(answer.get("text"), str)]
    if content and texts:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [message_parts.text(text)]) for text in texts
        ]
    return translation


def _sum(counts: list[Json]) -> int:
    return sum(count for count in counts if type(count) is int)


def fold(events: Iterable[Json]) -> Json:
    """Events to the answers: each has all there is so far, or a piece, as the server was started."""
    answers: dict[int | str, dict[str, Any]] = {}
    failure: Json = None
    for event in map(mapping, events):
        failure = event.get("error") or failure
        if not {"text", "meta_info"}.intersection(event):
            continue
        answer = answers.setdefault(index_or_id(event.get("index")), {"text": ""})
        text, before = word(event, "text"), word(answer, "text")
        answer["text"] = text if text.startswith(before) else before + text
        if info := mapping(event.get("meta_info")):
            answer["meta_info"] = info
    folded = list(answers.values())
    if failure is not None:
        return {**(folded[0] if folded else {}), "error": failure}
    return folded if len(folded) > 1 else next(iter(folded), {})


FORMAT: Final = WireFormat(
    provider="sglang",
    operation="text_completion",
    endings=("generate",),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
)

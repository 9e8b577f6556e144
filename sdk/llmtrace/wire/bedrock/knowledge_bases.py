"""Amazon Bedrock knowledge bases: `POST /retrieveAndGenerate`, `/retrieveAndGenerateStream`, and
`/knowledgebases/{id}/retrieve`, which is a search. None of them tells tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import message_parts
from llmtrace.wire.format import (
    Json,
    Translation,
    WireFormat,
    between,
    items,
    mapping,
    put_int,
    put_text,
    whole,
    word,
)

_CONFIGURATIONS: Final = ("knowledgeBaseConfiguration", "externalSourcesConfiguration")


def matches(path: str, body: bytes) -> bool:
    """By the one field that says what generates."""
    return b'"retrieveAndGenerateConfiguration"' in body or b'"input"' in body


def matches_search(path: str, body: bytes) -> bool:
    """By the place of the knowledge base in the path."""
    return "/knowledgebases/" in path


def model_of_arn(arn: Json) -> str:
    """The model, or the profile, that an ARN names; what is none of either stays as it is."""
    if not isinstance(arn, str):
        return ""
    return arn.rpartition("/")[2] if arn.startswith("arn:") else arn


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes."""
    payload = mapping(body)
    configuration = mapping(payload.get("retrieveAndGenerateConfiguration"))
    source: Any = next(filter(None, (mapping(configuration.get(key)) for key in _CONFIGURATIONS)), {})
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.REQUEST_MODEL, model_of_arn(source.get("modelArn")))
    put_text(attributes, semconv.DATA_SOURCE_ID, source.get("knowledgeBaseId"))
    put_text(attributes, semconv.CONVERSATION_ID, payload.get("sessionId"))
    guardrail = mapping(mapping(source.get("generationConfiguration")).get("guardrailConfiguration"))
    put_text(attributes, semconv.AWS_BEDROCK_GUARDRAIL_ID, guardrail.get("guardrailId"))
    if path.endswith("Stream"):
        attributes[semconv.REQUEST_STREAM] = True
    if content and (asked := mapping(payload.get("input")).get("text")):
        translation.content[semconv.INPUT_MESSAGES] = [
            message_parts.message("user", [message_parts.text(asked)])
        ]
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes; what was retrieved are the documents that are cited."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.CONVERSATION_ID, payload.get("sessionId"))
    written = mapping(payload.get("output")).get("text")
    if written is not None:
        blocked = payload.get("guardrailAction") == "INTERVENED"
        attributes[semconv.RESPONSE_FINISH_REASONS] = ["content_filter" if blocked else "stop"]
    if payload.get("error"):
        attributes[semconv.RESPONSE_FINISH_REASONS] = ["error"]
    if content and written is not None:
        translation.content[semconv.OUTPUT_MESSAGES] = [
            message_parts.message("assistant", [message_parts.text(written)])
        ]
        cited = [
            _retrieved(mapping(reference))
            for citation in map(mapping, items(payload.get("citations")))
            for reference in items(citation.get("retrievedReferences"))
        ]
        if cited:
            translation.content[semconv.RETRIEVAL_DOCUMENTS] = cited
    return translation


def request_search(body: Json, path: str, content: bool) -> Translation:
    """Request body of a search to attributes."""
    payload = mapping(body)
    translation = Translation()
    attributes = translation.attributes
    put_text(attributes, semconv.DATA_SOURCE_ID, between(path, "/knowledgebases/"))
    configuration = mapping(payload.get("retrievalConfiguration"))
    for search in map(mapping, configuration.values()):
        put_int(attributes, semconv.RETRIEVAL_TOP_K, search.get("numberOfResults"))
    if content and (asked := word(mapping(payload.get("retrievalQuery")), "text")):
        translation.texts[semconv.RETRIEVAL_QUERY_TEXT] = asked
    return translation


def response_search(body: Json, content: bool) -> Translation:
    """Response body of a search to attributes."""
    translation = Translation()
    results = items(mapping(body).get("retrievalResults"))
    if content and results:
        translation.content[semconv.RETRIEVAL_DOCUMENTS] = [_retrieved(mapping(result)) for result in results]
    return translation


def _retrieved(result: Any) -> Json:
    """A document by where it is, with how well it fits."""
    location = mapping(result.get("location"))
    place = next((inner for inner in map(mapping, location.values()) if inner), {})
    address = next((value for value in place.values() if isinstance(value, str)), None)
    entry = {"id": address, "score": result.get("score")}
    written = mapping(result.get("content")).get("text")
    return {**entry, "content": written} if isinstance(written, str) else entry


def fold(events: Iterable[Json]) -> Json:
    """Events to the response: pieces of the text, and citations one by one."""
    body: dict[str, Any] = {}
    words: list[str] = []
    citations: list[Json] = []
    for event in map(mapping, events):
        for kind, value in event.items():
            inner = mapping(value)
            if kind == "output":
                words.append(word(inner, "text"))
            elif kind == "citation":
                citations.append(mapping(inner.get("citation")) or inner)
            elif kind == "guardrail":
                body["guardrailAction"] = inner.get("action")
            elif kind == "error":
                body["error"] = value
            elif kind.endswith("Exception"):
                body["error"] = {"type": kind, "message": inner.get("message")}
    if words:
        body["output"] = {"text": "".join(words)}
    body["citations"] = citations
    return body


FORMAT: Final = WireFormat(
    provider=semconv.PROVIDER_AWS_BEDROCK,
    operation="chat",
    endings=("retrieveAndGenerate", "retrieveAndGenerateStream"),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
)
SEARCH: Final = replace(
    FORMAT,
    operation="retrieval",
    endings=("retrieve",),
    matches=matches_search,
    request=request_search,
    response=response_search,
    fold=whole,
)

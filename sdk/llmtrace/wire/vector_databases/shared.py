"""What the vector databases' formats share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from llmtrace import semconv
from llmtrace.wire.format import Json, Translation, WireFormat, no_failure, put_int, put_text, whole

OPERATION: Final = "retrieval"
_MOST_DOCUMENTS: Final = 1000


def query(
    system: str,
    *,
    collection: Json = None,
    namespace: Json = None,
    top_k: Json = None,
    texts: Iterable[Json] = (),
) -> Translation:
    """A query as attributes. texts: of the query, which are content; what is no text is passed over."""
    translation = Translation()
    attributes = translation.attributes
    attributes[semconv.DB_SYSTEM_NAME] = system
    put_text(attributes, semconv.DATA_SOURCE_ID, collection)
    put_text(attributes, semconv.DB_COLLECTION_NAME, collection)
    put_text(attributes, semconv.DB_NAMESPACE, namespace)
    put_int(attributes, semconv.RETRIEVAL_TOP_K, top_k)
    words = [text for text in texts if isinstance(text, str) and text]
    if words:
        translation.texts[semconv.RETRIEVAL_QUERY_TEXT] = "\n".join(words)
    return translation


def documents(rows: Iterable[tuple[Json, Json]], content: bool) -> Translation:
    """The answer as attributes: (id, score or distance) of what came, in order."""
    translation = Translation()
    ranked = [_document(key, score) for key, score in rows]
    if content and ranked:
        translation.content[semconv.RETRIEVAL_DOCUMENTS] = ranked[:_MOST_DOCUMENTS]
    return translation


def _document(key: Json, score: Json) -> Json:
    is_id = isinstance(key, str) or type(key) is int
    is_score = type(score) is float or type(score) is int
    return {"id": str(key) if is_id else None, "score": score if is_score else None}


def retrieval_format(
    system: str,
    endings: tuple[str, ...],
    matches: Callable[[str, bytes], bool],
    request: Callable[[Json, str, bool], Translation],
    response: Callable[[Json, bool], Translation],
    *,
    failure: Callable[[Json], tuple[str | None, str | None]] = no_failure,
    collection_of_host: Callable[[str], str] | None = None,
) -> WireFormat:
    """A format whose calls ask no model."""
    return WireFormat(
        provider=system,
        operation=OPERATION,
        endings=endings,
        matches=matches,
        request=request,
        response=response,
        fold=whole,
        failure=failure,
        collection_of_host=collection_of_host,
    )

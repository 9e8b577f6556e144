"""What a retrieval found, read from the shapes in which libraries return it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

#: Under these names answers of indexes and pipelines hold their documents.
_LISTS: Final = ("documents", "matches", "results", "hits", "nodes", "source_nodes", "points", "objects")
_IDS: Final = ("id", "id_", "node_id", "doc_id", "_id", "uuid")
_SCORES: Final = ("score", "_score", "similarity", "relevance_score")
_TEXTS: Final = ("page_content", "content", "text", "document", "body", "chunk", "snippet")
_METADATA: Final = ("metadata", "meta", "payload", "_source", "properties")
#: What wraps a document together with its score.
_WRAPPED: Final = ("node", "document", "doc")
#: Chroma's answer: a list for each query, under each of these names.
_OF_CHROMA: Final = ("ids", "documents", "metadatas", "distances")


def documents(result: Any, *, texts: bool) -> list[dict[str, Any]]:
    """`id` and `score` of each document that a result holds; with `texts` also `text` and `metadata`.

    Read are lists of LangChain's documents and of pairs of one with its score, LlamaIndex's nodes, Haystack's
    documents and the outputs of its pipelines, Chroma's lists of lists (which tell a `distance`), answers of
    Pinecone and Qdrant, mappings and plain texts. What is none of these gives nothing.
    """
    return [_described(item, texts) for item in _items(result)]


def _items(result: Any) -> Iterable[Any]:
    if isinstance(result, Mapping) and _is_chroma(result):
        return _of_chroma(result)
    if isinstance(result, (list, tuple)):
        return result
    for name in _LISTS:
        if isinstance(listed := _part(result, name), (list, tuple)):
            return listed
    if isinstance(listed := _part(result, "ids"), (list, tuple)):  # LlamaIndex's answer of a vector store
        scores = _part(result, "similarities") or []
        return [{"id": key, "score": score} for key, score in zip_longest(listed, scores[: len(listed)])]
    if isinstance(result, Mapping):  # Haystack's outputs by component
        outputs = [_part(output, "documents") for output in result.values() if isinstance(output, Mapping)]
        if documents_of_all := [item for output in outputs if isinstance(output, list) for item in output]:
            return documents_of_all
    is_document = any(_part(result, name) is not None for name in (*_TEXTS, *_WRAPPED))
    return [result] if is_document and not isinstance(result, str) else []


def _is_chroma(result: Mapping[Any, Any]) -> bool:
    ids = result.get("ids")
    return isinstance(ids, list) and all(name not in result or _is_list(result[name]) for name in _OF_CHROMA)


def _is_list(value: Any) -> bool:
    return value is None or isinstance(value, list)


def _of_chroma(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One mapping for each hit, of all queries in order; `get` answers with plain lists."""
    columns = {name: result.get(name) or [] for name in _OF_CHROMA}
    if not all(isinstance(item, list) for item in columns["ids"]):
        columns = {name: [values] for name, values in columns.items()}
    hits = []
    for query, ids in enumerate(columns["ids"]):
        others = {name: values[query] if query < len(values) else [] for name, values in columns.items()}
        for place, identifier in enumerate(ids):
            hit = {"id": identifier}
            for name, key in (("documents", "text"), ("metadatas", "metadata"), ("distances", "distance")):
                values = others[name] or []
                if place < len(values):
                    hit[key] = values[place]
            hits.append(hit)
    return hits


def _described(item: Any, texts: bool) -> dict[str, Any]:
    document, score = _unwrapped(item)
    described = {"id": _scalar(_first(document, _IDS)), "score": _scalar(score)}
    if (distance := _scalar(_part(document, "distance"))) is not None:
        described["distance"] = distance
    if texts:
        metadata = _first(document, _METADATA)
        text = document if isinstance(document, str) else _text(document, metadata)
        described |= {} if text is None else {"text": text}
        if isinstance(metadata, Mapping):
            metadata = {key: value for key, value in metadata.items() if value is not text or text is None}
            described |= {"metadata": metadata} if metadata else {}
    return described


def _unwrapped(item: Any) -> tuple[Any, Any]:
    """A document, and its score."""
    score = _first(item, _SCORES)
    if isinstance(item, (tuple, list)) and not hasattr(item, "_fields") and len(item) == 2:
        return item[0], item[1] if score is None else score
    for name in _WRAPPED:
        inner = _part(item, name)
        if inner is not None and not isinstance(inner, str):
            return inner, _first(inner, _SCORES) if score is None else score
    return item, score


def _text(document: Any, metadata: Any) -> str | None:
    text = _first(document, _TEXTS)
    if text is None and isinstance(metadata, Mapping):  # Pinecone and Qdrant keep it there
        text = _first(metadata, _TEXTS)
    return text if isinstance(text, str) else None


def _first(item: Any, names: Sequence[str]) -> Any:
    return next((value for name in names if (value := _part(item, name)) is not None), None)


def _part(item: Any, name: str) -> Any:
    """What stands under a name, or is an attribute of it; methods are neither."""
    if isinstance(item, Mapping):
        return item.get(name)
    if isinstance(item, (str, bytes, int, float, list)) or type(item) is tuple:
        return None
    value = getattr(item, name, None)
    return None if callable(value) else value


def _scalar(value: Any) -> Any:
    if isinstance(value, (str, int, float)):
        return value
    item = getattr(value, "item", None)  # a scalar of numpy
    if callable(item) and getattr(value, "shape", None) == ():
        return item()
    return str(value) if type(value).__name__ == "UUID" else None

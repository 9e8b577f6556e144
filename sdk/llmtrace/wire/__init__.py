"""The wire formats this SDK reads; a new one is a module here and a line below."""

from __future__ import annotations

from typing import Final

from . import (
    anthropic,
    bedrock_converse,
    bedrock_invoke,
    cohere_chat,
    cohere_embeddings,
    gemini,
    gemini_embeddings,
    gemini_interactions,
    hugging_face,
    ollama,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_images,
    openai_responses,
    openai_runs,
    rerank,
)
from .base import WireFormat

FORMATS: Final[tuple[WireFormat, ...]] = (
    openai_chat.FORMAT,
    openai_completions.FORMAT,
    openai_embeddings.FORMAT,
    openai_images.FORMAT,
    openai_responses.FORMAT,
    openai_responses.FETCH,
    openai_runs.FORMAT,
    openai_runs.FETCH,
    anthropic.FORMAT,
    gemini.FORMAT,
    gemini_embeddings.FORMAT,
    gemini_interactions.FORMAT,
    gemini_interactions.FETCH,
    bedrock_converse.FORMAT,
    bedrock_invoke.FORMAT,
    cohere_chat.FORMAT,
    cohere_embeddings.FORMAT,
    rerank.FORMAT,
    ollama.FORMAT,
    ollama.GENERATE,
    ollama.EMBED,
    hugging_face.FORMAT,
    hugging_face.MODEL,
)

_indexed: tuple[WireFormat, ...] = ()
_by_ending: dict[str, tuple[WireFormat, ...]] = {}
_by_other: dict[str, tuple[WireFormat, ...]] = {}


def recognise(path: str, body: bytes, method: str = "POST") -> WireFormat | None:
    """The format of a request to `path` (percent-encoded, no query), by shape alone: hosts are not asked.

    It runs on the caller's path for every HTTP request, hence the look-up by one word of the path.
    """
    if _indexed is not FORMATS:
        _index()
    head, _, last = path.rpartition("/")
    if method == "POST":
        if not body:
            return None
        if ":" in last:
            last = last.rpartition(":")[2]
    elif method == "GET":
        last = head.rpartition("/")[2]
    for candidate in _by_ending.get(last) or _by_other.get(method, ()):
        if candidate.method == method and candidate.matches(path, body):
            return candidate
    return None


def _index() -> None:
    global _by_ending, _by_other, _indexed
    words = {word for each in FORMATS for word in each.endings}
    _by_ending = {word: tuple(each for each in FORMATS if word in each.endings) for word in words}
    _by_other = {"POST": tuple(each for each in FORMATS if not each.endings)}
    _indexed = FORMATS

"""The wire formats this SDK reads; a new one is a module here and a line below."""

from __future__ import annotations

from typing import Final

from . import (
    classifiers,
    cloudflare,
    hugging_face,
    inference_servers,
    mistral_ocr,
    more_embeddings,
    ollama,
    replicate,
    sagemaker,
    sglang,
    watsonx,
    writer,
)
from .anthropic import complete as anthropic_complete
from .anthropic import messages as anthropic_messages
from .batches import anthropic as anthropic_batches
from .batches import gemini as gemini_batches
from .batches import openai as openai_batches
from .batches import polls
from .bedrock import agents, converse, guardrails, invoke_model, knowledge_bases
from .bedrock import rerank as bedrock_rerank
from .cohere import chat as cohere_chat
from .cohere import chat_v1 as cohere_chat_v1
from .cohere import embeddings as cohere_embeddings
from .cohere import generate_v1 as cohere_generate_v1
from .cohere import rerank
from .format import WireFormat
from .framing import multipart
from .gemini import cached_contents, generate_content, interactions
from .gemini import embeddings as gemini_embeddings
from .gemini import images as gemini_images
from .gemini import videos as gemini_videos
from .openai import assistants, audio, completions, fine_tuning, images, moderations, responses, videos
from .openai import chat as openai_chat
from .openai import embeddings as openai_embeddings
from .vector_databases import chroma, elasticsearch, milvus, pinecone, qdrant, weaviate

FORMATS: Final[tuple[WireFormat, ...]] = (
    openai_chat.FORMAT,
    completions.FORMAT,
    openai_embeddings.FORMAT,
    images.FORMAT,
    images.FORM,
    audio.TRANSCRIPTION,
    audio.TRANSLATION,
    audio.SPEECH,
    moderations.FORMAT,
    fine_tuning.FORMAT,
    fine_tuning.FETCH,
    fine_tuning.LIST,
    responses.FORMAT,
    responses.FETCH,
    assistants.FORMAT,
    assistants.FETCH,
    videos.FORMAT,
    videos.FETCH,
    anthropic_messages.FORMAT,
    anthropic_complete.FORMAT,
    generate_content.FORMAT,
    inference_servers.FORMAT,
    gemini_embeddings.FORMAT,
    gemini_images.FORMAT,
    gemini_videos.FORMAT,
    gemini_videos.OPERATION,
    gemini_videos.POLL,
    interactions.FORMAT,
    interactions.FETCH,
    cached_contents.FORMAT,
    cached_contents.DELETE,
    converse.FORMAT,
    invoke_model.FORMAT,
    agents.FORMAT,
    agents.INLINE,
    agents.FLOW,
    knowledge_bases.FORMAT,
    knowledge_bases.SEARCH,
    guardrails.FORMAT,
    sagemaker.FORMAT,
    watsonx.FORMAT,
    watsonx.CHAT,
    watsonx.EMBEDDINGS,
    watsonx.RERANK,
    cohere_chat.FORMAT,
    cohere_chat_v1.FORMAT,
    cohere_generate_v1.FORMAT,
    cohere_generate_v1.SUMMARY,
    cohere_embeddings.FORMAT,
    bedrock_rerank.FORMAT,
    rerank.FORMAT,
    classifiers.COHERE,
    classifiers.FORMAT,
    classifiers.SCORE,
    more_embeddings.FORMAT,
    mistral_ocr.FORMAT,
    writer.FORMAT,
    writer.APPLICATION,
    writer.FETCH,
    replicate.FORMAT,
    replicate.FETCH,
    replicate.STREAM,
    ollama.FORMAT,
    ollama.GENERATE,
    ollama.EMBED,
    sglang.FORMAT,
    inference_servers.OPEN_INFERENCE,
    inference_servers.GENERATE,
    hugging_face.FORMAT,
    hugging_face.MODEL,
    openai_batches.FORMAT,
    polls.FORMAT,
    openai_batches.RESULTS,
    anthropic_batches.FORMAT,
    anthropic_batches.FETCH_FORMAT,
    anthropic_batches.RESULTS,
    gemini_batches.FORMAT,
    gemini_batches.RESULTS,
    cloudflare.FORMAT,
    chroma.FORMAT,
    pinecone.FORMAT,
    qdrant.FORMAT,
    weaviate.FORMAT,
    milvus.FORMAT,
    elasticsearch.FORMAT,
)

_BEGINNING: Final = 64
_indexed: tuple[WireFormat, ...] = ()
_by_ending: dict[str, tuple[WireFormat, ...]] = {}
_with_words: tuple[WireFormat, ...] = ()
_words: frozenset[str] = frozenset()


def recognise(path: str, body: bytes, method: str = "POST") -> WireFormat | None:
    """The format of a request to `path` (percent-encoded, no query), by shape alone: hosts are not asked.

    It runs on the caller's path for every HTTP request, hence the look-up by the words of the path.
    """
    takes_form = False
    if method == "POST" and body[:_BEGINNING].lstrip()[:1] != b"{":
        takes_form = multipart.is_form(body)
        if not takes_form:
            return None
    candidates = named(path, method)
    if not candidates and method == "POST":
        if _words.isdisjoint(path[1:].split("/")):
            return None
        candidates = _with_words
    for candidate in candidates:
        is_possible = candidate.method == method and candidate.takes_form == takes_form
        if is_possible and candidate.matches(path, body):
            return candidate
    return None


def recognise_form(path: str) -> WireFormat | None:
    """The format of a form that is posted to `path` and whose body is not known yet."""
    for candidate in named(path):
        if candidate.takes_form and candidate.matches(path, b""):
            return candidate
    return None


def named(path: str, method: str = "POST") -> tuple[WireFormat, ...]:
    """The formats whose word the path has: what a request may be of which the body is not known yet."""
    if _indexed is not FORMATS:
        _index()
    head, _, last = path.rpartition("/")
    if method != "POST":
        return _by_ending.get(head.rpartition("/")[2]) or _by_ending.get(last, ())
    if ":" in last:
        last = last.rpartition(":")[2]
    return _by_ending.get(last, ())


def _index() -> None:
    global _by_ending, _with_words, _words, _indexed
    endings = {word for wire_format in FORMATS for word in wire_format.endings}
    _by_ending = {
        word: tuple(wire_format for wire_format in FORMATS if word in wire_format.endings) for word in endings
    }
    _with_words = tuple(wire_format for wire_format in FORMATS if wire_format.words)
    _words = frozenset(word for wire_format in _with_words for word in wire_format.words)
    _indexed = FORMATS

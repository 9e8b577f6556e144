"""The answer that a request gets: the recorded one, in the form that this request asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from llmtrace.testing.replay import Answer
from llmtrace.wire import ollama as ollama_format
from llmtrace.wire.anthropic import messages as anthropic_format
from llmtrace.wire.bedrock import converse, invoke_model
from llmtrace.wire.cohere import chat as cohere_format
from llmtrace.wire.format import WireFormat, mapping
from llmtrace.wire.framing import decode
from llmtrace.wire.gemini import embeddings as gemini_embeddings
from llmtrace.wire.gemini import generate_content
from llmtrace.wire.openai import chat, completions, responses
from llmtrace.wire.openai import embeddings as openai_embeddings
from llmtrace.wire.provider_names import PROVIDER_HEADER

from . import anthropic_messages, bedrock, cohere_chat, embeddings, gemini, ollama
from . import openai_chat as openai_chat_answers
from . import openai_responses as openai_responses_answers
from .recorded import Builder, NotRebuildable, RecordedCall

_BUILDERS: Final[tuple[tuple[WireFormat, Builder], ...]] = (
    (chat.FORMAT, openai_chat_answers.CHAT),
    (completions.FORMAT, openai_chat_answers.COMPLETIONS),
    (responses.FORMAT, openai_responses_answers.RESPONSES),
    (openai_embeddings.FORMAT, embeddings.OPENAI),
    (anthropic_format.FORMAT, anthropic_messages.MESSAGES),
    (invoke_model.FORMAT, anthropic_messages.INVOKED),
    (generate_content.FORMAT, gemini.GENERATE_CONTENT),
    (gemini_embeddings.FORMAT, embeddings.GEMINI),
    (converse.FORMAT, bedrock.CONVERSE),
    (cohere_format.FORMAT, cohere_chat.CHAT),
    (ollama_format.FORMAT, ollama.CHAT),
    (ollama_format.GENERATE, ollama.GENERATE),
    (ollama_format.EMBED, embeddings.OLLAMA),
)

#: Operations of which some format's answers can be rebuilt.
OPERATIONS: Final = frozenset(wire_format.operation for wire_format, _ in _BUILDERS)


def answer(call: RecordedCall, wire_format: WireFormat, path: str, body: bytes, provider: str = "") -> Answer:
    """The recorded answer for a request to `path` (with query) in a format.

    provider: who is asked; the one that was recorded where nobody knows. A call that got no answer breaks the
    connection. Raises NotRebuildable, which says why.
    """
    provider = provider or call.provider
    builder = builder_of(wire_format, provider)
    if builder is None:
        raise NotRebuildable(
            f"answers of {wire_format.operation} in {wire_format.provider}'s format cannot be rebuilt"
        )
    named = {PROVIDER_HEADER: provider} if provider else {}
    if call.status == 0:
        return Answer(headers={"content-type": "text/event-stream"}, chunks=[], cut=True)
    if call.status >= 400:
        error_type = {"x-amzn-errortype": call.error[0]} if call.error and call.error[0] else {}
        return Answer.json(builder.error(call), call.status, **named, **error_type)
    request = mapping(decode.decoded(body))
    whole = builder.body(call, request)
    bare_path = path.partition("?")[0]
    if not builder.is_stream(request, bare_path):
        return _with_headers(Answer.json(whole), named)
    streamed = _with_headers(builder.stream(whole, request, path), named)
    return _broken_off(streamed, builder, call) if call.error else streamed


def builder_of(wire_format: WireFormat, provider: str = "") -> Builder | None:
    """Who rebuilds answers of a format, as a provider speaks it; None where nobody does."""
    if wire_format is chat.FORMAT and provider == "mistral_ai":
        return openai_chat_answers.MISTRAL
    return next((builder for known, builder in _BUILDERS if known is wire_format), None)


def refusal(wire_format: WireFormat | None, message: str) -> Answer:
    """An answer that no client tries again after, in words that end up in its exception."""
    builder = builder_of(wire_format) if wire_format is not None else None
    refused = RecordedCall(status=400, error=["llmtrace_replay", message])
    return Answer.json({"error": {"message": message}} if builder is None else builder.error(refused), 400)


def _broken_off(answer: Answer, builder: Builder, call: RecordedCall) -> Answer:
    """A stream that reported an error in its middle: what came, then the error, then nothing."""
    chunks = list(answer.chunks or ())
    if answer.headers.get("content-type") != "text/event-stream":
        return replace(answer, chunks=chunks[:-1], cut=True)
    failure = b"event: error\ndata: " + json.dumps(builder.error(call)).encode() + b"\n\n"
    return replace(answer, chunks=[*chunks[:-1], failure], cut=False)


def _with_headers(answer: Answer, headers: Mapping[str, str]) -> Answer:
    return replace(answer, headers={**answer.headers, **headers})

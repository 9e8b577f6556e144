"""Amazon SageMaker: `POST /endpoints/{name}/invocations` and `/invocations-response-stream`.

The body is whatever the container of the endpoint speaks: OpenAI's chat or completions (LMI, vLLM, SGLang),
text generation (TGI, LMI, `inputs`), or anything else, which is a call of a model without tokens. A stream is
an AWS event stream, whose pieces together are one of server-sent events or of lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from llmtrace import semconv

from . import hugging_face
from .format import Json, Translation, WireFormat, between, items, mapping, put_text, word
from .framing import aws_event_stream, decode
from .openai import chat, completions
from .without_tokens import without_tokens


def matches(path: str, body: bytes) -> bool:
    """By the endpoint's place in the path; containers answer at plain `/invocations` too."""
    return "/endpoints/" in path


def request(body: Json, path: str, content: bool) -> Translation:
    """Request body to attributes; the endpoint stands for the model where the body names none."""
    payload = mapping(body)
    if "messages" in payload:
        translation = chat.request(body, path, content)
    elif "prompt" in payload:
        translation = completions.request(body, path, content)
        translation.attributes[semconv.OPERATION_NAME] = "text_completion"
    elif "inputs" in payload:
        translation = hugging_face.request(body, path, content)
        translation.attributes[semconv.OPERATION_NAME] = "text_completion"
    else:
        translation = without_tokens()
    attributes = translation.attributes
    attributes.pop(semconv.OPENAI_API_TYPE, None)
    put_text(attributes, semconv.REQUEST_MODEL, between(path, "/endpoints/"))
    if path.endswith("-stream"):
        attributes[semconv.REQUEST_STREAM] = True
    return translation


def response(body: Json, content: bool) -> Translation:
    """Response body to attributes, by its own shape."""
    answers = [mapping(answer) for answer in (body if isinstance(body, list) else [body])]
    if any("choices" in answer for answer in answers):
        return _api(answers[:1]).response(answers[0], content)
    if any("generated_text" in answer for answer in answers):
        return hugging_face.response(body, content)
    return Translation()


def fold(events: Iterable[Json]) -> Json:
    """Pieces of a stream to the body of a plain response, by the shape of what they hold."""
    pieces: list[str] = []
    failures: list[Json] = []
    for event in map(mapping, events):
        pieces.append(word(event, aws_event_stream.PIECE))
        failures += [value for key, value in event.items() if key == "error"]
    received = "".join(pieces).encode("latin-1", "replace")
    chunks = [chunk for chunk in decode.events("", received) or [] if isinstance(chunk, dict)]
    body = _folded(chunks) if chunks else decode.decoded(received)
    if failures:
        body = {**mapping(body), "error": failures[0]}
    return body


def _folded(chunks: list[dict[str, Any]]) -> Json:
    if any("choices" in chunk for chunk in chunks):
        return _api(chunks).fold(chunks)
    return hugging_face.fold(chunks)


def _api(bodies: list[Any]) -> WireFormat:
    """OpenAI's chat, or its completions of a prompt, whose choices have texts."""
    has_texts = any("text" in mapping(choice) for body in bodies for choice in items(body.get("choices")))
    return completions.FORMAT if has_texts else chat.FORMAT


FORMAT: Final = WireFormat(
    provider="aws.sagemaker",
    operation="chat",
    endings=("invocations", "invocations-response-stream"),
    matches=matches,
    request=request,
    response=response,
    fold=fold,
)

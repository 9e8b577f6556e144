"""xAI's own API: its messages as those of chat completions, which the same models answer over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from llmtrace import semconv
from llmtrace.wire import background_responses
from llmtrace.wire.format import Json, Translation, WireFormat, items, mapping, word
from llmtrace.wire.openai import chat, completions, embeddings, images

from .method import GrpcMethod, HttpRequest, unchanged

_CHAT_PATH: Final = "/v1/chat/completions"
_FINISH_REASONS: Final = {"max_len": "length", "max_context": "length"}


def _enum(value: Json, prefix: str) -> str | None:
    """An enum's name in the words of the API over HTTP: `ROLE_USER` is `user`."""
    return value.removeprefix(prefix).lower() if isinstance(value, str) else None


def _chat_request(message: Json) -> HttpRequest:
    fields = dict(mapping(message))
    fields["messages"] = [_message(item) for item in items(fields.get("messages"))]
    fields["tools"] = [_tool(mapping(tool)) for tool in items(fields.get("tools"))]
    fields["reasoning_effort"] = _enum(fields.get("reasoning_effort"), "EFFORT_")
    fields["service_tier"] = _enum(fields.get("service_tier"), "SERVICE_TIER_")
    kind = _enum(mapping(fields.get("response_format")).get("format_type"), "FORMAT_TYPE_")
    fields["response_format"] = {"type": kind}
    return HttpRequest(_CHAT_PATH, fields)


def _streamed_request(message: Json) -> HttpRequest:
    path, body = _chat_request(message)
    return HttpRequest(path, {**mapping(body), "stream": True})


def _message(value: Json) -> Json:
    message = dict(mapping(value))
    message["role"] = _enum(message.get("role"), "ROLE_")
    message["content"] = [_part(mapping(part)) for part in items(message.get("content"))]
    return message


def _part(part: Any) -> Json:
    if "image_url" in part:
        picture = mapping(part["image_url"])
        if "file_id" in picture:
            return {"type": "file", "file_id": picture["file_id"]}
        return {"type": "image_url", "image_url": {"url": picture.get("image_url")}}
    if "file" in part:
        file = mapping(part["file"])
        return {"type": "file", "file": {"file_id": file.get("file_id"), "file_data": file.get("data")}}
    return {"type": "text", "text": part.get("text")}


def _tool(tool: Any) -> Json:
    if "function" in tool:
        return {"type": "function", "function": tool["function"]}
    kind = next(iter(tool), "")
    return {"type": kind, **mapping(tool.get(kind))}


def _chat_response(message: Json) -> Json:
    body = dict(mapping(message))
    if "outputs" in body:
        body["choices"] = [_choice(mapping(output)) for output in items(body.pop("outputs"))]
    body["service_tier"] = _enum(body.get("service_tier"), "SERVICE_TIER_")
    if "usage" in body:
        body["usage"] = _usage(mapping(body["usage"]))
    return body


def _choice(output: Any) -> Json:
    choice = dict(output)
    reason = _enum(output.get("finish_reason"), "REASON_")
    choice["finish_reason"] = _FINISH_REASONS.get(reason or "", reason)
    for key in ("message", "delta"):
        if key in choice:
            inner = dict(mapping(choice[key]))
            choice[key] = {**inner, "role": _enum(inner.get("role"), "ROLE_") or "assistant"}
    return choice


def _usage(usage: Any) -> Json:
    """Of the counts that are 0 protobuf sends none."""
    return {
        **usage,
        "prompt_tokens": usage.get("prompt_tokens", 0),
        "completion_tokens": usage.get("completion_tokens", 0),
        "prompt_tokens_details": {
            "cached_tokens": usage.get("cached_prompt_text_tokens", 0),
            "image_tokens": usage.get("prompt_image_tokens"),
        },
        "completion_tokens_details": {"reasoning_tokens": usage.get("reasoning_tokens", 0)},
    }


def _fetch_request(message: Json) -> HttpRequest:
    return HttpRequest(_CHAT_PATH, {})


def _fetched(message: Json) -> Json:
    """A deferred answer is inside its status, once it is there."""
    fields = mapping(message)
    return _chat_response(mapping(fields.get("response"))) if "status" in fields else _chat_response(fields)


def _fetched_response(body: Json, content: bool) -> Translation:
    translation = chat.FORMAT.response(body, content)
    if word(mapping(body), "id"):
        translation.attributes[semconv.OPERATION_NAME] = chat.FORMAT.operation
    return translation


_FETCH: Final = replace(
    chat.FORMAT,
    operation=background_responses.FETCH,
    method="GET",
    response=_fetched_response,
    fetched_again=True,
)
_QUEUED: Final = replace(chat.FORMAT, operation=background_responses.QUEUED)


def _sample_request(message: Json) -> HttpRequest:
    return HttpRequest("/v1/completions", dict(mapping(message)))


def _sample_response(message: Json) -> Json:
    body = _chat_response(message)
    body["choices"] = [_choice(mapping(choice)) for choice in items(body.get("choices"))]
    return body


def _embed_request(message: Json) -> HttpRequest:
    fields = dict(mapping(message))
    fields["input"] = [mapping(item).get("string", "") for item in items(fields.get("input"))]
    return HttpRequest("/v1/embeddings", fields)


def _embed_response(message: Json) -> Json:
    body = dict(mapping(message))
    vectors = [mapping(item) for item in items(body.pop("embeddings", None))]
    parts = [mapping(next(iter(items(vector.get("embeddings"))), None)) for vector in vectors]
    return {**body, "data": [{"embedding": part.get("float_array")} for part in parts]}


def _image_request(message: Json) -> HttpRequest:
    return HttpRequest("/v1/images/generations", dict(mapping(message)))


def _image_response(message: Json) -> Json:
    body = dict(mapping(message))
    usage = mapping(body.get("usage"))
    pictures = [mapping(picture) for picture in items(body.pop("images", None))]
    return {
        **body,
        "data": [{"url": item.get("url"), "b64_json": _plain_base64(item)} for item in pictures],
        "usage": {
            **usage,
            "input_tokens": usage.get("prompt_tokens"),
            "output_tokens": usage.get("completion_tokens"),
        },
    }


def _plain_base64(picture: Any) -> str:
    """It comes as a `data:` address."""
    return word(picture, "base64").rpartition(",")[2]


def _xai(
    wire_format: WireFormat,
    request: Callable[[Json], HttpRequest],
    response: Callable[[Json], Json] = unchanged,
    *,
    by_path: bool = True,
) -> GrpcMethod:
    left_out = frozenset({"debug_output", "logprobs"})
    return GrpcMethod("x_ai", wire_format, request, response, by_path=by_path, left_out=left_out)


METHODS: Final[Mapping[str, GrpcMethod]] = {
    "/xai_api.Chat/GetCompletion": _xai(chat.FORMAT, _chat_request, _chat_response),
    "/xai_api.Chat/GetCompletionChunk": _xai(chat.FORMAT, _streamed_request, _chat_response),
    "/xai_api.Chat/StartDeferredCompletion": _xai(_QUEUED, _chat_request, by_path=False),
    "/xai_api.Chat/GetDeferredCompletion": _xai(_FETCH, _fetch_request, _fetched, by_path=False),
    "/xai_api.Chat/GetStoredCompletion": _xai(_FETCH, _fetch_request, _fetched, by_path=False),
    "/xai_api.Sample/SampleText": _xai(completions.FORMAT, _sample_request, _sample_response),
    "/xai_api.Sample/SampleTextStreaming": _xai(completions.FORMAT, _sample_request, _sample_response),
    "/xai_api.Embedder/Embed": _xai(embeddings.FORMAT, _embed_request, _embed_response),
    "/xai_api.Image/GenerateImage": _xai(images.FORMAT, _image_request, _image_response),
}

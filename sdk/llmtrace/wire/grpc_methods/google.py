"""Vertex AI's PredictionService and Gemini's GenerativeService: messages whose JSON is the REST API's."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Final

from llmtrace.wire.format import Json, WireFormat, mapping, word
from llmtrace.wire.gemini import embeddings, generate_content

from . import predictions
from .method import GrpcMethod, HttpRequest

_VERTEX: Final = "/google.cloud.aiplatform.{}.PredictionService/{}"
_GEMINI: Final = "/google.ai.generativelanguage.{}.{}/{}"
_VERSIONS: Final = ("v1", "v1beta", "v1beta1", "v1beta2", "v1beta3", "v1alpha")
_CONTENT: Final[Mapping[str, WireFormat]] = {
    "GenerateContent": generate_content.FORMAT,
    "StreamGenerateContent": generate_content.FORMAT,
    "EmbedContent": embeddings.FORMAT,
    "BatchEmbedContents": embeddings.FORMAT,
}
_PREDICT: Final = ("Predict", "DirectPredict", "ServerStreamingPredict", "StreamingPredict")
_RAW: Final = ("RawPredict", "StreamRawPredict")


def _said_as(name: str) -> Callable[[Json], HttpRequest]:
    """The path ends with the method's name after a colon, and has the model or endpoint before it."""
    ending = name[0].lower() + name[1:]

    def request(message: Json) -> HttpRequest:
        body = dict(mapping(message))
        resource = word(body, "model") or word(body, "endpoint")
        return HttpRequest(f"/v1/{resource}:{ending}", body)

    return request


def _raw(name: str) -> Callable[[Json], HttpRequest]:
    """The body is inside the message, whole: another provider's, as Anthropic's on Vertex AI."""
    as_request = _said_as(name)

    def request(message: Json) -> HttpRequest:
        return HttpRequest(as_request(message).path, http_body(mapping(message).get("httpBody")))

    return request


def http_body(message: Json) -> bytes:
    """What `google.api.HttpBody` holds."""
    try:
        return base64.b64decode(word(mapping(message), "data"))
    except ValueError:
        return b""


METHODS: Final[Mapping[str, GrpcMethod]] = {
    **{
        _VERTEX.format(version, name): GrpcMethod("gcp.vertex_ai", wire_format, _said_as(name), camel=True)
        for version in _VERSIONS
        for name, wire_format in _CONTENT.items()
    },
    **{
        _VERTEX.format(version, name): GrpcMethod(
            "gcp.vertex_ai", predictions.FORMAT, _said_as("Predict"), camel=True
        )
        for version in _VERSIONS
        for name in _PREDICT
    },
    **{
        _VERTEX.format(version, name): GrpcMethod(
            "gcp.vertex_ai", predictions.FORMAT, _raw(name), http_body, camel=True
        )
        for version in _VERSIONS
        for name in _RAW
    },
    **{
        _GEMINI.format(version, service, name): GrpcMethod(
            "gcp.gemini", wire_format, _said_as(name), camel=True
        )
        for version in _VERSIONS
        for service in ("GenerativeService", "PredictionService")
        for name, wire_format in _CONTENT.items()
    },
}

"""Models served as functions of tensors: Triton and KServe, TensorFlow Serving, Vertex AI's endpoints.

They count no tokens and name no price. The model is in the path, as over HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from llmtrace import semconv
from llmtrace.wire.format import Json, Translation, WireFormat, mapping, put_text, whole, word

from .method import GrpcMethod, HttpRequest

_RESERVED: Final = "reserved"
"""The tier of capacity that is paid whether it is used or not."""
_MODEL: Final = re.compile(r"/(?:models|endpoints)/([^/:]+)")
_TENSORS: Final = frozenset({"contents", "raw_input_contents", "raw_output_contents", "inputs", "outputs"})


def request(body: Json, path: str, content: bool) -> Translation:
    """The model, by the path. That there are no tokens is told, not unknown."""
    translation = Translation(
        {
            semconv.RESPONSE_SERVICE_TIER: _RESERVED,
            semconv.USAGE_INPUT_TOKENS: 0,
            semconv.USAGE_OUTPUT_TOKENS: 0,
        }
    )
    model = _MODEL.search(path)
    put_text(translation.attributes, semconv.REQUEST_MODEL, model and model[1])
    return translation


def response(body: Json, content: bool) -> Translation:
    """The version that answered, where the answer names it."""
    payload = mapping(body)
    name = word(payload, "model_name") or word(payload, "modelDisplayName")
    version = word(payload, "model_version") or word(payload, "modelVersionId")
    translation = Translation()
    put_text(
        translation.attributes, semconv.RESPONSE_MODEL, f"{name}:{version}" if name and version else name
    )
    put_text(translation.attributes, semconv.RESPONSE_ID, payload.get("id"))
    return translation


FORMAT: Final = WireFormat(
    provider="predictions",
    operation=semconv.PREDICT_OPERATION,
    endings=("infer", "predict"),
    matches=lambda path, body: False,
    request=request,
    response=response,
    fold=whole,
)


def _triton_request(message: Json) -> HttpRequest:
    fields = mapping(message)
    version = word(fields, "model_version")
    versioned = f"/versions/{version}" if version else ""
    body = {"id": word(fields, "id"), "inputs": []}
    return HttpRequest(f"/v2/models/{word(fields, 'model_name')}{versioned}/infer", body)


def _triton_response(message: Json) -> Json:
    fields = mapping(message)
    if error := word(fields, "error_message"):  # of a stream, whose status is OK
        return {"error": error}
    return fields.get("infer_response", fields)


def _tensorflow_request(message: Json) -> HttpRequest:
    spec = mapping(mapping(message).get("model_spec"))
    version = spec.get("version")
    versioned = f"/versions/{version}" if version is not None else ""
    return HttpRequest(f"/v1/models/{word(spec, 'name')}{versioned}:predict", {"instances": []})


def _tensorflow_response(message: Json) -> Json:
    spec = mapping(mapping(message).get("model_spec"))
    version = spec.get("version")
    return {"model_name": spec.get("name"), "model_version": None if version is None else str(version)}


def _triton(*, left_out: frozenset[str] = _TENSORS) -> GrpcMethod:
    return GrpcMethod(
        "", FORMAT, _triton_request, _triton_response, has_finish_reasons=False, left_out=left_out
    )


METHODS: Final[Mapping[str, GrpcMethod]] = {
    **{f"/inference.GRPCInferenceService/{name}": _triton() for name in ("ModelInfer", "ModelStreamInfer")},
    **{
        f"/tensorflow.serving.PredictionService/{name}": GrpcMethod(
            "", FORMAT, _tensorflow_request, _tensorflow_response, left_out=_TENSORS | {"input", "result"}
        )
        for name in ("Predict", "Classify", "Regress")
    },
}

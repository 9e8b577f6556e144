"""Messages of services that speak gRPC, made without their packages: names and numbers are those of the
published definitions, of the fields that a call needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    struct_pb2,
    wrappers_pb2,
)

_SCALARS: Final = {
    "double": 1, "float": 2, "int64": 3, "uint64": 4, "int32": 5, "bool": 8, "string": 9, "bytes": 12,
    "uint32": 13,
}  # fmt: skip
_MESSAGE, _ENUM = 11, 14
_OPTIONAL, _REPEATED = 1, 3


class Messages:
    """The classes of one package, as attributes.

    messages: name → fields, each `name=number:type`, or with `*` for `:` where it is repeated.
    enums: name → values, from 0.
    """

    def __init__(
        self, package: str, messages: Mapping[str, str], enums: Mapping[str, str] | None = None
    ) -> None:
        self._package = package
        self._pool = descriptor_pool.DescriptorPool()
        for known in (struct_pb2, wrappers_pb2):
            self._pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
        file = descriptor_pb2.FileDescriptorProto(
            name=f"{package}.proto",
            package=package,
            syntax="proto3",
            dependency=["google/protobuf/struct.proto", "google/protobuf/wrappers.proto"],
        )
        kinds = enums or {}
        for name, values in kinds.items():
            enum = file.enum_type.add(name=name)
            for number, value in enumerate(values.split()):
                enum.value.add(name=value, number=number)
        for name, fields in messages.items():
            message = file.message_type.add(name=name)
            for text in fields.split():
                self._add_field(message, text, kinds)
        self._pool.Add(file)

    def _add_field(self, message: Any, text: str, enums: Mapping[str, str]) -> None:
        mark = "*" if "*" in text else ":"
        named, _, kind = text.partition(mark)
        name, _, number = named.partition("=")
        field = message.field.add(
            name=name, number=int(number), label=_REPEATED if mark == "*" else _OPTIONAL
        )
        if kind in _SCALARS:
            field.type = _SCALARS[kind]
        else:
            field.type = _ENUM if kind in enums else _MESSAGE
            field.type_name = f".{kind}" if "." in kind else f".{self._package}.{kind}"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(f"{self._package}.{name}"))


XAI: Final = Messages(
    "xai_api",
    {
        "GetCompletionsRequest": "messages=1*Message model=2:string max_tokens=7:int32 temperature=14:float"
        " tools=17*Tool reasoning_effort=19:ReasoningEffort",
        "Message": "content=1*Content role=2:MessageRole tool_calls=4*ToolCall tool_call_id=7:string",
        "Content": "text=1:string image_url=2:ImageUrlContent",
        "ImageUrlContent": "image_url=1:string",
        "Tool": "function=1:Function web_search=3:WebSearch",
        "Function": "name=1:string description=2:string parameters=4:string",
        "WebSearch": "allowed_domains=2*string",
        "ToolCall": "id=1:string function=10:FunctionCall",
        "FunctionCall": "name=1:string arguments=2:string",
        "GetChatCompletionResponse": "id=1:string outputs=2*CompletionOutput model=6:string"
        " usage=9:SamplingUsage",
        "CompletionOutput": "finish_reason=1:FinishReason index=2:int32 message=3:CompletionMessage",
        "CompletionMessage": "content=1:string role=2:MessageRole tool_calls=3*ToolCall"
        " reasoning_content=4:string",
        "GetChatCompletionChunk": "id=1:string outputs=2*CompletionOutputChunk model=4:string"
        " usage=6:SamplingUsage",
        "CompletionOutputChunk": "delta=1:Delta finish_reason=3:FinishReason index=4:int32",
        "Delta": "content=1:string role=2:MessageRole tool_calls=3*ToolCall reasoning_content=4:string",
        "SamplingUsage": "completion_tokens=1:int32 prompt_tokens=2:int32 total_tokens=3:int32"
        " prompt_image_tokens=5:int32 reasoning_tokens=6:int32 cached_prompt_text_tokens=7:int32"
        " cost_in_usd_ticks=11:int64",
        "StartDeferredResponse": "request_id=1:string",
        "GetDeferredRequest": "request_id=1:string",
        "GetDeferredCompletionResponse": "response=1:GetChatCompletionResponse status=2:DeferredStatus",
        "SampleTextRequest": "prompt=1*string model=3:string",
        "SampleTextResponse": "id=1:string choices=2*SampleChoice model=6:string usage=9:SamplingUsage",
        "SampleChoice": "finish_reason=1:FinishReason index=2:int32 text=3:string",
        "EmbedRequest": "input=1*EmbedInput model=2:string",
        "EmbedInput": "string=1:string",
        "EmbedResponse": "id=1:string embeddings=2*Embedding model=4:string",
        "Embedding": "index=1:int32 embeddings=2*FeatureVector",
        "FeatureVector": "float_array=1*float",
        "GenerateImageRequest": "prompt=1:string model=2:string n=3:int32",
        "ImageResponse": "images=1*GeneratedImage model=2:string usage=3:SamplingUsage",
        "GeneratedImage": "base64=1:string url=3:string",
    },
    {
        "MessageRole": "INVALID_ROLE ROLE_USER ROLE_ASSISTANT ROLE_SYSTEM ROLE_FUNCTION ROLE_TOOL",
        "ReasoningEffort": "INVALID_EFFORT EFFORT_LOW EFFORT_MEDIUM EFFORT_HIGH",
        "FinishReason": "REASON_INVALID REASON_MAX_LEN REASON_MAX_CONTEXT REASON_STOP REASON_TOOL_CALLS",
        "DeferredStatus": "INVALID_DEFERRED_STATUS DONE EXPIRED PENDING",
    },
)
_GOOGLE: Final = {
    "GenerateContentRequest": "model=1:string contents=2*Content generation_config=4:GenerationConfig"
    " system_instruction=8:Content",
    "Content": "role=1:string parts=2*Part",
    "Part": "text=1:string function_call=5:FunctionCall inline_data=2:Blob",
    "Blob": "mime_type=1:string data=2:bytes",
    "FunctionCall": "name=1:string args=2:google.protobuf.Struct",
    "GenerationConfig": "temperature=1:float max_output_tokens=5:int32",
    "GenerateContentResponse": "candidates=2*Candidate usage_metadata=4:UsageMetadata"
    " model_version=11:string response_id=13:string",
    "Candidate": "index=1:int32 content=2:Content finish_reason=4:FinishReason",
    "UsageMetadata": "prompt_token_count=1:int32 candidates_token_count=2:int32 total_token_count=3:int32"
    " cached_content_token_count=5:int32 thoughts_token_count=14:int32"
    " prompt_tokens_details=9*ModalityTokenCount",
    "ModalityTokenCount": "modality=1:Modality token_count=2:int32",
    "EmbedContentRequest": "model=1:string content=2:Content",
    "EmbedContentResponse": "embedding=1:ContentEmbedding",
    "ContentEmbedding": "values=1*float",
    "PredictRequest": "endpoint=1:string instances=2*google.protobuf.Value",
    "PredictResponse": "predictions=1*google.protobuf.Value deployed_model_id=2:string",
    "RawPredictRequest": "endpoint=1:string http_body=2:HttpBody",
    "HttpBody": "content_type=1:string data=2:bytes",
}
_GOOGLE_ENUMS: Final = {
    "FinishReason": "FINISH_REASON_UNSPECIFIED STOP MAX_TOKENS SAFETY",
    "Modality": "MODALITY_UNSPECIFIED TEXT IMAGE",
}
VERTEX: Final = Messages("google.cloud.aiplatform.v1", _GOOGLE, _GOOGLE_ENUMS)
GEMINI: Final = Messages("google.ai.generativelanguage.v1beta", _GOOGLE, _GOOGLE_ENUMS)
TRITON: Final = Messages(
    "inference",
    {
        "ModelInferRequest": "model_name=1:string model_version=2:string id=3:string inputs=5*Tensor"
        " raw_input_contents=7*bytes",
        "Tensor": "name=1:string datatype=2:string shape=3*int64",
        "ModelInferResponse": "model_name=1:string model_version=2:string id=3:string outputs=5*Tensor",
        "ModelStreamInferResponse": "error_message=1:string infer_response=2:ModelInferResponse",
    },
)
TENSORFLOW: Final = Messages(
    "tensorflow.serving",
    {
        "PredictRequest": "model_spec=1:ModelSpec",
        "PredictResponse": "model_spec=2:ModelSpec",
        "ModelSpec": "name=1:string version=2:google.protobuf.Int64Value signature_name=3:string",
    },
)
QDRANT: Final = Messages(
    "qdrant",
    {
        "QueryPoints": "collection_name=1:string limit=8:uint64",
        "QueryResponse": "result=1*ScoredPoint",
        "QueryBatchPoints": "collection_name=1:string query_points=2*QueryPoints",
        "QueryBatchResponse": "result=1*BatchResult",
        "BatchResult": "result=1*ScoredPoint",
        "ScoredPoint": "id=1:PointId score=3:float",
        "PointId": "num=1:uint64 uuid=2:string",
    },
)
PINECONE: Final = Messages(
    "pinecone",
    {
        "QueryRequest": "namespace=1:string top_k=2:uint32 vector=6*float",
        "QueryResponse": "matches=2*ScoredVector namespace=3:string",
        "ScoredVector": "id=1:string score=2:float",
    },
)
MILVUS: Final = Messages(
    "milvus",
    {
        "SearchRequest": "db_name=2:string collection_name=3:string search_params=10*KeyValuePair",
        "KeyValuePair": "key=1:string value=2:string",
        "SearchResults": "status=1:Status results=2:SearchResultData",
        "Status": "reason=2:string code=3:int32",
        "SearchResultData": "scores=4*float ids=5:IDs",
        "IDs": "int_id=1:LongArray",
        "LongArray": "data=1*int64",
    },
)
WEAVIATE: Final = Messages(
    "weaviate.v1",
    {
        "SearchRequest": "collection=1:string limit=30:uint32 near_text=43:NearTextSearch",
        "NearTextSearch": "query=1*string",
        "SearchReply": "results=2*SearchResult",
        "SearchResult": "metadata=2:MetadataResult",
        "MetadataResult": "id=1:string distance=7:float distance_present=8:bool",
    },
)
OTHER: Final = Messages(
    "example",
    {
        "Asked": "model=1:string text=2:string",
        "Answered": "text=1:string usage=2:Usage",
        "Gathered": "text=1:string usage=2:Usage model=3:string",
        "Usage": "input_tokens=1:int64 output_tokens=2:int64 cached_tokens=3:int64",
        "Plain": "text=1:string",
    },
)

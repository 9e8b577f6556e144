"""Messages of gRPC as the JSON of the same API over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrace.capture.grpc_calls import address_of
from llmtrace.wire.grpc_methods import table, xai
from llmtrace.wire.grpc_methods.message_json import message_class, to_json
from tests.grpc_messages import GEMINI, OTHER, QDRANT, VERTEX, XAI

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
parts = st.fixed_dictionaries(
    {},
    optional={
        "text": texts,
        "functionCall": st.fixed_dictionaries({"args": st.dictionaries(texts, values, max_size=3)}),
    },
)
responses = st.fixed_dictionaries(
    {},
    optional={
        "candidates": st.lists(
            st.fixed_dictionaries(
                {"content": st.fixed_dictionaries({"parts": st.lists(parts, max_size=3)})},
                optional={"finishReason": st.sampled_from(["STOP", "SAFETY"]), "index": st.integers(0, 9)},
            ),
            max_size=3,
        ),
        "usageMetadata": st.fixed_dictionaries({"promptTokenCount": st.integers(0, 2**31 - 1)}),
        "modelVersion": texts,
    },
)


@given(responses)
def test_it_is_protobufs_own_json(body: dict[str, Any]) -> None:
    kind = VERTEX.GenerateContentResponse
    message = json_format.ParseDict(body, kind())
    expected = json_format.MessageToDict(message)
    assert to_json(kind, message.SerializeToString(), camel=True) == expected


@given(st.binary(max_size=200))
def test_any_bytes(serialized: bytes) -> None:
    for kind in (XAI.GetChatCompletionResponse, GEMINI.GenerateContentResponse, OTHER.Answered):
        assert isinstance(to_json(kind, serialized), dict | None)


@settings(max_examples=60)
@given(values, st.sampled_from(sorted(table.METHODS)))
def test_any_json_in_any_method(body: Any, path: str) -> None:
    """A message of another version may have any fields."""
    method = table.METHODS[path]
    for message in (body, {"model": body, "messages": body, "usage": body, "result": body, "outputs": body}):
        assert isinstance(method.request(message).path, str)
        method.response(message)


def test_large_integers_are_numbers_and_vectors_are_short() -> None:
    point = QDRANT.QueryPoints(collection_name="docs", limit=2**40)
    assert to_json(QDRANT.QueryPoints, point.SerializeToString()) == {
        "collection_name": "docs", "limit": 2**40,
    }  # fmt: skip
    vectors = [XAI.Embedding(embeddings=[XAI.FeatureVector(float_array=[0.5] * 3072)]) for _ in range(3)]
    body = to_json(XAI.EmbedResponse, XAI.EmbedResponse(embeddings=vectors).SerializeToString())
    lengths = [len(item["embeddings"][0]["float_array"]) for item in body["embeddings"]]
    assert lengths == [3072, 0, 0]


def test_fields_can_be_left_out() -> None:
    message = OTHER.Asked(model="m", text="a").SerializeToString()
    assert to_json(OTHER.Asked, message, left_out=frozenset({"text"})) == {"model": "m"}
    assert to_json(OTHER.Asked, b"\xff\xff") is None


def test_classes() -> None:
    assert message_class(OTHER.Asked) is OTHER.Asked
    assert message_class(None, OTHER.Asked.FromString) is OTHER.Asked
    assert message_class(dict, None) is None
    assert message_class(type(None), lambda data: data) is None


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("api.x.ai:443", ("api.x.ai", 443)),
        ("api.x.ai", ("api.x.ai", 443)),
        ("dns:///api.x.ai:8443", ("api.x.ai", 8443)),
        ("dns://8.8.8.8/api.x.ai", ("api.x.ai", 443)),
        ("ipv4:127.0.0.1:50051", ("127.0.0.1", 50051)),
        ("[::1]:50051", ("::1", 50051)),
        ("::1", ("::1", 443)),
        ("unix:/run/model.sock", ("unix:/run/model.sock", 0)),
        ("", ("", 443)),
    ],
)
def test_addresses(target: str, address: tuple[str, int]) -> None:
    assert address_of(target) == address


def test_words_of_xai() -> None:
    request = XAI.GetCompletionsRequest(
        model="grok-4",
        messages=[
            XAI.Message(
                role="ROLE_USER", content=[XAI.Content(image_url=XAI.ImageUrlContent(image_url="u"))]
            ),
            XAI.Message(role="ROLE_TOOL", tool_call_id="c-1", content=[XAI.Content(text="4")]),
        ],
        tools=[
            XAI.Tool(function=XAI.Function(name="f", parameters="{}")),
            XAI.Tool(web_search=XAI.WebSearch(allowed_domains=["a.b"])),
        ],
        reasoning_effort="EFFORT_HIGH",
    )
    method = xai.METHODS["/xai_api.Chat/GetCompletionChunk"]
    path, body = method.request(to_json(XAI.GetCompletionsRequest, request.SerializeToString()))
    assert path == "/v1/chat/completions"
    assert isinstance(body, dict)
    assert body["stream"] is True
    assert body["reasoning_effort"] == "high"
    assert [message["role"] for message in body["messages"]] == ["user", "tool"]
    assert body["messages"][0]["content"] == [{"type": "image_url", "image_url": {"url": "u"}}]
    assert body["tools"][1] == {"type": "web_search", "allowed_domains": ["a.b"]}

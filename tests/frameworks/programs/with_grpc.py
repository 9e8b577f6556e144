"""Clients of models over gRPC, at a server of it. Prints the spans.

with_grpc.py xai|gemini
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.ai.generativelanguage_v1beta import GenerativeServiceClient
from google.ai.generativelanguage_v1beta.services.generative_service.transports import (
    GenerativeServiceGrpcTransport,
)
from google.ai.generativelanguage_v1beta.types import generative_service as gemini
from xai_sdk import AsyncClient, Client
from xai_sdk.chat import user
from xai_sdk.proto import chat_pb2, chat_pb2_grpc

from llmtrace.testing import capture

GENERATED = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finish_reason": "STOP"}],
    "usage_metadata": {"prompt_token_count": 12, "candidates_token_count": 5, "total_token_count": 17},
}


class Chat(chat_pb2_grpc.ChatServicer):  # type: ignore[misc]  # without types here
    """xAI's."""

    def GetCompletion(self, request: Any, context: Any) -> Any:
        return self._answer(chat_pb2.GetChatCompletionResponse, message={"content": "Hi"})

    def GetCompletionChunk(self, request: Any, context: Any) -> Any:
        yield self._answer(chat_pb2.GetChatCompletionChunk, delta={"content": "Hi"})

    def _answer(self, kind: Any, **output: Any) -> Any:
        usage = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
        outputs = [{"finish_reason": "REASON_STOP", **output}]
        return kind(id="r-1", model="grok-4-0709", outputs=outputs, usage=usage)


class Gemini(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Google's."""

    def service(self, details: Any) -> Any:
        kinds = gemini.GenerateContentRequest.deserialize, gemini.GenerateContentResponse.serialize
        answer = gemini.GenerateContentResponse(GENERATED)
        if details.method.endswith("/GenerateContent"):
            return grpc.unary_unary_rpc_method_handler(lambda *_: answer, *kinds)
        if details.method.endswith("/StreamGenerateContent"):
            return grpc.unary_stream_rpc_method_handler(lambda *_: iter([answer]), *kinds)
        return None


def ask_xai(target: str) -> None:
    chat = Client(api_key="xai-key", api_host=target, use_insecure_channel=True).chat.create(
        model="grok-4", messages=[user("Hello")]
    )
    chat.sample()
    list(chat.stream())

    async def later() -> None:
        client = AsyncClient(api_key="xai-key", api_host=target, use_insecure_channel=True)
        await client.chat.create(model="grok-4", messages=[user("Hello")]).sample()
        await client.close()

    asyncio.run(later())


def ask_gemini(target: str) -> None:
    client = GenerativeServiceClient(
        transport=GenerativeServiceGrpcTransport(channel=grpc.insecure_channel(target))
    )
    asked = {"model": "models/gemini-2.5-flash", "contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    client.generate_content(request=asked)
    list(client.stream_generate_content(request=asked))


def main() -> None:
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers((Gemini(),))
        chat_pb2_grpc.add_ChatServicer_to_server(Chat(), server)
        target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        with capture() as traces:
            {"xai": ask_xai, "gemini": ask_gemini}[sys.argv[1]](target)
            deadline = time.monotonic() + 10  # a stream's status comes a moment after its last message
            wanted = {"xai": 3, "gemini": 2}[sys.argv[1]]
            while time.monotonic() < deadline:
                calls = [span for span in traces.spans() if "rpc.method" in (span.attributes or {})]
                if len(calls) >= wanted:
                    break
                time.sleep(0.02)
            print(json.dumps([dict(span.attributes or {}) for span in traces.spans()]))
        server.stop(None).wait()


if __name__ == "__main__":
    main()

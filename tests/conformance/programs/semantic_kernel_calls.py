"""Semantic Kernel on OpenAI's API, with its own diagnostics: spans, and log records with what was said."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from collections.abc import Callable
from typing import Annotated, Any

from program import gathered, in_threads, run
from questions import (
    CHAT_MODEL,
    EMBEDDING_MODEL,
    LENGTHS,
    PICTURE,
    PICTURE_TYPE,
    QUESTION,
    REASONING_MODEL,
    SYSTEM,
    TEXTS,
    TOOL_DESCRIPTION,
    TOOL_NAME,
    TOOL_QUESTION,
)
from tracers import exporting_provider


def switch_on(tracer: str, otlp: str) -> Callable[[], object]:
    """Set the providers of spans and of log records before the kernel is imported; what flushes."""
    os.environ["SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS"] = "true"
    os.environ["SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE"] = "true"
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    spans = exporting_provider(otlp)
    records = LoggerProvider(resource=spans.resource)
    records.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{otlp}/v1/logs")))
    kernel_logger = logging.getLogger("semantic_kernel")
    kernel_logger.addHandler(LoggingHandler(logger_provider=records))
    kernel_logger.setLevel(logging.INFO)

    def flush() -> None:
        spans.shutdown()
        records.shutdown()  # type: ignore[no-untyped-call, unused-ignore]

    return flush


def service(url: str, model: str = CHAT_MODEL, retries: int = 0) -> Any:
    """The chat service of a cell."""
    import openai
    from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion

    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=retries)
    return OpenAIChatCompletion(ai_model_id=model, async_client=client, service_id="chat")


def history(question: str = QUESTION) -> Any:
    """The question, below the instructions."""
    from semantic_kernel.contents import ChatHistory

    chat = ChatHistory(system_message=SYSTEM)
    chat.add_user_message(question)
    return chat


def settings(**fields: Any) -> Any:
    """Execution settings."""
    from semantic_kernel.connectors.ai.open_ai import OpenAIChatPromptExecutionSettings

    return OpenAIChatPromptExecutionSettings(**fields)


async def ask(url: str) -> None:
    await service(url).get_chat_message_contents(history(), settings())


def plain(url: str) -> None:
    asyncio.run(ask(url))


async def stream(url: str) -> None:
    wanted = settings(extension_data={"stream_options": {"include_usage": True}})
    async for _ in service(url).get_streaming_chat_message_contents(history(), wanted):
        pass


async def tools(url: str) -> None:
    from semantic_kernel import Kernel
    from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
    from semantic_kernel.functions import kernel_function

    class Bridges:
        @kernel_function(name=TOOL_NAME, description=TOOL_DESCRIPTION)
        def length(self, town: Annotated[str, "where the bridge stands"]) -> int:
            return LENGTHS.get(town, 0)

    kernel = Kernel()
    kernel.add_plugin(Bridges(), plugin_name="bridges")
    wanted = settings(function_choice_behavior=FunctionChoiceBehavior.Auto())
    await service(url).get_chat_message_contents(history(TOOL_QUESTION), wanted, kernel=kernel)


async def embeddings(url: str) -> None:
    import openai
    from semantic_kernel.connectors.ai.open_ai import OpenAITextEmbedding

    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0)
    await OpenAITextEmbedding(ai_model_id=EMBEDDING_MODEL, async_client=client).generate_embeddings(TEXTS)


async def images(url: str) -> None:
    from semantic_kernel.contents import ChatHistory, ChatMessageContent, ImageContent, TextContent

    picture = ImageContent(data=base64.b64decode(PICTURE), mime_type=PICTURE_TYPE, data_format="base64")
    chat = ChatHistory()
    chat.add_message(ChatMessageContent(role="user", items=[TextContent(text=QUESTION), picture]))
    await service(url).get_chat_message_contents(chat, settings())


async def reasoning(url: str) -> None:
    wanted = settings(reasoning_effort="low")
    await service(url, REASONING_MODEL).get_chat_message_contents(history(), wanted)


async def retry(url: str) -> None:
    await service(url, retries=2).get_chat_message_contents(history(), settings())


if __name__ == "__main__":
    run(
        {
            "plain": plain,
            "stream": stream,
            "tools": tools,
            "parallel_tools": tools,
            "embeddings": embeddings,
            "images": images,
            "reasoning": reasoning,
            "cached": plain,
            "error": plain,
            "retry": retry,
            "async": ask,
            "thread": in_threads(plain),
            "batch": gathered(ask),
        },
        switch_on=switch_on,
    )

"""Make calls through a framework with any number of tracers switched on.

python emit_calls.py FRAMEWORK TRACERS API_URL OTLP_URL [one|own] < groups.json

FRAMEWORK is openai, langchain or llamaindex. TRACERS are names of `TRACERS` with commas between, and
`llmtrace`: first it has the provider that the others use, later it finds one. With `own` each of the others
has a provider and an exporter of its own, as two vendors' set-ups have; with `one` they share.

Standard input is a list of groups; the calls of a group are made at once, by a thread each, groups one
after the other. A call has `call`, `recording`, `kind`, `model`, `messages` or `input`, `stream`, `tools`
and `nested`. The replay finds the answer by the headers `x-recording` and `x-call`. Prints a list of [call,
start, end, error]: Unix nanoseconds around each call, and what it raised.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

#: Name → module and class of the instrumentor.
TRACERS = {
    "openllmetry-openai": ("opentelemetry.instrumentation.openai", "OpenAIInstrumentor"),
    "openllmetry-langchain": ("opentelemetry.instrumentation.langchain", "LangchainInstrumentor"),
    "openllmetry-llamaindex": ("opentelemetry.instrumentation.llamaindex", "LlamaIndexInstrumentor"),
    "openinference-openai": ("openinference.instrumentation.openai", "OpenAIInstrumentor"),
    "openinference-langchain": ("openinference.instrumentation.langchain", "LangChainInstrumentor"),
    "openinference-llamaindex": ("openinference.instrumentation.llama_index", "LlamaIndexInstrumentor"),
}

Call = dict[str, Any]


def provider(otlp: str) -> Any:
    """A tracer provider that exports each span as it ends."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": "shop", "service.instance.id": str(os.getpid())})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(f"{otlp}/v1/traces"), schedule_delay_millis=500)
    )
    return tracers


def instrument(names: list[str], otlp: str, *, shared: bool) -> list[Any]:
    """Switch the tracers on; the providers to flush."""
    from opentelemetry import trace

    providers: list[Any] = []
    if names[0] == "llmtrace":
        _init_llmtrace(otlp)
        providers.append(trace.get_tracer_provider())
    else:
        providers.append(provider(otlp))
        trace.set_tracer_provider(providers[0])
    others = [name for name in names if name != "llmtrace"]
    for position, name in enumerate(others):
        module, instrumentor = TRACERS[name]
        if not shared and position:
            providers.append(provider(otlp))
        getattr(importlib.import_module(module), instrumentor)().instrument(tracer_provider=providers[-1])
    if "llmtrace" in names[1:]:
        _init_llmtrace(otlp)
    return providers


def _init_llmtrace(otlp: str) -> None:
    importlib.import_module("llmtrace").init(endpoint=otlp, service_name="shop")


def _client(call: Call, api: str) -> dict[str, Any]:
    return {
        "api_key": "k",
        "max_retries": 0,
        "default_headers": {"x-recording": str(call["recording"]), "x-call": str(call["call"])},
        "url": f"{api}/v1",
    }


def with_openai(call: Call, api: str) -> None:
    """The provider's own client."""
    import openai

    options = _client(call, api)
    client = openai.OpenAI(base_url=options.pop("url"), **options)
    if call["kind"] == "embeddings":
        client.embeddings.create(model=call["model"], input=call["input"])
        return
    request: dict[str, Any] = {"model": call["model"], "messages": call["messages"]}
    if call.get("tools"):
        request["tools"] = call["tools"]
    if call.get("stream"):
        for _ in client.chat.completions.create(
            **request, stream=True, stream_options={"include_usage": True}
        ):
            pass
    else:
        client.chat.completions.create(**request)


def with_langchain(call: Call, api: str) -> None:
    """A model, or a chain around it where the call is `nested`."""
    from langchain_core.messages.utils import convert_to_messages
    from langchain_core.runnables import RunnableLambda
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    options = _client(call, api)
    options["base_url"] = options.pop("url")
    if call["kind"] == "embeddings":
        OpenAIEmbeddings(model=call["model"], check_embedding_ctx_length=False, **options).embed_documents(
            call["input"]
        )
        return
    model: Any = ChatOpenAI(model=call["model"], stream_usage=True, **options)
    if call.get("tools"):
        model = model.bind(tools=call["tools"])
    if call.get("nested"):
        model = RunnableLambda(lambda messages: messages).with_config(run_name="prepare") | model
    messages = convert_to_messages([{"content": "", **message} for message in call["messages"]])
    if call.get("stream"):
        for _ in model.stream(messages):
            pass
    else:
        model.invoke(messages)


def with_llamaindex(call: Call, api: str) -> None:
    """LlamaIndex's classes for OpenAI."""
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.embeddings.openai import OpenAIEmbedding
    from llama_index.llms.openai import OpenAI

    options = _client(call, api)
    options["api_base"] = options.pop("url")
    if call["kind"] == "embeddings":
        OpenAIEmbedding(model=call["model"], **options).get_text_embedding_batch(call["input"])
        return
    model = OpenAI(
        model=call["model"],
        additional_kwargs={"stream_options": {"include_usage": True}} if call.get("stream") else {},
        **options,
    )
    messages = [
        ChatMessage(role=message["role"], content=_text(message.get("content")))
        for message in call["messages"]
    ]
    tools = {"tools": call["tools"]} if call.get("tools") else {}
    if call.get("stream"):
        for _ in model.stream_chat(messages, **tools):
            pass
    else:
        model.chat(messages, **tools)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


FRAMEWORKS: dict[str, Callable[[Call, str], None]] = {
    "openai": with_openai,
    "langchain": with_langchain,
    "llamaindex": with_llamaindex,
}


def main() -> None:
    """Set up, call, export."""
    framework, tracers, api, otlp = sys.argv[1:5]
    os.environ["TRACELOOP_TRACE_CONTENT"] = "true"
    providers = instrument(tracers.split(","), otlp, shared="own" not in sys.argv[5:])
    make_call = FRAMEWORKS[framework]
    times: list[tuple[Any, int, int, str]] = []
    lock = threading.Lock()

    def timed(call: Call) -> None:
        start, error = time.time_ns(), ""
        try:
            make_call(call, api)
        except Exception as failure:  # of a provider, a framework or a tracer: it is printed
            error = f"{type(failure).__name__}: {failure}"[:300]
        with lock:
            times.append((call["call"], start, time.time_ns(), error))

    for group in json.load(sys.stdin):
        if len(group) == 1:
            timed(group[0])
        else:
            with ThreadPoolExecutor(len(group)) as threads:
                list(threads.map(timed, group))
    if "llmtrace" in tracers.split(","):
        importlib.import_module("llmtrace").flush()
    for tracer_provider in providers:
        tracer_provider.shutdown()
    print(json.dumps(times))


if __name__ == "__main__":
    main()

"""Gateways, frameworks and platforms that tell of their calls themselves."""

from __future__ import annotations

from tests.conformance.table import KIND_NAMES, Emitter

_NO_DATABASE = {"vector_query": "calls models only"}
_AGENTS = {**_NO_DATABASE, "embeddings": "its agents embed nothing"}
_ONLY_PYTHON = "our SDK is Python's"


_NO_ID = "it does not hand on the answer's id"
_NO_MODEL = "it does not hand on which model answered"
_NO_FIRST_TOKEN = {("stream", "first token"): "it tells no time of it"}
_FIRST_CHUNK = {("stream", "first token"): "it times the first chunk, which has no text yet"}
_NO_REASONING = {("reasoning", "ReasoningTokens"): "it tells no tokens of reasoning"}
_NO_CACHE = {
    ("cached", "CacheReadTokens"): "it tells no tokens of the cache",
    ("cached", "cost"): "it tells no tokens of the cache",
}
_NO_TOOLS = {
    (kind, "tools"): "it tells names of tools alone, or nothing of them"
    for kind in ("tools", "parallel_tools")
}
_LANGFUSE = {
    ("*", "request model"): "it has one name for both models, in the end that of the answering one",
    ("*", "response id"): _NO_ID,
    ("*", "finish reasons"): "it tells why an answer ended of streams alone",
    **_FIRST_CHUNK,
}
_LITELLM = {
    ("stream", "response model"): "of streams it has the model that was asked for",
    **_NO_FIRST_TOKEN,
    **{(kind, "answer"): "it tells calls of tools without their ids" for kind in ("tools", "parallel_tools")},
    ("embeddings", "response id"): "it makes up an id where the provider gives none",
    ("error", "response id"): "it makes up an id where the provider gives none",
    ("reasoning", "messages"): "it tells the messages from before it rewrote them for the model",
}
_PROXIED = {place: reason for place, reason in _LITELLM.items() if place[0] != "reasoning"}
_PROXY = {("*", "response model"): "it answers with the name by which the model was asked for"}
_FREE_FAILURE = {("error", "cost"): "it states 0 tokens of a failed call"}
_STRANDS = {
    ("*", "response model"): _NO_MODEL,
    ("*", "response id"): _NO_ID,
    **_NO_TOOLS,
    **_NO_REASONING,
    **{
        (kind, "first token"): "of calls of tools it times the end of the first"
        for kind in ("tools", "parallel_tools")
    },
}
_ADK = {
    ("*", "response model"): _NO_MODEL,
    ("*", "response id"): _NO_ID,
    **_NO_FIRST_TOKEN,
    **{
        (kind, differing): "it gives calls of tools ids of its own"
        for kind in ("tools", "parallel_tools")
        for differing in ("answer", "messages")
    },
    ("reasoning", "answer"): "it tells thoughts as text",
}
_VLLM = {
    ("*", "operation"): "it does not say which of its endpoints was asked",
    ("*", "provider"): "the server is a provider of its own, whichever model it serves",
    ("*", "cost"): "a server of one's own has no list price",
    ("*", "request model"): "it tells the answering model alone",
    ("*", "response id"): "its id of a request is not the answer's",
    ("*", "finish reasons"): "it does not tell why the answer ended",
    ("*", "messages"): "it tells no text",
    ("*", "answer"): "it tells no text",
}


EMITTERS: tuple[Emitter, ...] = (
    Emitter(
        "Langfuse",
        ("emitters", "langfuse-older"),
        "langfuse_calls.py",
        "langfuse",
        ("langfuse", "openai"),
        cannot=_NO_DATABASE,
        defects=_LANGFUSE,
    ),
    Emitter(
        "Langfuse observe",
        ("emitters", "langfuse-older"),
        "langfuse_calls.py",
        "langfuse-observe",
        ("langfuse", "openai"),
        cannot=_NO_DATABASE,
        defects=_LANGFUSE,
    ),
    Emitter(
        "LiteLLM",
        ("litellm", "litellm-older"),
        "litellm_otel_calls.py",
        "litellm",
        ("litellm",),
        cannot=_NO_DATABASE,
        defects=_LITELLM,
        older_defects={
            ("tools", "messages"): "it told no calls of tools in what was asked",
            ("parallel_tools", "messages"): "it told no calls of tools in what was asked",
            ("images", "messages"): "it told them as Python prints them",
        },
    ),
    Emitter(
        "LiteLLM v2",
        ("litellm",),
        "litellm_otel_calls.py",
        "litellm-v2",
        ("litellm",),
        cannot=_NO_DATABASE,
        defects={("*", "records"): "it tells of asynchronous calls alone"},
    ),
    *(
        Emitter(
            name,
            ("litellm-proxy",),
            "litellm_proxy_calls.py",
            tracer,
            ("litellm", "openai"),
            cannot=_NO_DATABASE
            | dict.fromkeys(
                ("images", "reasoning", "retry", "async", "thread", "batch"),
                "the proxy does what it does for the plain call",
            ),
            defects=defects,
            answers=True,
        )
        for name, tracer, defects in (
            ("LiteLLM proxy", "litellm", {**_PROXIED, **_PROXY}),
            ("LiteLLM proxy v2", "litellm-v2", {**_PROXY, **_FIRST_CHUNK, **_FREE_FAILURE}),
        )
    ),
    Emitter(
        "Vercel AI SDK",
        ("vercel", "vercel-older"),
        "vercel_calls.mjs",
        "vercel",
        ("ai", "@ai-sdk/openai"),
        cannot={**_NO_DATABASE, "async": "all its calls are", "thread": "JavaScript has none for it"},
        no_sdk=_ONLY_PYTHON,
        defects={
            ("tools", "tools"): "it writes inputSchema where the conventions have parameters",
            ("parallel_tools", "tools"): "it writes inputSchema where the conventions have parameters",
            ("embeddings", "messages"): "it tells the texts to embed where that is asked for alone",
            ("embeddings", "response model"): _NO_MODEL,
            **_NO_REASONING,
        },
        older_defects={**_FIRST_CHUNK, **_NO_CACHE},
    ),
    Emitter(
        "Vercel AI SDK legacy",
        ("vercel",),
        "vercel_calls.mjs",
        "vercel-legacy",
        ("ai", "@ai-sdk/openai"),
        cannot={**_NO_DATABASE, "async": "all its calls are", "thread": "JavaScript has none for it"},
        no_sdk=_ONLY_PYTHON,
        defects={("embeddings", "response model"): _NO_MODEL},
    ),
    Emitter(
        "Prompt flow",
        ("promptflow", "promptflow-older"),
        "promptflow_calls.py",
        "promptflow",
        ("promptflow-tracing", "openai"),
        cannot=_NO_DATABASE,
        defects=_NO_FIRST_TOKEN,
    ),
    Emitter(
        "MLflow autolog",
        ("mlflow", "mlflow-older"),
        "mlflow_calls.py",
        "mlflow",
        ("mlflow-tracing", "openai"),
        cannot=_NO_DATABASE,
        defects=_FIRST_CHUNK,
        older_defects={
            ("stream", "finish reasons"): "of streams it does not tell why the answer ended",
            ("stream", "response model"): _NO_MODEL,
            ("stream", "response id"): _NO_ID,
            **_NO_CACHE,
        },
    ),
    Emitter(
        "Strands",
        ("strands", "strands-older"),
        "strands_calls.py",
        "strands",
        ("strands-agents",),
        cannot=_AGENTS,
        defects=_STRANDS,
        older_defects={
            ("*", "messages"): "it leaves the system prompt out",
            ("*", "first token"): "it tells no time of it",
            **_NO_CACHE,
        },
    ),
    Emitter(
        "Strands latest conventions",
        ("strands",),
        "strands_calls.py",
        "strands-latest",
        ("strands-agents",),
        cannot=_AGENTS,
        defects={
            **_STRANDS,
            ("images", "messages"): "it has a kind of part of its own for pictures",
            ("error", "messages"): "it tells messages with the answer",
        },
    ),
    Emitter(
        "Google ADK",
        ("google-adk", "google-adk-older"),
        "adk_calls.py",
        "adk",
        ("google-adk", "google-genai"),
        cannot=_AGENTS,
        defects=_ADK,
        older_defects={
            ("images", "messages"): "it leaves pictures out",
            ("error", "records"): "its span of a failed call says nothing of it",
        },
    ),
    Emitter(
        "Semantic Kernel",
        ("semantic-kernel", "semantic-kernel-older"),
        "semantic_kernel_calls.py",
        "semantic-kernel",
        ("semantic-kernel",),
        cannot=_NO_DATABASE,
        defects={
            ("*", "response model"): _NO_MODEL,
            ("embeddings", "records"): "it tells nothing of embeddings",
            **_NO_FIRST_TOKEN,
            **_NO_TOOLS,
            **_NO_REASONING,
            **_NO_CACHE,
        },
    ),
    Emitter(
        "AutoGen with OpenLLMetry",
        ("autogen", "autogen-older"),
        "autogen_native_calls.py",
        "openllmetry-openai",
        ("autogen-agentchat", "opentelemetry-instrumentation-openai"),
        cannot={**_AGENTS, "images": "not asked here", "reasoning": "not asked here"},
        defects=_FIRST_CHUNK,
    ),
    Emitter(
        "vLLM",
        ("emitters",),
        "vllm_calls.py",
        "vllm",
        (),
        cannot={
            kind: "no server runs here; the span is the same for each request"
            for kind in KIND_NAMES
            if kind not in ("plain", "stream", "cached")
        },
        defects=_VLLM,
    ),
    Emitter(
        "llmtrace inference",
        (),
        "inference_calls.py",
        "inference",
        cannot={
            **_NO_DATABASE,
            **dict.fromkeys(
                ("tools", "parallel_tools", "images", "reasoning", "cached"),
                "the engine of this row has one answer of plain text",
            ),
        },
        defects={("retry", "records"): "of a client without trace context it sees two requests"},
    ),
)

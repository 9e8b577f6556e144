"""Tracers of clients and frameworks: OpenLLMetry, OpenInference, OpenTelemetry's, Logfire, pydantic-ai."""

from __future__ import annotations

from tests.conformance.table import Emitter

_MODELS_ONLY = {"vector_query": "calls models only"}
_ANTHROPIC = {**_MODELS_ONLY, "embeddings": "Anthropic has none"}
_BEDROCK = {
    **_MODELS_ONLY,
    "async": "boto3 has no asynchronous client",
    "batch": "boto3 has no asynchronous client",
}
_COHERE = {
    **_MODELS_ONLY,
    "images": "the model takes no pictures",
    "reasoning": "the model does not reason",
    "cached": "Cohere bills no cached tokens",
}
_AGENTS = {**_MODELS_ONLY, "embeddings": "agents embed nothing"}
_CREWAI = {
    **_AGENTS,
    "images": "its models take text",
    "batch": "it has no call for several inputs at once",
}
_SMOLAGENTS = {
    **_AGENTS,
    "async": "its models have no asynchronous call",
    "batch": "its models have no call for several inputs",
}
_DSPY = {
    **_MODELS_ONLY,
    "stream": "its language models do not stream by themselves",
    "tools": "it asks for tools in its own text",
    "parallel_tools": "it asks for tools in its own text",
}

_FIRST_CHUNK = {("stream", "first token"): "it times the first chunk, which has no text yet"}
_CONVENTION = {("stream", "first token"): "the convention times the first chunk, which has no text yet"}
_NO_FIRST_TOKEN = {("stream", "first token"): "it tells no time of it"}
_NO_PICTURES = {("images", "messages"): "it leaves the messages out where a picture is among them"}
_ADDED_UP = "it adds up the output that the stream's first and last event repeat"
_ASKED_FOR = "it has the model that was asked for in place of the one that answered"
_NO_ID = "it does not hand on the answer's id"
_NO_REASON = "it does not hand on why the answer ended"
_CHATS_ONLY = "it tells of chats alone"
_LANGCHAIN_STREAM = {
    ("stream", "response model"): _ASKED_FOR,
    ("stream", "response id"): _NO_ID,
    **_NO_FIRST_TOKEN,
}
_OLD_REASONS = "before 0.62 it told of it for tool calls alone"

_OPENLLMETRY = (
    Emitter(
        "OpenLLMetry openai",
        ("emitters", "emitters-older"),
        "openai_calls.py",
        "openllmetry-openai",
        ("opentelemetry-instrumentation-openai", "openai"),
        cannot=_MODELS_ONLY,
        defects={**_FIRST_CHUNK, **_NO_PICTURES},
    ),
    Emitter(
        "OpenLLMetry anthropic",
        ("emitters", "emitters-older"),
        "anthropic_calls.py",
        "openllmetry-anthropic",
        ("opentelemetry-instrumentation-anthropic", "anthropic"),
        cannot=_ANTHROPIC,
        defects={
            **_NO_FIRST_TOKEN,
            ("stream", "OutputTokens"): _ADDED_UP,
            ("stream", "cost"): "its output is wrong",
        },
        older_defects={
            ("stream", "response model"): "before 0.62 it told nothing at the end of a stream",
            ("stream", "InputTokens"): "before 0.62 it told nothing at the end of a stream",
            ("error", "records"): "before 0.62 it told of no failure",
        },
    ),
    Emitter(
        "OpenLLMetry langchain",
        ("tracers", "tracers-older"),
        "langchain_calls.py",
        "openllmetry-langchain",
        ("opentelemetry-instrumentation-langchain", "langchain-core", "langchain-openai"),
        cannot=_MODELS_ONLY,
        defects={
            **_LANGCHAIN_STREAM,
            ("stream", "answer"): "it names no role in a stream",
            ("embeddings", "records"): _CHATS_ONLY,
            ("reasoning", "ReasoningTokens"): "it tells no reasoning tokens",
            ("error", "response model"): _ASKED_FOR,
        },
        older_defects={
            ("*", "finish reasons"): _OLD_REASONS,
        },
    ),
    Emitter(
        "OpenLLMetry llamaindex",
        ("tracers", "tracers-older"),
        "llamaindex_calls.py",
        # Alone it tells of no call to OpenAI's models: its vendor has another tracer for these.
        "openllmetry-llamaindex,openllmetry-openai",
        (
            "opentelemetry-instrumentation-llamaindex",
            "opentelemetry-instrumentation-openai",
            "llama-index-core",
        ),
        cannot=_MODELS_ONLY,
        defects={
            **_FIRST_CHUNK,
            **_NO_PICTURES,
            ("embeddings", "response model"): "it tells the names of functions and their arguments alone",
            ("embeddings", "InputTokens"): "it tells the names of functions and their arguments alone",
            ("embeddings", "cost"): "it tells no tokens",
            ("embeddings", "messages"): "it tells the names of functions and their arguments alone",
        },
        older_defects={
            ("embeddings", "records"): "before 0.62 it told of none",
        },
    ),
    Emitter(
        "OpenLLMetry bedrock",
        ("bedrock", "bedrock-older"),
        "bedrock_calls.py",
        "openllmetry-bedrock",
        ("opentelemetry-instrumentation-bedrock", "boto3"),
        cannot=_BEDROCK,
        defects={
            **_NO_FIRST_TOKEN,
            ("*", "request model"): "it leaves the maker out of the model's id",
            ("embeddings", "operation"): "it calls every InvokeModel a text completion",
            ("error", "messages"): "it tells none of what failed",
            ("reasoning", "answer"): "it has reasoning as the JSON of its text",
        },
        older_defects={
            ("embeddings", "messages"): "before 0.62 it told none",
            ("error", "records"): "before 0.62 it told of no failure",
            ("*", "finish reasons"): "before 0.62 it told none",
            ("tools", "answer"): "before 0.62 it left tool calls out",
            ("parallel_tools", "answer"): "before 0.62 it left tool calls out",
            ("tools", "tools"): "before 0.62 it told none",
            ("parallel_tools", "tools"): "before 0.62 it told none",
            ("cached", "CacheReadTokens"): "before 0.62 it told none",
            ("cached", "CacheWriteTokens"): "before 0.62 it told none",
            ("cached", "InputTokens"): "before 0.62 it left the cache out",
            ("cached", "cost"): "before 0.62 it left the cache out",
        },
    ),
    Emitter(
        "OpenLLMetry cohere",
        ("cohere", "cohere-older"),
        "cohere_calls.py",
        "openllmetry-cohere",
        ("opentelemetry-instrumentation-cohere", "cohere"),
        cannot=_COHERE,
        defects={
            **_FIRST_CHUNK,
            ("tools", "answer"): "it has the plan as text",
            ("parallel_tools", "answer"): "it has the plan as text",
            ("tools", "messages"): "it leaves out what has no text, and the ids of results",
            ("parallel_tools", "messages"): "it leaves out what has no text, and the ids of results",
            ("embeddings", "InputTokens"): "it tells no tokens of embeddings",
            ("embeddings", "cost"): "it tells no tokens of embeddings",
            ("error", "response id"): "it does not know the id of a refusal",
        },
    ),
)

_OPENINFERENCE = (
    Emitter(
        "OpenInference openai",
        ("emitters", "emitters-older"),
        "openai_calls.py",
        "openinference-openai",
        ("openinference-instrumentation-openai", "openai"),
        cannot=_MODELS_ONLY,
        defects=dict(_FIRST_CHUNK),
    ),
    Emitter(
        "OpenInference anthropic",
        ("emitters", "emitters-older"),
        "anthropic_calls.py",
        "openinference-anthropic",
        ("openinference-instrumentation-anthropic", "anthropic"),
        cannot=_ANTHROPIC,
        defects={
            **_NO_FIRST_TOKEN,
            ("reasoning", "answer"): "it has reasoning as text",
        },
        older_defects={
            ("*", "messages"): "before 3.0 it left instructions, pictures and the ids of results out",
            ("stream", "response id"): _NO_ID,
            ("stream", "finish reasons"): _NO_REASON,
            ("tools", "answer"): "before 3.0 it left the ids of tool calls out",
            ("parallel_tools", "answer"): "before 3.0 it left the ids of tool calls out",
            ("error", "records"): "before 3.0 it told of no failure",
        },
    ),
    Emitter(
        "OpenInference langchain",
        ("tracers", "tracers-older"),
        "langchain_calls.py",
        "openinference-langchain",
        ("openinference-instrumentation-langchain", "langchain-core", "langchain-openai"),
        cannot=_MODELS_ONLY,
        defects={
            **_LANGCHAIN_STREAM,
            ("embeddings", "records"): _CHATS_ONLY,
        },
        older_defects={},
    ),
    Emitter(
        "OpenInference llama-index",
        ("tracers", "tracers-older"),
        "llamaindex_calls.py",
        "openinference-llama-index",
        ("openinference-instrumentation-llama-index", "llama-index-core"),
        cannot=_MODELS_ONLY,
        defects={
            **_FIRST_CHUNK,
            ("*", "response model"): _ASKED_FOR,
            ("*", "response id"): _NO_ID,
            ("embeddings", "InputTokens"): "it tells no tokens of embeddings",
            ("embeddings", "cost"): "it tells no tokens of embeddings",
        },
        older_defects={
            ("*", "finish reasons"): "before 4.6 it told none",
        },
    ),
    Emitter(
        "OpenInference litellm",
        ("litellm", "litellm-tracer-older"),
        "litellm_calls.py",
        "openinference-litellm",
        ("openinference-instrumentation-litellm", "litellm"),
        cannot=_MODELS_ONLY,
        defects={
            **_NO_FIRST_TOKEN,
            ("*", "request model"): "it has the provider before the model's name",
            ("*", "response model"): _ASKED_FOR,
            ("*", "response id"): _NO_ID,
            ("tools", "messages"): "it leaves the ids of results out",
            ("parallel_tools", "messages"): "it leaves the ids of results out",
            ("reasoning", "messages"): "LiteLLM sends instructions as the user's to this model",
        },
        older_defects={
            ("*", "finish reasons"): _NO_REASON,
            ("stream", "InputTokens"): "before 0.1.50 it told nothing at the end of a stream",
            ("stream", "OutputTokens"): "before 0.1.50 it told nothing at the end of a stream",
            ("stream", "cost"): "before 0.1.50 it told nothing at the end of a stream",
            ("tools", "answer"): "before 0.1.50 it left the ids of tool calls out",
            ("parallel_tools", "answer"): "before 0.1.50 it left the ids of tool calls out",
            ("embeddings", "messages"): "before 0.1.50 it had the texts as Python writes a list",
        },
    ),
    Emitter(
        "OpenInference dspy",
        ("dspy", "dspy-older"),
        "dspy_calls.py",
        "openinference-dspy",
        ("openinference-instrumentation-dspy", "dspy"),
        cannot=_DSPY,
        defects={
            ("embeddings", "records"): "it has them as a step without a kind that says so",
            ("images", "messages"): "it leaves the messages out where a picture is among them",
            ("*", "response model"): _ASKED_FOR,
            ("*", "response id"): _NO_ID,
            ("*", "finish reasons"): _NO_REASON,
            ("*", "InputTokens"): "it tells no tokens",
            ("*", "OutputTokens"): "it tells no tokens",
            ("*", "CacheReadTokens"): "it tells no tokens",
            ("*", "ReasoningTokens"): "it tells no tokens",
            ("*", "cost"): "it tells no tokens",
        },
        older_defects={
            ("reasoning", "messages"): "LiteLLM sends instructions as the user's to this model",
        },
    ),
    Emitter(
        "OpenInference smolagents",
        ("smolagents", "smolagents-older"),
        "smolagents_calls.py",
        "openinference-smolagents",
        ("openinference-instrumentation-smolagents", "smolagents"),
        cannot=_SMOLAGENTS,
        defects={
            ("error", "provider"): "it knows neither model nor provider of what failed",
            ("error", "request model"): "it knows neither model nor provider of what failed",
            **_NO_FIRST_TOKEN,
            ("*", "response model"): _ASKED_FOR,
            ("*", "response id"): _NO_ID,
            ("*", "finish reasons"): _NO_REASON,
            ("reasoning", "ReasoningTokens"): "it tells no reasoning tokens",
            ("cached", "CacheReadTokens"): "it tells no cached tokens",
            ("cached", "cost"): "it tells no cached tokens",
            ("tools", "messages"): "it tells messages before smolagents makes text of them",
            ("parallel_tools", "messages"): "it tells messages before smolagents makes text of them",
        },
        older_defects={
            ("*", "messages"): "before 0.1.15 it left texts that are parts out",
            ("stream", "records"): "before 0.1.15 it told of no stream",
        },
    ),
    Emitter(
        "OpenInference autogen",
        ("autogen", "autogen-older"),
        "autogen_calls.py",
        "openinference-autogen",
        ("openinference-instrumentation-autogen-agentchat", "autogen-agentchat"),
        cannot=_AGENTS,
        defects={
            **_NO_FIRST_TOKEN,
            ("*", "request model"): "it has the model that AutoGen resolves the name to",
            ("*", "response id"): _NO_ID,
            ("*", "finish reasons"): _NO_REASON,
            ("reasoning", "ReasoningTokens"): "it tells no reasoning tokens",
            ("cached", "CacheReadTokens"): "it tells no cached tokens",
            ("cached", "cost"): "it tells no cached tokens",
            ("images", "messages"): "it has a picture as the name of its object",
            ("tools", "tools"): "it tells none",
            ("parallel_tools", "tools"): "it tells none",
            ("tools", "messages"): "it has results as a text",
            ("parallel_tools", "messages"): "it has results as a text",
        },
        older_defects={
            ("tools", "call"): "it cannot take AutoGen 0.5's workbench",
            ("parallel_tools", "call"): "it cannot take AutoGen 0.5's workbench",
        },
    ),
    Emitter(
        "OpenInference crewai",
        ("crewai", "crewai-older"),
        "crewai_calls.py",
        "openinference-crewai",
        ("openinference-instrumentation-crewai", "crewai"),
        cannot=_CREWAI,
        defects={("*", "records"): "it tells of crews, agents and tasks, of no call of a model"},
    ),
)

_OPENTELEMETRY = (
    # The conventions' newest words: their repository's v0.1.0.
    Emitter(
        "OpenTelemetry genai-openai",
        ("emitters",),
        "openai_calls.py",
        "contrib-openai",
        ("opentelemetry-instrumentation-genai-openai", "openai"),
        cannot=_MODELS_ONLY,
        defects={
            **_CONVENTION,
            ("embeddings", "messages"): "the convention has no texts that are embedded",
        },
    ),
    Emitter(
        "OpenTelemetry genai-anthropic",
        ("emitters",),
        "anthropic_calls.py",
        "contrib-anthropic",
        ("opentelemetry-instrumentation-genai-anthropic", "anthropic"),
        cannot=_ANTHROPIC,
        defects=_CONVENTION,
    ),
    Emitter(
        "OpenTelemetry openai-v2",
        ("openai-v2", "contrib-older"),
        "openai_calls.py",
        "contrib-openai-v2",
        ("opentelemetry-instrumentation-openai-v2", "openai"),
        cannot=_MODELS_ONLY,
        defects={
            **_NO_FIRST_TOKEN,
            ("stream", "finish reasons"): "it tells none of a stream",
            ("embeddings", "messages"): "the convention has no texts that are embedded",
            ("images", "messages"): "it leaves the messages out where a picture is among them",
            ("reasoning", "ReasoningTokens"): "it tells none",
            ("cached", "CacheReadTokens"): "it tells none",
            ("cached", "cost"): "it tells no cached tokens",
            ("tools", "tools"): "it tells none",
            ("parallel_tools", "tools"): "it tells none",
        },
        older_defects={
            ("embeddings", "records"): "before 2.2 it told of chats alone",
            ("tools", "messages"): "before 2.4 it left the text out that came with tool calls",
            ("parallel_tools", "messages"): "before 2.4 it left the text out that came with tool calls",
        },
    ),
    Emitter(
        "OpenTelemetry google-genai",
        ("contrib", "contrib-older"),
        "google_genai_calls.py",
        "contrib-google-genai",
        ("opentelemetry-instrumentation-google-genai", "google-genai"),
        cannot=_MODELS_ONLY,
        defects={
            ("embeddings", "messages"): "the convention has no texts that are embedded",
            ("tools", "records"): "calls that the client makes for tools are in one span",
            ("parallel_tools", "records"): "calls that the client makes for tools are in one span",
            ("tools", "messages"): "the span is of the last of several calls",
            ("parallel_tools", "messages"): "the span is of the last of several calls",
            ("tools", "tools"): "it leaves the arguments of functions out",
            ("parallel_tools", "tools"): "it leaves the arguments of functions out",
        },
        older_defects={
            **_NO_FIRST_TOKEN,
            ("*", "response model"): "before 1.0 it told none",
            ("*", "response id"): "before 1.0 it told none",
            ("*", "answer"): "before 1.0 it told the client's own object",
            ("*", "messages"): "before 1.0 it told texts alone",
            ("*", "InputTokens"): "before 1.0 it added up the chunks of a stream",
            ("*", "OutputTokens"): "before 1.0 it added up the chunks of a stream, without reasoning",
            ("*", "ReasoningTokens"): "before 1.0 it told none",
            ("*", "CacheReadTokens"): "before 1.0 it told none",
            ("*", "cost"): "its tokens are wrong",
            ("embeddings", "records"): "before 1.0 it told of none",
        },
    ),
)

_CLIENTS = (
    Emitter(
        "Anthropic's client itself",
        ("emitters",),
        "anthropic_calls.py",
        "anthropic-itself",
        ("anthropic",),
        cannot=_ANTHROPIC,
        defects={
            ("stream", "answer"): "it tells none of a stream",
            ("tools", "tools"): "it tells none",
            ("parallel_tools", "tools"): "it tells none",
            ("images", "messages"): "it has a picture as a part of its own words",
        },
    ),
)

_PYDANTIC = (
    Emitter(
        "Logfire openai",
        ("emitters", "emitters-older"),
        "openai_calls.py",
        "logfire-openai",
        ("logfire", "openai"),
        cannot=_MODELS_ONLY,
        defects={
            **_NO_FIRST_TOKEN,
            ("embeddings", "messages"): "it tells none of embeddings",
            ("stream", "response model"): _ASKED_FOR,
            ("*", "response id"): _NO_ID,
        },
        older_defects={
            ("*", "finish reasons"): "before 5.0 it told none",
        },
    ),
    Emitter(
        "Logfire anthropic",
        ("emitters", "emitters-older"),
        "anthropic_calls.py",
        "logfire-anthropic",
        ("logfire", "anthropic"),
        cannot=_ANTHROPIC,
        defects={
            **_NO_FIRST_TOKEN,
            ("*", "response id"): _NO_ID,
        },
        older_defects={
            **dict.fromkeys(
                (("stream", differing) for differing in ("InputTokens", "OutputTokens", "cost")),
                "before 5.0 it told the text alone of a stream",
            ),
            ("*", "response model"): "before 5.0 it told none",
            ("*", "finish reasons"): "before 5.0 it told none",
            ("tools", "answer"): "before 5.0 it left the ids of tool calls out",
            ("parallel_tools", "answer"): "before 5.0 it left the ids of tool calls out",
            ("reasoning", "answer"): "before 5.0 it left reasoning out",
        },
    ),
    Emitter(
        "pydantic-ai",
        ("pydantic-ai", "pydantic-ai-older"),
        "pydantic_ai_calls.py",
        "pydantic-ai",
        ("pydantic-ai-slim", "openai"),
        cannot=_AGENTS,
        defects={
            ("error", "messages"): "it tells none of what failed",
        },
        older_defects={
            ("stream", "first token"): "before 2.0 it told no time of it",
        },
    ),
)

EMITTERS: tuple[Emitter, ...] = (*_OPENLLMETRY, *_OPENINFERENCE, *_OPENTELEMETRY, *_CLIENTS, *_PYDANTIC)

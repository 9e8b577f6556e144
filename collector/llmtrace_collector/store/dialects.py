"""The one table of attribute names: canonical column → the attribute keys that may carry it.

Every column of `otel_traces` that is computed from span attributes is written here once, and the schema's
`DEFAULT` expressions are generated from it. Supporting another emitter means adding its key to a row, in
order of preference: the first key that carries a value wins, values are never added together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

#: Text too large to sit in the attribute map: its own column, stripped from the map.
TEXT_COLUMNS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "InputMessages": ("gen_ai.input.messages",),
        "OutputMessages": ("gen_ai.output.messages",),
        "SystemInstructions": ("gen_ai.system_instructions",),
        "ToolDefinitions": ("gen_ai.tool.definitions",),
    }
)

#: Operations that call a model and therefore carry usage of their own.
LLM_OPERATIONS = ("chat", "text_completion", "generate_content", "embeddings")

#: Provider names of older conventions → the current ones.
PROVIDER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "vertex_ai": "gcp.vertex_ai",
        "gemini": "gcp.gemini",
        "az.ai.openai": "azure.ai.openai",
        "az.ai.inference": "azure.ai.inference",
        "xai": "x_ai",
        "mistralai": "mistral_ai",
    }
)


@dataclass(frozen=True)
class Field:
    """One computed column: its SQL type, the keys that may carry it, and how the text becomes the type."""

    name: str
    type: str
    keys: tuple[str, ...]
    convert: str = "text"


FIELDS: tuple[Field, ...] = (
    Field("Operation", "LowCardinality(String)", ("gen_ai.operation.name",)),
    Field("Provider", "LowCardinality(String)", ("gen_ai.provider.name", "gen_ai.system"), "provider"),
    Field("RequestModel", "LowCardinality(String)", ("gen_ai.request.model",)),
    Field("ResponseModel", "LowCardinality(String)", ("gen_ai.response.model",)),
    Field("ResponseId", "String", ("gen_ai.response.id",)),
    Field("FinishReasons", "Array(LowCardinality(String))", ("gen_ai.response.finish_reasons",), "strings"),
    Field("ErrorType", "LowCardinality(String)", ("error.type",)),
    Field("UserId", "String", ("user.id", "enduser.id")),
    Field("SessionId", "String", ("session.id", "gen_ai.conversation.id")),
    Field("Tags", "Array(LowCardinality(String))", ("llmtrace.tags",), "strings"),
    Field("Experiment", "LowCardinality(String)", ("llmtrace.experiment",)),
    Field("RunId", "LowCardinality(String)", ("llmtrace.run",)),
    Field("PromptName", "LowCardinality(String)", ("gen_ai.prompt.name",)),
    Field("PromptVersion", "LowCardinality(String)", ("gen_ai.prompt.version",)),
    Field(
        "InputTokens",
        "Nullable(UInt64)",
        ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        "count",
    ),
    Field(
        "OutputTokens",
        "Nullable(UInt64)",
        ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        "count",
    ),
    Field(
        "CacheReadTokens",
        "UInt64",
        ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
        "count_or_0",
    ),
    Field(
        "CacheWriteTokens",
        "UInt64",
        (
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
        ),
        "count_or_0",
    ),
    Field(
        "ReasoningTokens",
        "UInt64",
        ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"),
        "count_or_0",
    ),
    Field(
        "TimeToFirstToken",
        "Nullable(Float64)",
        ("gen_ai.response.time_to_first_chunk", "gen_ai.client.operation.time_to_first_chunk"),
        "seconds",
    ),
)


def default_columns() -> str:
    """The computed columns of `otel_traces` as DDL lines, `DEFAULT` expressions over `SpanAttributes`."""
    lines = [f"    {field.name} {field.type} DEFAULT {_expression(field)}" for field in FIELDS]
    lines += [f"    {name} String CODEC(ZSTD(3))" for name in TEXT_COLUMNS]
    operations = ", ".join(_quote(name) for name in LLM_OPERATIONS)
    lines += [
        "    Model LowCardinality(String) DEFAULT if(RequestModel != '', RequestModel, ResponseModel)",
        f"    IsLlm Bool DEFAULT Operation IN ({operations})",
        # A server's span inside a trace repeats the usage of the client's span above it.
        "    Counted Bool DEFAULT IsLlm AND NOT (SpanKind = 'Server' AND ParentSpanId != '')",
    ]
    return ",\n".join(lines)


def text_keys() -> str:
    """The attribute keys that have a text column of their own, as a quoted SQL list."""
    return ", ".join(_quote(key) for keys in TEXT_COLUMNS.values() for key in keys)


def text_selects(keys: str, values: str) -> str:
    """Select expressions of the text columns out of two parallel arrays named `keys` and `values`."""
    lines = []
    for column, names in TEXT_COLUMNS.items():
        first = f"indexOf({keys}, {_quote(names[0])})"
        lines.append(f"    {values}[{first}] AS {column}")
    return ",\n".join(lines)


def _expression(field: Field) -> str:
    if field.convert in ("count", "count_or_0", "seconds"):
        cast = "toFloat64OrNull" if field.convert == "seconds" else "toUInt64OrNull"
        tried = ", ".join(f"{cast}({_attribute(key)})" for key in field.keys)
        if field.convert == "count_or_0":
            return f"coalesce({tried}, 0)"
        return f"coalesce({tried})"
    text = _first_text(field.keys)
    if field.convert == "strings":
        # JSON text of an array, or one bare string.
        return (
            f"if(startsWith({text}, '['), JSONExtract({text}, 'Array(String)'), "
            f"if({text} = '', [], [{text}]))"
        )
    if field.convert == "provider":
        old = "[" + ", ".join(_quote(name) for name in PROVIDER_NAMES) + "]"
        new = "[" + ", ".join(_quote(name) for name in PROVIDER_NAMES.values()) + "]"
        return f"transform({text}, {old}, {new}, {text})"
    return text


def _first_text(keys: Sequence[str]) -> str:
    if len(keys) == 1:
        return _attribute(keys[0])
    branches = ", ".join(f"{_attribute(key)} != '', {_attribute(key)}" for key in keys[:-1])
    return f"multiIf({branches}, {_attribute(keys[-1])})"


def _attribute(key: str) -> str:
    return f"SpanAttributes[{_quote(key)}]"


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

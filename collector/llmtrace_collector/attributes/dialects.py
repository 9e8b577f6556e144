"""Which spans are foreign: those that speak another dialect than today's conventions."""

from __future__ import annotations

from llmtrace import semconv

from .field import key_of
from .fields import COUNTED_KEY, FIELDS, FIRST_TOKEN_AT, FIRST_TOKEN_MS, TEXTS, VLLM_TIMES
from .messages import INDEXED
from .operations import OPERATIONS
from .retrieval import QUERY_KEYS
from .stated_costs import PARTS_IN

#: Keys that mark a dialect without being the source of a column.
SENTINELS = (
    *(key for key in OPERATIONS if key != semconv.OPERATION_NAME),
    *FIRST_TOKEN_MS,
    *FIRST_TOKEN_AT,
    *VLLM_TIMES,
    *PARTS_IN,
    *QUERY_KEYS,
    "logfire.span_type",
    "gen_ai.is_streaming",
    "llm.is_streaming",
    "model_request_parameters",
    "pydantic_ai.all_messages",
    "ai.response.text",
    "ai.response.toolCalls",
    "ai.response.reasoning",
    "ai.result.text",
    "gen_ai.prompt.0.role",
    "gen_ai.prompt.0.content",
    "gen_ai.completion.0.role",
    "gen_ai.completion.0.content",
    "llm.input_messages.0.message.role",
    "llm.output_messages.0.message.role",
)

#: Scopes whose spans need a second look although all their keys are current ones.
FOREIGN_SCOPES = ("pydantic-ai", "litellm")

#: Keys of today's conventions that fill columns.
PLAIN_KEYS = frozenset({COUNTED_KEY, *(key for field in (*FIELDS, *TEXTS) for key in field.keys)})

#: Keys whose text moves to a text column, on spans that call a model.
TEXT_KEYS = (
    *dict.fromkeys(key_of(source) for text in TEXTS for source in text.dialects),
    "ai.response.text",
    "ai.response.toolCalls",
    "ai.response.reasoning",
    "ai.result.text",
    "ai.values",
)

#: Prefixes of flattened keys whose text moves likewise.
TEXT_PREFIXES = (
    *(prefix for prefixes in INDEXED.values() for prefix in prefixes),
    "llm.prompts",
    "llm.choices",
)

#: Every key that makes a span foreign.
FOREIGN_KEYS = tuple(
    key
    for key in dict.fromkeys(
        (
            *TEXT_KEYS,
            *SENTINELS,
            *(key_of(source) for field in FIELDS for source in field.dialects),
        )
    )
    if key not in PLAIN_KEYS
)

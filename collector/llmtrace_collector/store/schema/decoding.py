"""What the statements that decode are rendered with: data of the table of attributes, and no SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import resources
from types import MappingProxyType

from llmtrace import semconv
from llmtrace.common.finish_reasons import FINISH_REASONS
from llmtrace.common.providers import UNKNOWN, suffix_pattern
from llmtrace.redaction import patterns
from llmtrace_collector.attributes import (
    content,
    dialects,
    fields,
    messages,
    names,
    operations,
    retrieval,
    stated_costs,
)
from llmtrace_collector.attributes.field import key_of

from . import redaction as redactions
from . import templates
from .redaction import Redaction

#: Columns that hold a name or an id, where some emitters put prose.
_NAME_FIELDS = ("ResponseId", "RequestModel", "ResponseModel", "FinishReasons")

#: What foreign spans are asked for besides the columns: name → sources.
_MORE_SOURCES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "provider_hint": fields.PROVIDER_HINTS,
        "called_address": fields.ADDRESS_KEYS,
        "first_token_ms": fields.FIRST_TOKEN_MS,
        "first_token_at": fields.FIRST_TOKEN_AT,
        "ai_sdk_text": ("ai.response.text", "ai.result.text"),
        "ai_sdk_tool_calls": ("ai.response.toolCalls", "ai.result.toolCalls"),
        "retrieval_query": retrieval.QUERY_KEYS,
        "retrieval_top_k": retrieval.TOP_K_IN,
        "retrieval_collection": retrieval.COLLECTION_IN,
    }
)


def values(redaction: Redaction) -> dict[str, object]:
    """What templates of functions and of views need, where texts leave out what `redaction` says."""
    return {**_attributes(), "redaction": redaction}


@lru_cache(maxsize=1)
def _attributes() -> Mapping[str, object]:
    sources = {
        **{field.name: field.sources for field in (*fields.FIELDS, *fields.TEXTS)},
        **_MORE_SOURCES,
    }
    reached_into = (key_of(source) for keys in sources.values() for source in keys if ">" in source)
    kinds = dict(operations.OPERATIONS)
    named = kinds.pop(fields.OPERATION_KEY)
    return MappingProxyType(
        {
            # The table itself.
            "fields": fields.FIELDS,
            "texts": fields.TEXTS,
            "derived": fields.DERIVED,
            "sources": sources,
            "name_fields": [field for field in fields.FIELDS if field.name in _NAME_FIELDS],
            "documents": tuple(dict.fromkeys((*reached_into, *kinds))),
            "python_documents": fields.PYTHON_DOCUMENTS,
            # Single keys.
            "counted_key": fields.COUNTED_KEY,
            "sender_counts": fields.SENDER_COUNTS,
            "system_key": fields.SYSTEM,
            "vllm_times": (*fields.VLLM_TIMES, fields.VLLM_TTFT),
            "first_token_events": fields.FIRST_TOKEN_EVENTS,
            # Names.
            "llm_operations": operations.LLM_OPERATIONS,
            "step_operations": operations.STEP_OPERATIONS,
            "model_steps": operations.MODEL_STEPS,
            "operation_names": named,
            "operation_kinds": kinds,
            "provider_names": names.PROVIDER_NAMES,
            "server_scopes": names.SERVER_SCOPES,
            "shapes": names.SHAPES,
            "provider_hosts": names.PROVIDER_HOSTS,
            "provider_host_patterns": names.PROVIDER_HOST_PATTERNS,
            "model_catalogues": names.MODEL_CATALOGUES,
            "model_prefixes": names.MODEL_PREFIXES,
            "open_weights": names.OPEN_WEIGHTS,
            "model_makers": names.MODEL_MAKERS,
            "unknown_provider": UNKNOWN,
            "named_provider": fields.NAMED_PROVIDER,
            "provider_evidence": fields.PROVIDER_EVIDENCE,
            "address_key": fields.ADDRESS_KEYS[0],
            "provider_key": semconv.PROVIDER_NAME,
            "operation_key": fields.OPERATION_KEY,
            "request_model_key": semconv.REQUEST_MODEL,
            "response_model_key": semconv.RESPONSE_MODEL,
            "suffix_pattern": suffix_pattern,
            "alternatives": _alternatives,
            "finish_reasons": FINISH_REASONS,
            "response_cache": names.RESPONSE_CACHE,
            "standard_tiers": names.STANDARD_TIERS,
            "purposes": semconv.PURPOSES,
            # Stated costs.
            "stated_in": stated_costs.STATED_IN,
            "stated_parts": stated_costs.PARTS_IN,
            "stated_details": stated_costs.DETAILS_IN,
            "answers_in": stated_costs.ANSWERS_IN,
            "billers": stated_costs.BILLERS,
            "biller_openrouter": semconv.STATED_BY_OPENROUTER,
            "biller_perplexity": semconv.STATED_BY_PERPLEXITY,
            "biller_xai": semconv.STATED_BY_XAI,
            "stated_by_gateway": semconv.STATED_BY_GATEWAY,
            # Retrievals.
            "retrieval_keys": retrieval.RETRIEVAL_KEYS,
            "retrieval_documents": semconv.RETRIEVAL_DOCUMENTS,
            "result_event": retrieval.RESULT_EVENT,
            "result_id": retrieval.RESULT_ID,
            "result_scores": retrieval.RESULT_SCORES,
            # Which spans are foreign.
            "foreign_keys": dialects.FOREIGN_KEYS,
            "foreign_scopes": dialects.FOREIGN_SCOPES,
            # Texts.
            "plain_text_keys": [key for text in fields.TEXTS for key in text.keys],
            "text_keys": dialects.TEXT_KEYS,
            "text_prefixes": dialects.TEXT_PREFIXES,
            "max_index": messages.MAX_INDEX,
            "indexed": messages.INDEXED,
            "indexed_documents": messages.INDEXED_DOCUMENTS,
            "indexed_prefixes": [*messages.INDEXED.values(), (messages.INDEXED_DOCUMENTS,)],
            "event_messages": messages.EVENT_MESSAGES,
            "event_content": messages.EVENT_CONTENT,
            "details_event": messages.DETAILS_EVENT,
            # Content.
            "content_keys": sorted(content.CONTENT_KEYS),
            "content_prefixes": content.PREFIXES,
            "content_name": content.NAME,
            "event_keys": content.EVENT_KEYS,
            # Redaction.
            "bytes_mark": redactions.BYTES_MARK,
            "escapes": redactions.ESCAPES,
            "unicode": redactions.UNICODE,
            "between": redactions.BETWEEN,
            "wide": patterns.WIDE,
            "wide_hint": redactions.WIDE_HINT,
            "wide_escapes": redactions.WIDE_ESCAPES,
            "wide_characters": patterns.WIDE_CHARACTERS,
            "plain_characters": patterns.PLAIN_CHARACTERS,
            "card_digits": patterns.CARD_DIGITS,
            "identity_weights": list(patterns.IDENTITY_WEIGHTS),
            "iban_lengths": patterns.IBAN_LENGTHS,
        }
    )


def protobuf_schema() -> str:
    """The message definitions by which the engine reads the log, without comments and line breaks."""
    text = (resources.files(__package__) / "sql" / "otlp.proto").read_text()
    return " ".join(re.sub(r"//[^\n]*", "", text).split())


def what_spans_have() -> str:
    """SELECT of what the spans in a segment's file have, as `SpanTraits` numbers it; `{file}` and `{schema}`
    in it stand for quoted texts.
    """
    return templates.statements(templates.render("queries/what_spans_have.sql", **_attributes()))[0]


def _alternatives(patterns: Iterable[str]) -> str:
    """One pattern of several, each in a group; groups within them are none of it."""
    return "|".join("({})".format(re.sub(r"(?<!\\)\((?!\?)", "(?:", pattern)) for pattern in patterns)

"""What tracers say in words of their own: names of spans, texts to embed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from llmtrace_collector.pricing.tariffs import listing
from llmtrace_collector.store.store import open_store

from .otlp import CLIENT, span, traces
from .prefilled import prefill
from .test_dialects import Reader, text


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    directory = tmp_path_factory.mktemp("tracer-words")
    store = open_store(f"chdb://{prefill(directory / 'store')}")
    yield Reader(store, directory)
    store.close()


@pytest.mark.parametrize("vector", [[0.25, -0.5], None], ids=["with vectors", "without vectors"])
@pytest.mark.parametrize("texts", [["One."], ["One.", "Two."], ["[1, 2]", '{"a": 1}']], ids=len)
def test_texts_that_are_embedded_are_messages_and_vectors_are_none(
    read: Reader, texts: list[str], vector: list[float] | None
) -> None:
    prefix = "embedding.embeddings"
    values: dict[str, object] = {"openinference.span.kind": "EMBEDDING", "embedding.model_name": "m"}
    for number, content in enumerate(texts):
        values[f"{prefix}.{number}.embedding.text"] = content
        if vector is not None:
            values[f"{prefix}.{number}.embedding.vector"] = vector
    record = read.record(values, "openinference.instrumentation.openai")
    assert record["InputMessages"] == [text("user", content) for content in texts]
    assert record["OutputMessages"] is None
    assert not [key for key in record["SpanAttributes"] if key.startswith(prefix)]


def test_vectors_alone_are_no_messages(read: Reader) -> None:
    values = {
        "openinference.span.kind": "EMBEDDING",
        "embedding.embeddings.0.embedding.vector": [0.25, -0.5],
    }
    record = read.record(values, "openinference.instrumentation.openai")
    assert record["InputMessages"] is None
    assert record["Operation"] == "embeddings"


@pytest.mark.parametrize(
    ("template", "message", "name"),
    [
        ("Chat Completion with {request_data[model]!r}", "Chat Completion with 'gpt-4o'", ""),
        ("Embedding Creation with {request_data[model]!r}", "Embedding Creation with 'm'", ""),
        (
            "streaming response from {request_data[model]!r} took {duration:.2f}s",
            "streaming response from 'gpt-4o' took 1.25s",
            "streaming response from 'gpt-4o'",
        ),
    ],
)
def test_a_call_of_logfire_is_named_by_what_logfire_shows(
    read: Reader, template: str, message: str, name: str
) -> None:
    """The template is no name; what differs from call to call is none either."""
    values = {
        "logfire.msg_template": template,
        "logfire.msg": message,
        "logfire.span_type": "span",
        "request_data": '{"model":"gpt-4o","messages":[]}',
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.operation.name": "chat",
    }
    record = read.record(values, "logfire.openai", name=template, kind=CLIENT)
    assert record["SpanName"] == (name or message)


def test_what_is_no_call_keeps_its_template(read: Reader) -> None:
    """Its message may hold any value, and names are what spans are grouped by."""
    values = {
        "logfire.msg_template": "order {number}",
        "logfire.msg": "order 17",
        "logfire.span_type": "span",
    }
    record = read.record(values, "logfire", name="order {number}")
    assert record["SpanName"] == "order {number}"


REASONED = [
    {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "Hm."},
            {"type": "text", "content": "Yes."},
        ],
    }
]


@pytest.mark.parametrize("spaced", [True, False], ids=["json with spaces", "json without"])
def test_reasoning_in_anthropics_words_is_reasoning(read: Reader, spaced: bool) -> None:
    """Logfire puts Anthropic's own part among the convention's."""
    parts = [
        {"signature": "c2ln", "thinking": "Hm.", "type": "thinking"},
        {"type": "text", "content": "Yes."},
    ]
    answer = json.dumps(
        [{"role": "assistant", "parts": parts}], separators=(", ", ": ") if spaced else (",", ":")
    )
    record = read.record(
        {"gen_ai.operation.name": "chat", "gen_ai.output.messages": answer, "request_data": "{}"},
        "logfire.anthropic",
    )
    assert record["OutputMessages"] == REASONED


def test_reasoning_in_a_message_of_its_own_is_the_assistants(read: Reader) -> None:
    """OpenLLMetry before it followed the convention."""
    values = {
        "llm.request.type": "completion",
        "gen_ai.system": "Anthropic",
        "gen_ai.completion.0.role": "thinking",
        "gen_ai.completion.0.content": "Hm.",
        "gen_ai.completion.1.role": "assistant",
        "gen_ai.completion.1.content": "Yes.",
        "llm.request.functions.0.name": "f",
        "llm.request.functions.0.input_schema": '{"type": "object"}',
    }
    record = read.record(values, "opentelemetry.instrumentation.anthropic")
    assert record["Operation"] == "chat"
    parts = [part for message in record["OutputMessages"] for part in message["parts"]]
    assert parts == REASONED[0]["parts"]
    assert {message["role"] for message in record["OutputMessages"]} == {"assistant"}
    assert record["ToolDefinitions"][0]["parameters"] == {"type": "object"}


@pytest.mark.parametrize(
    ("key", "asked_in", "answered"),
    [
        ("llm.model_name", "llm.model_name", True),
        ("llm.model_name", "llm.model_name", False),
        ("gen_ai.response.model", "gen_ai.request.model", False),
    ],
)
def test_a_call_that_failed_has_no_answering_model(
    read: Reader, key: str, asked_in: str, answered: bool
) -> None:
    """Some tracers put the model that was asked for in its place; what answered in part has tokens."""
    values: dict[str, object] = {"openinference.span.kind": "LLM", key: "m", asked_in: "m"}
    if answered:
        values["llm.token_count.completion"] = 3
    record = read.record(values, "tests", status=Status(code=Status.STATUS_CODE_ERROR))
    assert record["ResponseModel"] == ("m" if answered else "")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {"input_tokens": 10, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 30},
            {"CacheReadTokens": 60, "CacheWriteTokens": 30},
        ),
        (
            {
                "prompt_tokens_details": {"cached_tokens": 60},
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            {"CacheReadTokens": 60, "ReasoningTokens": 5},
        ),
        (
            {
                "input_tokens_details": {"cached_tokens": 60},
                "output_tokens_details": {"reasoning_tokens": 5},
            },
            {"CacheReadTokens": 60, "ReasoningTokens": 5},
        ),
    ],
    ids=["anthropic", "openai chat", "openai responses"],
)
def test_counts_that_are_in_the_providers_own_usage_alone(
    read: Reader, usage: dict[str, object], expected: dict[str, int]
) -> None:
    """Logfire tells of input and output, and hands on the rest as it came."""
    values = {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.raw": json.dumps(usage),
        "request_data": "{}",
    }
    record = read.record(values, "logfire.anthropic")
    assert {column: int(record[column]) for column in expected} == expected
    assert (int(record["InputTokens"]), int(record["OutputTokens"])) == (100, 20)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gen_ai.output.messages", [{"role": "assistant", "parts": [], "finish_reason": "tool_use"}]),
        ("output.value", {"generations": [[{"generation_info": {"finish_reason": "tool_calls"}}]]}),
        (
            "output.value",
            {
                "generations": [
                    [{"message": {"kwargs": {"response_metadata": {"finish_reason": "tool_calls"}}}}]
                ]
            },
        ),
    ],
    ids=["messages", "LangChain's generation", "LangChain's message"],
)
def test_finish_reasons_that_are_in_the_answer_alone(read: Reader, key: str, value: object) -> None:
    record = read.record(
        {"openinference.span.kind": "LLM", key: json.dumps(value)}, "openinference.instrumentation.langchain"
    )
    assert record["FinishReasons"] == ["tool_call"]


@pytest.mark.parametrize("embeds", [False, True], ids=["chat", "embeddings"])
@pytest.mark.parametrize("version", [4, 5])
def test_what_logfire_tells_of_one_call_counts_once(read: Reader, version: int, embeds: bool) -> None:
    """It named no operation before version 5. An embedding has no output, and is over all the same."""
    kind = "Embedding Creation" if embeds else "Chat Completion"
    values: dict[str, object] = {
        "logfire.span_type": "span",
        "logfire.msg_template": f"{kind} with {{request_data[model]!r}}",
        "request_data": json.dumps({"model": "m", "input" if embeds else "messages": ["Why?"]}),
        "gen_ai.system": "openai",
        "gen_ai.request.model": "m",
    }
    usage = {"prompt_tokens": 11} if embeds else {"prompt_tokens": 11, "completion_tokens": 2}
    if version == 4:
        values["response_data"] = json.dumps({"usage": usage})
    else:
        values |= {"gen_ai.operation.name": "embeddings" if embeds else "chat"}
        values |= {"gen_ai.usage.input_tokens": 11, "gen_ai.usage.raw": json.dumps(usage)}
        if not embeds:
            values |= {"gen_ai.usage.output_tokens": 2}
    record = read.record(values, "logfire.openai", kind=CLIENT)
    assert record["Counted"]
    assert record["Operation"] == ("embeddings" if embeds else "chat")
    assert int(record["InputTokens"]) == 11


@pytest.mark.parametrize("tells_usage", [True, False], ids=["with usage", "without usage"])
def test_a_stream_of_an_older_logfire_counts_at_its_end(read: Reader, tells_usage: bool) -> None:
    """Of Anthropic's streams it told no usage."""
    values: dict[str, object] = {
        "request_data": json.dumps({"model": "m", "messages": [], "stream": True}),
        "gen_ai.request.model": "m",
    }
    begun = span({**values, "logfire.span_type": "span"}, name="begun", kind=CLIENT)
    usage = {"prompt_tokens": 24, "completion_tokens": 9}
    answer: dict[str, object] = {"message": {"role": "assistant", "content": "Yes."}}
    if tells_usage:
        answer["usage"] = usage
    ended = span(
        {**values, "logfire.span_type": "log", "response_data": json.dumps(answer)},
        name="ended",
        trace_id=begun.trace_id,
    )
    plain = span({**values, "logfire.span_type": "log"}, name="a log", trace_id=begun.trace_id)
    request = traces([begun, ended, plain])
    request.resource_spans[0].scope_spans[0].scope.name = "logfire.openai"
    rows = {row["SpanName"]: row for row in read.rows(request)}
    assert {name: row["IsLlm"] and row["Counted"] for name, row in rows.items()} == {
        "begun": False,
        "ended": True,
        "a log": False,
    }
    assert rows["ended"]["OutputTokens"] == (9 if tells_usage else None)


def test_an_older_logfire_hands_on_anthropics_usage_which_leaves_the_cache_out(read: Reader) -> None:
    usage = {
        "input_tokens": 320,
        "output_tokens": 9,
        "cache_read_input_tokens": 1024,
        "cache_creation_input_tokens": 256,
    }
    values = {
        "request_data": json.dumps({"model": "claude-sonnet-4-20250514", "messages": []}),
        "response_data": json.dumps({"usage": usage}),
        "logfire.span_type": "span",
    }
    record = read.record(values, "logfire.anthropic", kind=CLIENT)
    counts = ("InputTokens", "OutputTokens", "CacheReadTokens", "CacheWriteTokens")
    assert [int(record[column]) for column in counts] == [1600, 9, 1024, 256]
    assert record["UsageFault"] == ""


def test_bedrocks_usage_leaves_the_cache_out(read: Reader) -> None:
    values = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": "nova-lite-v1:0",
        "gen_ai.usage.input_tokens": 1320,
        "gen_ai.usage.output_tokens": 9,
        "gen_ai.usage.cache_read.input_tokens": 1024,
        "gen_ai.usage.cache_creation.input_tokens": 256,
    }
    record = read.record(values, "opentelemetry.instrumentation.bedrock", kind=CLIENT)
    assert (int(record["InputTokens"]), record["UsageFault"]) == (2600, "")


@pytest.mark.parametrize(
    "model",
    [
        "amazon.nova-lite-v1:0",
        "anthropic.claude-3-5-sonnet-20241022-v2:0",
        "amazon.titan-embed-text-v2:0",
        "meta.llama3-70b-instruct-v1:0",
        "mistral.mistral-large-2402-v1:0",
    ],
)
def test_a_model_of_bedrock_has_its_price_without_its_maker(model: str) -> None:
    """As OpenLLMetry names it."""
    listed = listing("aws.bedrock", model)
    assert listed is not None
    assert listing("aws.bedrock", model.partition(".")[2]) == listed
    assert listing("openai", model.partition(".")[2]) is None

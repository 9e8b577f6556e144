"""What servers really stream, and not as the reference has it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from llmtrace.wire import registry

from .stream_forms import Cut
from .stream_reading import (
    CHAT,
    CONVERSE,
    GEMINI,
    INTERACTIONS,
    INVOKE,
    MESSAGES,
    RESPONSES,
    chat_delta,
    format_of,
    gemini_chunk,
    read_stream,
)


def test_titan_streams_keep_all_text() -> None:
    head = {"index": 0, "inputTextTokenCount": 3}
    ends = {"completionReason": "FINISH", "totalOutputTextTokenCount": 4}
    events: list[Any] = [{**head, "outputText": text, "completionReason": None} for text in ("Hel", "lo")]
    attributes, parts = read_stream(INVOKE, [*events, {**head, "outputText": " you", **ends}])
    assert parts == [{"type": "text", "content": "Hello you"}]
    assert attributes["gen_ai.usage.input_tokens"] == 3
    assert attributes["gen_ai.usage.output_tokens"] == 4
    assert attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert read_stream(INVOKE, events)[1] == [{"type": "text", "content": "Hello"}]


@pytest.mark.parametrize(
    "chunks",
    [
        [{"outputs": [{"text": "Hel"}]}, {"outputs": [{"text": "lo", "stop_reason": "stop"}]}],
        [{"generation": "Hel"}, {"generation": "lo", "stop_reason": "stop", "generation_token_count": 2}],
        [{"text": "Hel", "is_finished": False}, {"text": "lo"}, {"finish_reason": "COMPLETE"}],
        [
            {"event_type": "text-generation", "text": "Hel"},
            {"event_type": "text-generation", "text": "lo"},
            {"event_type": "stream-end", "finish_reason": "COMPLETE", "response": {"text": "Hello"}},
        ],
        [{"choices": [{"text": "Hel"}]}, {"choices": [{"text": "lo", "stop_reason": "stop"}]}],
        [
            {"choices": [{"index": 0, "message": {"content": "Hel"}, "stop_reason": None}]},
            {"choices": [{"index": 0, "message": {"content": "lo"}, "stop_reason": "stop"}]},
        ],
    ],
    ids=["Mistral", "Llama", "Cohere", "Command R", "DeepSeek", "Mistral chat"],
)
def test_other_models_of_bedrock(chunks: list[Any]) -> None:
    attributes, parts = read_stream(INVOKE, chunks)
    assert parts == [{"type": "text", "content": "Hello"}]
    assert attributes["gen_ai.response.finish_reasons"] == ["stop"]


def test_a_compacted_conversation_keeps_roles() -> None:
    body = {
        "id": "resp_1",
        "object": "response.compaction",
        "output": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Again"}]},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Short"}]},
            {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"},
        ],
        "usage": {"input_tokens": 5, "output_tokens": 3},
    }
    wire_format = registry.recognise("/v1/responses/compact", b'{"model":"m"}')
    assert wire_format is not None
    messages = wire_format.response(body, True).content["gen_ai.output.messages"]
    assert [message["role"] for message in messages] == ["user", "user", "developer", "assistant"]
    assert [message["parts"][0]["type"] for message in messages] == ["text", "text", "text", "compaction"]


WORDS = [chat_delta(role="assistant", content=""), *(chat_delta(content=f"word {n} ") for n in range(3))]


TEXT = "word 0 word 1 word 2 "


@pytest.mark.parametrize(
    "server", ["Perplexity", "whole messages", "messages in pieces", "a whole message last"]
)
def test_messages_in_streams(server: str) -> None:
    so_far = [{"role": "assistant", "content": TEXT[:end]} for end in (7, 14, 21)]
    pieces = [{"role": "assistant", "content": f"word {n} "} for n in range(3)]
    streams: dict[str, list[Any]] = {
        "Perplexity": [
            {"delta": piece, "message": message} for piece, message in zip(pieces, so_far, strict=True)
        ],
        "whole messages": [{"message": message} for message in so_far],
        "messages in pieces": [{"message": piece, "delta": None} for piece in pieces],
        "a whole message last": [
            *({"delta": piece} for piece in pieces),
            {"delta": {}, "message": so_far[-1]},
        ],
    }
    _, parts = read_stream(CHAT, [{"choices": [{"index": 0, **choice}]} for choice in streams[server]])
    assert parts == [{"type": "text", "content": TEXT}]


@pytest.mark.parametrize(
    "deltas",
    [
        [{"reasoning_content": "Hm"}, {"reasoning_content": ", so"}],
        [{"reasoning": "Hm", "reasoning_content": "Hm"}, {"reasoning": ", so", "reasoning_content": ", so"}],
        [{"reasoning_content": "", "reasoning": "Hm, so"}],
        [
            {"reasoning": "Hm", "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]},
            {"reasoning": ", so", "reasoning_details": [{"type": "reasoning.text", "text": ", so"}]},
        ],
        [{"reasoning_details": [{"text": "Hm"}]}, {"reasoning_details": [{"text": ", so"}]}],
        [
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]},
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": ", so"}]}]},
        ],
        [
            {"content": [{"type": "thinking", "thinking": "Hm"}]},
            {"content": [{"type": "thinking", "thinking": ", so"}]},
        ],
    ],
    ids=["DeepSeek", "vLLM", "an empty one", "OpenRouter", "MiniMax", "Mistral", "a text"],
)
def test_thoughts_in_chat_streams(deltas: list[Any]) -> None:
    texts = [chat_delta(content=[{"type": "text", "text": text}]) for text in ("Yo", "u")]
    for words in ([chat_delta(content="You")], texts):
        _, parts = read_stream(CHAT, [*(chat_delta(**delta) for delta in deltas), *words])
        assert parts == [{"type": "reasoning", "content": "Hm, so"}, {"type": "text", "content": "You"}]
    whole = {"choices": [{"message": {"content": "You", **deltas[0]}}]}
    if all("content" not in delta for delta in deltas):
        messages = format_of(CHAT).response(whole, True).content["gen_ai.output.messages"]
        assert [part["type"] for part in messages[0]["parts"]] == ["reasoning", "text"]


def test_sound_and_pictures_in_streams() -> None:
    sound = base64.b64encode(bytes(range(50))).decode()
    padded = [base64.b64encode(bytes(range(start, start + 25))).decode() for start in (0, 25)]
    for pieces in ([sound[:20], sound[20:]], padded):
        deltas = [{"id": "audio_1"}, *({"data": piece} for piece in pieces), {"transcript": "Hi"}]
        events = [chat_delta(audio=delta) for delta in deltas]
        (part,) = read_stream(CHAT, events)[1]
        assert (part["content"], part["transcript"], part["id"]) == (sound, "Hi", "audio_1")
        inline = [{"inlineData": {"mimeType": "audio/L16;rate=24000", "data": piece}} for piece in pieces]
        (part,) = read_stream(GEMINI, [gemini_chunk(piece) for piece in inline])[1]
        assert (part["modality"], part["content"]) == ("audio", sound)
        audio = [{"type": "audio", "mime_type": "audio/l16", "data": piece} for piece in pieces]
        steps = [{"event_type": "step.delta", "index": 0, "delta": delta} for delta in audio]
        (part,) = read_stream(INTERACTIONS, steps)[1]
        assert (part["modality"], part["content"]) == ("audio", sound)
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    parts = read_stream(CHAT, [chat_delta(content="See"), chat_delta(images=[picture])])[1]
    assert [part["type"] for part in parts] == ["text", "blob"]
    source = [{"image": {"format": "png"}}, {"image": {"source": {"bytes": "QUJD"}}}]
    events = [{"contentBlockDelta": {"contentBlockIndex": 0, "delta": delta}} for delta in source]
    (part,) = read_stream(CONVERSE, events)[1]
    assert (part["mime_type"], part["content"]) == ("image/png", "QUJD")


def test_blocks_of_converse_streams() -> None:
    def delta(index: int, **value: Any) -> Any:
        return {"contentBlockDelta": {"contentBlockIndex": index, "delta": value}}

    search = {"toolUse": {"toolUseId": "s", "name": "nova_grounding", "type": "server_tool_use"}}
    answer = {"toolResult": {"toolUseId": "s", "status": "success", "type": "nova_grounding_result"}}
    events = [
        {"contentBlockStart": {"contentBlockIndex": 0, "start": search}},
        delta(0, toolUse={"input": '{"q":'}),
        delta(0, toolUse={"input": "1}"}),
        {"contentBlockStart": {"contentBlockIndex": 1, "start": answer}},
        delta(1, toolResult=[{"text": "It "}]),
        delta(1, toolResult=[{"text": "rains"}]),
        delta(2, text="So"),
        delta(2, citation={"title": "t"}),
        delta(2, text=" it is"),
        delta(3, reasoningContent={"redactedContent": "x"}),
    ]
    _, parts = read_stream(CONVERSE, events)
    assert [part["type"] for part in parts] == ["server_tool_call", "tool_call_response", "text", "reasoning"]
    assert parts[0]["server_tool_call"]["input"] == {"q": 1}
    assert parts[1]["response"] == "It rains"
    assert parts[2]["content"] == "So it is"
    cited = {"content": [{"text": "So"}, {"text": " it is"}], "citations": []}
    body = {"output": {"message": {"role": "assistant", "content": [{"citationsContent": cited}]}}}
    messages = format_of(CONVERSE).response(body, True).content["gen_ai.output.messages"]
    assert messages[0]["parts"] == parts[2:3]


def test_responses_that_were_resumed() -> None:
    """From the middle on: nobody says how the items began."""
    place = {"output_index": 2}
    events = [
        {
            "type": "response.reasoning_summary_text.delta",
            "output_index": 0,
            "summary_index": 0,
            "delta": "Hm",
        },
        {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 1, "delta": "Hel"},
        {"type": "response.output_text.done", "item_id": "msg_1", "output_index": 1, "text": "Hello"},
        {"type": "response.function_call_arguments.delta", **place, "delta": '{"a":'},
        {"type": "response.function_call_arguments.done", **place, "arguments": '{"a":1}', "name": "f"},
        {"type": "response.refusal.delta", "output_index": 3, "content_index": 0, "delta": "N"},
        {"type": "response.refusal.done", "output_index": 3, "content_index": 0, "refusal": "No"},
        {
            "type": "response.image_generation_call.partial_image",
            "output_index": 4,
            "partial_image_b64": "QUJD",
        },
        {"type": "response.shell_call_command.delta", "output_index": 5, "command_index": 0, "delta": "ls"},
        {"type": "response.custom_tool_call_input.delta", "output_index": 6, "delta": "free"},
        {"type": "response.unheard_of", "output_index": 7},
        {"type": "response.completed", "response": None},
    ]
    attributes, parts = read_stream(RESPONSES, events)
    kinds = ["reasoning", "text", "tool_call", "refusal", "blob", "tool_call", "tool_call"]
    assert [part["type"] for part in parts] == kinds
    assert [part["content"] for part in parts if "content" in part] == ["Hm", "Hello", "No", "QUJD"]
    assert [part["arguments"] for part in parts if "arguments" in part] == [
        {"a": 1},
        {"commands": ["ls"]},
        "free",
    ]
    assert attributes["gen_ai.response.finish_reasons"] == ["error"]


def test_items_without_an_index() -> None:
    events = [
        {"type": f"response.{kind}.delta", "item_id": item, "delta": text}
        for item, kind, text in (
            ("a", "output_text", "Hel"),
            ("b", "reasoning_text", "Hm"),
            ("a", "output_text", "lo"),
        )
    ]
    _, parts = read_stream(RESPONSES, events)
    assert parts == [{"type": "text", "content": "Hello"}, {"type": "reasoning", "content": "Hm"}]


def test_a_call_left_before_its_first_word_is_a_call() -> None:
    response = {"id": "resp_1", "status": "in_progress", "model": "m", "background": False, "output": []}
    created: dict[str, Any] = {"type": "response.created", "response": response}
    assert "gen_ai.operation.name" not in read_stream(RESPONSES, [created])[0]
    created["response"] = {**response, "background": True}
    assert read_stream(RESPONSES, [created])[0]["gen_ai.operation.name"] == "create_response"


def test_interactions_of_the_first_version() -> None:
    events = [
        {"event_type": "interaction.start", "interaction": {"id": "i", "status": "in_progress"}},
        {"event_type": "content.start", "index": 0, "content": {"type": "thought"}},
        {
            "event_type": "content.delta",
            "index": 0,
            "delta": {"type": "thought_summary", "content": {"type": "text", "text": "H"}},
        },
        {
            "event_type": "content.delta",
            "index": 0,
            "delta": {"type": "thought_summary", "content": {"type": "text", "text": "m"}},
        },
        {"event_type": "content.start", "index": 1, "content": {"type": "text"}},
        {"event_type": "content.delta", "index": 1, "delta": {"type": "text", "text": "Hel"}},
        {"event_type": "content.delta", "index": 1, "delta": {"type": "text", "text": "lo"}},
        {
            "event_type": "content.delta",
            "index": 2,
            "delta": {"type": "function_call", "id": "c", "name": "f", "arguments": {"a": 1}},
        },
        {
            "event_type": "interaction.complete",
            "interaction": {"id": "i", "status": "completed", "usage": {"total_output_tokens": 5}},
        },
    ]
    attributes, parts = read_stream(INTERACTIONS, events)
    assert [part.get("content", part.get("arguments")) for part in parts] == ["Hm", "Hello", {"a": 1}]
    assert attributes["gen_ai.usage.output_tokens"] == 5
    assert attributes["gen_ai.response.finish_reasons"] == ["stop"]


def test_a_stream_of_one_whole_message() -> None:
    message = {
        "type": "message",
        "id": "msg_1",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    attributes, parts = read_stream(MESSAGES, [message])
    assert parts == [{"type": "text", "content": "Hi"}]
    assert attributes["gen_ai.usage.output_tokens"] == 2


def test_blocks_that_all_have_one_index() -> None:
    """Some gateways leave it at 0: what begins anew is another block."""
    wanted = [("a", "f", {"x": 1}), ("b", "f", {"x": 2})]
    anthropic: list[Any] = [{"type": "message_start", "message": {"id": "m"}}]
    converse: list[Any] = []
    cohere: list[Any] = []
    steps: list[Any] = []
    items: list[Any] = []
    for call_id, name, arguments in wanted:
        pieces = Cut(call_id).pieces(json.dumps(arguments))
        block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
        anthropic.append({"type": "content_block_start", "index": 0, "content_block": block})
        start = {"toolUse": {"toolUseId": call_id, "name": name}}
        converse.append({"contentBlockStart": {"contentBlockIndex": 0, "start": start}})
        call = {"id": call_id, "function": {"name": name, "arguments": ""}}
        cohere.append({"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": call}}})
        step = {"type": "function_call", "id": call_id, "name": name}
        steps.append({"event_type": "step.start", "index": 0, "step": step})
        item = {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name}
        items.append({"type": "response.output_item.added", "output_index": 0, "item": item})
        for piece in pieces:
            delta = {"type": "input_json_delta", "partial_json": piece}
            anthropic.append({"type": "content_block_delta", "index": 0, "delta": delta})
            more = {"contentBlockIndex": 0, "delta": {"toolUse": {"input": piece}}}
            converse.append({"contentBlockDelta": more})
            words = {"message": {"tool_calls": {"function": {"arguments": piece}}}}
            cohere.append({"type": "tool-call-delta", "index": 0, "delta": words})
            partial = {"type": "arguments_delta", "partial_arguments": piece}
            steps.append({"event_type": "step.delta", "index": 0, "delta": partial})
            items.append(
                {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": piece}
            )
    streams = {
        MESSAGES: anthropic,
        CONVERSE: converse,
        "/v2/chat": cohere,
        INTERACTIONS: steps,
        RESPONSES: items,
    }
    for path, events in streams.items():
        _, parts = read_stream(path, events)
        assert [(part["id"], part["name"], part["arguments"]) for part in parts] == wanted, path

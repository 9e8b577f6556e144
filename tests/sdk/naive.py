"""A second, naive reading of recorded traffic, sharing no code with the SDK, to hold its spans against.

Each `_…` reader takes the decoded request and the decoded answer (a list of events for a stream) and says
what the span of that call has to hold. It is written per API and as plainly as can be, for these recordings
only.
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "recordings"
SOURCES = ("anthropic", "azure_openai", "bedrock", "google", "openai", "other")
MANAGEMENT = "assistant, thread and message management: no model runs"
DOWNLOAD = "download of a picture: not a GenAI API"
HOSTS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "api.deepseek.com": "deepseek",
    "bedrock-runtime.us-east-1.amazonaws.com": "aws.bedrock",
    "bedrock-runtime.us-west-2.amazonaws.com": "aws.bedrock",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "test-location-aiplatform.googleapis.com": "gcp.vertex_ai",
    "traceloop-stg.openai.azure.com": "azure.ai.openai",
    "test-resource.openai.azure.com": "azure.ai.openai",
    "localhost:5002": "unknown",
    "localhost:8000": "vllm",
}


@dataclass(frozen=True)
class Recording:
    """One exchange, as it was on the wire."""

    source: str
    record: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.source}:{self.record['id']}"

    @property
    def path(self) -> str:
        return str(urlsplit(self.record["url"]).path)

    @property
    def sent(self) -> bytes:
        return _raw(self.record["request"])

    @property
    def answered(self) -> bytes:
        return _raw(self.record["response"])

    @property
    def status(self) -> int:
        return int(self.record["status"])

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.record["response_headers"])

    @property
    def is_stream(self) -> bool:
        kind: str = self.headers.get("content-type", "")
        return kind.startswith(("text/event-stream", "application/vnd.amazon.eventstream"))

    @property
    def left_out(self) -> str | None:
        """Why this is not a GenAI call, if it is none."""
        if urlsplit(self.record["url"]).netloc == "upload.wikimedia.org":
            return DOWNLOAD
        managed = self.path.startswith("/v1/assistants") or (
            self.path.startswith("/v1/threads") and "/runs" not in self.path
        )
        return MANAGEMENT if managed else None


@dataclass
class Expected:
    """What a span has to say; the messages' texts in order, a tool call as (id, name, arguments)."""

    operation: str = "chat"
    provider: str = ""
    request_model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    reasons: list[str] | None = None
    text: str = ""
    thoughts: str = ""
    calls: list[tuple[Any, Any, Any]] = field(default_factory=list)
    error: tuple[str, str] | None = None
    tier: str | None = None
    tools: list[str] = field(default_factory=list)


_PARTS = {
    "text": {"content"},
    "reasoning": {"content"},
    "tool_call": {"name"},
    "tool_call_response": {"response"},
    "server_tool_call": {"name", "server_tool_call"},
    "server_tool_call_response": {"server_tool_call_response"},
    "blob": {"modality", "content"},
    "uri": {"modality", "uri"},
    "file": {"modality", "file_id"},
}


def misshapen(attributes: dict[str, Any]) -> list[str]:
    """What in a span's messages is not as the convention's schema of parts wants it."""
    wrong: list[str] = []
    for key in ("gen_ai.input.messages", "gen_ai.output.messages"):
        for message in json.loads(attributes.get(key, "[]")):
            if not isinstance(message["role"], str) or not isinstance(message["parts"], list):
                wrong.append(f"{key}: {message}")
            wrong += [f"{key}: {part}" for part in message["parts"] if not _is_part(part)]
    instructions = json.loads(attributes.get("gen_ai.system_instructions", "[]"))
    wrong += [f"system: {part}" for part in instructions if not _is_part(part)]
    tools = json.loads(attributes.get("gen_ai.tool.definitions", "[]"))
    return wrong + [f"tool: {tool}" for tool in tools if not (tool["type"] and tool["name"])]


def _is_part(part: dict[str, Any]) -> bool:
    wanted = _PARTS.get(part["type"], set())
    texts = [part.get(key) for key in ("content", "name", "uri", "modality", "file_id") if key in wanted]
    return wanted <= part.keys() and all(isinstance(text, str) for text in texts)


def recordings() -> Iterator[Recording]:
    """All of them, in the order in which they were made."""
    for source in SOURCES:
        with (FOLDER / f"{source}.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                yield Recording(source, json.loads(line))


def expected(recording: Recording, counted: set[str]) -> Expected:
    """The span of a call; `counted` are the answers that have been met before, and grows."""
    sent = json.loads(recording.sent) if recording.sent else {}
    path, answer = recording.path, _decoded(recording)
    reader = next(read for mark, read in _READERS if mark in path)
    want = reader(sent, answer if recording.status < 400 else {}, path)
    address = urlsplit(recording.record["url"]).netloc
    want.provider = HOSTS[address]
    want.tools = _tool_names(sent.get("tools", []) or sent.get("functions", []) or _nova_tools(sent))
    fetched = recording.record["method"] == "GET"
    if fetched and (want.response_id in counted or want.operation == "fetch_response"):
        want.operation, want.usage = "fetch_response", {}
    elif want.usage and want.response_id:
        counted.add(want.response_id)
    if isinstance(answer, dict) and answer.get("error"):  # Azure's filter says so under status 200
        want.error = _error(answer, recording.status)
    if recording.status >= 400:
        want.error = _error(answer, recording.status)
        want.usage, want.reasons = {}, None
        if fetched:
            want.operation = "fetch_response"
    return want


def _raw(body: dict[str, str] | None) -> bytes:
    if not body:
        return b""
    return base64.b64decode(body["base64"]) if "base64" in body else body["text"].encode()


def _decoded(recording: Recording) -> Any:
    raw = recording.answered
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    if "amazon.eventstream" in recording.headers.get("content-type", ""):
        return _aws(raw)
    if recording.is_stream:
        lines = [line[5:].strip() for line in raw.decode().split("\n") if line.startswith("data:")]
        return [json.loads(line) for line in lines if line != "[DONE]"]
    return json.loads(raw)


def _aws(raw: bytes) -> list[Any]:
    events = []
    while raw:
        total, headers = struct.unpack(">II", raw[:8])
        head, payload = raw[12 : 12 + headers], raw[12 + headers : total - 4]
        kind = head.split(b":event-type\x07")[1]
        (size,) = struct.unpack(">H", kind[:2])
        events.append((kind[2 : 2 + size].decode(), json.loads(payload)))
        raw = raw[total:]
    return events


def _error(answer: Any, status: int) -> tuple[str, str]:
    error = answer.get("error", answer)
    return error.get("code") or error.get("type") or str(status), error["message"]


def _tool_names(tools: list[Any]) -> list[str]:
    names: list[str] = []
    for tool in tools:
        if "functionDeclarations" in tool:
            names += [declaration["name"] for declaration in tool["functionDeclarations"]]
        else:
            names.append(tool.get("function", tool).get("name") or tool["type"])
    return names


def _nova_tools(sent: dict[str, Any]) -> list[Any]:
    return [tool["toolSpec"] for tool in sent.get("toolConfig", {}).get("tools", [])]


def _counts(**buckets: Any) -> dict[str, int]:
    """Usage by the last words of the attribute, `__` for a dot, without what is not given."""
    return {key.replace("__", "."): value for key, value in buckets.items() if value is not None}


def _openai_usage(usage: dict[str, Any]) -> dict[str, int]:
    prompt_details = usage.get("prompt_tokens_details") or usage.get("prompt_token_details") or {}
    completion_details = usage.get("completion_tokens_details") or {}
    return _counts(
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
        cache_read__input_tokens=prompt_details.get("cached_tokens", usage.get("prompt_cache_hit_tokens")),
        cache_write__input_tokens=prompt_details.get("cache_write_tokens"),
        reasoning__output_tokens=completion_details.get("reasoning_tokens"),
        audio__input_tokens=prompt_details.get("audio_tokens") or None,
        audio__output_tokens=completion_details.get("audio_tokens") or None,
    )


def _word(reason: str | None) -> str:
    words = {"tool_calls": "tool_call", "function_call": "tool_call", "tool_use": "tool_call"}
    words |= {"end_turn": "stop", "max_tokens": "length", "STOP": "stop", "completed": "stop"}
    return words.get(reason, reason) if reason else "error"


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _chat(sent: Any, answer: Any, path: str) -> Expected:
    want = Expected(request_model=sent.get("model") or path.split("/")[3])
    if isinstance(answer, list):
        return _chat_stream(want, answer)
    choices = answer.get("choices", [])
    messages = [choice.get("message") or {} for choice in choices]
    calls = [call for message in messages for call in message.get("tool_calls") or []]
    calls += [{"function": m["function_call"]} for m in messages if m.get("function_call")]
    want.text = "".join(message.get("content") or "" for message in messages)
    want.thoughts = "".join(m.get("reasoning_content") or m.get("reasoning") or "" for m in messages)
    want.calls = [
        (call.get("id"), call["function"]["name"], _arguments(call["function"]["arguments"]))
        for call in calls
    ]
    want.reasons = [_word(choice.get("finish_reason")) for choice in choices] or None
    want.response_id, want.response_model = answer.get("id"), answer.get("model")
    want.tier = answer.get("service_tier")
    want.usage = _openai_usage(answer.get("usage") or {})
    return want


def _chat_stream(want: Expected, events: list[Any]) -> Expected:
    texts: dict[int, str] = {}
    reasons: dict[int, Any] = {}
    calls: dict[Any, list[Any]] = {}
    for event in events:
        want.response_id = event.get("id") or want.response_id
        want.response_model = event.get("model") or want.response_model
        want.tier = event.get("service_tier") or want.tier
        want.usage = _openai_usage(event.get("usage") or {}) or want.usage
        for choice in event.get("choices", []):
            index, delta = choice["index"], choice.get("delta") or {}
            texts[index] = texts.get(index, "") + (delta.get("content") or "")
            want.thoughts += delta.get("reasoning_content") or ""
            reasons[index] = choice.get("finish_reason") or reasons.get(index)
            for call in delta.get("tool_calls") or []:
                call_fields = calls.setdefault((index, call["index"]), [None, "", ""])
                call_fields[0] = call.get("id") or call_fields[0]
                call_fields[1] += call["function"].get("name") or ""
                call_fields[2] += call["function"].get("arguments") or ""
    want.text = "".join(texts[index] for index in sorted(texts))
    want.reasons = [_word(reasons[index]) for index in sorted(reasons)]
    want.calls = [(call[0], call[1], _arguments(call[2])) for call in calls.values()]
    return want


def _completion(sent: Any, answer: Any, path: str) -> Expected:
    want = Expected("text_completion", request_model=sent["model"])
    events = answer if isinstance(answer, list) else [answer]
    choices = [choice for event in events for choice in event.get("choices", [])]
    want.text = "".join(choice.get("text", "") for choice in choices)
    finished = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    want.reasons = [_word(reason) for reason in finished] or ["error"]
    want.response_id, want.response_model = events[0].get("id"), events[0].get("model")
    want.usage = _openai_usage(next((event["usage"] for event in events if event.get("usage")), {}))
    return want


def _embeddings(sent: Any, answer: Any, path: str) -> Expected:
    want = Expected("embeddings", request_model=sent.get("model") or path.split("/")[3])
    want.response_model, want.response_id = answer.get("model"), answer.get("id")
    want.usage = _counts(input_tokens=answer.get("usage", {}).get("prompt_tokens"))
    return want


def _images(sent: Any, answer: Any, path: str) -> Expected:
    want = Expected("generate_content", request_model=sent["model"])
    if images := answer.get("data"):
        # Billed by the image: quality and size are what the price hangs on.
        want.usage = {"generated_images": len(images)}
        want.tier = "+".join(sent[name] for name in ("quality", "size") if name in sent)
    return want


def _responses(sent: Any, answer: Any, path: str) -> Expected:
    want = Expected(request_model=sent["model"])
    if isinstance(answer, list):
        answer = next(event["response"] for event in answer if event["type"] == "response.completed")
    if not answer:
        return want
    for item in answer["output"]:
        if item["type"] == "message":
            want.text += "".join(part["text"] for part in item["content"])
        elif item["type"] == "reasoning":
            want.thoughts += "".join(part["text"] for part in item["summary"])
        elif item["type"] == "function_call":
            want.calls.append((item["call_id"], item["name"], json.loads(item["arguments"])))
        elif item["type"] == "custom_tool_call":
            want.calls.append((item["call_id"], item["name"], item["input"]))
        elif item["type"] == "computer_call":
            want.calls.append((item["call_id"], "computer", item["actions"]))
    want.reasons = ["tool_call" if want.calls else _word(answer["status"])]
    want.response_id, want.response_model = answer["id"], answer["model"]
    want.tier = answer["service_tier"]
    usage = answer["usage"]
    want.usage = _counts(
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        cache_read__input_tokens=usage["input_tokens_details"]["cached_tokens"],
        cache_write__input_tokens=usage["input_tokens_details"].get("cache_write_tokens"),
        reasoning__output_tokens=usage["output_tokens_details"]["reasoning_tokens"],
    )
    return want


def _runs(sent: Any, answer: Any, path: str) -> Expected:
    want = Expected("fetch_response" if not sent else "invoke_agent")
    if isinstance(answer, list):
        deltas = [event for event in answer if event["object"] == "thread.message.delta"]
        parts = [part for event in deltas for part in event["delta"]["content"]]
        want.text = "".join(part["text"].get("value", "") for part in parts)
        answer = [event for event in answer if event["object"] == "thread.run"][-1]
    want.request_model = want.response_model = answer["model"]
    want.response_id = answer["id"]
    if answer["status"] == "completed":
        want.operation, want.reasons = "chat", ["stop"]
        want.usage = _openai_usage(answer["usage"])
    return want


def _anthropic(sent: Any, answer: Any, path: str) -> Expected:
    want = Expected(request_model=sent["model"])
    usage: dict[str, Any] = {}
    if isinstance(answer, list):
        for event in answer:
            if event["type"] == "message_start":
                usage = dict(event["message"]["usage"])
                want.response_id, want.response_model = event["message"]["id"], event["message"]["model"]
            elif event["type"] == "content_block_delta":
                want.text += event["delta"]["text"]
            elif event["type"] == "message_delta":
                usage |= event["usage"]
                want.reasons = [_word(event["delta"]["stop_reason"])]
    elif answer:
        usage = answer["usage"]
        want.response_id, want.response_model = answer["id"], answer["model"]
        want.reasons = [_word(answer["stop_reason"])]
        want.text = "".join(part.get("text", "") for part in answer["content"])
        used = [part for part in answer["content"] if part["type"] == "tool_use"]
        want.calls = [(part["id"], part["name"], part["input"]) for part in used]
    if usage:
        read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
        ages = usage.get("cache_creation") or {}
        want.tier = usage.get("service_tier")
        want.usage = _counts(
            input_tokens=usage["input_tokens"] + (read or 0) + (written or 0),
            output_tokens=usage["output_tokens"],
            cache_read__input_tokens=read,
            cache_write__input_tokens=written,
            cache_write_5m__input_tokens=ages.get("ephemeral_5m_input_tokens"),
            cache_write_1h__input_tokens=ages.get("ephemeral_1h_input_tokens"),
            reasoning__output_tokens=(usage.get("output_tokens_details") or {}).get("thinking_tokens"),
        )
    return want


def _converse(sent: Any, answer: Any, path: str) -> Expected:
    want = Expected(request_model=unquote(path.split("/")[2]))
    usage: dict[str, int] = {}
    if isinstance(answer, list):
        inputs: dict[int, list[Any]] = {}
        for kind, event in answer:
            if kind == "contentBlockStart":
                call = event["start"]["toolUse"]
                inputs[event["contentBlockIndex"]] = [call["toolUseId"], call["name"], ""]
            elif kind == "contentBlockDelta":
                want.text += event["delta"].get("text", "")
                if "toolUse" in event["delta"]:
                    inputs[event["contentBlockIndex"]][2] += event["delta"]["toolUse"]["input"]
            elif kind == "messageStop":
                want.reasons = [_word(event["stopReason"])]
            elif kind == "metadata":
                usage = event["usage"]
        want.calls = [(call[0], call[1], json.loads(call[2])) for call in inputs.values()]
    elif answer:
        for part in answer["output"]["message"]["content"]:
            want.text += part.get("text", "")
            if call := part.get("toolUse"):
                want.calls.append((call["toolUseId"], call["name"], call["input"]))
        want.reasons, usage = [_word(answer["stopReason"])], answer["usage"]
    if usage:
        read, written = usage.get("cacheReadInputTokens"), usage.get("cacheWriteInputTokens")
        want.usage = _counts(
            input_tokens=usage["inputTokens"] + (read or 0) + (written or 0),
            output_tokens=usage["outputTokens"],
            cache_read__input_tokens=read,
            cache_write__input_tokens=written,
        )
    return want


def _gemini(sent: Any, answer: Any, path: str) -> Expected:
    want = Expected("generate_content", request_model=path.split("/models/")[1].split(":")[0])
    want.response_id, want.response_model = answer.get("responseId"), answer["modelVersion"]
    want.reasons = [_word(candidate["finishReason"]) for candidate in answer["candidates"]]
    for part in [part for candidate in answer["candidates"] for part in candidate["content"]["parts"]]:
        want.text += part.get("text", "")
        if call := part.get("functionCall"):
            want.calls.append((call.get("id"), call["name"], call["args"]))
    usage = answer["usageMetadata"]
    thought = usage.get("thoughtsTokenCount")
    want.tier = usage.get("serviceTier")
    want.usage = _counts(
        input_tokens=usage["promptTokenCount"],
        output_tokens=usage["candidatesTokenCount"] + (thought or 0),
        reasoning__output_tokens=thought,
        **_by_modality(usage.get("promptTokensDetails"), "input_tokens", "tokenCount"),
        **_by_modality(usage.get("candidatesTokensDetails"), "output_tokens", "tokenCount"),
    )
    return want


def _by_modality(details: Any, side: str, count: str) -> dict[str, int]:
    return {f"{detail['modality'].lower()}__{side}": detail[count] for detail in details or []}


def _gemini_embeddings(sent: Any, answer: Any, path: str) -> Expected:
    want = Expected("embeddings", request_model=path.split("/models/")[1].split(":")[0])
    usage = answer["usageMetadata"]
    want.usage = _counts(
        input_tokens=usage["promptTokenCount"],
        **_by_modality(usage.get("promptTokenDetails"), "input_tokens", "tokenCount"),
    )
    return want


def _interactions(sent: Any, answer: Any, path: str) -> Expected:
    want = Expected("generate_content" if sent else "fetch_response", request_model=sent.get("model"))
    want.response_id = None if sent else path.split("/")[-1]
    if isinstance(answer, list):
        want.text = "".join(
            event["delta"].get("text", "") for event in answer if event["event_type"] == "step.delta"
        )
        failed = [event["error"] for event in answer if event["event_type"] == "error"]
        want.error = (failed[0]["code"], failed[0]["message"]) if failed else None
        want.reasons = ["error"] if failed else None
        answer = {k: v for event in answer for k, v in (event.get("interaction") or {}).items()}
    else:
        steps = [step for step in answer.get("steps", []) if step["type"] == "model_output"]
        want.text = "".join(part["text"] for step in steps for part in step["content"])
    if not answer:
        return want
    want.response_id, want.response_model = answer["id"], answer["model"]
    want.tier = answer.get("service_tier")
    if answer["status"] == "completed":
        want.operation, want.reasons = "generate_content", ["stop"]
        want.request_model = want.request_model or answer["model"]
        usage = answer["usage"]
        want.usage = _counts(
            input_tokens=usage["total_input_tokens"],
            output_tokens=usage["total_output_tokens"] + usage["total_thought_tokens"],
            cache_read__input_tokens=usage["total_cached_tokens"],
            reasoning__output_tokens=usage["total_thought_tokens"],
            **_by_modality(usage["input_tokens_by_modality"], "input_tokens", "tokens"),
        )
    elif sent:
        want.operation = "create_response"
    return want


_READERS = (
    ("/chat/completions", _chat),
    ("/completions", _completion),
    ("/embeddings", _embeddings),
    ("/images/", _images),
    ("/responses", _responses),
    ("/runs", _runs),
    ("/messages", _anthropic),
    ("/converse", _converse),
    (":generateContent", _gemini),
    (":batchEmbedContents", _gemini_embeddings),
    ("/interactions", _interactions),
)

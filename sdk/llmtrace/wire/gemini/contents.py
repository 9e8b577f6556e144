"""Gemini's contents and tools to messages, parts and definitions."""

from __future__ import annotations

from typing import Any

from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, either, items, mapping


def message(value: Json) -> Json:
    """One content, of either side; a mere text or part is the user's."""
    if isinstance(value, str):
        return message_parts.message("user", [message_parts.text(value)])
    sent = mapping(value)
    role = sent.get("role")
    given = items(sent.get("parts")) if "parts" in sent else [sent]
    made = [part(mapping(each)) for each in given]
    return message_parts.message({"model": "assistant", "function": "tool"}.get(str(role), role), made)


def part(value: Any) -> Json:
    """One part; thought signatures are opaque and left out."""
    if "text" in value:
        return (message_parts.reasoning if value.get("thought") is True else message_parts.text)(
            value["text"]
        )
    if call := mapping(either(value, "functionCall", "function_call")):
        return message_parts.tool_call(call.get("id"), call.get("name"), call.get("args"))
    if answer := mapping(either(value, "functionResponse", "function_response")):
        made = message_parts.tool_response(answer.get("id"), answer.get("response"))
        return {**made, "name": answer.get("name")}
    if inline := mapping(either(value, "inlineData", "inline_data")):
        mime = either(inline, "mimeType", "mime_type")
        return message_parts.blob(message_parts.modality_of(mime), mime, inline.get("data"))
    if file := mapping(either(value, "fileData", "file_data")):
        mime = either(file, "mimeType", "mime_type")
        return message_parts.uri(message_parts.modality_of(mime), either(file, "fileUri", "file_uri"), mime)
    if code := mapping(either(value, "executableCode", "executable_code")):
        return message_parts.server_tool_call(
            code.get("id"), "code_execution", {"type": "code_execution", **code}
        )
    if result := mapping(either(value, "codeExecutionResult", "code_execution_result")):
        return message_parts.server_tool_response(result.get("id"), {"type": "code_execution", **result})
    return message_parts.unknown({key: each for key, each in value.items() if "ignature" not in key})


def joined(given: list[Json]) -> list[Json]:
    """Neighbouring texts of a stream as one, thoughts and words apart."""
    made: list[dict[str, Any]] = []
    texts: list[list[str]] = []
    for each in map(mapping, given):
        last = made[-1] if made else {}
        if each.get("text") == "":
            continue
        if "text" in each and "text" in last and bool(each.get("thought")) == bool(last.get("thought")):
            texts[-1].append(str(each["text"]))
        else:
            made.append(dict(each))
            texts.append([str(each.get("text"))])
    for part, pieces in zip(made, texts, strict=True):
        if len(pieces) > 1:
            part["text"] = "".join(pieces)
    return made


def tools(given: Json) -> list[Json]:
    """Function declarations one by one; the provider's own tools (`googleSearch`) by name."""
    made: list[Json] = []
    for tool in map(mapping, items(given)):
        for name, value in tool.items():
            if name in {"functionDeclarations", "function_declarations"}:
                made.extend(
                    message_parts.function(
                        each.get("name"),
                        each.get("description"),
                        either(each, "parameters", "parametersJsonSchema", "parameters_json_schema"),
                    )
                    for each in map(mapping, items(value))
                )
            elif value is not None:
                made.append({"type": name, "name": name, **mapping(value)})
    return made

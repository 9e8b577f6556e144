"""Gemini's contents and tools to messages, parts and definitions."""

from __future__ import annotations

from typing import Any

from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, either, items, mapping


def message(value: Json) -> Json:
    """One content, of either side; a mere text or part is the user's."""
    if isinstance(value, str):
        return message_parts.message("user", [message_parts.text(value)])
    content = mapping(value)
    role = content.get("role")
    raw_parts = items(content.get("parts")) if "parts" in content else [content]
    parts = [part(mapping(raw_part)) for raw_part in raw_parts]
    return message_parts.message({"model": "assistant", "function": "tool"}.get(str(role), role), parts)


def part(raw_part: Any) -> Json:
    """One part; thought signatures are opaque and left out."""
    if "text" in raw_part:
        return (message_parts.reasoning if raw_part.get("thought") is True else message_parts.text)(
            raw_part["text"]
        )
    if call := mapping(either(raw_part, "functionCall", "function_call")):
        return message_parts.tool_call(call.get("id"), call.get("name"), call.get("args") or {})
    if answer := mapping(either(raw_part, "functionResponse", "function_response")):
        tool_response = message_parts.tool_response(answer.get("id"), answer.get("response"))
        return {**tool_response, "name": answer.get("name")}
    if inline := mapping(either(raw_part, "inlineData", "inline_data")):
        mime = either(inline, "mimeType", "mime_type")
        return message_parts.blob(message_parts.modality_of(mime), mime, inline.get("data"))
    if file := mapping(either(raw_part, "fileData", "file_data")):
        mime = either(file, "mimeType", "mime_type")
        return message_parts.uri(message_parts.modality_of(mime), either(file, "fileUri", "file_uri"), mime)
    if code := mapping(either(raw_part, "executableCode", "executable_code")):
        return message_parts.server_tool_call(
            code.get("id"), "code_execution", {"type": "code_execution", **code}
        )
    if result := mapping(either(raw_part, "codeExecutionResult", "code_execution_result")):
        return message_parts.server_tool_response(result.get("id"), {"type": "code_execution", **result})
    return message_parts.unknown({key: value for key, value in raw_part.items() if "ignature" not in key})


def tools(raw_tools: Json) -> list[Json]:
    """Function declarations one by one; the provider's own tools (`googleSearch`) by name."""
    definitions: list[Json] = []
    for tool in map(mapping, items(raw_tools)):
        for name, value in tool.items():
            if name in {"functionDeclarations", "function_declarations"}:
                definitions.extend(
                    message_parts.function(
                        declaration.get("name"),
                        declaration.get("description"),
                        either(declaration, "parameters", "parametersJsonSchema", "parameters_json_schema"),
                    )
                    for declaration in map(mapping, items(value))
                )
            elif value is not None:
                definitions.append({"type": name, "name": name, **mapping(value)})
    return definitions

"""Grammars that constrain an answer, in llguidance's notation: JSON, JSON schemas and required tool calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from llmtrace_inference.engine.interface import Matcher, Tokenizer
from llmtrace_inference.protocol.errors import invalid_value
from llmtrace_inference.protocol.requests import ChatRequest, JsonObject, JsonSchema, Tool
from llmtrace_inference.protocol.tool_calls import CLOSE, OPEN


def grammar_for(request: ChatRequest) -> tuple[str, str] | None:
    """(the field that asks for it, the grammar) of a constrained request; None where anything may be said."""
    if request.forces_tool:
        return "tool_choice", _tool_grammar(request.usable_tools)
    if isinstance(request.response_format, JsonObject):
        return "response_format", _lark({"type": "object"})
    if isinstance(request.response_format, JsonSchema):
        return "response_format.json_schema.schema", _lark(request.response_format.json_schema.json_schema)
    return None


async def matcher_for(request: ChatRequest, tokenizer: Tokenizer) -> Matcher | None:
    """What the answer has to keep to; None where anything may be said. Raises ApiError 400."""
    wanted = grammar_for(request)
    if wanted is None:
        return None
    param, grammar = wanted
    try:
        # Compiling takes a second for a large vocabulary's first grammar, and long for a hard schema.
        return await asyncio.to_thread(tokenizer.matcher, grammar)
    except ValueError as error:
        raise invalid_value(param, str(error)) from error
    except RuntimeError as error:
        raise invalid_value(param, str(error), code="unsupported_parameter") from error


def _lark(schema: dict[str, Any]) -> str:
    # Compact: between tokens of JSON a small model would otherwise put white space for ever.
    text = json.dumps({**schema, "x-guidance": {"whitespace_flexible": False}})
    return f"start: %json {text}\n"


def _tool_grammar(tools: Sequence[Tool]) -> str:
    """One call of one of the tools, between the markers that chat templates ask for."""
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool.function.name},
                "arguments": tool.function.parameters or {"type": "object"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    schema = {"anyOf": calls, "x-guidance": {"whitespace_flexible": False}}
    opening, closing = json.dumps(OPEN + "\n"), json.dumps("\n" + CLOSE)
    return f"start: {opening} call {closing}\ncall: %json {json.dumps(schema)}\n"

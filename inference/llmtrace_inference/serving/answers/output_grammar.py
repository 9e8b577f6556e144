"""Grammars that constrain an answer, in llguidance's notation: JSON, JSON schemas and required tool calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from llmtrace_inference.engine.interface import Matcher, Tokenizer
from llmtrace_inference.protocol.errors import ApiError, invalid_value
from llmtrace_inference.protocol.requests import ChatRequest, JsonObject, JsonSchema, Tool
from llmtrace_inference.protocol.tool_calls import CLOSE, OPEN

_MOST_CHARACTERS: Final = 120_000
"""A longer grammar would hold up every answer's tokens while its first step is taken."""
_AT_ONCE: Final = 2
_MOST_WAITING: Final = 16


def grammar_for(request: ChatRequest) -> tuple[str, str] | None:
    """(the field that asks for it, the grammar) of a constrained request; None where anything may be said."""
    if request.forces_tool:
        return "tool_choice", _tool_grammar(request.usable_tools)
    if isinstance(request.response_format, JsonObject):
        return "response_format", _lark({"type": "object"})
    if isinstance(request.response_format, JsonSchema):
        return "response_format.json_schema.schema", _lark(request.response_format.json_schema.json_schema)
    return None


class GrammarCompiler:
    """Compiles grammars beside the event loop. One that is new may take seconds: those wait for each other,
    and hold up no others. For one event loop.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="grammars")
        self._waiting = 0

    async def matcher_for(self, request: ChatRequest, tokenizer: Tokenizer) -> Matcher | None:
        """What the answer has to keep to; None where anything may be said. Raises ApiError 400 and 503."""
        wanted = grammar_for(request)
        if wanted is None:
            return None
        param, grammar = wanted
        if len(grammar) > _MOST_CHARACTERS:
            raise invalid_value(param, f"the schema is longer than {_MOST_CHARACTERS} characters of JSON")
        if tokenizer.knows_grammar(grammar):
            return await self._compiled(None, param, tokenizer, grammar)
        if self._waiting >= _MOST_WAITING:
            message = "too many grammars are being compiled: try again shortly"
            raise ApiError(503, message, code="engine_full", retry_after_seconds=2)
        self._waiting += 1
        try:
            return await self._compiled(self._executor, param, tokenizer, grammar)
        finally:
            self._waiting -= 1

    @staticmethod
    async def _compiled(
        executor: ThreadPoolExecutor | None, param: str, tokenizer: Tokenizer, grammar: str
    ) -> Matcher:
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, tokenizer.matcher, grammar)
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

"""What a step that calls no model was asked and gave, as turns for the messages part; all of it untrusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llmtrace import semconv

from .message_turns import message_part, text_turn, turn

#: What goes into a step, and what comes out.
_INPUTS = (semconv.TOOL_CALL_ARGUMENTS, semconv.FUNCTION_ARGUMENTS)
_OUTPUTS = (semconv.TOOL_CALL_RESULT, semconv.FUNCTION_RESULT)

#: Documents shown of one retrieval.
_MOST_DOCUMENTS = 50


def step_turns(attributes: Mapping[str, str]) -> list[dict[str, Any]]:
    """Arguments and result of a tool or function, query and documents of a retrieval, what a person said
    before an act; nothing where the span carries none of these.
    """
    turns = [text_turn("Input", "user", attributes[key]) for key in _INPUTS if attributes.get(key)]
    if query := attributes.get(semconv.RETRIEVAL_QUERY_TEXT):
        turns.append(text_turn("Query", "user", query))
    if documents := attributes.get(semconv.RETRIEVAL_DOCUMENTS):
        turns.append(_documents(documents))
    turns += [text_turn("Output", "assistant", attributes[key]) for key in _OUTPUTS if attributes.get(key)]
    if changed := attributes.get(semconv.APPROVAL_ARGUMENTS):
        turns.append(text_turn("Changed to", "assistant", changed))
    if reason := attributes.get(semconv.APPROVAL_REASON):
        turns.append(text_turn("Reason", "assistant", reason))
    return turns


def _documents(text: str) -> dict[str, Any]:
    try:
        listed = json.loads(text)
    except json.JSONDecodeError:
        listed = None
    if not isinstance(listed, list):
        return text_turn("Documents", "assistant", text)
    parts = [_document(document) for document in listed[:_MOST_DOCUMENTS]]
    note = f"{len(listed):,} documents" if len(listed) != 1 else "1 document"
    if len(listed) > _MOST_DOCUMENTS:
        note += f", the first {_MOST_DOCUMENTS} of them shown"
    return turn("Documents", parts, note, side="assistant")


def _document(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        return message_part("text", body=str(document))
    facts = [str(document["id"]) if document.get("id") is not None else "without id"]
    facts += [f"{name} {document[name]}" for name in ("score", "distance") if document.get(name) is not None]
    metadata = document.get("metadata")
    note = json.dumps(metadata, ensure_ascii=False)[:1000] if metadata else ""
    return message_part("document", " · ".join(facts), str(document.get("text") or ""), note=note)

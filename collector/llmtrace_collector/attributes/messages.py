"""Where the texts of a call stand: what was asked, what was answered, with which instructions and tools."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: Indices of flattened keys beyond this are taken for hostile and left out.
MAX_INDEX = 10_000

#: The text of a span event that stands for a message.
EVENT_CONTENT = "gen_ai.event.content"

#: The convention's event with all of a call in its attributes.
DETAILS_EVENT = "gen_ai.client.inference.operation.details"

#: Flattened messages and tools: column → the prefixes before `.{index}.`.
INDEXED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "InputMessages": ("gen_ai.prompt", "llm.input_messages", "embedding.embeddings"),
        "OutputMessages": ("gen_ai.completion", "llm.output_messages"),
        "ToolDefinitions": ("llm.request.functions", "llm.tools"),
    }
)

#: Documents that a retrieval came back with, flattened likewise: the prefix before `.{index}.`.
INDEXED_DOCUMENTS = "retrieval.documents"

#: Messages in span events of older conventions: column → event name → attribute (JSON or text), role.
EVENT_MESSAGES: Mapping[str, Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "InputMessages": {
            "gen_ai.content.prompt": ("gen_ai.prompt", "user"),
            "gen_ai.system.message": ("content", "system"),
            "gen_ai.user.message": ("content", "user"),
            "gen_ai.assistant.message": ("content", "assistant"),
            "gen_ai.tool.message": ("content", "tool"),
        },
        "OutputMessages": {
            "gen_ai.content.completion": ("gen_ai.completion", "assistant"),
            "gen_ai.choice": ("message", "assistant"),
        },
    }
)

"""What the programs ask, so that each emitter makes the same calls. Imports nothing."""

from __future__ import annotations

SYSTEM = "You answer questions on bridges."
QUESTION = "Which river does the old stone bridge cross?"
TOOL_QUESTION = "How long are the bridges of Mostar and of Visegrad?"
TEXTS = ["The old stone bridge.", "A river in autumn."]
CHAT_MODEL = "gpt-4o-mini"
REASONING_MODEL = "o4-mini"
EMBEDDING_MODEL = "text-embedding-3-small"
CLAUDE = "claude-sonnet-4-20250514"
GEMINI = "gemini-2.5-flash"
NOVA = "amazon.nova-lite-v1:0"
COMMAND = "command-r-08-2024"

TOOL_NAME = "bridge_length"
TOOL_DESCRIPTION = "Length of a bridge in metres"
TOOL_SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"town": {"type": "string", "description": "where the bridge stands"}},
    "required": ["town"],
}
#: The tool as OpenAI's chat completions take it.
TOOL = {
    "type": "function",
    "function": {"name": TOOL_NAME, "description": TOOL_DESCRIPTION, "parameters": TOOL_SCHEMA},
}
LENGTHS = {"Mostar": 29, "Visegrad": 179}

#: A picture of one pixel.
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PICTURE_TYPE = "image/png"
PICTURE_URL = f"data:{PICTURE_TYPE};base64,{PICTURE}"

#: The plain question, as most clients take it.
MESSAGES = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]


def bridge_length(town: str) -> int:
    """Length of a bridge in metres."""
    return LENGTHS[town]


#: Seconds before an answer begins, before the first token of a stream, and after it.
DELAY, FIRST, REST = 0.01, 0.2, 0.24
#: Asks the provider to hand a request on to a server of the program's own, and to note what that answers.
UPSTREAM_HEADER = "x-conformance-upstream"

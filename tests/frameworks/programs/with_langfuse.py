"""Langfuse's SDK as its users set it up, by environment variables: sign in, observe a function, call, flush.

python with_langfuse.py API_URL

Prints whether its keys were taken.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

langfuse: Any = importlib.import_module("langfuse")
openai: Any = importlib.import_module("langfuse.openai").openai


def signs_in(client: Any) -> bool:
    """Whether Langfuse's own check of the keys succeeds."""
    try:
        return bool(client.auth_check())
    except Exception as error:  # of whichever kind: it is printed
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return False


def answer_question() -> None:
    """A call below a function of the program's."""
    provider = openai.OpenAI(api_key="k", base_url=sys.argv[1] + "/v1", max_retries=0)
    provider.chat.completions.create(
        model="gpt-3.5-turbo", messages=[{"role": "user", "content": "What is the capital of France?"}]
    )


client: Any = langfuse.get_client()
taken = signs_in(client)
langfuse.observe(name="answer_question")(answer_question)()
client.flush()
print(json.dumps(taken))

"""An agent whose tool fails on what the model writes for a weight: `"2 kg"`, where it wants a number."""

import json
import re
import sys
from typing import Any

from openai import OpenAI

import llmtrace

REPAIRED = False
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "shipping_cost",
            "description": "What a parcel costs, in euros",
            "parameters": {"type": "object", "properties": {"weight": {"type": "string"}}},
        },
    }
]


@llmtrace.tool
def shipping_cost(weight: str) -> float:
    if REPAIRED:
        weight = re.sub(r"[^\d.]", "", weight)
    return 4.5 * float(weight)


@llmtrace.observe(capture_args=True)
def answer(question: str) -> str:
    client: Any = OpenAI()
    messages: list[Any] = [{"role": "user", "content": question}]
    while True:
        completion = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS)
        message = completion.choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            cost = shipping_cost(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": str(cost)})


def main(question: str) -> None:
    llmtrace.init(service_name="shop")
    print(answer(question))


if __name__ == "__main__":
    import shipping_agent

    shipping_agent.main(sys.argv[1])

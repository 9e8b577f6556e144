"""boto3's client for Amazon Bedrock, Converse: what its tracers see."""

from __future__ import annotations

import base64
import json
from typing import Any

import boto3
from botocore.config import Config
from program import in_threads, run
from questions import (
    LENGTHS,
    NOVA,
    PICTURE,
    QUESTION,
    SYSTEM,
    TEXTS,
    TOOL_DESCRIPTION,
    TOOL_NAME,
    TOOL_QUESTION,
    TOOL_SCHEMA,
)

REQUEST: dict[str, Any] = {
    "modelId": NOVA,
    "system": [{"text": SYSTEM}],
    "messages": [{"role": "user", "content": [{"text": QUESTION}]}],
    "inferenceConfig": {"maxTokens": 200},
}


def client(url: str, attempts: int = 1) -> Any:
    """The client of a cell."""
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="k",
        aws_secret_access_key="k",  # not one
        config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}),
    )


def plain(url: str) -> None:
    client(url).converse(**REQUEST)


def stream(url: str) -> None:
    for _ in client(url).converse_stream(**REQUEST)["stream"]:
        pass


def tools(url: str) -> None:
    specification = {
        "name": TOOL_NAME,
        "description": TOOL_DESCRIPTION,
        "inputSchema": {"json": TOOL_SCHEMA},
    }
    messages: list[Any] = [{"role": "user", "content": [{"text": TOOL_QUESTION}]}]
    for _ in range(2):
        answer = client(url).converse(
            modelId=NOVA, messages=messages, toolConfig={"tools": [{"toolSpec": specification}]}
        )
        message = answer["output"]["message"]
        results = [
            {
                "toolResult": {
                    "toolUseId": part["toolUse"]["toolUseId"],
                    "content": [{"text": str(LENGTHS["Mostar"])}],
                }
            }
            for part in message["content"]
            if "toolUse" in part
        ]
        messages += [message, {"role": "user", "content": results}]


def embeddings(url: str) -> None:
    client(url).invoke_model(
        modelId="amazon.titan-embed-text-v2:0", body=json.dumps({"inputText": TEXTS[0]})
    )["body"].read()


def images(url: str) -> None:
    picture = {"image": {"format": "png", "source": {"bytes": base64.b64decode(PICTURE)}}}
    content = [picture, {"text": QUESTION}]
    client(url).converse(modelId=NOVA, messages=[{"role": "user", "content": content}])


def retry(url: str) -> None:
    client(url, attempts=3).converse(**REQUEST)


if __name__ == "__main__":
    run(
        {
            "plain": plain,
            "stream": stream,
            "tools": tools,
            "parallel_tools": tools,
            "embeddings": embeddings,
            "images": images,
            "reasoning": plain,
            "cached": plain,
            "error": plain,
            "retry": retry,
            "thread": in_threads(plain),
        }
    )

"""Batches as providers answer them: what a poll says, and their results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from llmtrace.testing import Answer
from llmtrace.testing.replay import Received

ENDED_AT: Final = int(time.time()) - 86_400
"""When the batches of the samples ended; a collector takes nothing that is much older."""
_ENDED: Final = datetime.fromtimestamp(ENDED_AT, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
_CREATED: Final = datetime.fromtimestamp(ENDED_AT - 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

JsonLines = {"content-type": "application/octet-stream"}


def chat_body(number: int, created: int | None = ENDED_AT - 60, **more: Any) -> dict[str, Any]:
    """A chat completion of 12 and 5 tokens."""
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        **({} if created is None else {"created": created}),
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17},
        **more,
    }


def embedding_body(**more: Any) -> dict[str, Any]:
    """An answer of 7 tokens, without id and time."""
    return {
        "object": "list",
        "model": "text-embedding-3-small",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
        **more,
    }


def response_body(number: int) -> dict[str, Any]:
    """An answer of Responses of 9 and 4 tokens."""
    text = {"type": "output_text", "text": "Hi", "annotations": []}
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": ENDED_AT - 60,
        "status": "completed",
        "model": "gpt-4o-mini-2024-07-18",
        "output": [{"type": "message", "id": "m", "role": "assistant", "content": [text]}],
        "usage": {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13},
    }


def openai_line(number: int, body: Any, status: int = 200, error: Any = None) -> dict[str, Any]:
    """A line of an output or an error file; `body` None: it was never run."""
    answer = {"status_code": status, "request_id": f"req_{number}", "body": body}
    return {
        "id": f"batch_req_{number}",
        "custom_id": f"q-{number}",
        "response": None if body is None else answer,
        "error": error,
    }


def openai_batch(endpoint: str = "/v1/chat/completions", **more: Any) -> dict[str, Any]:
    """A batch that has ended."""
    return {
        "id": "batch_1",
        "object": "batch",
        "endpoint": endpoint,
        "input_file_id": "file-in",
        "completion_window": "24h",
        "status": "completed",
        "output_file_id": "file-out",
        "error_file_id": None,
        "created_at": ENDED_AT - 3600,
        "completed_at": ENDED_AT,
        "request_counts": {"total": 3, "completed": 3, "failed": 0},
        **more,
    }


def mistral_job(**more: Any) -> dict[str, Any]:
    """A job of Mistral's that has ended."""
    return {
        "id": "b7f2",
        "object": "batch",
        "input_files": ["file-in"],
        "metadata": {},
        "endpoint": "/v1/chat/completions",
        "model": "mistral-small-latest",
        "output_file": "file-out",
        "error_file": None,
        "errors": [],
        "status": "SUCCESS",
        "created_at": ENDED_AT - 3600,
        "started_at": ENDED_AT - 3000,
        "completed_at": ENDED_AT,
        "total_requests": 2,
        "completed_requests": 2,
        "succeeded_requests": 2,
        "failed_requests": 0,
        **more,
    }


def anthropic_batch(url: str, **more: Any) -> dict[str, Any]:
    """A batch of messages that has ended."""
    return {
        "id": "msgbatch_1",
        "type": "message_batch",
        "processing_status": "ended",
        "request_counts": {"processing": 0, "succeeded": 2, "errored": 1, "canceled": 0, "expired": 1},
        "created_at": _CREATED,
        "ended_at": _ENDED,
        "expires_at": _ENDED,
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": f"{url}/v1/messages/batches/msgbatch_1/results",
        **more,
    }


def anthropic_line(number: int) -> dict[str, Any]:
    """A result of 10 and 6 tokens."""
    message = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 6, "service_tier": "batch"},
    }
    return {"custom_id": f"q-{number}", "result": {"type": "succeeded", "message": message}}


ANTHROPIC_FAULTS: Final = (
    {
        "custom_id": "bad",
        "result": {
            "type": "errored",
            "error": {
                "type": "error",
                "error": {"type": "invalid_request_error", "message": "max_tokens: too many"},
            },
        },
    },
    {"custom_id": "late", "result": {"type": "expired"}},
)


def gemini_answer(number: int) -> dict[str, Any]:
    """An answer of 8 and 3 tokens."""
    return {
        "responseId": f"r-{number}",
        "modelVersion": "gemini-2.5-flash",
        "candidates": [
            {"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP", "index": 0}
        ],
        "usageMetadata": {"promptTokenCount": 8, "candidatesTokenCount": 3, "totalTokenCount": 11},
    }


def gemini_operation(output: Any, model: str = "gemini-2.5-flash", **more: Any) -> dict[str, Any]:
    """A batch that has ended, with its output in both of its places."""
    return {
        "name": "batches/b1",
        "metadata": {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "name": "batches/b1",
            "model": f"models/{model}",
            "displayName": "nightly",
            "createTime": _CREATED,
            "endTime": _ENDED,
            "updateTime": _ENDED,
            "state": "BATCH_STATE_SUCCEEDED",
            "batchStats": {"requestCount": "2", "successfulRequestCount": "2"},
            "output": output,
        },
        "done": True,
        "response": output,
        **more,
    }


def lines(values: Iterable[Any]) -> Answer:
    """A file with a value on each line."""
    body = b"".join(json.dumps(value).encode() + b"\n" for value in values)
    return Answer(body, headers=JsonLines)


def files(
    batch: Callable[[Received], Any], results: Iterable[Any], ending: str = "/content"
) -> Callable[[Received], Answer]:
    """Answers whatever is asked: paths that end so by the results, all others by the batch."""
    file = lines(results)

    def respond(request: Received) -> Answer:
        is_file = request.path.partition("?")[0].endswith(ending)
        return file if is_file else Answer.json(batch(request))

    return respond

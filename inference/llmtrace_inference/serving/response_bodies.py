"""The bodies of answers, as OpenAI's API writes them: chat and plain completions, whole and in chunks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from llmtrace_inference.engine.interface import Tokenizer, TokenLogprob
from llmtrace_inference.protocol.requests import ChatRequest

from .answers.choice import Choice
from .answers.events import TextDelta
from .request import InferenceRequest


class ResponseBody(Protocol):
    """Writes one request's answer."""

    def whole(self) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        ...

    def opening(self) -> list[dict[str, Any]]:
        """Chunks before the first delta."""
        ...

    def chunks(self, delta: TextDelta) -> list[dict[str, Any]]:
        """A delta's chunks."""
        ...

    def usage_chunk(self) -> dict[str, Any]:
        """The last chunk where the request asks for usage."""
        ...


class _Common:
    kind = ""
    chunk_kind = ""

    def __init__(self, completion: InferenceRequest[Any]) -> None:
        info = completion.engine.info
        self._body = completion.body
        self._answer = completion.answer
        self._tokenizer = completion.engine.tokenizer
        self._head = {
            "id": completion.response_id,
            "object": self.kind,
            "created": int(time.time()),
            "model": completion.body.model,
            "system_fingerprint": f"{info.engine}-{info.dtype}",
        }
        self._chunk_head = {**self._head, "object": self.chunk_kind}

    def _whole(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self._head, "choices": choices, "usage": self._usage()}

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        chunk = {**self._chunk_head, "choices": [choice]}
        if self._body.include_usage:
            chunk["usage"] = None
        return chunk

    def _usage(self) -> dict[str, Any]:
        answer = self._answer
        prompt = answer.input_tokens or 0
        return {
            "prompt_tokens": prompt,
            "completion_tokens": answer.output_tokens,
            "total_tokens": prompt + answer.output_tokens,
            "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
        }

    def usage_chunk(self) -> dict[str, Any]:
        return {**self._chunk_head, "choices": [], "usage": self._usage()}


class ChatBody(_Common):
    """chat.completion and chat.completion.chunk."""

    kind, chunk_kind = "chat.completion", "chat.completion.chunk"

    def __init__(self, completion: InferenceRequest[Any]) -> None:
        super().__init__(completion)
        self._tool_calls_sent: dict[int, int] = {}

    def whole(self) -> dict[str, Any]:
        return self._whole([self._choice(i, choice) for i, choice in enumerate(self._answer.choices)])

    def _choice(self, index: int, choice: Choice) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
        if choice.recalled:
            message |= {"content": None, "refusal": f"withdrawn by the content check: {choice.recalled}"}
        if choice.tool_calls:
            message["content"] = choice.text or None
            message["tool_calls"] = [tool_call.body() for tool_call in choice.tool_calls]
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs(choice.logprobs),
            "finish_reason": choice.finish_reason,
        }

    def _logprobs(self, logprobs: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if self._body.wanted_logprobs is None:
            return None
        tokenizer = self._tokenizer
        content = [
            {
                **_token(tokenizer, entry.token_id, entry.logprob),
                "top_logprobs": [_token(tokenizer, i, value) for i, value in entry.top],
            }
            for entry in logprobs
        ]
        return {"content": content, "refusal": None}

    def _delta_chunk(
        self,
        index: int,
        delta: dict[str, Any],
        logprobs: Sequence[TokenLogprob] = (),
        finish: str | None = None,
    ) -> dict[str, Any]:
        reported = self._logprobs(logprobs) if logprobs else None
        return self._chunk({"index": index, "delta": delta, "logprobs": reported, "finish_reason": finish})

    def opening(self) -> list[dict[str, Any]]:
        count = len(self._answer.choices)
        return [self._delta_chunk(i, {"role": "assistant", "content": ""}) for i in range(count)]

    def chunks(self, delta: TextDelta) -> list[dict[str, Any]]:
        chunks = []
        if delta.text or delta.logprobs:
            chunks.append(self._delta_chunk(delta.index, {"content": delta.text}, delta.logprobs))
        for tool_call in delta.tool_calls:
            number = self._tool_calls_sent.get(delta.index, 0)
            self._tool_calls_sent[delta.index] = number + 1
            chunks.append(
                self._delta_chunk(delta.index, {"tool_calls": [{"index": number, **tool_call.body()}]})
            )
        if delta.finish is not None:
            chunks.append(_recalling(delta, self._delta_chunk(delta.index, {}, finish=delta.finish)))
        return chunks


class CompletionBody(_Common):
    """text_completion, whole and in chunks of the same kind."""

    kind = chunk_kind = "text_completion"

    def __init__(self, completion: InferenceRequest[Any]) -> None:
        super().__init__(completion)
        self._offsets: dict[int, int] = {}

    def whole(self) -> dict[str, Any]:
        return self._whole(
            [
                {
                    "index": i,
                    "text": choice.text,
                    "logprobs": self._logprobs(choice.logprobs, i),
                    "finish_reason": choice.finish_reason,
                }
                for i, choice in enumerate(self._answer.choices)
            ]
        )

    def _logprobs(self, logprobs: Sequence[TokenLogprob], index: int) -> dict[str, Any] | None:
        if self._body.wanted_logprobs is None:
            return None
        tokenizer = self._tokenizer
        tokens = [_text(tokenizer, entry.token_id) for entry in logprobs]
        offsets = []
        for token in tokens:
            offsets.append(self._offsets.get(index, 0))
            self._offsets[index] = offsets[-1] + len(token)
        return {
            "tokens": tokens,
            "token_logprobs": [entry.logprob for entry in logprobs],
            "top_logprobs": [{_text(tokenizer, i): value for i, value in entry.top} for entry in logprobs],
            "text_offset": offsets,
        }

    def opening(self) -> list[dict[str, Any]]:
        return []

    def chunks(self, delta: TextDelta) -> list[dict[str, Any]]:
        logprobs = self._logprobs(delta.logprobs, delta.index) if delta.logprobs else None
        choice = {"index": delta.index, "text": delta.text, "logprobs": logprobs}
        return [_recalling(delta, self._chunk({**choice, "finish_reason": delta.finish}))]


def _recalling(delta: TextDelta, chunk: dict[str, Any]) -> dict[str, Any]:
    """With a recall, the chunk tells the client to withdraw what it showed of this choice."""
    if delta.recall:
        chunk["recall"] = {"index": delta.index, "reason": delta.recall}
    return chunk


def _text(tokenizer: Tokenizer, token_id: int) -> str:
    return tokenizer.token_bytes(token_id).decode("utf-8", errors="replace")


def _token(tokenizer: Tokenizer, token_id: int, logprob: float) -> dict[str, Any]:
    data = tokenizer.token_bytes(token_id)
    return {"token": data.decode("utf-8", errors="replace"), "logprob": logprob, "bytes": list(data)}


def response_body_of(completion: InferenceRequest[Any]) -> ResponseBody:
    """The body that the request's endpoint answers with."""
    return ChatBody(completion) if isinstance(completion.body, ChatRequest) else CompletionBody(completion)

"""The bodies of answers, as OpenAI's API writes them: chat and plain completions, whole and in chunks."""

from __future__ import annotations

import time
from typing import Any, Protocol

from llmtrace_inference.engine.interface import Tokenizer, TokenLogprob
from llmtrace_inference.protocol.requests import ChatRequest
from llmtrace_inference.telemetry.request_record import ChoiceRecord

from .request import InferenceRequest, TextDelta


class ResponseBody(Protocol):
    """Writes one call's answer."""

    def whole(self) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        ...

    def opening(self) -> list[dict[str, Any]]:
        """Chunks before the first piece."""
        ...

    def chunks(self, piece: TextDelta) -> list[dict[str, Any]]:
        """A piece's chunks."""
        ...

    def usage_chunk(self) -> dict[str, Any]:
        """The last chunk where the request asks for usage."""
        ...


class _Common:
    kind = ""
    chunk_kind = ""

    def __init__(self, call: InferenceRequest) -> None:
        self._call = call
        self._created = int(time.time())

    def _head(self, kind: str) -> dict[str, Any]:
        info = self._call.engine.info
        return {
            "id": self._call.trace.response_id,
            "object": kind,
            "created": self._created,
            "model": self._call.request.model,
            "system_fingerprint": f"{info.engine}-{info.dtype}",
        }

    def _body(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self._head(self.kind), "choices": choices, "usage": self._usage()}

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        chunk = {**self._head(self.chunk_kind), "choices": [choice]}
        if self._call.request.include_usage:
            chunk["usage"] = None
        return chunk

    def _usage(self) -> dict[str, Any]:
        trace = self._call.trace
        prompt, answer = trace.input_tokens or 0, trace.output_tokens
        return {
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "total_tokens": prompt + answer,
            "prompt_tokens_details": {"cached_tokens": trace.cached_tokens},
        }

    def usage_chunk(self) -> dict[str, Any]:
        return {**self._head(self.chunk_kind), "choices": [], "usage": self._usage()}


class ChatBody(_Common):
    """chat.completion and chat.completion.chunk."""

    kind, chunk_kind = "chat.completion", "chat.completion.chunk"

    def __init__(self, call: InferenceRequest) -> None:
        super().__init__(call)
        self._calls_seen: dict[int, int] = {}

    def whole(self) -> dict[str, Any]:
        return self._body([self._choice(i, choice) for i, choice in enumerate(self._call.trace.choices)])

    def _choice(self, index: int, choice: ChoiceRecord) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
        if choice.recalled:
            message |= {"content": None, "refusal": f"withdrawn by the content check: {choice.recalled}"}
        if choice.tool_calls:
            message["content"] = choice.text or None
            message["tool_calls"] = [call.body() for call in choice.tool_calls]
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs(choice.logprobs),
            "finish_reason": choice.finish_reason,
        }

    def _logprobs(self, noted: list[TokenLogprob] | tuple[TokenLogprob, ...]) -> dict[str, Any] | None:
        if self._call.request.wanted_logprobs is None:
            return None
        tokenizer = self._call.engine.tokenizer
        content = [
            {
                **_token(tokenizer, one.token_id, one.logprob),
                "top_logprobs": [_token(tokenizer, i, value) for i, value in one.top],
            }
            for one in noted
        ]
        return {"content": content, "refusal": None}

    def _delta(
        self,
        index: int,
        delta: dict[str, Any],
        noted: tuple[TokenLogprob, ...] = (),
        finish: str | None = None,
    ) -> dict[str, Any]:
        logprobs = self._logprobs(noted) if noted else None
        return self._chunk({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish})

    def opening(self) -> list[dict[str, Any]]:
        count = len(self._call.trace.choices)
        return [self._delta(i, {"role": "assistant", "content": ""}) for i in range(count)]

    def chunks(self, piece: TextDelta) -> list[dict[str, Any]]:
        made = []
        if piece.text or piece.logprobs:
            made.append(self._delta(piece.index, {"content": piece.text}, piece.logprobs))
        for call in piece.tool_calls:
            number = self._calls_seen.get(piece.index, 0)
            self._calls_seen[piece.index] = number + 1
            made.append(self._delta(piece.index, {"tool_calls": [{"index": number, **call.body()}]}))
        if piece.finish is not None:
            made.append(_recalling(piece, self._delta(piece.index, {}, finish=piece.finish)))
        return made


class CompletionBody(_Common):
    """text_completion, whole and in chunks of the same kind."""

    kind = chunk_kind = "text_completion"

    def __init__(self, call: InferenceRequest) -> None:
        super().__init__(call)
        self._offsets: dict[int, int] = {}

    def whole(self) -> dict[str, Any]:
        return self._body(
            [
                {
                    "index": i,
                    "text": choice.text,
                    "logprobs": self._logprobs(choice.logprobs, i),
                    "finish_reason": choice.finish_reason,
                }
                for i, choice in enumerate(self._call.trace.choices)
            ]
        )

    def _logprobs(
        self, noted: list[TokenLogprob] | tuple[TokenLogprob, ...], index: int
    ) -> dict[str, Any] | None:
        if self._call.request.wanted_logprobs is None:
            return None
        tokenizer = self._call.engine.tokenizer
        tokens = [_text(tokenizer, one.token_id) for one in noted]
        offsets = []
        for token in tokens:
            offsets.append(self._offsets.get(index, 0))
            self._offsets[index] = offsets[-1] + len(token)
        return {
            "tokens": tokens,
            "token_logprobs": [one.logprob for one in noted],
            "top_logprobs": [{_text(tokenizer, i): value for i, value in one.top} for one in noted],
            "text_offset": offsets,
        }

    def opening(self) -> list[dict[str, Any]]:
        return []

    def chunks(self, piece: TextDelta) -> list[dict[str, Any]]:
        logprobs = self._logprobs(piece.logprobs, piece.index) if piece.logprobs else None
        choice = {"index": piece.index, "text": piece.text, "logprobs": logprobs}
        return [_recalling(piece, self._chunk({**choice, "finish_reason": piece.finish}))]


def _recalling(piece: TextDelta, chunk: dict[str, Any]) -> dict[str, Any]:
    """With a recall, the chunk tells the client to withdraw what it showed of this choice."""
    if piece.recall:
        chunk["recall"] = {"index": piece.index, "reason": piece.recall}
    return chunk


def _text(tokenizer: Tokenizer, token_id: int) -> str:
    return tokenizer.token_bytes(token_id).decode("utf-8", errors="replace")


def _token(tokenizer: Tokenizer, token_id: int, logprob: float) -> dict[str, Any]:
    data = tokenizer.token_bytes(token_id)
    return {"token": data.decode("utf-8", errors="replace"), "logprob": logprob, "bytes": list(data)}


def response_body_of(call: InferenceRequest) -> ResponseBody:
    """The shape that the request's endpoint answers in."""
    return ChatBody(call) if isinstance(call.request, ChatRequest) else CompletionBody(call)

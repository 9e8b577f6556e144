"""The chat completion request: what is supported, and a 400 that names the field for everything else."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TextPart(_Strict):
    """A text part of a message's content; other parts are not supported."""

    type: Literal["text"]
    text: str


class Message(_Strict):
    """One message. `developer` is taken as `system`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)

    @property
    def template_role(self) -> str:
        """The role as chat templates know it."""
        return "system" if self.role == "developer" else self.role


class StreamOptions(_Strict):
    """Options of a streamed answer."""

    include_usage: bool = False


class ResponseFormat(_Strict):
    """Only plain text."""

    type: Literal["text"]


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class ChatRequest(_Strict):
    """Body of POST /v1/chat/completions.

    `top_k` and `ignore_eos` (answers of exactly max_tokens tokens, for benchmarks) go beyond OpenAI's API,
    under the names other servers use. Fields that change nothing at one value (n=1, penalties of 0, …) are
    accepted with exactly that value.
    """

    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: (
        Annotated[
            list[Annotated[str, Field(min_length=1)]], BeforeValidator(_one_or_many), Field(max_length=4)
        ]
        | None
    ) = None
    ignore_eos: bool | None = None
    user: Annotated[str, Field(max_length=512)] | None = None
    safety_identifier: Annotated[str, Field(max_length=512)] | None = None
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None

    n: Literal[1] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    logprobs: Literal[False] | None = None
    response_format: ResponseFormat | None = None
    store: Literal[False] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ChatRequest:
        both = self.max_tokens is not None and self.max_completion_tokens is not None
        if both and self.max_tokens != self.max_completion_tokens:
            raise ValueError("max_tokens and max_completion_tokens differ: send only one of them")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream to be true")
        return self

    @property
    def output_limit(self) -> int | None:
        """Asked-for number of tokens, whichever field said it."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def user_id(self) -> str | None:
        return self.safety_identifier or self.user

    @property
    def session_id(self) -> str | None:
        return (self.metadata or {}).get("session_id")

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def template_messages(self) -> list[dict[str, str]]:
        """The messages as a chat template takes them."""
        return [{"role": m.template_role, "content": m.text} for m in self.messages]

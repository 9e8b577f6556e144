"""The requests: what is supported, and a 400 that names the field for everything else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from .json_text import parse_object

MAX_CHOICES = 16
"""Most answers (prompts × n) that one request may ask for."""

MAX_MESSAGES = 4096
MAX_PARTS = 1024
MAX_EMBEDDING_INPUTS = 256
MAX_STOP_CHARACTERS = 1024
MAX_ID_CHARACTERS = 16_384
"""Of a tool call: some providers put what the model thought into it."""

# A list is judged up to its first wrong item: an error for each of a hundred thousand takes a second.
TokenCount = Annotated[int, Field(ge=1, le=2**31 - 1)]
ModelName = Annotated[str, Field(min_length=1, max_length=512)]
Identifier = Annotated[str, Field(max_length=512)]
TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(fail_fast=True, min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())


class TextPart(_Strict):
    """A text part of a message's content; other parts are not supported."""

    type: Literal["text"]
    text: str


class CalledFunction(_Strict):
    """The function of a tool call in the conversation; `arguments` is JSON text of an object."""

    name: Identifier
    arguments: str

    @field_validator("arguments")
    @classmethod
    def _is_an_object(cls, text: str) -> str:
        parse_object(text or "{}")
        return text

    @property
    def arguments_object(self) -> dict[str, Any]:
        """The arguments as an object."""
        return parse_object(self.arguments or "{}")


class PastToolCall(_Strict):
    """A tool call that an earlier answer made."""

    id: Annotated[str, Field(max_length=MAX_ID_CHARACTERS)]
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(_Strict):
    """One message. `developer` is taken as `system`."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[TextPart], Field(fail_fast=True, max_length=MAX_PARTS)] | None = None
    name: Identifier | None = None
    tool_calls: Annotated[list[PastToolCall], Field(fail_fast=True, max_length=128)] | None = None
    tool_call_id: Annotated[str, Field(max_length=MAX_ID_CHARACTERS)] | None = None
    refusal: None = None

    @model_validator(mode="after")
    def _has_what_its_role_needs(self) -> Message:
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("content is missing")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("only assistant messages have tool_calls")
        if (self.tool_call_id is None) == (self.role == "tool"):
            raise ValueError("tool_call_id belongs to every message of role tool, and to no other")
        return self

    @property
    def text(self) -> str:
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "".join(part.text for part in self.content)

    @property
    def template_role(self) -> str:
        """The role as chat templates know it."""
        return "system" if self.role == "developer" else self.role

    def for_template(self) -> dict[str, Any]:
        """The message as a chat template takes it: the arguments of tool calls as objects."""
        out: dict[str, Any] = {"role": self.template_role, "content": self.text}
        if self.tool_calls:
            out["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {
                        "name": call.function.name,
                        "arguments": call.function.arguments_object,
                    },
                }
                for call in self.tool_calls
            ]
        if self.tool_call_id is not None:
            out["tool_call_id"] = self.tool_call_id
        return out


class StreamOptions(_Strict):
    """Options of a streamed answer."""

    include_usage: bool = False


class PlainText(_Strict):
    """No constraint."""

    type: Literal["text"]


class JsonObject(_Strict):
    """Any JSON object."""

    type: Literal["json_object"]


class NamedSchema(_Strict):
    """A JSON schema with its name. `strict` changes nothing: the answer always keeps to the schema."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    description: str | None = None
    json_schema: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class JsonSchema(_Strict):
    """JSON that keeps to a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


class FunctionDefinition(_Strict):
    """A function that the model may call; `parameters` is a JSON schema of an object."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(_Strict):
    """A tool of the request; functions only."""

    type: Literal["function"]
    function: FunctionDefinition


class _FunctionName(_Strict):
    name: Identifier


class NamedTool(_Strict):
    """tool_choice that names one function."""

    type: Literal["function"]
    function: _FunctionName


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]


class GenerationRequest(_Strict, ABC):
    """What chat and plain completions share.

    `top_k`, `min_p`, `priority` (lower goes first) and `ignore_eos` (answers of exactly max_tokens tokens,
    for benchmarks) go beyond OpenAI's API, under the names other servers use.
    """

    prompt_field: ClassVar[str]
    """The field that the prompt comes in."""

    model: ModelName
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: TokenCount | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    top_k: TokenCount | None = None
    min_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]],
            Field(fail_fast=True, max_length=4),
            BeforeValidator(_one_or_many),
        ]
        | None
    ) = None
    ignore_eos: bool | None = None
    priority: Annotated[int, Field(ge=-10, le=10)] | None = None
    user: Identifier | None = None
    safety_identifier: Identifier | None = None
    metadata: (
        Annotated[dict[Annotated[str, Field(max_length=64)], Identifier], Field(max_length=16)] | None
    ) = None

    @model_validator(mode="after")
    def _streams_for_stream_options(self) -> GenerationRequest:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream to be true")
        return self

    @property
    def output_limit(self) -> int | None:
        """Asked-for number of tokens per answer."""
        return self.max_tokens

    @property
    def choices(self) -> int:
        """Answers per prompt."""
        return self.n or 1

    @property
    def user_id(self) -> str | None:
        return self.safety_identifier or self.user

    @property
    def session_id(self) -> str | None:
        return (self.metadata or {}).get("session_id")

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    @abstractmethod
    def wanted_logprobs(self) -> int | None:
        """Alternatives to report beside each token's log-probability; None: nothing."""

    @property
    @abstractmethod
    def prompt_parts(self) -> list[str | list[int]]:
        """What was asked: the messages' texts, or each prompt as text or token ids."""

    @property
    def wants_tools(self) -> bool:
        """There are tools that may be called."""
        return False


class ChatRequest(GenerationRequest):
    """Body of POST /v1/chat/completions."""

    prompt_field: ClassVar[str] = "messages"

    messages: Annotated[list[Message], Field(fail_fast=True, min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: TokenCount | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: Annotated[PlainText | JsonObject | JsonSchema, Field(discriminator="type")] | None = None
    tools: Annotated[list[Tool], Field(fail_fast=True, min_length=1, max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    store: Literal[False] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ChatRequest:
        both = self.max_tokens is not None and self.max_completion_tokens is not None
        if both and self.max_tokens != self.max_completion_tokens:
            raise ValueError("max_tokens and max_completion_tokens differ: send only one of them")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs to be true")
        if self.tool_choice not in (None, "none") and not self.tools:
            raise ValueError("tool_choice needs tools")
        named = self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else None
        if named is not None and named not in [tool.function.name for tool in self.tools or ()]:
            raise ValueError(f"tool_choice names {named!r}, which is not among the tools")
        if self.is_constrained and self.ignore_eos:
            raise ValueError("ignore_eos cannot go with response_format or a required tool call")
        if self.forces_tool and isinstance(self.response_format, JsonObject | JsonSchema):
            raise ValueError("response_format cannot go with a required tool call")
        return self

    @property
    def output_limit(self) -> int | None:
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def wanted_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def forces_tool(self) -> bool:
        """A tool must be called."""
        return self.tool_choice == "required" or isinstance(self.tool_choice, NamedTool)

    @property
    def usable_tools(self) -> list[Tool]:
        """The tools that may be called: none with tool_choice none, one where it names one."""
        if self.tool_choice == "none":
            return []
        if isinstance(self.tool_choice, NamedTool):
            return [t for t in self.tools or () if t.function.name == self.tool_choice.function.name]
        return list(self.tools or ())

    @property
    def wants_tools(self) -> bool:
        return bool(self.usable_tools)

    @property
    def prompt_parts(self) -> list[str | list[int]]:
        return [message.text for message in self.messages]

    @property
    def is_constrained(self) -> bool:
        """The answer must keep to a grammar."""
        return self.forces_tool or isinstance(self.response_format, JsonObject | JsonSchema)

    def template_messages(self) -> list[dict[str, Any]]:
        """The messages as a chat template takes them."""
        return [message.for_template() for message in self.messages]

    def template_tools(self) -> list[dict[str, Any]] | None:
        """The tools as a chat template takes them."""
        if self.tool_choice == "none" or not self.tools:
            return None
        return [tool.model_dump(exclude_none=True) for tool in self.tools]


class CompletionRequest(GenerationRequest):
    """Body of POST /v1/completions: one prompt or several, as text or as token ids."""

    prompt_field: ClassVar[str] = "prompt"

    prompt: (
        str
        | TokenIds
        | Annotated[list[str], Field(fail_fast=True, min_length=1, max_length=MAX_CHOICES)]
        | Annotated[list[TokenIds], Field(fail_fast=True, min_length=1, max_length=MAX_CHOICES)]
    )
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    best_of: Literal[1] | None = None
    echo: Literal[False] | None = None
    suffix: None = None

    @model_validator(mode="after")
    def _not_too_many(self) -> CompletionRequest:
        if len(self.prompts) * self.choices > MAX_CHOICES:
            raise ValueError(f"prompts × n is more than {MAX_CHOICES}")
        return self

    @property
    def wanted_logprobs(self) -> int | None:
        return self.logprobs

    @property
    def prompt_parts(self) -> list[str | list[int]]:
        return self.prompts

    @property
    def prompts(self) -> list[str | list[int]]:
        """Each prompt by itself."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [self.prompt]
        return list(self.prompt)


class EmbeddingRequest(_Strict):
    """Body of POST /v1/embeddings: one text or several, as text or as token ids."""

    prompt_field: ClassVar[str] = "input"
    stream: ClassVar[bool] = False

    model: ModelName
    input: (
        Annotated[str, Field(min_length=1)]
        | TokenIds
        | Annotated[
            list[Annotated[str, Field(min_length=1)]],
            Field(fail_fast=True, min_length=1, max_length=MAX_EMBEDDING_INPUTS),
        ]
        | Annotated[list[TokenIds], Field(fail_fast=True, min_length=1, max_length=MAX_EMBEDDING_INPUTS)]
    )
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: None = None
    user: Identifier | None = None

    @property
    def user_id(self) -> str | None:
        return self.user

    @property
    def prompt_parts(self) -> list[str | list[int]]:
        """Each text by itself."""
        if isinstance(self.input, str):
            return [self.input]
        if isinstance(self.input[0], int):
            return [self.input]
        return list(self.input)

"""What a request yields while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from llmtrace_inference.engine.interface import TokenLogprob
from llmtrace_inference.protocol.tool_calls import ToolCall


@dataclass(frozen=True, slots=True)
class AnswerStarted:
    """The first delta is there: what goes wrong from here on has no status of its own any more."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """What new tokens add to one choice; `finish` is set on the choice's last one."""

    index: int
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish: str | None = None
    recall: str = ""
    """Why all that was sent of this choice is withdrawn."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """One sequence's vector, and the forward pass that made it. Times are perf_counter_ns."""

    vector: list[float]
    batch_size: int
    start_ns: int
    end_ns: int


Event = TextDelta | Embedded

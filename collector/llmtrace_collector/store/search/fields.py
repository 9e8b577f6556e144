"""What a search can ask for: every field with its kind, a sentence and an example, as in docs/search.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from types import MappingProxyType
from typing import Final

from llmtrace import semconv

from . import quantities


class Kind(Enum):
    """What may stand after a field's name."""

    NAME = "name"
    """Names, whatever their case; `*` stands for any text."""
    ID = "id"
    """Identifiers as they are written; `*` stands for any text."""
    CHOICE = "choice"
    """One of a few words."""
    NUMBER = "number"
    """A comparison with a number."""
    ATTRIBUTE = "attribute"
    """After a name of its own: a text, a comparison, or nothing."""
    MOMENT = "moment"
    """A time."""


@dataclass(frozen=True)
class Field:
    """One field. `unit` is what its numbers count, `choices` its words; with `keyed`, a dot and a name of the
    user's own follow it: `attr.NAME`.
    """

    name: str
    kind: Kind
    help: str
    example: str
    unit: str = quantities.PLAIN
    choices: tuple[str, ...] = ()
    keyed: bool = False

    @property
    def label(self) -> str:
        """How the field is written in front of its operator."""
        return f"{self.name}.NAME" if self.keyed else self.name


_STATUS = ("ok", "error", "failed", "recovered")
#: An approval that was asked for and has no answer.
WAITING: Final = "waiting"

_HAS = ("image", "retry", "abandoned", "retrieval", "tool", "approval", "degraded", "error", "score")


def _number(name: str, text: str, example: str, unit: str) -> Field:
    return Field(name, Kind.NUMBER, text, example, unit)


_FIELDS = (
    Field("model", Kind.NAME, "The model that was asked for, else the one that answered.", "model:gpt-5*"),
    Field("provider", Kind.NAME, "Who served the call.", "provider:openai,azure*"),
    Field("operation", Kind.NAME, "What the span does, in OpenTelemetry's words.", "operation:embeddings"),
    Field("service", Kind.NAME, "The service that sent the span.", "service:checkout"),
    Field("project", Kind.NAME, "The project that the span belongs to.", "project:shop"),
    Field("user", Kind.ID, "The user whom the call is for.", "user:u-4711"),
    Field("session", Kind.ID, "The session or conversation.", "session:s-3"),
    Field("step", Kind.NAME, "A step that is no call of a model, by its span's name.", "step:search_orders"),
    Field("tool", Kind.NAME, "A tool that was run.", "tool:search_*"),
    Field(
        "status",
        Kind.CHOICE,
        "How it ended: failed (the root failed), recovered (a step failed, the root did not), error "
        "(either), ok. A repeated attempt is no failure.",
        "status:failed,recovered",
        choices=_STATUS,
    ),
    Field("error", Kind.NAME, "The type of an error, or words of its message.", "error:timeout"),
    Field("finish", Kind.NAME, "Why the model stopped.", "finish:length"),
    Field("prompt", Kind.NAME, "A named prompt, with its version after an @.", "prompt:greeting@3"),
    Field("experiment", Kind.NAME, "The experiment.", "experiment:tone"),
    Field("run", Kind.ID, "The run of an experiment.", "run:2026-11-20"),
    Field("tag", Kind.NAME, "A tag, or a tag's key or key and value.", "tag:tier=gold"),
    Field(
        "purpose",
        Kind.CHOICE,
        "What the work was for; without this field most readers take product.",
        "purpose:evaluation,judge",
        choices=semconv.PURPOSES,
    ),
    Field(
        "approval",
        Kind.CHOICE,
        "What a person decided before an act: approved, edited (with other arguments) or rejected; pending "
        "(to come later), timeout or undecided where nobody did; waiting, where somebody was asked and no "
        "answer has come, by now.",
        "approval:rejected,timeout",
        choices=(*semconv.APPROVAL_OUTCOMES, WAITING),
    ),
    Field(
        "has",
        Kind.CHOICE,
        "Something that is there: an image that was sent, a repeated attempt, a stream left before its end, "
        "a retrieval, a tool's run, a person's decision before an act (approval), what stood in for a "
        "model's answer (degraded), an error, a score.",
        "has:retry",
        choices=_HAS,
    ),
    _number("cost", "What it cost in USD, where a price is known.", "cost>0.01", quantities.MONEY),
    _number("tokens", "Input and output tokens together.", "tokens>10k", quantities.COUNT),
    _number(
        "input_tokens",
        "Input tokens, those read from a cache included.",
        "input_tokens>100k",
        quantities.COUNT,
    ),
    _number("output_tokens", "Output tokens, reasoning included.", "output_tokens=0", quantities.COUNT),
    _number("latency", "From start to end.", "latency>2s", quantities.SECONDS),
    _number("ttfb", "Time to the first byte of the answer.", "ttfb>1s", quantities.SECONDS),
    _number("ttft", "Time to first token.", "ttft>800ms", quantities.SECONDS),
    _number("tpot", "Time for each output token after the first.", "tpot>50ms", quantities.SECONDS),
    Field(
        "score",
        Kind.ATTRIBUTE,
        "A score of this name: its value, or its label.",
        "score.helpful<0.5",
        keyed=True,
    ),
    Field(
        "attr",
        Kind.ATTRIBUTE,
        "An attribute of the span: equal to a text, compared with a number, or there at all.",
        "attr.gen_ai.request.temperature>0.7",
        keyed=True,
    ),
    Field(
        "resource",
        Kind.ATTRIBUTE,
        "The same for attributes of the resource that sent the span.",
        "resource.deployment.environment=prod",
        keyed=True,
    ),
    Field("since", Kind.MOMENT, "From this moment on.", "since:2026-11-01"),
    Field("until", Kind.MOMENT, "Before this moment.", "until:2026-11-01T14:00"),
    Field("last", Kind.MOMENT, "So long up to now.", "last:24h"),
)

#: Every field by its name, in the order of the documentation.
FIELDS: Mapping[str, Field] = MappingProxyType({field.name: field for field in _FIELDS})

#: What other tools call a field.
_OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "agent": "step",
        "attribute": "attr.NAME",
        "attributes": "attr.NAME",
        "conversation": "session",
        "duration": "latency",
        "env": "resource.NAME",
        "exception": "error",
        "finish_reason": "finish",
        "from": "since",
        "input": "input_tokens",
        "level": "status",
        "message": "error",
        "name": "step",
        "output": "output_tokens",
        "price": "cost",
        "reason": "finish",
        "span": "step",
        "span_name": "step",
        "time": "since",
        "to": "until",
        "version": "prompt",
    }
)


def fields() -> tuple[Field, ...]:
    """Every field, in the order of the documentation."""
    return _FIELDS


def nearest(name: str) -> str | None:
    """The field that was probably meant by `name`, as it is written; None when none comes near."""
    name = name.lower()
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    close = get_close_matches(name, FIELDS, n=1, cutoff=0.72)
    return FIELDS[close[0]].label if close else None

"""What says that two spans tell of one call, and what says that they do not: the rules, in one place.

Every rule compares two spans and speaks for one call (True), against it (False) or not at all (None). The
same comparison decides and explains: `compare` is what the pass uses and what
`llmtrace cost duplicates --explain` shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from llmtrace_collector.attributes.evidence import (
    ANSWER,
    EVIDENCE,
    FAILURE,
    INSTANCE,
    MODEL,
    OPERATION,
    PARENT,
    QUESTION,
    RESPONSE_ID,
    SCOPE,
    TIME,
    TOKENS,
)

from .stored_call import StoredCall

#: How far one span may stick out of the other, nanoseconds: callbacks of two tracers run one after the other.
_LEAST_SLACK, _MOST_SLACK = 20_000_000, 1_000_000_000
_SLACK_SHARE = 0.05
#: What of the shorter span has to lie in both.
_OVERLAP = 0.5

#: A date or a number of a version at a model's end, and what clouds put around its name.
_VERSION = re.compile(r"(?:[-@](?:\d{8}|\d{4}-\d{2}-\d{2}|\d{4}|\d{3}|\d{2}-\d{2,4}|latest|v\d+))+(?::\d+)?$")
_REGION = re.compile(r"^(?:us|eu|apac|global|jp|au|ca|us-gov)\.")
_MAKER = re.compile(r"^(?:anthropic|amazon|meta|mistral|cohere|ai21|deepseek|qwen|openai|google|writer)\.")

#: Operations that different tracers write for the same request.
_GENERATION = frozenset({"chat", "text_completion", "generate_content"})


@dataclass(frozen=True)
class EvidenceRule:
    """One kind of evidence: its word as it is stored, and the comparison."""

    name: str
    compare: Callable[[StoredCall, StoredCall], bool | None]

    @property
    def sentence(self) -> str:
        """What it says where it speaks for one call; empty for what can only speak against."""
        return EVIDENCE.get(self.name, "")


@dataclass(frozen=True)
class Comparison:
    """What every rule says of two spans: rule → True, False, None."""

    outcomes: Mapping[str, bool | None]

    @property
    def speaks_for(self) -> tuple[str, ...]:
        """The rules that say that it is one call, in their order."""
        return tuple(name for name, outcome in self.outcomes.items() if outcome)

    @property
    def refuted_by(self) -> tuple[str, ...]:
        """The rules that say that it is not. How a tracer writes an attached file makes the question another
        text: what has the same answer and the same figures is not refuted by that.
        """
        is_same = self.outcomes[ANSWER] and self.outcomes[TOKENS]
        return tuple(
            name
            for name, outcome in self.outcomes.items()
            if outcome is False and not (name == QUESTION and is_same)
        )

    @property
    def is_sufficient(self) -> bool:
        """Whether it is one call, if no other pairing is possible.

        The id of the answer is enough where the times overlap. Without it nothing may speak against, times,
        process and model have to agree, and one of figures, answers or failures has to be the same. Where
        nobody says which process one is of, the question has to be the same as well.
        """
        says = self.outcomes
        if says[SCOPE] is False or says[OPERATION] is False:
            return False
        if says[RESPONSE_ID]:
            return True
        if self.refuted_by or not says[TIME] or not (says[INSTANCE] or says[QUESTION]):
            return False
        same = says[TOKENS] or says[ANSWER] or says[FAILURE] or (says[PARENT] and says[QUESTION])
        return bool(same and (says[MODEL] or says[ANSWER] or says[PARENT]))


def compare(first: StoredCall, second: StoredCall) -> Comparison:
    """What every rule says of the two."""
    return Comparison({rule.name: rule.compare(first, second) for rule in RULES})


def overlap(first: StoredCall, second: StoredCall) -> int:
    """Nanoseconds that both last, first tokens included; negative for what lies between them."""
    return min(first.seen_until, second.seen_until) - max(first.start, second.start)


def model_family(name: str) -> str:
    """A model's name without maker, region, path, date and version."""
    return _family(name)


@lru_cache(maxsize=4096)
def _family(name: str) -> str:
    name = name.lower().rpartition("/")[2]
    name = _MAKER.sub("", _REGION.sub("", name))
    return _VERSION.sub("", name)


def _scope(first: StoredCall, second: StoredCall) -> bool | None:
    return False if first.scope == second.scope else None


def _response_id(first: StoredCall, second: StoredCall) -> bool | None:
    if not first.response or not second.response:
        return None
    if first.response == second.response:
        return overlap(first, second) >= 0
    # A framework's own id (run-…) says nothing of a provider's (chatcmpl-…).
    return False if _shape(first.response) == _shape(second.response) else None


def _shape(identifier: str) -> str:
    return re.split(r"[-_]", identifier, maxsplit=1)[0] if re.search(r"[-_]", identifier) else ""


def _time(first: StoredCall, second: StoredCall) -> bool | None:
    shorter = min(first.end - first.start, second.end - second.start)
    slack = min(max(_LEAST_SLACK, int(shorter * _SLACK_SHARE)), shorter // 2, _MOST_SLACK)
    outer, inner = (
        (first, second) if first.end - first.start >= second.end - second.start else (second, first)
    )
    if inner.start >= outer.start - slack and inner.end <= outer.end + slack:
        return min(first.end, second.end) - max(first.start, second.start) >= shorter * _OVERLAP
    return _streams_in(first, second) or _streams_in(second, first)


def _streams_in(lazy: StoredCall, inner: StoredCall) -> bool:
    """Whether a span that ended when its stream was handed out saw the first token while the other ran."""
    return (
        lazy.end < lazy.first_token
        and lazy.start <= inner.start <= lazy.first_token <= inner.end
        and inner.start - lazy.end <= _MOST_SLACK
    )


def _instance(first: StoredCall, second: StoredCall) -> bool | None:
    if first.trace and first.trace == second.trace:
        return True
    if first.instance and second.instance:
        return first.instance == second.instance
    if first.service == second.service:
        return True
    # Of two tracers in one process one may have been told the service's name, the other not.
    return None if first.is_unnamed or second.is_unnamed else False


def _model(first: StoredCall, second: StoredCall) -> bool | None:
    names = [{_family(name) for name in call.models if name} for call in (first, second)]
    if not all(names):
        return None
    return bool(names[0] & names[1])


def _operation(first: StoredCall, second: StoredCall) -> bool | None:
    kinds = {"generation" if call.operation in _GENERATION else call.operation for call in (first, second)}
    return None if len(kinds) == 1 else False


def _tokens(first: StoredCall, second: StoredCall) -> bool | None:
    inputs = None
    if first.input_tokens is not None and second.input_tokens is not None:
        # Some count what was cached within the input, some apart from it.
        inputs = bool(
            {first.input_tokens, first.input_tokens + first.cached_tokens}
            & {second.input_tokens, second.input_tokens + second.cached_tokens}
        )
    outputs = None
    if first.output_tokens is not None and second.output_tokens is not None:
        outputs = first.output_tokens == second.output_tokens
    elif first.operation == "embeddings":
        outputs = True
    if inputs is False or outputs is False:
        # A tracer that adds up what a stream or each choice repeats has one figure right, or a multiple of
        # both: the answers have to say the rest.
        is_repeated = inputs or outputs or _is_multiple(first, second)
        return None if is_repeated and _answer(first, second) is not False else False
    if inputs and outputs:
        return bool(first.tokens) or None
    return None


def _is_multiple(first: StoredCall, second: StoredCall) -> bool:
    """Whether both figures of one are the same few times those of the other."""
    small, large = sorted((first, second), key=lambda call: call.tokens or 0)
    if not small.input_tokens or not small.output_tokens or not large.input_tokens:
        return False
    times = large.input_tokens // small.input_tokens
    return times > 1 and (large.input_tokens, large.output_tokens) == (
        times * small.input_tokens,
        times * small.output_tokens,
    )


def _answer(first: StoredCall, second: StoredCall) -> bool | None:
    if not first.answered or not second.answered:
        return None
    return first.answered == second.answered


def _question(first: StoredCall, second: StoredCall) -> bool | None:
    if not first.asked or not second.asked:
        return None
    return first.asked == second.asked


def _failure(first: StoredCall, second: StoredCall) -> bool | None:
    if first.failed and second.failed:
        return True
    if first.failed != second.failed:
        return False
    return None


def _parent(first: StoredCall, second: StoredCall) -> bool | None:
    return True if first.is_within(second) or second.is_within(first) else None


#: In the order in which they are told. Scope and operation only ever speak against.
RULES: tuple[EvidenceRule, ...] = (
    EvidenceRule(SCOPE, _scope),
    EvidenceRule(RESPONSE_ID, _response_id),
    EvidenceRule(TIME, _time),
    EvidenceRule(INSTANCE, _instance),
    EvidenceRule(OPERATION, _operation),
    EvidenceRule(MODEL, _model),
    EvidenceRule(TOKENS, _tokens),
    EvidenceRule(ANSWER, _answer),
    EvidenceRule(QUESTION, _question),
    EvidenceRule(FAILURE, _failure),
    EvidenceRule(PARENT, _parent),
)

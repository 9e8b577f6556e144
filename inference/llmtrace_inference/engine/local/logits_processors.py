"""What continuous batching lacks per request: seeds, penalties, min_p, grammars and log-probabilities.

Two logits processors share the requests' `SamplingState`s. The first sees the model's own logits and applies
penalties and grammars; temperature, top_k and top_p follow; the last applies min_p and draws the token itself
for requests with a seed: Gumbel-max with noise hashed from (seed, position, token), so a request's draw
depends on nothing else in the batch. What remains of chance is floating point: other batch shapes may round
near-ties differently.

All of it runs in the engine's thread, between scheduling and sampling, so the tokens so far are complete only
without asynchronous batching and CUDA graphs; continuous_batching.py switches both off. A batch without such
states costs nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
)
from transformers.generation.continuous_batching.requests import FutureRequestState

from llmtrace_inference.engine.interface import Generation, Matcher, TokenLogprob
from llmtrace_inference.engine.panics import LibraryPanicked, panics_as_errors

KWARG = "sampling_state"
_NO_SEED = -1
_MASK = 0xFFFFFFFF
_LOWEST_LOGPROB = -9999.0


@dataclass(slots=True, eq=False)
class SamplingState:
    """One request's sampling parameters and state, from its first token to its last."""

    prompt_length: int
    eos_id: int
    seed: int | None = None
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logprobs: int | None = None
    matcher: Matcher | None = None
    token_logprobs: list[TokenLogprob] = field(default_factory=list)
    """Log-probabilities of the tokens so far; the engine's thread appends before it delivers the token."""
    error: str = ""
    """Why the grammar failed; the answer then ends."""
    position: int = 0
    counts: dict[int, int] = field(default_factory=dict)

    def __deepcopy__(self, _: object) -> SamplingState:
        # The library copies a request's parameters when it evicts it; the state must go on.
        return self

    def catch_up(self, tokens: list[int]) -> None:
        """Take in the tokens generated since the last call; `tokens` are all of the answer so far."""
        for token in tokens[self.position :]:
            if self.presence_penalty or self.frequency_penalty:
                self.counts[token] = self.counts.get(token, 0) + 1
            if self.matcher is not None and not self.error:
                try:
                    with panics_as_errors():
                        if not self.matcher.consume_token(token):
                            self.error = self.matcher.get_error() or "the grammar refused a token"
                except LibraryPanicked as panic:
                    self.error = str(panic)
        self.position = len(tokens)


def sampling_state_of(generation: Generation, eos_ids: tuple[int, ...]) -> SamplingState | None:
    """The sampling state of a request; None where the library's own parameters say it all."""
    penalties = generation.presence_penalty or generation.frequency_penalty
    if not (
        penalties
        or generation.min_p
        or generation.seed is not None
        or generation.logprobs is not None
        or generation.matcher is not None
    ):
        return None
    seed = generation.seed
    if seed is None and generation.logprobs is not None:
        seed = secrets.randbits(31)  # the token must be drawn here, to know whose probability to note
    return SamplingState(
        prompt_length=len(generation.prompt_ids),
        eos_id=eos_ids[0] if eos_ids else 0,
        seed=seed,
        min_p=generation.min_p,
        presence_penalty=generation.presence_penalty,
        frequency_penalty=generation.frequency_penalty,
        logprobs=generation.logprobs,
        matcher=generation.matcher,
    )


@dataclass(slots=True)
class _Batch:
    """The states of the batch at hand, and the model's log-probabilities of those that ask for them."""

    states: list[SamplingState | None] = field(default_factory=list)
    raw: dict[int, torch.Tensor] = field(default_factory=dict)

    def states_by_row(self, scores: torch.Tensor) -> list[tuple[int, SamplingState]]:
        """(row of the scores, state) of each request that has one."""
        return [(i, state) for i, state in enumerate(self.states[: scores.size(0)]) if state is not None]


class PenaltyProcessor(ContinuousBatchingLogitsProcessor):
    """Penalties and grammars on the model's own logits; notes log-probabilities where they are asked for."""

    supported_kwargs: dict[str, type] = {KWARG: SamplingState}  # noqa: RUF012 - the base class declares it so
    ignored_kwargs: tuple[str, ...] = ()

    def __init__(self, batch: _Batch, suppressed_ids: tuple[int, ...]) -> None:
        self._batch = batch
        self._suppressed = torch.tensor(suppressed_ids, dtype=torch.int64) if suppressed_ids else None

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: list[FutureRequestState]) -> torch.Tensor:
        states: list[SamplingState | None] = []
        for future in requests_with_new_token:
            request = future.state
            state = request.logit_processor_kwargs.get(KWARG)
            states.append(state)
            if state is not None:
                # After an eviction the first tokens of the answer are a part of the new prompt.
                state.catch_up([*request.initial_tokens[state.prompt_length :], *request.generated_tokens])
        self._batch.states = states
        return torch.zeros(len(states), dtype=torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        """Scores of shape `[rows, vocabulary]`."""
        batch = self._batch
        batch.raw.clear()
        states = batch.states_by_row(scores)
        constrained = [i for i, state in states if state.matcher is not None]
        for i, state in states:
            if state.logprobs is not None:
                batch.raw[i] = scores[i].log_softmax(dim=-1)
        if self._suppressed is not None:
            # A grammar may need a token that a free answer never says.
            originals = {i: scores[i].clone() for i in constrained}
            self._suppressed = self._suppressed.to(scores.device)
            scores = scores.index_fill(-1, self._suppressed, float("-inf"))
            for i, original in originals.items():
                scores[i] = original
        for i, state in states:
            if state.counts:
                tokens = torch.tensor(list(state.counts), device=scores.device)
                counts = torch.tensor(list(state.counts.values()), dtype=scores.dtype, device=scores.device)
                scores[i, tokens] -= state.presence_penalty + state.frequency_penalty * counts
            if state.matcher is not None:
                scores[i].masked_fill_(~self._allowed(state, state.matcher, scores), float("-inf"))
        return scores

    @staticmethod
    def _allowed(state: SamplingState, matcher: Matcher, scores: torch.Tensor) -> torch.Tensor:
        """Which tokens the grammar allows, `[vocabulary]`; never none: a failed grammar ends the answer."""
        size = scores.size(-1)
        allowed = np.zeros(size, dtype=bool)
        if not state.error:
            try:
                with panics_as_errors():
                    bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
                unpacked = np.unpackbits(bits, bitorder="little")[:size]
                allowed[: len(unpacked)] = unpacked
                if matcher.is_error() or not allowed.any():
                    state.error = matcher.get_error() or "the grammar allows no token"
            except LibraryPanicked as panic:
                state.error = str(panic)
        if state.error:
            allowed[:] = False
            allowed[state.eos_id] = True
        return torch.from_numpy(allowed).to(scores.device)


def _mix(x: torch.Tensor) -> torch.Tensor:
    """A 32-bit finaliser on int64 tensors; the same on every device."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _MASK
    return x ^ (x >> 16)


class SamplingProcessor(ContinuousBatchingLogitsProcessor):
    """min_p, and exactly one possible token for a row with a seed; other rows pass unchanged."""

    supported_kwargs: dict[str, type] = {}  # noqa: RUF012 - the base class declares it so
    ignored_kwargs: tuple[str, ...] = ()

    def __init__(self, batch: _Batch) -> None:
        self._batch = batch

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.fill_(_NO_SEED)

    def prepare_tensor_args(self, requests_with_new_token: list[FutureRequestState]) -> torch.Tensor:
        keys = []
        for state in self._batch.states:  # PenaltyProcessor has set them for this batch
            if state is None or state.seed is None:
                keys.append(_NO_SEED)
            else:
                position = state.prompt_length + state.position
                keys.append((state.seed * 0x9E3779B1 + position * 0x85EBCA77) & 0x7FFFFFFF)
        return torch.tensor(keys, dtype=torch.int32, device="cpu")

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        """Scores of shape `[rows, vocabulary]`; `tensor_arg` holds each row's key, -1 without a seed."""
        states = self._batch.states_by_row(scores)
        for i, state in states:
            if state.min_p > 0:
                chances = scores[i].softmax(dim=-1)
                scores[i].masked_fill_(chances < state.min_p * chances.max(), float("-inf"))
        if not any(state.seed is not None for _, state in states):
            return scores
        keys = tensor_arg[: scores.size(0)].to(torch.int64).unsqueeze(-1)
        tokens = torch.arange(scores.size(-1), device=scores.device, dtype=torch.int64)
        noise = _mix((_mix(keys & _MASK) + tokens * 0x9E3779B1) & _MASK)
        uniform = (noise.to(torch.float64) + 0.5) / 2.0**32
        gumbel = -torch.log(-torch.log(uniform))
        drawn = (scores.to(torch.float64) + gumbel).argmax(dim=-1, keepdim=True)
        for i, raw in self._batch.raw.items():
            if (recipient := self._batch.states[i]) is not None:
                recipient.token_logprobs.append(_token_logprob(raw, int(drawn[i]), recipient.logprobs or 0))
        only = torch.full_like(scores, float("-inf")).scatter_(-1, drawn, 0.0)
        return torch.where(keys >= 0, only, scores)


def _token_logprob(raw: torch.Tensor, token: int, alternatives: int) -> TokenLogprob:
    likeliest = raw.topk(alternatives) if alternatives else None
    top = (
        tuple(
            (int(i), max(float(v), _LOWEST_LOGPROB))
            for v, i in zip(likeliest.values, likeliest.indices, strict=True)
        )
        if likeliest is not None
        else ()
    )
    return TokenLogprob(token, max(float(raw[token]), _LOWEST_LOGPROB), top)


def add_to(processors: ContinuousBatchingLogitsProcessorList, suppressed_ids: tuple[int, ...]) -> None:
    """Put both processors around a manager's own, before its loop starts."""
    batch = _Batch()
    processors.logits_processor.insert(0, PenaltyProcessor(batch, suppressed_ids))
    processors.logits_processor.append(SamplingProcessor(batch))
    processors.tensors_required += 2
    processors.supported_keys[KWARG] = SamplingState
    processors.do_processing = True

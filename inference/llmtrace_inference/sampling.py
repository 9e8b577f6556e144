"""Per-request seeds for continuous batching, which has none of its own.

The last logits processor draws the token itself for rows with a seed: Gumbel-max with noise hashed from
(seed, position, token), so a row's draw depends on nothing else in the batch. What remains of chance is
floating point: other batch shapes may round near-ties differently.
"""

from __future__ import annotations

import torch
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
)
from transformers.generation.continuous_batching.requests import FutureRequestState

KWARG = "sample_seed"
_NO_SEED = -1
_MASK = 0xFFFFFFFF


def _mix(x: torch.Tensor) -> torch.Tensor:
    """A 32-bit finaliser on int64 tensors; the same on every device."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _MASK
    return x ^ (x >> 16)


class SeededSampling(ContinuousBatchingLogitsProcessor):
    """Leaves a seeded row exactly one possible token; rows without a seed pass unchanged."""

    supported_kwargs: dict[str, type] = {KWARG: int}  # noqa: RUF012 - the base class declares it so
    ignored_kwargs: tuple[str, ...] = ()

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.fill_(_NO_SEED)

    def prepare_tensor_args(self, requests_with_new_token: list[FutureRequestState]) -> torch.Tensor:
        keys = []
        for future in requests_with_new_token:
            state = future.state
            seed = state.logit_processor_kwargs.get(KWARG)
            if seed is None:
                keys.append(_NO_SEED)
            else:
                position = len(state.initial_tokens) + state.generated_len()
                keys.append((seed * 0x9E3779B1 + position * 0x85EBCA77) & 0x7FFFFFFF)
        return torch.tensor(keys, dtype=torch.int32, device="cpu")

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        """Scores of shape `[rows, vocabulary]`; `tensor_arg` holds each row's key, -1 without a seed."""
        keys = tensor_arg[: scores.size(0)].to(torch.int64).unsqueeze(-1)
        if scores.device.type == "cpu" and not bool((keys >= 0).any()):
            return scores
        tokens = torch.arange(scores.size(-1), device=scores.device, dtype=torch.int64)
        noise = _mix((_mix(keys & _MASK) + tokens * 0x9E3779B1) & _MASK)
        uniform = (noise.to(torch.float64) + 0.5) / 2.0**32
        gumbel = -torch.log(-torch.log(uniform))
        drawn = (scores.to(torch.float64) + gumbel).argmax(dim=-1, keepdim=True)
        only = torch.full_like(scores, float("-inf")).scatter_(-1, drawn, 0.0)
        return torch.where(keys >= 0, only, scores)


def add_to(processors: ContinuousBatchingLogitsProcessorList) -> None:
    """Append seeded sampling to a manager's processors, before its loop starts."""
    processors.logits_processor.append(SeededSampling())
    processors.tensors_required += 1
    processors.supported_keys[KWARG] = int
    processors.do_processing = True

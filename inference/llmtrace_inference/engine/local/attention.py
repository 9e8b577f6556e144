"""Attention for packed batches: every sequence by itself, on the CPU and on CUDA.

Continuous batching packs every sequence of a batch into one row and keeps them apart with a mask, so that
the cost grows with (all queries × all keys). Two kernels that know where each sequence lies do less:

- `per_sequence`: one SDPA call per sequence. On a CPU 3× the requests per second at 200-token prompts on one
  thread, with the same greedy tokens (tests/inference/test_attention.py). Runs on every device.
- `flash`: one call of torch's own variable-length flash attention (`torch.nn.attention.varlen`) for the whole
  batch, on CUDA in 16 bits. No package beside torch is needed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward

NAME = "sdpa"
"""Continuous batching takes only names it knows, so this wraps the name and passes everything else on."""

_FLASH_DTYPES = (torch.float16, torch.bfloat16)
_FLASH_CAPABILITY = (8, 0)
_FLASH_HEAD_DIM = 256


class Kernel(Protocol):
    """Causal attention over packed sequences, each one's queries aligned with the end of its keys.

    Shapes: query `[queries, heads, head_dim]`, key and value `[keys, kv_heads, head_dim]`; `query_ends` and
    `key_ends`, int32 `[sequences + 1]`, are where each sequence begins and ends, from 0; `most_queries` and
    `most_keys` are the longest sequence's. Returns `[queries, heads, head_dim]`.
    """

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        query_ends: torch.Tensor,
        key_ends: torch.Tensor,
        most_queries: int,
        most_keys: int,
        scale: float | None,
    ) -> torch.Tensor: ...


def per_sequence(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    query_ends: torch.Tensor,
    key_ends: torch.Tensor,
    most_queries: int,
    most_keys: int,
    scale: float | None,
) -> torch.Tensor:
    """See `Kernel`. One call of SDPA per sequence, in any dtype, on any device."""
    output = query.new_empty(query.shape)
    # SDPA wants `[1, heads, tokens, head_dim]`; these are views.
    query, key, value, by_head = (x.transpose(0, 1).unsqueeze(0) for x in (query, key, value, output))
    grouped = key.shape[1] != query.shape[1]
    q_ends, k_ends = query_ends.tolist(), key_ends.tolist()
    for q_from, q_to, k_from, k_to in zip(q_ends, q_ends[1:], k_ends, k_ends[1:], strict=False):
        queries, keys = q_to - q_from, k_to - k_from
        if queries == 0:
            continue
        mask = None
        if queries > 1 and keys != queries:  # a later chunk of a prefill
            mask = torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril(keys - queries)
        by_head[:, :, q_from:q_to] = scaled_dot_product_attention(
            query[:, :, q_from:q_to],
            key[:, :, k_from:k_to],
            value[:, :, k_from:k_to],
            attn_mask=mask,
            is_causal=queries > 1 and keys == queries,
            scale=scale,
            enable_gqa=grouped,
        )
    return output


def flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    query_ends: torch.Tensor,
    key_ends: torch.Tensor,
    most_queries: int,
    most_keys: int,
    scale: float | None,
) -> torch.Tensor:
    """See `Kernel`. torch's variable-length flash attention: CUDA, 16 bits, head_dim up to 256 by eights."""
    from torch.nn.attention.varlen import varlen_attn

    output = varlen_attn(
        query,
        key,
        value,
        query_ends,
        key_ends,
        most_queries,
        most_keys,
        scale=scale,
        window_size=(-1, 0),  # causal, aligned to the end
        enable_gqa=key.shape[1] != query.shape[1],
    )
    assert isinstance(output, torch.Tensor)  # noqa: S101 - a pair only where auxiliary output is asked for
    return output


@functools.cache
def choose(device: torch.device, dtype: torch.dtype, head_dim: int) -> Kernel | None:
    """The kernel for these, or None where only the library's SDPA will do: CUDA in 32 bits, or an old GPU."""
    if device.type == "cpu":
        return per_sequence
    flashes = (
        device.type == "cuda"
        and dtype in _FLASH_DTYPES
        and head_dim % 8 == 0
        and head_dim <= _FLASH_HEAD_DIM
        and torch.cuda.get_device_capability(device) >= _FLASH_CAPABILITY
    )
    return flash if flashes else None


class Packed:
    """An attention function for transformers: a kernel for packed batches where one can, else their SDPA."""

    def __init__(self, choice: Callable[[torch.device, torch.dtype, int], Kernel | None] = choose) -> None:
        self._choice = choice

    def __call__(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        dropout: float = 0.0,
        scaling: float | None = None,
        cache: Any = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        """The kernel over a packed batch with a paged cache; embeddings, sliding windows and the like go on.

        Shapes: query `[1, heads, tokens, head_dim]`, key and value `[1, kv_heads, tokens, head_dim]`;
        returns `[1, tokens, heads, head_dim]`.
        """
        kernel = self._choice(query.device, query.dtype, query.shape[-1])
        plain = (
            isinstance(cache, PagedAttentionCache)
            and getattr(module, "sliding_window", None) is None
            and kwargs.get("softcap") is None
            and kwargs.get("position_bias") is None
        )
        if kernel is None or not plain:
            output, _ = sdpa_attention_forward(
                module,
                query,
                key,
                value,
                attention_mask,
                dropout=dropout,
                scaling=scaling,
                cache=cache,
                **kwargs,
            )
            return output, None
        # Takes in this pass's keys and values, gives all so far; of kwargs it keeps this layer's kind.
        key, value = cache.update(
            key_states=key, value_states=value, layer_idx=module.layer_idx, kwargs=kwargs
        )
        output = kernel(
            query.squeeze(0).transpose(0, 1),
            key.squeeze(0).transpose(0, 1),
            value.squeeze(0).transpose(0, 1),
            kwargs["cu_seq_lens_q"],
            kwargs["cu_seq_lens_k"],
            kwargs["max_length_q"],
            kwargs["max_length_k"],
            scaling,
        )
        return output.unsqueeze(0), None


def install() -> None:
    """Register the function for this process; safe to call again."""
    AttentionInterface.register(NAME, Packed())


def name_of(device: torch.device, dtype: torch.dtype, head_dim: int) -> str:
    """What spans call the attention that a model of these gets."""
    if device.type == "cuda" and find_spec("flash_attn") is not None:
        return "flash-attention"  # the engine then lets the library switch to it
    kernel = choose(device, dtype, head_dim)
    return "sdpa" if kernel is None else {per_sequence: "sdpa-per-sequence", flash: "flash-varlen"}[kernel]

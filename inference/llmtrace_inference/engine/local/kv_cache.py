"""How many blocks of KV cache a model gets."""

from __future__ import annotations

from dataclasses import dataclass

_MIN_BLOCKS = 8


@dataclass(frozen=True, slots=True)
class KvShape:
    """What one token takes in the KV cache: a key and a value per layer and head."""

    layers: int
    kv_heads: int
    head_size: int
    value_bytes: int

    @property
    def token_bytes(self) -> int:
        return 2 * self.layers * self.kv_heads * self.head_size * self.value_bytes


def blocks_within(gigabytes: float, page_size: int, shape: KvShape) -> int:
    """Blocks of `page_size` tokens that fit into `gigabytes` (10^9 bytes). RuntimeError for too few."""
    blocks = int(gigabytes * 1e9) // (page_size * shape.token_bytes)
    if blocks < _MIN_BLOCKS:
        needed = _MIN_BLOCKS * page_size * shape.token_bytes / 1e9
        raise RuntimeError(
            f"max_kv_gb {gigabytes:g} holds {blocks} blocks of this model's KV cache, and {_MIN_BLOCKS} "
            f"are the least: give it {needed:.3g} or more, or lower page_size"
        )
    return blocks

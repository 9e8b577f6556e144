"""Vectors from a causal model: the mean of its last hidden states, of length 1."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence


def embedding_model_of(model: Any) -> Any:
    """A second module over the same weights, which continuous batching has not set to paged attention."""
    config = copy.deepcopy(model.config)
    config._attn_implementation = "sdpa"
    with torch.device("meta"):
        embedding_model = type(model)(config)
    embedding_model = embedding_model.to(model.dtype)
    embedding_model.load_state_dict(model.state_dict(), assign=True)
    for name, buffer in model.named_buffers():  # what is not in the state, such as rotary frequencies
        owner, _, buffer_name = name.rpartition(".")
        setattr(embedding_model.get_submodule(owner), buffer_name, buffer)
    return embedding_model.eval()


@torch.no_grad()
def embed(model: Any, sequences: list[list[int]]) -> list[list[float]]:
    """One vector per sequence of token ids; padding does not count."""
    device = model.device
    ids = [torch.tensor(sequence, device=device) for sequence in sequences]
    padded = pad_sequence(ids, batch_first=True)
    mask = pad_sequence([torch.ones_like(tokens) for tokens in ids], batch_first=True)
    hidden = model.base_model(
        input_ids=padded, attention_mask=mask, use_cache=False
    ).last_hidden_state.float()
    weights = mask.unsqueeze(-1).float()
    mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
    unit = torch.nn.functional.normalize(mean, dim=-1)
    return [[float(value) for value in row] for row in unit.cpu()]

"""A model of one fixed shape with random layers, made from a seed in a second, for measuring.

It stays the same whatever the service ships, so that measurements of different days can be compared. What it
says means nothing: embeddings and head are computed, not trained, so that the next word follows from the last
one as it does in a small text of ours.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.random_text import answers, sentences
from llmtrace_inference.demo_model.tokens import END, PAD, train_tokenizer

_SEED = 2
_VOCAB = 2048
_HIDDEN = 192
_ANSWERS = 1500
"""Texts whose word pairs are counted."""


def make_model(directory: Path) -> None:
    """Write 2.1 M parameters with tokenizer and chat template, in transformers' format, always the same."""
    tokenizer = train_tokenizer(sentences(), _VOCAB)
    vocab = tokenizer.get_vocab()
    end_id, pad_id = vocab[END], vocab[PAD]
    config = LlamaConfig(
        vocab_size=len(vocab),
        hidden_size=_HIDDEN,
        intermediate_size=_HIDDEN * 3,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=3,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        initializer_range=0.03,
        bos_token_id=None,
        eos_token_id=end_id,
        pad_token_id=pad_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        model = LlamaForCausalLM(config)
    pairs = _count_pairs(tokenizer, end_id, _SEED)
    embeddings, head = _bigram_weights(pairs, _HIDDEN)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(embeddings)
        model.lm_head.weight.copy_(head)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=end_id,
        pad_token_id=pad_id,
        # What never occurs in the text (bytes, special tokens, odd pieces) is never said.
        suppress_tokens=(pairs.sum(dim=0) == 0).nonzero().flatten().tolist(),
    )
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def _count_pairs(tokenizer: PreTrainedTokenizerFast, end_id: int, seed: int) -> torch.Tensor:
    """How often each token follows each other one in an answer; shape `[vocabulary, vocabulary]`."""
    plain = tokenizer.backend_tokenizer
    size = plain.get_vocab_size()
    before = plain.encode("\n").ids[-1]  # what the chat template puts before an answer
    ids: list[list[int]] = [[before, *e.ids, end_id] for e in plain.encode_batch(answers(_ANSWERS, seed))]
    flat = torch.tensor([a * size + b for token_ids in ids for a, b in pairwise(token_ids)])
    return torch.bincount(flat, minlength=size * size).reshape(size, size).float()


def _bigram_weights(pairs: torch.Tensor, hidden: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings and head, both `[vocabulary, hidden]`, whose product is the log-probability of each pair.

    A truncated SVD gives the factors. The model normalises its last hidden state, which would scale each row
    differently; one dimension that the head does not read makes all rows equally long.
    """
    overall = pairs.sum(dim=0) / pairs.sum()
    chances = (pairs + 0.3 * overall) / (pairs.sum(dim=1, keepdim=True) + 0.3)
    left, values, right = torch.linalg.svd(torch.log(chances + 1e-5), full_matrices=False)
    roots = values[: hidden - 1].sqrt()
    rows, columns = left[:, : hidden - 1] * roots, right[: hidden - 1].T * roots
    length = rows.norm(dim=1).max()
    filler = (length**2 - rows.pow(2).sum(dim=1, keepdim=True)).clamp(min=0).sqrt()
    scale = hidden**0.5 / length
    embeddings = torch.cat([rows, filler], dim=1) * scale
    head = torch.cat([columns, torch.zeros(len(columns), 1)], dim=1) / scale
    return embeddings, head
